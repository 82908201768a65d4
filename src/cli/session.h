/* SPDX-License-Identifier: Apache-2.0 */
/* One session of a command with a sandbox that runs or is being started. */
#pragma once

#include "cli/cli.h"
#include "cli/exec_client.h"

struct session_options {
	const struct exec_request *request; /* NULL: attach to `attach` */
	uint64_t attach;                    /* 0: the only session there is to attach to */
	const struct detach_keys *keys;
	bool owner; /* the sandbox was started for this session, and is to end with it */
};

/*
 * Runs it to its end, or until the user detaches, which is said on standard error. The exit status
 * of msb, also in that case, or -1. `ret` is filled as by exec_client_run.
 */
int session_run(struct cli *cli, const struct sandbox_row *row, const struct session_options *o,
		struct exec_outcome *ret, struct err *e);

/* Nobody reads what the program printed: end as a local program would. Else returns `status`. */
int session_status(const struct exec_outcome *outcome, int status);
