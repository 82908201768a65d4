/* SPDX-License-Identifier: Apache-2.0 */
/* A process that the monitor starts for its sandbox and watches: msb-vmm, msb-net. */
#pragma once

#include "base/err.h"
#include "base/loop.h"
#include "base/buf.h"
#include "base/process.h"

/* Embedded in its owner, which sets the loop and the functions. */
struct child {
	struct loop *loop;
	void (*on_event)(struct child *c, const char *line); /* but for "end" */
	void (*on_exit)(struct child *c, int status);        /* of waitpid(2); may be NULL */
	pid_t pid;                                           /* 0: none */
	int pidfd, events_fd;
	struct ev pid_ev, events_ev;
	struct buf events;
	char end[1024]; /* text of its "end" event */
	bool killed;    /* by us */
};

#define CHILD_INIT                            \
	{                                     \
		.pidfd = -1, .events_fd = -1, \
	}

/* What a process is started with. */
struct child_args {
	char *program; /* its path */
	struct strv argv;
	struct spawn spawn;
	int fds[SPAWN_FDS_MAX]; /* ours only until the child has its copies */
	size_t n_fds;
};

/* `name` is that of a program beside ours. Begins with what all of them take. */
void child_args_init(struct child_args *a, const char *name, const char *log_level);
void child_args_release(struct child_args *a);
/* Gives the child a descriptor and takes ownership of ours. Returns its number for an argument. */
int child_hand_over(struct child_args *a, int fd);
/* The child gets the writing end as an option. 0 or -1. */
int child_add_pipe(struct child_args *a, const char *option, int *ret_read, struct err *e);

/* Starts it with a pipe for its events, and watches it. -1 with `pid` set: it runs unwatched. */
int child_start(struct child *c, struct child_args *a, struct err *e);
void child_kill(struct child *c);
/* Kills it without an on_exit, and waits until it is gone; handles what it still had to tell. */
void child_end(struct child *c);
void child_release(struct child *c);
