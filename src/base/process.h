/* SPDX-License-Identifier: Apache-2.0 */
/* Starting another program without a shell, with just the descriptors that it is meant to have. */
#pragma once

#include "base/util.h"

#include <sys/types.h>

#define SPAWN_FDS_MAX 160

struct spawn {
	const char *path;
	char *const *argv;
	/* Standard streams of the child; -1 means /dev/null. */
	int in, out, err;
	/* Descriptors that stay open, under the same number. All others must be close-on-exec. */
	int fds[SPAWN_FDS_MAX];
	size_t n_fds;
	bool new_session; /* setsid: no terminal, no signals of the caller's group */
};

/* Lets the child keep `fd`; returns it for use in an argument, or -1 when there are too many. */
int spawn_pass_fd(struct spawn *s, int fd);

/* Starts the program with default signal handling. Returns its process id or -errno. */
pid_t spawn_run(const struct spawn *s);

/* Waits for a child. Returns its exit status, or 128 + signal, or -errno. */
int spawn_wait(pid_t pid);

/*
 * Has the calling thread run as one that works in bulk: waking it up does not cut short the time
 * slice of what runs there. A thread that is woken for each packet by a busy one on the same core
 * (the emulator) otherwise takes the core away each time, and finds a single packet to work on. A
 * kernel that refuses only makes it slower.
 */
void process_batch(void);

/* The path of a program in PATH, owned; NULL when there is none. */
char *program_find(const char *name);

/*
 * Returns the path of a file that is installed beside the running program, owned:
 * `relative` is taken from the directory of the program's executable. NULL when /proc is missing.
 */
char *program_relative_path(const char *relative);
