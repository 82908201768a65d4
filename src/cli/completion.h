/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scripts that complete msb's command line in a shell, made from the command table. A script knows
 * commands, options and fixed values by itself; for the names of sandboxes and images it calls
 * `msb ls -q`, `msb images -q` and `msb volumes -q`, and nothing else.
 *
 * What a command's operands are is read from its usage: NAME is a sandbox, REFERENCE an image,
 * VOLUME a volume, IMAGE an image or a folder, SOURCE a file or a path in a sandbox, and a|b one
 * of these words.
 */
#pragma once

#include "cli/opt.h"

enum operand_kind {
	OPERAND_NONE, /* or one that cannot be completed */
	OPERAND_SANDBOX,
	OPERAND_IMAGE,
	OPERAND_VOLUME,
	OPERAND_IMAGE_OR_FOLDER,
	OPERAND_PLACE, /* of a file, here or in a sandbox */
	OPERAND_CHOICE,
};

/* The kind of a command's operands; for OPERAND_CHOICE also the words with blanks between, owned.
 */
enum operand_kind operand_kind(const struct command *c, char **ret_choice);

/* Calls `fn` for a command and all below it, with their paths: "msb", "msb run", ... */
void each_command(const struct command *c, const char *path,
		  void (*fn)(const struct command *c, const char *path));

/* 'TEXT' as a shell takes it back; in fish's way, or in that of the others. Owned. */
char *shell_quote(const char *text, bool fish);

/* Print the script for `top`, which is msb itself, on standard output. */
void completion_bash(const struct command *top);
void completion_zsh(const struct command *top);
void completion_fish(const struct command *top);
