/* SPDX-License-Identifier: Apache-2.0 */
/* msb ls, ps: which sandboxes there are, and what they run. */
#include "cli/commands.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "cli/network.h"
#include "cli/start.h"

#include <stdio.h>
#include <string.h>

/* --- ls ------------------------------------------------------------------------------------ */

struct ls_args {
	struct strv labels;
	bool running;
	bool stopped;
	bool quiet;
	char *format;
};

static const struct opt ls_opts[] = {
	{"running", 0, NULL, NULL, offsetof(struct ls_args, running), "Only running ones"},
	{"stopped", 0, NULL, NULL, offsetof(struct ls_args, stopped), "Only those not running"},
	LABEL_OPT(struct ls_args),
	{"format", 0, "FORMAT", opt_string, offsetof(struct ls_args, format), "json", "json"},
	{"quiet", 'q', NULL, NULL, offsetof(struct ls_args, quiet), "Print only names"},
	{0},
};

const struct opt *const ls_options[] = {ls_opts, NULL};
const size_t ls_args_size = sizeof(struct ls_args);

static json_t *ls_json(const struct sandbox_row *row)
{
	char when[RFC3339_LEN];

	rfc3339_format(row->created_at, when);
	return json_pack("{s:s, s:s, s:s, s:o, s:o, s:O}", "name", row->name, "status",
			 sandbox_status_name(row->status), "created_at", when, "image",
			 json_text(row->image), "reason", json_text(row->reason), "labels",
			 row->labels);
}

static void list_rows(const struct ls_args *a, const struct sandbox_row *rows, size_t n)
{
	json_t *json = a->format ? json_array() : NULL;
	struct table t;

	table_init(&t, 4, "NAME", "IMAGE", "STATUS", "CREATED");
	for (size_t i = 0; i < n; i++) {
		bool running = rows[i].status == SANDBOX_RUNNING, up = sandbox_is_up(&rows[i]);
		char when[RFC3339_LEN];

		if ((a->running && !running) || (a->stopped && up))
			continue;
		if (a->quiet) {
			puts(rows[i].name);
		} else if (json) {
			json_array_append_new(json, ls_json(&rows[i]));
		} else {
			local_time_format(rows[i].created_at, when);
			table_add(&t, xstrdup(rows[i].name));
			table_add(&t, str_printable(rows[i].image));
			table_add(&t, xstrdup(sandbox_status_name(rows[i].status)));
			table_add(&t, xstrdup(when));
		}
	}
	if (!a->quiet && !json && t.cells.n == t.columns)
		fputs("No sandboxes found.\n", stderr);
	table_print(&t);
	if (json)
		print_json(json);
}

int cmd_ls(struct cli *cli, void *args, struct operands *ops, struct err *e)
{
	const struct ls_args *a = args;
	const struct sandbox_query q = {
		.labels = &a->labels, .running = a->running, .with_labels = a->format != NULL};
	struct sandbox_row *rows;
	size_t n;

	if (cli_open(cli, e) < 0 || sandboxes_list(&cli->db, &cli->home, &q, &rows, &n, e) < 0)
		return -1;
	list_rows(a, rows, n);
	sandbox_rows_free(rows, n);
	return 0;
}

/* --- ps ------------------------------------------------------------------------------------ */

struct ps_args {
	struct strv labels;
	bool all;
	bool quiet;
	char *format;
};

static const struct opt ps_opts[] = {
	{"all", 'a', NULL, NULL, offsetof(struct ps_args, all), "Those not running, too"},
	LABEL_OPT(struct ps_args),
	{"format", 0, "FORMAT", opt_string, offsetof(struct ps_args, format), "json", "json"},
	{"quiet", 'q', NULL, NULL, offsetof(struct ps_args, quiet), "Print only names"},
	{0},
};

const struct opt *const ps_options[] = {ps_opts, NULL};
const size_t ps_args_size = sizeof(struct ps_args);

/* Characters shown of long values. */
#define PS_IMAGE_MAX   36
#define PS_COMMAND_MAX 40

static json_int_t config_number(const struct sandbox_row *row, const char *key)
{
	return json_integer_value(json_object_get(row->config, key));
}

/* What is in force and what it may grow to are the same as long as neither can be changed. */
static json_t *ps_json(const struct sandbox_row *row, json_t *ports)
{
	_cleanup_free_ char *command = sandbox_command_text(row);
	json_int_t cpus = config_number(row, "cpus"), memory = config_number(row, "memory_mib");

	return json_pack("{s:s, s:s, s:o, s:o, s:I, s:I, s:I, s:I, s:O, s:O}", "name", row->name,
			 "status", sandbox_status_name(row->status), "image", json_text(row->image),
			 "command", json_text(*command ? command : NULL), "cpus", cpus, "max_cpus",
			 cpus, "memory_mib", memory, "max_memory_mib", memory, "ports", ports,
			 "labels", row->labels);
}

static char *quoted_command(const struct sandbox_row *row)
{
	_cleanup_free_ char *command = sandbox_command_text(row);
	_cleanup_free_ char *text = shorten(command, PS_COMMAND_MAX);

	return *command ? xasprintf("\"%s\"", text) : xstrdup("-");
}

static void ps_table_add(struct table *t, const struct sandbox_row *row, json_t *ports)
{
	unsigned cpus = (unsigned)config_number(row, "cpus");
	unsigned memory = (unsigned)config_number(row, "memory_mib");

	table_add(t, xstrdup(row->name));
	table_add(t, shorten(row->image, PS_IMAGE_MAX));
	table_add(t, quoted_command(row));
	table_add(t, xasprintf("%u / %u", cpus, cpus));
	table_add(t, xasprintf("%u MiB / %u MiB", memory, memory));
	table_add(t, xstrdup(sandbox_status_name(row->status)));
	table_add(t, network_ports_text(ports));
}

/* `one`: of the sandbox that was named, whose JSON is no list. */
static void print_ps(const struct cli *cli, const struct ps_args *a, bool one,
		     const struct sandbox_row *rows, size_t n)
{
	_cleanup_free_ json_t **ports = xcalloc(n + 1, sizeof(json_t *));
	json_t *json = a->format && !a->quiet ? json_array() : NULL;
	struct table t;

	if (!a->quiet)
		network_ports(&cli->home, rows, n, ports);
	table_init(&t, 7, "NAME", "IMAGE", "COMMAND", "CPUS", "MEM", "STATUS", "PORTS");
	for (size_t i = 0; i < n; i++) {
		/* Its row may have said so and its lock otherwise. */
		if (!a->all && !one && !sandbox_is_up(&rows[i]))
			continue;
		if (a->quiet)
			puts(rows[i].name);
		else if (json)
			json_array_append_new(json, ps_json(&rows[i], ports[i]));
		else
			ps_table_add(&t, &rows[i], ports[i]);
	}
	if (!a->quiet && !json && t.cells.n == t.columns)
		fputs(a->all ? "No sandboxes found.\n" : "No running sandboxes.\n", stderr);
	table_print(&t);
	for (size_t i = 0; i < n; i++)
		json_decref(ports[i]);
	if (json && one) {
		print_json(json_incref(json_array_get(json, 0)));
		json_decref(json);
	} else if (json) {
		print_json(json);
	}
}

static int ps_one(struct cli *cli, const struct ps_args *a, const char *name, struct err *e)
{
	struct sandbox_row row;

	if (a->all || a->labels.n)
		return err_set(e, ERR_USAGE, "the argument '--%s' cannot be used with '[NAME]'",
			       a->all ? "all" : "label");
	if (cli_open(cli, e) < 0 || sandboxes_get(&cli->db, &cli->home, name, &row, e) < 0)
		return -1;
	print_ps(cli, a, true, &row, 1);
	sandbox_row_release(&row);
	return 0;
}

int cmd_ps(struct cli *cli, void *args, struct operands *ops, struct err *e)
{
	const struct ps_args *a = args;
	const struct sandbox_query q = {.labels = &a->labels,
					.running = !a->all,
					.by_name = true,
					.config = a->quiet ? CONFIG_NOTHING : CONFIG_SETTINGS,
					.with_labels = a->format != NULL};
	struct sandbox_row *rows;
	size_t n;

	if (ops->args.n)
		return ps_one(cli, a, ops->args.v[0], e);
	if (cli_open(cli, e) < 0 || sandboxes_list(&cli->db, &cli->home, &q, &rows, &n, e) < 0)
		return -1;
	print_ps(cli, a, false, rows, n);
	sandbox_rows_free(rows, n);
	return 0;
}
