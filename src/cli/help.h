/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Help, made from the command table. A `path` is what was typed up to the command, with names
 * instead of aliases: "msb image ls".
 */
#pragma once

#include "cli/opt.h"

/* Whether a command is shown in lists: at the top only those that belong to a group are. */
bool command_listed(const struct command *parent, const struct command *c);
/*
 * The groups of a command's sub-commands in order: the i-th one's name, "" for all when there are
 * none, NULL past the end.
 */
const char *command_group(const struct command *parent, size_t i);
/* "rm, remove"; owned. */
char *command_names(const struct command *c);

/* "Usage: msb image ls [OPTIONS]" and a newline. */
void command_print_usage(const struct command *c, const char *path, bool to_stderr);

/*
 * Prints on standard output what was asked for: with ASK_HELP_SHORT the summary, usage, commands
 * and options, with ASK_HELP also aliases, details and the values of options, with ASK_TREE the
 * command and all below it.
 */
void command_print(const struct command *c, const char *path, enum opt_ask what);
