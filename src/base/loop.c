/* SPDX-License-Identifier: Apache-2.0 */
#include "base/loop.h"

#include "base/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define ROUND_EVENTS 64

struct loop {
	int epoll_fd;
	bool stop;
	struct timer *timers; /* sorted by deadline; there are only ever a few */
	/* The round being delivered, so that removal can take events back. */
	struct epoll_event round[ROUND_EVENTS];
	int round_n;
	struct deferred *deferred; /* in the order in which they are to run */
	struct deferred **deferred_end;
	loop_round_fn *on_round;
	void *on_round_arg;
};

struct loop *loop_new(void)
{
	struct loop *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->deferred_end = &l->deferred;
	l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (l->epoll_fd < 0) {
		free(l);
		return NULL;
	}
	return l;
}

struct loop *loop_free(struct loop *l)
{
	if (l)
		close(l->epoll_fd);
	free(l);
	return NULL;
}

/* #syscalls:loop epoll_wait epoll_ctl */
int loop_add(struct loop *l, struct ev *ev, uint32_t events)
{
	struct epoll_event ee = {.events = events, .data.ptr = ev};

	if (epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, ev->fd, &ee) < 0)
		return -errno;
	ev->events = events;
	ev->active = true;
	return 0;
}

int loop_mod(struct loop *l, struct ev *ev, uint32_t events)
{
	struct epoll_event ee = {.events = events, .data.ptr = ev};

	if (!ev->active || ev->events == events)
		return 0;
	if (epoll_ctl(l->epoll_fd, EPOLL_CTL_MOD, ev->fd, &ee) < 0)
		return -errno;
	ev->events = events;
	return 0;
}

void loop_del(struct loop *l, struct ev *ev)
{
	if (!ev->active)
		return;
	epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, ev->fd, NULL);
	loop_forget(l, ev);
}

void loop_forget(struct loop *l, struct ev *ev)
{
	ev->active = false;
	for (int i = 0; i < l->round_n; i++)
		if (l->round[i].data.ptr == ev)
			l->round[i].data.ptr = NULL;
}

void timer_set(struct loop *l, struct timer *t, uint64_t deadline)
{
	struct timer **p = &l->timers;

	timer_cancel(l, t);
	while (*p && (*p)->deadline <= deadline)
		p = &(*p)->next;
	t->deadline = deadline;
	t->next = *p;
	t->active = true;
	*p = t;
}

void timer_cancel(struct loop *l, struct timer *t)
{
	struct timer **p = &l->timers;

	if (!t->active)
		return;
	while (*p != t)
		p = &(*p)->next;
	*p = t->next;
	t->active = false;
}

void loop_defer(struct loop *l, struct deferred *d)
{
	if (d->active)
		return;
	d->active = true;
	d->next = NULL;
	*l->deferred_end = d;
	l->deferred_end = &d->next;
}

void loop_undefer(struct loop *l, struct deferred *d)
{
	struct deferred **p = &l->deferred;

	if (!d->active)
		return;
	while (*p != d)
		p = &(*p)->next;
	*p = d->next;
	if (!*p)
		l->deferred_end = p;
	d->active = false;
}

/* What they defer themselves is done as well: nothing waits for the next event. */
static void run_deferred(struct loop *l)
{
	struct deferred *d;

	while ((d = l->deferred) && !l->stop) {
		loop_undefer(l, d);
		d->fn(d);
	}
}

static int time_to_next(const struct loop *l)
{
	uint64_t now, ms;

	if (l->deferred)
		return 0;
	if (!l->timers)
		return -1;
	now = clock_mono_ns();
	if (l->timers->deadline <= now)
		return 0;
	ms = (l->timers->deadline - now + NSEC_PER_MSEC - 1) / NSEC_PER_MSEC;
	return (int)MIN(ms, (uint64_t)3600 * 1000);
}

static void run_timers(struct loop *l)
{
	uint64_t now = l->timers ? clock_mono_ns() : 0;

	while (l->timers && l->timers->deadline <= now && !l->stop) {
		struct timer *t = l->timers;

		l->timers = t->next;
		t->active = false;
		t->fn(t);
	}
}

void loop_on_round(struct loop *l, loop_round_fn *fn, void *arg)
{
	l->on_round = fn;
	l->on_round_arg = arg;
}

int loop_run(struct loop *l)
{
	while (!l->stop) {
		int n = epoll_wait(l->epoll_fd, l->round, ROUND_EVENTS, time_to_next(l));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		l->round_n = n;
		for (int i = 0; i < l->round_n && !l->stop; i++) {
			struct ev *ev = l->round[i].data.ptr;

			if (ev)
				ev->fn(ev, l->round[i].events);
		}
		l->round_n = 0;
		if (!l->stop)
			run_timers(l);
		run_deferred(l);
		if (!l->stop && l->on_round)
			l->on_round(l->on_round_arg);
	}
	l->stop = false;
	return 0;
}

void loop_stop(struct loop *l)
{
	l->stop = true;
}
