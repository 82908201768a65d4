/* SPDX-License-Identifier: Apache-2.0 */
/* msb create, start, stop, restart, rm: the life of a sandbox between commands. */
#include "cli/commands.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "cli/choice.h"
#include "cli/conf.h"
#include "cli/start.h"
#include "cli/turn.h"

#include <stdio.h>
#include <string.h>

/* --- create -------------------------------------------------------------------------------- */

const struct opt *const create_options[] = {sandbox_opts, mount_opts, network_opts, later_opts,
					    NULL};
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
	uint64_t started = clock_mono_ns();
	struct launch launch = {.fd = -1};
	struct name_lock turn = {0};
	struct sandbox_row row;
	const char *image;
	int lock = -1, r;

	if (conf_use(cli, o, ops, &image, e) < 0)
		return -1;
	if (!image)
		return conf_no_image(cli, o, e);
	if (sandbox_options_check(o, image, e) < 0 || cli_open(cli, e) < 0)
		return -1;
	if (o->name && take_turn(cli, o->name, o->quiet, &turn, e) < 0)
		return -1;
	if (sandbox_create(cli, o, image, false, NULL, &row, &lock, e) < 0) {
		name_lock_release(&turn);
		return -1;
	}
	r = sandbox_start(cli, &row, lock, false, NULL, o->log_level, &launch, e);
	close_fd(&lock);
	if (r == 0)
		r = sandbox_wait_up(cli, &row, &launch, NULL, e);
	if (r == 0) {
		print_success(o->quiet, "Created", row.name, clock_mono_ns() - started);
		if (!o->name)
			puts(row.name);
	} else if (!o->name) {
		discard_unnamed(cli, &row);
	}
	name_lock_release(&turn);
	sandbox_row_release(&row);
	return r;
}

/* --- start --------------------------------------------------------------------------------- */

struct start_args {
	struct strv labels;
	bool quiet;
};

static const struct opt start_opts[] = {
	LABEL_OPT(struct start_args),
	{"quiet", 'q', NULL, NULL, offsetof(struct start_args, quiet), "Print nothing"},
	{0},
};

const struct opt *const start_options[] = {start_opts, NULL};
const size_t start_args_size = sizeof(struct start_args);

/* Starts one whose lock is held, lets go of the lock, and waits until the sandbox is up. */
static int start_locked(struct cli *cli, const struct sandbox_row *row, int *lock, struct err *e)
{
	struct launch launch = {.fd = -1};
	int r = sandbox_start(cli, row, *lock, false, NULL, NULL, &launch, e);

	close_fd(lock);
	return r < 0 ? -1 : sandbox_wait_up(cli, row, &launch, NULL, e);
}

static int start_one(struct cli *cli, const struct sandbox_row *row, void *args, struct err *e)
{
	const struct start_args *a = args;
	uint64_t started = clock_mono_ns();
	_cleanup_close_ int lock = -1;

	if (sandbox_check_not_paused(row, e) < 0)
		return -1;
	if (sandbox_is_up(row))
		return err_set(e, ERR_STATE,
			       "sandbox still running: cannot start sandbox '%s': already running",
			       row->name);
	lock = sandboxes_lock_wait(&cli->home, row, e);
	if (lock < 0 || start_locked(cli, row, &lock, e) < 0)
		return -1;
	print_success(a->quiet, "Started", row->name, clock_mono_ns() - started);
	return 0;
}

int cmd_start(struct cli *cli, void *args, struct operands *ops, struct err *e)
{
	const struct start_args *a = args;
	const struct choice c = {.names = &ops->args, .labels = &a->labels, .quiet = a->quiet};

	return choice_for_each(cli, &c, args, start_one, e);
}

/* --- stop ---------------------------------------------------------------------------------- */

struct stop_args {
	struct strv labels;
	bool force;
	bool quiet;
	char *timeout;
	struct stop_grace grace; /* what these come to */
};

static const struct opt stop_opts[] = {
	LABEL_OPT(struct stop_args),
	{"force", 'f', NULL, NULL, offsetof(struct stop_args, force), "Kill it at once"},
	{"timeout", 't', "SECONDS", opt_string, offsetof(struct stop_args, timeout),
	 "Kill it when it has not stopped after this time [default: 10]"},
	{"quiet", 'q', NULL, NULL, offsetof(struct stop_args, quiet), "Print nothing"},
	{0},
};

const struct opt *const stop_options[] = {stop_opts, NULL};
const size_t stop_args_size = sizeof(struct stop_args);

#define STOP_TIMEOUT 10 /* seconds */

static int stop_one(struct cli *cli, const struct sandbox_row *row, void *args, struct err *e)
{
	const struct stop_args *a = args;
	uint64_t started = clock_mono_ns();

	if (sandbox_is_up(row) && stop_running(cli, row, &a->grace, e) < 0)
		return -1;
	print_success(a->quiet, "Stopped", row->name, clock_mono_ns() - started);
	return 0;
}

static int for_each_to_stop(struct cli *cli, const struct operands *ops, struct stop_args *a,
			    choice_fn *fn, struct err *e)
{
	const struct choice c = {
		.names = &ops->args, .labels = &a->labels, .quiet = a->quiet, .force = a->force};
	uint64_t seconds = STOP_TIMEOUT;

	if (a->timeout && parse_u64(a->timeout, 86400, &seconds) < 0)
		return err_set(e, ERR_USAGE,
			       "invalid value '%s' for '--timeout <SECONDS>': expected 0 to 86400",
			       a->timeout);
	a->grace.ms = a->force ? 0 : seconds * 1000;
	return choice_for_each(cli, &c, a, fn, e);
}

int cmd_stop(struct cli *cli, void *args, struct operands *ops, struct err *e)
{
	return for_each_to_stop(cli, ops, args, stop_one, e);
}

/* --- restart ------------------------------------------------------------------------------- */

const struct opt *const restart_options[] = {stop_opts, NULL};
const size_t restart_args_size = sizeof(struct stop_args);

/* Ends it and takes over its lock, so that nobody comes in between. The lock, or -1. */
static int stop_and_lock(struct cli *cli, const struct sandbox_row *row,
			 const struct stop_grace *grace, struct err *e)
{
	struct sandbox_row now;
	int lock;

	if (!sandbox_is_up(row))
		return sandboxes_lock_wait(&cli->home, row, e);
	if (request_stop(cli, row, grace, e) < 0)
		return -1;
	lock = sandboxes_lock_wait(&cli->home, row, e);
	/* Whoever had it before may have removed the sandbox. */
	if (lock >= 0 && sandboxes_get(&cli->db, &cli->home, row->name, &now, e) < 0) {
		close_fd(&lock);
		return -1;
	}
	if (lock >= 0)
		sandbox_row_release(&now);
	return lock;
}

static int restart_one(struct cli *cli, const struct sandbox_row *row, void *args, struct err *e)
{
	const struct stop_args *a = args;
	uint64_t started = clock_mono_ns();
	_cleanup_close_ int lock = -1;

	if (row->ephemeral)
		return err_set(e, ERR_STATE,
			       "cannot restart sandbox '%s': it has no name of its own and is "
			       "deleted when it stops",
			       row->name);
	lock = stop_and_lock(cli, row, &a->grace, e);
	if (lock < 0 || start_locked(cli, row, &lock, e) < 0)
		return -1;
	print_success(a->quiet, "Restarted", row->name, clock_mono_ns() - started);
	return 0;
}

int cmd_restart(struct cli *cli, void *args, struct operands *ops, struct err *e)
{
	return for_each_to_stop(cli, ops, args, restart_one, e);
}

/* --- rm ------------------------------------------------------------------------------------ */

struct rm_args {
	struct strv labels;
	bool force;
	bool quiet;
};

static const struct opt rm_opts[] = {
	LABEL_OPT(struct rm_args),
	{"force", 'f', NULL, NULL, offsetof(struct rm_args, force), "Kill it first if it runs"},
	{"quiet", 'q', NULL, NULL, offsetof(struct rm_args, quiet), "Print nothing"},
	{0},
};

const struct opt *const rm_options[] = {rm_opts, NULL};
const size_t rm_args_size = sizeof(struct rm_args);

static int rm_one(struct cli *cli, const struct sandbox_row *row, void *args, struct err *e)
{
	const struct rm_args *a = args;
	const struct stop_grace none = {0};
	_cleanup_close_ int lock = -1;

	if (sandbox_is_up(row)) {
		if (!a->force) {
			err_set(e, ERR_BUSY, "sandbox still running: %s", row->name);
			return err_hint(e, "stop it first, or use --force");
		}
		if (stop_running(cli, row, &none, e) < 0)
			return -1;
	}
	/* Stopping an ephemeral one has deleted it already; deleting twice does no harm. */
	lock = sandboxes_lock_wait(&cli->home, row, e);
	if (lock < 0 || sandboxes_delete(&cli->db, &cli->home, row, e) < 0)
		return -1;
	print_success(a->quiet, "Removed", row->name, 0);
	return 0;
}

int cmd_rm(struct cli *cli, void *args, struct operands *ops, struct err *e)
{
	const struct rm_args *a = args;
	const struct choice c = {.names = &ops->args,
				 .labels = &a->labels,
				 .quiet = a->quiet,
				 .removes = true,
				 .force = a->force};

	return choice_for_each(cli, &c, args, rm_one, e);
}
