/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An epoll loop. A source (struct ev) is embedded in the object that owns the descriptor; its
 * callback finds the object with container_of. Timers are embedded likewise. One thread only.
 *
 * A callback may remove any source or timer, its own included, and free the object with it: an
 * event of the same round for a removed source is not delivered.
 */
#pragma once

#include "base/util.h"

#include <sys/epoll.h>

struct loop;

struct ev {
	int fd;          /* not owned */
	uint32_t events; /* EPOLLIN, EPOLLOUT; errors and hang-up always come */
	bool active;
	void (*fn)(struct ev *ev, uint32_t events);
};

struct timer {
	uint64_t deadline; /* CLOCK_MONOTONIC, ns */
	bool active;
	void (*fn)(struct timer *t);
	struct timer *next;
};

/* Something to be done soon, but not before whoever asked for it has returned. */
struct deferred {
	bool active;
	void (*fn)(struct deferred *d);
	struct deferred *next;
};

/* Returns NULL with errno set. */
struct loop *loop_new(void);
struct loop *loop_free(struct loop *l);

/* Starts watching; ev->fd and ev->fn are set. Returns 0 or -errno. */
int loop_add(struct loop *l, struct ev *ev, uint32_t events);
/* Changes what is watched for; 0 keeps only errors and hang-up. No-op when nothing changes. */
int loop_mod(struct loop *l, struct ev *ev, uint32_t events);
/* Stops watching; to be called before the descriptor is closed. A no-op on an inactive one. */
void loop_del(struct loop *l, struct ev *ev);
/*
 * The same for a descriptor that is closed next, by which the kernel forgets it: one call less. It
 * must have no duplicate.
 */
void loop_forget(struct loop *l, struct ev *ev);

/* Runs t->fn once at CLOCK_MONOTONIC `deadline` or soon after; replaces an earlier deadline. */
void timer_set(struct loop *l, struct timer *t, uint64_t deadline);
void timer_cancel(struct loop *l, struct timer *t);

/* Runs d->fn once in this round, or when the loop next runs; a no-op when it is going to be. */
void loop_defer(struct loop *l, struct deferred *d);
void loop_undefer(struct loop *l, struct deferred *d);

/*
 * Has `fn` called with `arg` after each round of events, due timers and what was deferred, before
 * the loop sleeps: for what is better done once for all of them. There is one such function; NULL
 * for none.
 */
typedef void loop_round_fn(void *arg);
void loop_on_round(struct loop *l, loop_round_fn *fn, void *arg);

/*
 * Handles events until loop_stop, and can be called again then. Returns 0, or -errno when waiting
 * fails.
 */
int loop_run(struct loop *l);
void loop_stop(struct loop *l);
