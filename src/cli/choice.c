/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/choice.h"

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

int choice_for_each(struct cli *cli, const struct choice *c, void *args, choice_fn *fn,
		    struct err *e)
{
	struct strv names = {0};
	size_t named = 0;
	int status = choose(cli, c, &names, &named, e);

	if (status == 0 && names.n == 0 && !c->quiet)
		fputs("No sandboxes with these labels.\n", stderr);
	for (size_t i = 0; status >= 0 && i < names.n; i++) {
		struct sandbox_row row;
		struct err one = {0};
		int r = sandboxes_get(&cli->db, &cli->home, names.v[i], &row, &one);

		if (r == 0) {
			r = fn(cli, &row, args, &one);
			sandbox_row_release(&row);
		} else if (i >= named && one.code == ERR_NOT_FOUND) {
			continue; /* it was there a moment ago, but nobody asked for it by name */
		}
		if (r < 0) {
			err_print(&one);
			status = 1;
		}
	}
	strv_release(&names);
	return status;
}
