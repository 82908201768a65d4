/* SPDX-License-Identifier: Apache-2.0 */
/* What the commands of msb share. */
#pragma once

#include "cli/opt.h"
#include "state/home.h"
#include "state/images.h"
#include "state/sandboxes.h"

struct cli {
	struct home home;
	struct db db;
	uint64_t start_ns; /* CLOCK_MONOTONIC at main() */
	/* What is run, as "msb image pull" and as its entry, and what was typed behind its name. */
	char command_path[64];
	const struct command *command;
	int argc;
	char **argv;
};

/* Opens the home directory and the database, once. 0 or -1. */
int cli_open(struct cli *cli, struct err *e);
/* The same for what makes room on the disk, which has to work when there is none. */
int cli_open_to_remove(struct cli *cli, struct err *e);

/*
 * Asks on the terminal whether to do it: 1 for yes, 0 for anything else; -1 when there is nobody to
 * confirm that `what` are to be removed.
 */
int cli_confirm(const char *what, const char *question, struct err *e);

/*
 * The row of commands' option tables by which sandboxes are chosen by their labels; `args` has a
 * struct strv labels.
 */
#define LABEL_OPT(args)                                                               \
	{                                                                             \
		"label", 0, "KEY[=VALUE]", opt_condition, offsetof(args, labels),     \
			"Those with this label; several: those that have all of them" \
	}

/* "   ✓ Stopped      NAME (1.2s)" on standard error, unless quiet. */
void print_success(bool quiet, const char *verb, const char *target, uint64_t duration_ns);
void print_warning(const char *fmt, ...) PRINTF_FORMAT(1, 2);

/*
 * A table on standard output: column width is that of the cell with most characters, four spaces
 * between columns.
 * Nothing at all is printed for no rows.
 */
struct table {
	size_t columns;
	struct strv cells; /* row by row, the header first */
};
void table_init(struct table *t, size_t columns, ...); /* the header's strings */
void table_add(struct table *t, char *cell);           /* takes it over */
void table_print(struct table *t);                     /* and releases it */

/*
 * A copy made harmless as by str_printable, of at most `max` characters, of which the last three
 * are "..." when it was longer; owned.
 */
char *shorten(const char *s, size_t max);

/* A line "KEY  VALUE" with the key padded to a width, and the value made harmless. */
void print_key_value(int indent, int width, const char *key, const char *value);

/* The same for details, unless there is no value. */
#define FIELD_WIDTH 16
void print_field(const char *key, const char *value);

/* Adds the strings of an array. */
void json_add_strings(struct strv *to, json_t *array);
/* Members of an object; NULL and 0 when there is none of the kind. */
const char *json_string_of(json_t *j, const char *key);
uint64_t json_number_of(json_t *j, const char *key);

/* "1.5 MiB"; owned. */
char *format_bytes(uint64_t n);
/*
 * A JSON string; what is no UTF-8 in it (a path, a message cut short) as str_printable shows it.
 * null for NULL.
 */
json_t *json_text(const char *s);
/* Pretty-prints on standard output and releases the value. */
void print_json(json_t *j);

/* msb itself, with all commands below it (table.c). */
extern const struct command msb_command;
