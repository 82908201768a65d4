/* SPDX-License-Identifier: Apache-2.0 */
/* msb exec: one more command in a sandbox that exists. */
#include "cli/commands.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "cli/session.h"
#include "cli/start.h"
#include "cli/turn.h"

#include <stdio.h>
#include <string.h>

struct exec_args {
	struct strv env;
	char *workdir;
	char *user;
	bool tty;
	bool quiet;
	bool timing;
	uint64_t timeout_ms;
	struct detach_keys detach_keys;
	struct rlimit_options rlimits;
};

#define FIELD(name) offsetof(struct exec_args, name)

static const struct opt opts[] = {
	{"env", 'e', "KEY=VALUE", opt_env, FIELD(env),
	 "Set an environment variable; KEY alone copies the caller's"},
	{"workdir", 'w', "PATH", opt_string, FIELD(workdir), "Working directory"},
	{"user", 'u', "USER", opt_string, FIELD(user), "User: name, uid, uid:gid"},
	{"tty", 't', NULL, NULL, FIELD(tty), "Give the command a terminal even without one here"},
	{"timeout", 0, "DURATION", opt_duration, FIELD(timeout_ms),
	 "Kill the command after this time"},
	DETACH_KEYS_OPT(struct exec_args),
	{"rlimit", 0, "RESOURCE=SOFT[:HARD]", opt_rlimit, FIELD(rlimits),
	 "Limit a resource, over what the sandbox has"},
	{"timing", 0, NULL, NULL, FIELD(timing), "Print how long each stage took"},
	{"quiet", 'q', NULL, NULL, FIELD(quiet), "Print no notices"},
	{0},
};

const struct opt *const exec_options[] = {opts, NULL};
const size_t exec_args_size = sizeof(struct exec_args);

static void build_request(struct exec_args *a, const struct operands *ops,
			  const struct sandbox_row *row, struct exec_request *q)
{
	exec_client_prepare(q, a->tty);
	for (size_t i = 0; i < ops->command.n; i++)
		strv_add(&q->argv, ops->command.v[i]);
	if (q->argv.n == 0 && q->tty)
		strv_add(&q->argv, sandbox_shell(row));
	q->env = a->env;
	a->env = (struct strv){0};
	q->cwd = steal_ptr(&a->workdir);
	q->user = steal_ptr(&a->user);
	q->timeout_ms = a->timeout_ms;
	memcpy(q->rlimits, a->rlimits.v, sizeof(q->rlimits));
	q->n_rlimits = a->rlimits.n;
}

/* The guest's part by its own clock; what is left of the session is the way there and back. */
static void print_timing(const struct cli *cli, const struct exec_outcome *o)
{
	uint64_t end = clock_mono_ns();
	uint64_t guest = MIN(o->result.start_ns + o->result.run_ns, end - o->asked);
	const struct {
		const char *name;
		uint64_t ns;
	} rows[] = {
		{"cli", o->asked - cli->start_ns}, {"relay", end - o->asked - guest},
		{"start", o->result.start_ns},     {"command", o->result.run_ns},
		{"total", end - cli->start_ns},
	};

	fputs("stage          ms\n", stderr);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		fprintf(stderr, "%-10s %7.1f\n", rows[i].name, (double)rows[i].ns / NSEC_PER_MSEC);
}

int cmd_exec(struct cli *cli, void *args, struct operands *ops, struct err *e)
{
	struct exec_args *a = args;
	struct exec_request q = {0};
	struct session_options o = {.request = &q, .keys = &a->detach_keys};
	struct exec_outcome outcome = {0};
	struct name_lock turn = {0};
	struct sandbox_row row;
	struct launch launch;
	int status = -1;

	detach_keys_default(&a->detach_keys);
	if (a->workdir && a->workdir[0] != '/')
		return err_set(e, ERR_INVALID,
			       "the working directory must be an absolute path: '%s'", a->workdir);
	if (cli_open(cli, e) < 0 || sandbox_find(cli, ops->args.v[0], a->quiet, &turn, &row, e) < 0)
		return -1;
	build_request(a, ops, &row, &q);
	if (q.argv.n == 0) {
		err_set(e, ERR_USAGE, "no command given and there is no terminal for a shell");
	} else if (sandbox_enter(cli, &row, &turn, &launch, e) == 0) {
		o.owner = launch.fd >= 0;
		status = session_run(cli, &row, &o, &outcome, e);
		if (a->timing && outcome.started)
			print_timing(cli, &outcome);
		if (outcome.detached)
			launch_release(&launch);
		else
			status = sandbox_leave(cli, &row, &launch, NULL, status, e);
	}
	name_lock_release(&turn);
	exec_request_release(&q);
	sandbox_row_release(&row);
	return session_status(&outcome, status);
}
