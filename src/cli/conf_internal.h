/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of reading a configuration file share. */
#pragma once

#include "cli/conf.h"

struct conf {
	const struct command *command;
	struct sandbox_options *args;
	char *image; /* owned; NULL: none yet */
	struct err *err;
};

/* Sets the error that something else was expected; -1. */
int conf_wrong(struct conf *c, const char *name, const char *expected);
/* Text of a single value, as it would be typed; owned, NULL on an error. */
char *conf_scalar(struct conf *c, const char *name, json_t *value);
/* The members of a map must be some of these; NULL-terminated. 0 or -1. */
int conf_check_members(struct conf *c, const char *name, json_t *map, const char *const *known);

/* --- conf_mounts.c --- */
/*
 * Has relative paths in the field "mounts" start at the folder of their file. A link at the end of
 * a path stays one. 0 or -1.
 */
int conf_anchor_mounts(json_t *mounts, const char *file, struct err *e);
/* Takes the field over. 0 or -1. */
int conf_take_mounts(struct conf *c, const char *name, json_t *value);
