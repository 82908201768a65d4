/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting a guest program. The parent only forks; everything that touches the guest's files
 * (accounts, working directory, PATH) happens in the child, so that a hostile or hanging file
 * system blocks that child and never PID 1.
 */
#pragma once

#include "base/err.h"
#include "proto/message.h"

#include <sys/types.h>

struct launch {
	const struct exec_request *request;
	const struct boot_config *config; /* env, workdir and user for what the request omits */
	/* Called in the child before anything else; NULL: nothing. 0, or -1 with the error set. */
	int (*prepare)(struct err *e);
	int in; /* -1: /dev/null. A terminal: all three streams */
	int out, err;
};

/*
 * Starts the program in a new session. Returns its process id (also its group's) and in
 * `ret_report` a non-blocking descriptor for launch_read_report; or -errno.
 */
pid_t launch_start(const struct launch *l, int *ret_report);

/*
 * Tells how a start went once the report descriptor is readable: 1 the program runs, 0 not known
 * yet, -1 with the error set when it could not be started (the child is then about to exit).
 */
int launch_read_report(int report, struct err *e);
