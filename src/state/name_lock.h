/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whose turn it is: a lock per name, run/locks/NAME.lock, which a command holds while it changes
 * the life of the sandbox with that name, whether there is one yet or not. It is taken before the
 * row is looked at, so what a command decides is still true when it acts. It says nothing of
 * whether a sandbox runs; the run lock of sandboxes.h does.
 *
 * Locks are taken in this order, each but the first only if it is needed: this one, the cache's
 * (home.h), the run lock, the database's write lock. Nobody holds two of the first kind.
 *
 * The file is there as long as the lock is held, or until the next one to lock it or to list
 * all sandboxes when its holder was killed. The kernel gives the lock up for whoever dies.
 */
#pragma once

#include "state/home.h"

/* A zeroed one is not held. */
struct name_lock {
	char *path;
	int fd;
};

/* What the holder says of itself, which may be missing or out of date. */
struct name_lock_holder {
	uint64_t pid;     /* 0: not known */
	char command[48]; /* "msb stop", as it is in the file */
};

/*
 * Takes the lock of a valid name if nobody has it; `command` is written into it for others to
 * read. 1, 0 when it is held, of which *ret_holder then tells, or -1 with the error set.
 */
int name_lock_try(const struct home *h, const char *name, const char *command,
		  struct name_lock *ret, struct name_lock_holder *ret_holder, struct err *e);
/* Waits for it. 0, or -1 with the error set. */
int name_lock_wait(const struct home *h, const char *name, const char *command,
		   struct name_lock *ret, struct err *e);
/* Gives it up; one that is not held is fine. */
void name_lock_release(struct name_lock *l);

/* Removes the files that processes have left behind which were killed. */
void name_locks_sweep(const struct home *h);
