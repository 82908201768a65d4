/* SPDX-License-Identifier: Apache-2.0 */
/* What somebody may have meant who mistyped a command or an option. */
#pragma once

#include "cli/opt.h"

/*
 * The command below `c` that `word` comes near to, as it is typed after the path of `c`: a name or
 * alias with few letters wrong, or else exactly that name one level down ("registry login" for
 * "login"). Owned; NULL: nothing is near enough.
 */
char *suggest_command(const struct command *c, const char *word);

/* The long option that the `len` letters of `name` come near to; NULL: none. */
const struct opt *suggest_option(const struct command *c, const char *name, size_t len);
