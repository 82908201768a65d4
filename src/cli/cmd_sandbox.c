/* SPDX-License-Identifier: Apache-2.0 */
/* msb create, start, stop, rm, ls: the life of a sandbox between commands. */
#include "cli/commands.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "cli/start.h"

#include <stdio.h>
#include <string.h>

/* Runs `fn` for every named sandbox; an error of one does not keep the others from their turn. */
static int for_each_name(struct cli *cli, const struct operands *ops, void *args,
			 int (*fn)(struct cli *cli, const struct sandbox_row *row, void *args,
				   struct err *e),
			 struct err *e)
{
	int status = 0;

	if (cli_open(cli, e) < 0)
		return -1;
	for (size_t i = 0; i < ops->args.n; i++) {
		struct sandbox_row row;
		struct err one = {0};
		int r = sandboxes_get(&cli->db, &cli->home, ops->args.v[i], &row, &one);

		if (r == 0) {
			r = fn(cli, &row, args, &one);
			sandbox_row_release(&row);
		}
		if (r < 0) {
			err_print(&one);
			status = 1;
		}
	}
	return status;
}

/* Waits until a detached launch is up and lets go of it. */
static int wait_detached(struct cli *cli, const struct sandbox_row *row, struct launch *l,
			 struct err *e)
{
	struct sandbox_row now;

	if (launch_wait_ready(l, NULL, e) == 0) {
		launch_release(l);
		return 0;
	}
	launch_end(l);
	if (sandboxes_get(&cli->db, &cli->home, row->name, &now, NULL) == 0)
		sandbox_row_release(&now);
	return err_wrap(e, "failed to start '%s'", row->name);
}

/* --- create -------------------------------------------------------------------------------- */

const struct opt *const create_options[] = {sandbox_opts, NULL};
const size_t create_args_size = sizeof(struct sandbox_options);

/* Nobody will ask for a sandbox by a name that was never told. */
static void discard_unnamed(struct cli *cli, const struct sandbox_row *row)
{
	int lock = sandboxes_lock(&cli->home, row, NULL);

	if (lock >= 0)
		sandbox_discard(cli, row, &lock);
}

int cmd_create(struct cli *cli, void *args, struct operands *ops, struct err *e)
{
	struct sandbox_options *o = args;
	const char *image = ops->args.v[0];
	uint64_t started = clock_mono_ns();
	struct launch launch = {.fd = -1};
	struct sandbox_row row;
	int lock = -1, r;

	if (sandbox_options_check(o, image, e) < 0 || cli_open(cli, e) < 0 ||
	    sandbox_create(cli, o, image, false, &row, &lock, e) < 0)
		return -1;
	r = sandbox_start(cli, &row, lock, false, NULL, o->log_level, &launch, e);
	close_fd(&lock);
	if (r == 0)
		r = wait_detached(cli, &row, &launch, e);
	if (r == 0) {
		print_success(o->quiet, "Created", row.name, clock_mono_ns() - started);
		if (!o->name)
			puts(row.name);
	} else if (!o->name) {
		discard_unnamed(cli, &row);
	}
	sandbox_row_release(&row);
	return r;
}

/* --- start --------------------------------------------------------------------------------- */

struct quiet_args {
	bool quiet;
};

static const struct opt quiet_opts[] = {
	{"quiet", 'q', NULL, NULL, offsetof(struct quiet_args, quiet), "Print nothing"},
	{0},
};

const struct opt *const start_options[] = {quiet_opts, NULL};
const size_t start_args_size = sizeof(struct quiet_args);

static int start_one(struct cli *cli, const struct sandbox_row *row, void *args, struct err *e)
{
	const struct quiet_args *a = args;
	uint64_t started = clock_mono_ns();
	struct launch launch = {.fd = -1};
	_cleanup_close_ int lock = -1;

	if (row->status == SANDBOX_RUNNING)
		return err_set(e, ERR_STATE,
			       "sandbox still running: cannot start sandbox '%s': already running",
			       row->name);
	lock = sandboxes_lock(&cli->home, row, e);
	if (lock < 0 || sandbox_start(cli, row, lock, false, NULL, NULL, &launch, e) < 0)
		return -1;
	close_fd(&lock);
	if (wait_detached(cli, row, &launch, e) < 0)
		return -1;
	print_success(a->quiet, "Started", row->name, clock_mono_ns() - started);
	return 0;
}

int cmd_start(struct cli *cli, void *args, struct operands *ops, struct err *e)
{
	return for_each_name(cli, ops, args, start_one, e);
}

/* --- stop ---------------------------------------------------------------------------------- */

struct stop_args {
	bool force;
	bool quiet;
	char *timeout;
};

static const struct opt stop_opts[] = {
	{"force", 'f', NULL, NULL, offsetof(struct stop_args, force), "Kill it at once"},
	{"timeout", 't', "SECONDS", opt_string, offsetof(struct stop_args, timeout),
	 "Kill it when it has not stopped after this time [default: 10]"},
	{"quiet", 'q', NULL, NULL, offsetof(struct stop_args, quiet), "Print nothing"},
	{0},
};

const struct opt *const stop_options[] = {stop_opts, NULL};
const size_t stop_args_size = sizeof(struct stop_args);

#define STOP_TIMEOUT_MS 10000

/* Stops a running sandbox and returns when it is down and recorded as such. */
static int stop_running(struct cli *cli, const struct sandbox_row *row, bool force,
			uint64_t timeout_ms, struct err *e)
{
	json_t *request = json_pack("{s:s, s:b, s:I}", "op", "stop", "force", force, "timeout_ms",
				    (json_int_t)timeout_ms);
	_cleanup_close_ int fd = control_connect(&cli->home, row, e);
	json_t *answer = fd >= 0 ? control_call(fd, request, e) : NULL;
	struct sandbox_row now;

	json_decref(request);
	if (!answer && e->code != ERR_STATE) /* it may have ended by itself meanwhile */
		return -1;
	json_decref(answer);
	/* The monitor answers just before it gives up its lock: wait for that, then note it. */
	if (sandboxes_wait_unlocked(&cli->home, row, e) < 0)
		return -1;
	if (sandboxes_get(&cli->db, &cli->home, row->name, &now, e) == 0)
		sandbox_row_release(&now);
	else if (e->code != ERR_NOT_FOUND)
		return -1;
	return 0;
}

static int stop_one(struct cli *cli, const struct sandbox_row *row, void *args, struct err *e)
{
	const struct stop_args *a = args;
	uint64_t started = clock_mono_ns(), seconds = STOP_TIMEOUT_MS / 1000;

	if (a->timeout)
		parse_u64(a->timeout, 86400, &seconds);
	if (row->status == SANDBOX_RUNNING &&
	    stop_running(cli, row, a->force || seconds == 0, seconds * 1000, e) < 0)
		return -1;
	print_success(a->quiet, "Stopped", row->name, clock_mono_ns() - started);
	return 0;
}

int cmd_stop(struct cli *cli, void *args, struct operands *ops, struct err *e)
{
	const struct stop_args *a = args;
	uint64_t seconds;

	if (a->timeout && parse_u64(a->timeout, 86400, &seconds) < 0)
		return err_set(e, ERR_USAGE,
			       "invalid value '%s' for '--timeout <SECONDS>': expected 0 to 86400",
			       a->timeout);
	return for_each_name(cli, ops, args, stop_one, e);
}

/* --- rm ------------------------------------------------------------------------------------ */

struct rm_args {
	bool force;
	bool quiet;
};

static const struct opt rm_opts[] = {
	{"force", 'f', NULL, NULL, offsetof(struct rm_args, force), "Kill it first if it runs"},
	{"quiet", 'q', NULL, NULL, offsetof(struct rm_args, quiet), "Print nothing"},
	{0},
};

const struct opt *const rm_options[] = {rm_opts, NULL};
const size_t rm_args_size = sizeof(struct rm_args);

static int rm_one(struct cli *cli, const struct sandbox_row *row, void *args, struct err *e)
{
	const struct rm_args *a = args;
	_cleanup_close_ int lock = -1;

	if (row->status == SANDBOX_RUNNING) {
		if (!a->force) {
			err_set(e, ERR_BUSY, "sandbox still running: %s", row->name);
			return err_hint(e, "stop it first, or use --force");
		}
		if (stop_running(cli, row, true, 0, e) < 0)
			return -1;
	}
	/* Stopping an ephemeral one has deleted it already; deleting twice does no harm. */
	lock = sandboxes_lock(&cli->home, row, e);
	if (lock < 0 || sandboxes_delete(&cli->db, &cli->home, row, e) < 0)
		return -1;
	print_success(a->quiet, "Removed", row->name, 0);
	return 0;
}

int cmd_rm(struct cli *cli, void *args, struct operands *ops, struct err *e)
{
	if (cli_open_to_remove(cli, e) < 0)
		return -1;
	return for_each_name(cli, ops, args, rm_one, e);
}

/* --- ls ------------------------------------------------------------------------------------ */

struct ls_args {
	bool running;
	bool stopped;
	bool quiet;
	char *format;
};

static const struct opt ls_opts[] = {
	{"running", 0, NULL, NULL, offsetof(struct ls_args, running), "Only running ones"},
	{"stopped", 0, NULL, NULL, offsetof(struct ls_args, stopped), "Only those not running"},
	{"format", 0, "FORMAT", opt_string, offsetof(struct ls_args, format), "json", "json"},
	{"quiet", 'q', NULL, NULL, offsetof(struct ls_args, quiet), "Print only names"},
	{0},
};

const struct opt *const ls_options[] = {ls_opts, NULL};
const size_t ls_args_size = sizeof(struct ls_args);

static json_t *row_to_json(const struct sandbox_row *row)
{
	char when[RFC3339_LEN];

	rfc3339_format(row->created_at, when);
	return json_pack("{s:s, s:s, s:s, s:s, s:s?}", "name", row->name, "status",
			 sandbox_status_name(row->status), "created_at", when, "image", row->image,
			 "reason", row->reason);
}

static void list_rows(const struct ls_args *a, const struct sandbox_row *rows, size_t n)
{
	json_t *json = a->format ? json_array() : NULL;
	struct table t;

	table_init(&t, 4, "NAME", "IMAGE", "STATUS", "CREATED");
	for (size_t i = 0; i < n; i++) {
		bool running = rows[i].status == SANDBOX_RUNNING;
		char when[RFC3339_LEN];

		if ((a->running && !running) || (a->stopped && running))
			continue;
		if (a->quiet) {
			puts(rows[i].name);
		} else if (json) {
			json_array_append_new(json, row_to_json(&rows[i]));
		} else {
			local_time_format(rows[i].created_at, when);
			table_add(&t, xstrdup(rows[i].name));
			table_add(&t, xstrdup(rows[i].image));
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
	struct sandbox_row *rows;
	size_t n;

	if (check_format(a->format, e) < 0 || cli_open(cli, e) < 0 ||
	    sandboxes_list(&cli->db, &cli->home, &rows, &n, e) < 0)
		return -1;
	list_rows(a, rows, n);
	for (size_t i = 0; i < n; i++)
		sandbox_row_release(&rows[i]);
	free(rows);
	return 0;
}
