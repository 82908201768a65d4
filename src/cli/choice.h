/* SPDX-License-Identifier: Apache-2.0 */
/* Which sandboxes a command is to work on: those that are named, and those with the labels. */
#pragma once

#include "cli/cli.h"

struct choice {
	const struct strv *names;
	const struct strv *labels;
	bool quiet;
	bool removes; /* see cli_open_to_remove */
	bool force;   /* see take_turn_by_force */
	bool looks;   /* does not change whether it lives, so that it need not wait for its turn */
};

typedef int choice_fn(struct cli *cli, const struct sandbox_row *row, void *args, struct err *e);

/*
 * Opens the home and runs `fn` for each of the chosen; an error of one is printed and does not keep
 * the others from their turn. Returns the exit status, or -1 with an error if nothing was done.
 */
int choice_for_each(struct cli *cli, const struct choice *c, void *args, choice_fn *fn,
		    struct err *e);
