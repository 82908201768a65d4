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
};

/* Opens the home directory and the database, once. 0 or -1. */
int cli_open(struct cli *cli, struct err *e);
/* The same for what makes room on the disk, which has to work when there is none. */
int cli_open_to_remove(struct cli *cli, struct err *e);

/* "   ✓ Stopped      NAME (1.2s)" on standard error, unless quiet. */
void print_success(bool quiet, const char *verb, const char *target, uint64_t duration_ns);
void print_warning(const char *fmt, ...) PRINTF_FORMAT(1, 2);

/*
 * A table on standard output: column width is the widest cell, four spaces between columns.
 * Nothing at all is printed for no rows.
 */
struct table {
	size_t columns;
	struct strv cells; /* row by row, the header first */
};
void table_init(struct table *t, size_t columns, ...); /* the header's strings */
void table_add(struct table *t, char *cell);           /* takes it over */
void table_print(struct table *t);                     /* and releases it */

/* "1.5 MiB"; owned. */
char *format_bytes(uint64_t n);
/* Pretty-prints on standard output and releases the value. */
void print_json(json_t *j);
/* Checks the value of --format: NULL or "json". */
int check_format(const char *format, struct err *e);

/* msb itself, with all commands below it (table.c). */
extern const struct command msb_command;
