/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/choice.h"

#include "cli/turn.h"

#include <stdio.h>
#include <string.h>

static bool has_name(const struct strv *names, const char *name)
{
	for (size_t i = 0; i < names->n; i++)
		if (strcmp(names->v[i], name) == 0)
			return true;
	return false;
}

/* Names each of them once, `ret_named` of them because the user did. 0 or -1. */
static int choose(struct cli *cli, const struct choice *c, struct strv *ret, size_t *ret_named,
		  struct err *e)
{
	const struct sandbox_query q = {.labels = c->labels};
	struct sandbox_row *rows;
	size_t n;

	if (c->names->n == 0 && c->labels->n == 0)
		return err_set(e, ERR_USAGE,
			       "the following required arguments were not provided: <NAME>... "
			       "or --label <KEY[=VALUE]>");
	if ((c->removes ? cli_open_to_remove(cli, e) : cli_open(cli, e)) < 0)
		return -1;
	for (size_t i = 0; i < c->names->n; i++)
		if (!has_name(ret, c->names->v[i]))
			strv_add(ret, c->names->v[i]);
	*ret_named = ret->n;
	if (c->labels->n == 0)
		return 0;
	if (sandboxes_list(&cli->db, &cli->home, &q, &rows, &n, e) < 0)
		return -1;
	for (size_t i = 0; i < n; i++)
		if (!has_name(ret, rows[i].name))
			strv_add(ret, rows[i].name);
	sandbox_rows_free(rows, n);
	return 0;
}

/*
 * Runs `fn` for one, when it is this command's turn. 0, or with the error set -1, or 1 when there
 * is none of that name.
 */
static int for_one(struct cli *cli, const struct choice *c, const char *name, void *args,
		   choice_fn *fn, struct err *e)
{
	struct name_lock turn = {0};
	struct sandbox_row row;
	int r = 0;

	if (!c->looks)
		r = c->force ? take_turn_by_force(cli, name, c->quiet, &turn, e)
			     : take_turn(cli, name, c->quiet, &turn, e);
	if (r == 0)
		r = sandboxes_get(&cli->db, &cli->home, name, &row, e);
	if (r == 0) {
		r = fn(cli, &row, args, e);
		sandbox_row_release(&row);
	} else if (e->code == ERR_NOT_FOUND) {
		r = 1;
	}
	name_lock_release(&turn);
	return r;
}

int choice_for_each(struct cli *cli, const struct choice *c, void *args, choice_fn *fn,
		    struct err *e)
{
	struct strv names = {0};
	size_t named = 0;
	int status = choose(cli, c, &names, &named, e);

	if (status == 0 && names.n == 0 && !c->quiet)
		fputs("No sandboxes with these labels.\n", stderr);
	for (size_t i = 0; status >= 0 && i < names.n; i++) {
		struct err one = {0};
		int r = for_one(cli, c, names.v[i], args, fn, &one);

		/* It was there a moment ago, but nobody asked for it by name. */
		if (r > 0 && i >= named)
			continue;
		if (r != 0) {
			err_print(&one);
			status = 1;
		}
	}
	strv_release(&names);
	return status;
}
