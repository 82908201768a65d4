/* SPDX-License-Identifier: Apache-2.0 */
/* What a program finds in its environment, and where a command name leads. */
#pragma once

#include "base/util.h"

#define SCRIPTS_DIR  "/.msb/scripts"
#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* Value of a variable in a K=V vector, or NULL. The last one counts. */
const char *env_get(const struct strv *env, const char *name);
/* Sets a K=V, replacing an older value of K. Entries without a name are ignored. */
void env_put(struct strv *env, const char *entry);

/*
 * The environment of a program: the sandbox's, with the scripts directory in front of its PATH,
 * then the request's; HOME and (for a terminal) TERM get a value when neither names them.
 */
void env_build(struct strv *ret, const struct strv *sandbox, const struct strv *request,
	       const char *home, bool tty);

/*
 * The n-th file that `command` may mean: itself when it has a slash, else one in each directory
 * of `path` (an empty one is the working directory). Owned, or NULL when there are no more.
 */
char *command_candidate(const char *command, const char *path, size_t n);
