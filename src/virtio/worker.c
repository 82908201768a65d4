/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio/worker.h"

#include "base/io.h"
#include "base/process.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* The deepest path uses some 25 KiB of buffers; the rest is headroom for the C library. */
#define STACK_SIZE (128 * KIB)

struct worker {
	char name[16];
	struct loop *loop;
	struct ev wake_ev; /* an eventfd: something is in `call`, or stop */
	pthread_t thread;
	bool running;
	bool batch;
	void (*start_fn)(void *arg); /* NULL: nothing to do first */
	void *start_arg;
	pthread_mutex_t call_lock; /* one caller at a time */
	pthread_mutex_t lock;      /* the fields below */
	pthread_cond_t done_cond;
	void (*call_fn)(void *arg);
	void *call_arg;
	bool call_done;
	bool freeze;
	bool frozen;
	bool stop;
};

static void stay_frozen(struct worker *w)
{
	pthread_mutex_lock(&w->lock);
	w->frozen = true;
	pthread_cond_broadcast(&w->done_cond);
	while (w->freeze)
		pthread_cond_wait(&w->done_cond, &w->lock);
	w->frozen = false;
	pthread_mutex_unlock(&w->lock);
}

/* #syscalls:worker read */
static void on_wake(struct ev *ev, uint32_t events)
{
	struct worker *w = container_of(ev, struct worker, wake_ev);
	void (*fn)(void *arg);
	uint64_t n;
	bool freeze, stop;

	if (read(ev->fd, &n, sizeof(n)) < 0)
		return;
	pthread_mutex_lock(&w->lock);
	fn = w->call_fn;
	freeze = w->freeze;
	stop = w->stop;
	pthread_mutex_unlock(&w->lock);
	if (fn) {
		fn(w->call_arg);
		pthread_mutex_lock(&w->lock);
		w->call_fn = NULL;
		w->call_done = true;
		pthread_cond_broadcast(&w->done_cond);
		pthread_mutex_unlock(&w->lock);
	}
	if (freeze)
		stay_frozen(w);
	if (stop)
		loop_stop(w->loop);
}

static void wake(struct worker *w)
{
	event_signal(w->wake_ev.fd);
}

struct worker *worker_new(const char *name)
{
	struct worker *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	snprintf(w->name, sizeof(w->name), "%s", name);
	pthread_mutex_init(&w->call_lock, NULL);
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->done_cond, NULL);
	w->wake_ev.fn = on_wake;
	w->wake_ev.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	w->loop = loop_new();
	if (w->wake_ev.fd < 0 || !w->loop || loop_add(w->loop, &w->wake_ev, EPOLLIN) < 0)
		return worker_free(w);
	return w;
}

struct worker *worker_free(struct worker *w)
{
	if (!w)
		return NULL;
	worker_stop(w);
	loop_free(w->loop);
	if (w->wake_ev.fd >= 0)
		close(w->wake_ev.fd);
	pthread_cond_destroy(&w->done_cond);
	pthread_mutex_destroy(&w->lock);
	pthread_mutex_destroy(&w->call_lock);
	free(w);
	return NULL;
}

struct loop *worker_loop(struct worker *w)
{
	return w->loop;
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;

	pthread_setname_np(pthread_self(), w->name);
	if (w->batch)
		process_batch();
	if (w->start_fn)
		w->start_fn(w->start_arg);
	loop_run(w->loop);
	return NULL;
}

void worker_on_start(struct worker *w, void (*fn)(void *arg), void *arg)
{
	w->start_fn = fn;
	w->start_arg = arg;
}

void worker_batch(struct worker *w)
{
	w->batch = true;
}

int worker_start(struct worker *w)
{
	pthread_attr_t attr;
	sigset_t all, old;
	int r;

	w->stop = false;
	/* The new thread inherits the mask: signals are for the main thread alone. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	r = pthread_create(&w->thread, &attr, worker_main, w);
	pthread_attr_destroy(&attr);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	w->running = r == 0;
	return -r;
}

void worker_stop(struct worker *w)
{
	if (!w->running)
		return;
	pthread_mutex_lock(&w->lock);
	w->stop = true;
	pthread_mutex_unlock(&w->lock);
	wake(w);
	pthread_join(w->thread, NULL);
	w->running = false;
}

void worker_call(struct worker *w, void (*fn)(void *arg), void *arg)
{
	if (!w->running || pthread_equal(pthread_self(), w->thread)) {
		fn(arg);
		return;
	}
	pthread_mutex_lock(&w->call_lock);
	pthread_mutex_lock(&w->lock);
	w->call_fn = fn;
	w->call_arg = arg;
	w->call_done = false;
	wake(w);
	while (!w->call_done)
		pthread_cond_wait(&w->done_cond, &w->lock);
	pthread_mutex_unlock(&w->lock);
	pthread_mutex_unlock(&w->call_lock);
}

void worker_freeze(struct worker *w)
{
	if (!w->running)
		return;
	pthread_mutex_lock(&w->lock);
	w->freeze = true;
	wake(w);
	while (!w->frozen)
		pthread_cond_wait(&w->done_cond, &w->lock);
	pthread_mutex_unlock(&w->lock);
}

void worker_thaw(struct worker *w)
{
	pthread_mutex_lock(&w->lock);
	w->freeze = false;
	pthread_cond_broadcast(&w->done_cond);
	pthread_mutex_unlock(&w->lock);
}
