/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Landlock (landlock(7)): a thread gives up access for itself and for what it starts from then on.
 * Descriptors that are open already are not touched. What a kernel is too old for is left out; one
 * that can do nothing of what is asked for gives -ENOSYS or -EOPNOTSUPP.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* What a ruleset takes away, where it does not allow it again. */
enum {
	LANDLOCK_DENY_FILES = 1 << 0,   /* every access to files by name */
	LANDLOCK_DENY_TCP = 1 << 1,     /* connecting and binding */
	LANDLOCK_DENY_UNIX = 1 << 2,    /* abstract unix sockets of others */
	LANDLOCK_DENY_SIGNALS = 1 << 3, /* signals to others than those under the same ruleset */
};

/* The newest version that the kernel knows, or -errno. */
int landlock_abi(void);

/* A new ruleset that takes `what` (the above) away; a descriptor or -errno. */
int landlock_new(unsigned int what);
/*
 * Allows reading the file `fd`, or what lies below the directory `fd`, and listing it; `execute` as
 * well executing. An O_PATH descriptor will do. 0 or -errno.
 */
int landlock_allow_read(int ruleset, int fd, bool execute);
/*
 * Allows reading what lies below the directory `fd`, and making, writing and removing files there;
 * no directories, links, devices or sockets. 0 or -errno.
 */
int landlock_allow_write(int ruleset, int fd);
/*
 * Allows reading what lies below the directory `fd`, listing, and with `write` everything that can
 * be done there to files, directories and symbolic links, but no devices, pipes or sockets. 0 or
 * -errno; -EOPNOTSUPP with `write` where a ruleset forbids moving files between directories, which
 * versions before 2 do.
 */
int landlock_allow_tree(int ruleset, int fd, bool write);
/*
 * Puts the calling thread under the ruleset, which needs no_new_privs, and closes the descriptor
 * in any case. 0 or -errno.
 */
int landlock_enforce(int ruleset);
