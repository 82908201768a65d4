/* SPDX-License-Identifier: Apache-2.0 */
/* msb exec: one more command in a sandbox that exists. */
#include "cli/commands.h"

#include "base/cleanup.h"
#include "cli/session.h"
#include "cli/start.h"
#include "cli/turn.h"

#include <string.h>

struct exec_args {
	struct strv env;
	char *workdir;
	char *user;
	bool tty;
	bool quiet;
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

/*
 * A stopped sandbox is started for this command and stopped again. Its end needs no turn: the
 * monitor knows that it lives no longer than this process.
 */
static int run_started(struct cli *cli, const struct sandbox_row *row, struct name_lock *turn,
		       struct session_options *o, struct exec_outcome *outcome, struct err *e)
{
	_cleanup_close_ int lock = sandboxes_lock_wait(&cli->home, row, e);
	struct launch launch = {.fd = -1};
	struct launch_outcome end;
	struct sandbox_row now;
	struct err boot;
	int status;

	if (lock < 0 || sandbox_start(cli, row, lock, true, NULL, NULL, &launch, e) < 0)
		return -1;
	close_fd(&lock);
	name_lock_release(turn);
	o->owner = true;
	status = session_run(cli, row, o, outcome, e);
	if (outcome->detached) {
		launch_release(&launch);
		return status;
	}
	if (status < 0 && e->code != ERR_CANCELLED && launch_wait_ready(&launch, NULL, &boot) < 0) {
		*e = boot;
		err_wrap(e, "failed to start '%s'", row->name);
	}
	launch_end(&launch, &end);
	if (status >= 0 && launch_check_outcome(&end, e) < 0)
		status = -1;
	if (sandboxes_get(&cli->db, &cli->home, row->name, &now, NULL) == 0)
		sandbox_row_release(&now);
	return status;
}

/*
 * Reads the row. Of a sandbox that does not run it does so when it is this command's turn to start
 * it, and then `turn` is held. 0 or -1.
 */
static int find(struct cli *cli, const char *name, bool quiet, struct name_lock *turn,
		struct sandbox_row *ret, struct err *e)
{
	int r = sandboxes_get(&cli->db, &cli->home, name, ret, e);

	if (r < 0 || sandbox_is_up(ret))
		return r;
	sandbox_row_release(ret);
	if (take_turn(cli, name, quiet, turn, e) < 0)
		return -1;
	r = sandboxes_get(&cli->db, &cli->home, name, ret, e);
	if (r < 0 || sandbox_is_up(ret))
		name_lock_release(turn);
	return r;
}

int cmd_exec(struct cli *cli, void *args, struct operands *ops, struct err *e)
{
	struct exec_args *a = args;
	struct exec_request q = {0};
	struct session_options o = {.request = &q, .keys = &a->detach_keys};
	struct exec_outcome outcome = {0};
	struct name_lock turn = {0};
	struct sandbox_row row;
	int status = -1;

	detach_keys_default(&a->detach_keys);
	if (a->workdir && a->workdir[0] != '/')
		return err_set(e, ERR_INVALID,
			       "the working directory must be an absolute path: '%s'", a->workdir);
	if (cli_open(cli, e) < 0 || find(cli, ops->args.v[0], a->quiet, &turn, &row, e) < 0)
		return -1;
	build_request(a, ops, &row, &q);
	if (q.argv.n == 0)
		err_set(e, ERR_USAGE, "no command given and there is no terminal for a shell");
	else if (sandbox_check_not_paused(&row, e) < 0)
		status = -1;
	else if (sandbox_is_up(&row))
		status = session_run(cli, &row, &o, &outcome, e);
	else
		status = run_started(cli, &row, &turn, &o, &outcome, e);
	name_lock_release(&turn);
	exec_request_release(&q);
	sandbox_row_release(&row);
	return session_status(&outcome, status);
}
