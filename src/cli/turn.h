/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commands that change the life of a named sandbox take turns (state/name_lock.h), and how one
 * ends a sandbox that runs.
 */
#pragma once

#include "cli/cli.h"
#include "state/name_lock.h"

/*
 * Waits until no other command works on the sandbox of that name, saying once whom it waits for.
 * Names that no sandbox can have need no lock: `ret` is not held then. 0 or -1.
 */
int take_turn(struct cli *cli, const char *name, bool quiet, struct name_lock *ret, struct err *e);
/*
 * The same, but when it has to wait it first kills what runs under that name: whoever boots it, or
 * waits for its end, is done at once.
 */
int take_turn_by_force(struct cli *cli, const char *name, bool quiet, struct name_lock *ret,
		       struct err *e);

/* How to end a sandbox. */
struct stop_grace {
	uint64_t ms;          /* until it is killed; 0: at once */
	uint64_t programs_ms; /* of it, until its programs are; 0: as the monitor thinks best */
};

/*
 * Asks the monitor for the end of a running sandbox and waits for its answer; one that has ended
 * by itself meanwhile is fine. 0 or -1.
 */
int request_stop(struct cli *cli, const struct sandbox_row *row, const struct stop_grace *grace,
		 struct err *e);
/* The same, and returns when it is down and recorded as such. */
int stop_running(struct cli *cli, const struct sandbox_row *row, const struct stop_grace *grace,
		 struct err *e);
