/* SPDX-License-Identifier: Apache-2.0 */
/* msb run: create (or reuse) a sandbox, run one command in it, end it again. */
#include "cli/commands.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "cli/conf.h"
#include "cli/session.h"
#include "cli/start.h"
#include "cli/turn.h"

#include <stdio.h>
#include <string.h>

struct run_args {
	struct sandbox_options sandbox;
	bool tty;
	bool detach;
	bool timing;
	uint64_t timeout_ms;
	struct detach_keys detach_keys;
};

#define FIELD(name) offsetof(struct run_args, name)

static const struct opt run_only_opts[] = {
	{"tty", 't', NULL, NULL, FIELD(tty), "Give the command a terminal even without one here"},
	{"detach", 'd', NULL, NULL, FIELD(detach),
	 "Run in the background; print the sandbox's name"},
	{"timeout", 0, "DURATION", opt_duration, FIELD(timeout_ms),
	 "Kill the command after this time"},
	DETACH_KEYS_OPT(struct run_args),
	{"timing", 0, NULL, NULL, FIELD(timing), "Print how long each stage took"},
	{0},
};

const struct opt *const run_options[] = {sandbox_opts,  mount_opts, network_opts,
					 run_only_opts, later_opts, NULL};
const size_t run_args_size = sizeof(struct run_args);

/* What one `msb run` goes through; CLOCK_MONOTONIC ns, 0: not reached. */
struct stages {
	uint64_t prepared; /* options checked, image found, sandbox made */
	struct launch_times launch;
	uint64_t started; /* the program runs */
	uint64_t ended;
	uint64_t gone; /* everything is torn down */
};

/* One run: the sandbox and who has to end it. */
struct run {
	struct cli *cli;
	struct run_args *args;
	struct name_lock turn; /* until it is up, or the monitor has it */
	struct sandbox_row row;
	int lock;
	struct launch launch;
	bool launched; /* by this invocation, which therefore ends it */
	struct exec_request request;
	struct stages stages;
};

static void print_timing(const struct run *r)
{
	const struct stages *s = &r->stages;
	const struct launch_times *l = &s->launch;
	uint64_t from = r->cli->start_ns;
	const struct {
		const char *name;
		uint64_t from, to;
	} rows[] = {
		{"cli", from, s->prepared},
		{"spawn", s->prepared, l->spawned},
		{"net", l->spawned, l->net}, /* meanwhile */
		{"kernel", l->spawned, l->hello},
		{"agent", l->hello, l->ready},
		{"exec", r->launched ? l->ready : s->prepared, s->started},
		{"command", s->started, s->ended},
		{"teardown", s->ended, s->gone},
		{"total", from, s->gone},
	};

	fputs("stage          ms\n", stderr);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (rows[i].from && rows[i].to >= rows[i].from)
			fprintf(stderr, "%-10s %7.1f\n", rows[i].name,
				(double)(rows[i].to - rows[i].from) / NSEC_PER_MSEC);
}

/* Takes an existing sandbox as it is; its lock, unless it runs already. 0 or -1. */
static int reuse(struct run *r, bool as_it_is, struct err *e)
{
	if (!as_it_is)
		print_warning("sandbox '%s' already exists; creation flags ignored "
			      "(use --replace to recreate)",
			      r->row.name);
	if (sandbox_is_up(&r->row))
		return sandbox_check_not_paused(&r->row, e);
	r->lock = sandboxes_lock_wait(&r->cli->home, &r->row, e);
	return r->lock < 0 ? -1 : 0;
}

/* Finds or makes the sandbox and starts it if it does not run. 0 or -1. */
static int prepare(struct run *r, const char *image, const struct strv *command, struct err *e)
{
	const struct sandbox_options *o = &r->args->sandbox;
	struct cli *cli = r->cli;
	uint64_t grace;

	if (o->name && take_turn(cli, o->name, o->quiet, &r->turn, e) < 0)
		return -1;
	if (o->name && !sandbox_replaces(o, &grace)) {
		if (sandboxes_get(&cli->db, &cli->home, o->name, &r->row, e) == 0)
			return reuse(r, !image, e);
		if (e->code == ERR_NOT_FOUND && !image)
			err_hint(e, "to make it, say of which image");
		if (e->code != ERR_NOT_FOUND || !image)
			return -1;
	}
	return sandbox_create(cli, o, image, !o->name, r->args->detach ? command : NULL, &r->row,
			      &r->lock, e);
}

/* Decides what to run. 1, 0 when there is nothing to run, -1 on an error. */
static int resolve_command(struct run *r, const struct operands *ops, struct err *e)
{
	struct exec_request *q = &r->request;

	exec_client_prepare(q, r->args->tty);
	q->timeout_ms = r->args->timeout_ms;
	sandbox_run_request(&r->row, r->lock < 0, &ops->command, q);
	if (q->argv.n)
		return 1;
	if (q->tty && !r->args->detach) {
		strv_add(&q->argv, sandbox_shell(&r->row));
		return 1;
	}
	if (r->args->detach)
		return sandbox_no_command(e);
	print_warning("no command provided and stdin is not a terminal");
	return 0;
}

static int launch(struct run *r, struct err *e)
{
	const struct run_args *a = r->args;
	bool detached = a->detach;

	/* Nobody is there to type, unless somebody attaches to its terminal. */
	if (detached)
		r->request.has_stdin = r->request.tty = a->tty;
	if (sandbox_start(r->cli, &r->row, r->lock, !detached, &r->request, a->sandbox.log_level,
			  &r->launch, e) < 0)
		return -1;
	close_fd(&r->lock);
	if (!detached)
		name_lock_release(&r->turn);
	r->launched = true;
	return 0;
}

static int run_detached(struct run *r, struct err *e)
{
	if (sandbox_wait_up(r->cli, &r->row, &r->launch, NULL, e) < 0)
		return -1;
	puts(r->row.name);
	return 0;
}

static int run_attached(struct run *r, struct err *e)
{
	const struct session_options o = {
		.request = &r->request, .keys = &r->args->detach_keys, .owner = r->launched};
	struct exec_outcome outcome;
	/* The session may be opened before the sandbox is up: it waits its turn. */
	int status = session_run(r->cli, &r->row, &o, &outcome, e);

	r->stages.started = outcome.started;
	r->stages.ended = clock_mono_ns();
	if (outcome.detached) {
		launch_release(&r->launch);
	} else {
		status = sandbox_leave(r->cli, &r->row, &r->launch, &r->stages.launch, status, e);
		r->stages.gone = clock_mono_ns();
	}
	if (r->args->timing)
		print_timing(r);
	return session_status(&outcome, status);
}

int cmd_run(struct cli *cli, void *args, struct operands *ops, struct err *e)
{
	struct run_args *a = args;
	struct run r = {.cli = cli, .args = a, .lock = -1, .launch.fd = -1};
	const char *image;
	uint64_t grace;
	int status = -1, runnable;

	if (conf_use(cli, &a->sandbox, ops, &image, e) < 0)
		return -1;
	/* One that exists has its own. */
	if (!image && (!a->sandbox.name || sandbox_replaces(&a->sandbox, &grace)))
		return conf_no_image(cli, &a->sandbox, e);
	detach_keys_default(&a->detach_keys);
	if (sandbox_options_check(&a->sandbox, image, e) < 0 || cli_open(cli, e) < 0 ||
	    prepare(&r, image, &ops->command, e) < 0)
		goto out;
	runnable = resolve_command(&r, ops, e);
	if (runnable <= 0) {
		if (runnable == 0)
			status = 0;
		if (r.lock >= 0 && r.row.ephemeral)
			sandbox_discard(cli, &r.row, &r.lock);
		goto out;
	}
	r.stages.prepared = clock_mono_ns();
	if (sandbox_is_up(&r.row) && r.lock < 0) {
		name_lock_release(&r.turn);
		if (a->detach)
			print_warning("sandbox '%s' is running; the command is ignored",
				      r.row.name);
		status = a->detach ? 0 : run_attached(&r, e);
	} else if (launch(&r, e) < 0) {
		if (r.row.ephemeral)
			sandbox_discard(cli, &r.row, &r.lock);
	} else {
		status = a->detach ? run_detached(&r, e) : run_attached(&r, e);
	}
out:
	close_fd(&r.lock);
	name_lock_release(&r.turn);
	exec_request_release(&r.request);
	sandbox_row_release(&r.row);
	return status;
}
