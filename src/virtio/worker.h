/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread of one device: an event loop on a small stack. All state of a device belongs to its
 * worker; others reach it only through worker_call.
 */
#pragma once

#include "base/loop.h"

struct worker;

/* `name` is the thread's name (at most 15 bytes count). NULL with errno set. */
struct worker *worker_new(const char *name);
/* Stops the thread if it runs, waits for it and frees the worker. Returns NULL. */
struct worker *worker_free(struct worker *w);

/* For sources and timers. Until worker_start the caller's thread may use it, then only the worker.
 */
struct loop *worker_loop(struct worker *w);

/* Has the thread run fn(arg) before anything else, whenever it is started. */
void worker_on_start(struct worker *w, void (*fn)(void *arg), void *arg);
/*
 * Has the thread run as one that works in bulk (process_batch), from its start on. For a device
 * that is woken more often than it is waited for.
 */
void worker_batch(struct worker *w);
/* Starts the thread, with all signals blocked. 0 or -errno. */
int worker_start(struct worker *w);
/*
 * Stops the thread and waits for it; what the loop held is then the caller's again, and the thread
 * can be started anew. No other thread may be in worker_call.
 */
void worker_stop(struct worker *w);

/*
 * Runs fn(arg) on the worker and waits for it; directly when the thread does not run or is the
 * caller. Any thread may call; callers are served one after the other.
 */
void worker_call(struct worker *w, void (*fn)(void *arg), void *arg);

/*
 * Holds the thread still between two events until worker_thaw; returns when it is. The machine is
 * being saved: nobody calls or stops the worker meanwhile. Nothing happens to one that does not
 * run.
 */
void worker_freeze(struct worker *w);
void worker_thaw(struct worker *w);
