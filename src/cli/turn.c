/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/turn.h"

#include "base/cleanup.h"
#include "sandbox/launch.h"

/* --- turns --------------------------------------------------------------------------------- */

static void print_waiting(const char *name, const struct name_lock_holder *holder)
{
	if (holder->pid && *holder->command)
		print_warning("waiting for '%s' (process %llu), which works on sandbox '%s'",
			      holder->command, (unsigned long long)holder->pid, name);
	else
		print_warning("waiting for another command, which works on sandbox '%s'", name);
}

static void kill_running(struct cli *cli, const char *name)
{
	const struct stop_grace none = {0};
	struct sandbox_row row;

	if (sandboxes_get(&cli->db, &cli->home, name, &row, NULL) < 0)
		return;
	/* Should it not work, there still is the wait. */
	if (sandbox_is_up(&row))
		request_stop(cli, &row, &none, NULL);
	sandbox_row_release(&row);
}

static int take(struct cli *cli, const char *name, bool quiet, bool force, struct name_lock *ret,
		struct err *e)
{
	struct name_lock_holder holder;
	int r;

	*ret = (struct name_lock){0};
	if (sandbox_name_check(name, NULL) < 0)
		return 0;
	r = name_lock_try(&cli->home, name, cli->command_path, ret, &holder, e);
	if (r != 0)
		return r < 0 ? -1 : 0;
	if (!quiet)
		print_waiting(name, &holder);
	if (force)
		kill_running(cli, name);
	return name_lock_wait(&cli->home, name, cli->command_path, ret, e);
}

int take_turn(struct cli *cli, const char *name, bool quiet, struct name_lock *ret, struct err *e)
{
	return take(cli, name, quiet, false, ret, e);
}

int take_turn_by_force(struct cli *cli, const char *name, bool quiet, struct name_lock *ret,
		       struct err *e)
{
	return take(cli, name, quiet, true, ret, e);
}

/* --- ending -------------------------------------------------------------------------------- */

int request_stop(struct cli *cli, const struct sandbox_row *row, const struct stop_grace *grace,
		 struct err *e)
{
	struct err own = {0};
	json_t *request = json_pack("{s:s, s:b, s:I}", "op", "stop", "force", grace->ms == 0,
				    "timeout_ms", (json_int_t)grace->ms);
	_cleanup_close_ int fd = control_connect(&cli->home, row, &own);
	json_t *answer;

	if (grace->programs_ms)
		json_object_set_new(request, "programs_ms",
				    json_integer((json_int_t)grace->programs_ms));
	answer = fd >= 0 ? control_call(fd, request, &own) : NULL;
	json_decref(request);
	if (!answer && own.code != ERR_STATE) /* it may have ended by itself meanwhile */
		return err_set(e, own.code, "%s", own.msg);
	json_decref(answer);
	return 0;
}

int stop_running(struct cli *cli, const struct sandbox_row *row, const struct stop_grace *grace,
		 struct err *e)
{
	struct err own = {0};
	struct sandbox_row now;

	if (request_stop(cli, row, grace, e) < 0)
		return -1;
	/* The monitor answers just before it gives up its lock: wait for that, then note it. */
	if (sandboxes_wait_unlocked(&cli->home, row, e) < 0)
		return -1;
	if (sandboxes_get(&cli->db, &cli->home, row->name, &now, &own) == 0)
		sandbox_row_release(&now);
	else if (own.code != ERR_NOT_FOUND)
		return err_set(e, own.code, "%s", own.msg);
	return 0;
}
