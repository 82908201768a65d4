/* SPDX-License-Identifier: Apache-2.0 */
/* The launcher's side: starting the monitor of a sandbox, waiting for it, talking to it. */
#pragma once

#include "sandbox/spec.h"
#include "state/sandboxes.h"

/* The launch connection. For an attached sandbox its closing is the sandbox's end. */
struct launch {
	int fd;
	pid_t pid;
	struct buf in;
};

/* What `ready` reports: CLOCK_MONOTONIC ns, except agent_setup_ns, which is a duration. `net` is 0
 * if there is no network. */
struct launch_times {
	uint64_t start, spec, spawned, hello, net, ready, agent_setup_ns;
};

/*
 * Starts the monitor of a sandbox whose run lock the caller holds. The monitor gets a copy of the
 * lock's descriptor; the caller closes its own. Returns at once: 0, or -1 with nothing started.
 */
int launch_start(const struct home *h, const struct sandbox_row *row, int lock_fd,
		 const struct launch_spec *spec, struct launch *ret, struct err *e);

/* Waits until the sandbox is ready. 0, or -1 with the reason why it did not start. */
int launch_wait_ready(struct launch *l, struct launch_times *ret, struct err *e);

/* How a sandbox ended; the cause is one of docs/cli.md's, both are empty when nobody said so. */
struct launch_outcome {
	char cause[32];
	char reason[512];
};

/* Ends an attached sandbox and waits until it is gone. `ret` may be NULL. */
void launch_end(struct launch *l, struct launch_outcome *ret);
/* -1 with the error set if the sandbox has ended because of a limit of its own. */
int launch_check_outcome(const struct launch_outcome *o, struct err *e);
/* Lets go of the connection; a sandbox that is not attached lives on. */
void launch_release(struct launch *l);

/* Connects to a running sandbox. A descriptor, or -1 with ERR_STATE when it does not answer. */
int control_connect(const struct home *h, const struct sandbox_row *row, struct err *e);

/*
 * Sends one request and waits for its result, which the caller owns. NULL on an error, which is
 * ERR_STATE when the sandbox ended before it answered.
 */
json_t *control_call(int fd, json_t *request, struct err *e);
