/* SPDX-License-Identifier: Apache-2.0 */
/* msb attach: coming back to a program that runs without a client. */
#include "cli/commands.h"

#include "base/cleanup.h"
#include "cli/session.h"
#include "sandbox/launch.h"

#include <stdio.h>

struct attach_args {
	struct detach_keys detach_keys;
	bool list;
	char *format;
};

#define FIELD(name) offsetof(struct attach_args, name)

static const struct opt opts[] = {
	DETACH_KEYS_OPT(struct attach_args),
	{"list", 'l', NULL, NULL, FIELD(list), "List the sessions instead"},
	{"format", 0, "FORMAT", opt_string, FIELD(format), "Format of the list: json", "json"},
	{0},
};

const struct opt *const attach_options[] = {opts, NULL};
const size_t attach_args_size = sizeof(struct attach_args);

/* The monitor's list of sessions, owned; NULL on an error. */
static json_t *get_sessions(struct cli *cli, const struct sandbox_row *row, struct err *e)
{
	_cleanup_close_ int fd = control_connect(&cli->home, row, e);
	json_t *request, *answer, *sessions;

	if (fd < 0)
		return NULL;
	request = json_pack("{s:s}", "op", "sessions");
	answer = control_call(fd, request, e);
	sessions = json_incref(json_object_get(answer, "sessions"));
	json_decref(request);
	json_decref(answer);
	return sessions;
}

static const char *session_state(json_t *session)
{
	return json_is_true(json_object_get(session, "attached")) ? "attached" : "detached";
}

static int list(struct cli *cli, const struct sandbox_row *row, const struct attach_args *a,
		struct err *e)
{
	json_t *sessions = get_sessions(cli, row, e), *session;
	struct table t;
	size_t i;

	if (!sessions)
		return -1;
	if (a->format) {
		print_json(sessions);
		return 0;
	}
	table_init(&t, 3, "SESSION", "STATE", "COMMAND");
	json_array_foreach (sessions, i, session) {
		table_add(&t, xasprintf("%llu", (unsigned long long)json_number_of(session, "id")));
		table_add(&t, xstrdup(session_state(session)));
		table_add(&t, shorten(json_string_of(session, "command"), 60));
	}
	if (i == 0)
		fputs("No sessions.\n", stderr);
	table_print(&t);
	json_decref(sessions);
	return 0;
}

int cmd_attach(struct cli *cli, void *args, struct operands *ops, struct err *e)
{
	struct attach_args *a = args;
	struct session_options o = {.keys = &a->detach_keys};
	struct exec_outcome outcome = {0};
	struct sandbox_row row;
	int status = -1;

	detach_keys_default(&a->detach_keys);
	if (ops->args.n == 2 &&
	    (parse_u64(ops->args.v[1], INT64_MAX, &o.attach) < 0 || o.attach == 0))
		return err_set(e, ERR_USAGE, "'%s' is not the number of a session", ops->args.v[1]);
	if (cli_open(cli, e) < 0 ||
	    sandboxes_get(&cli->db, &cli->home, ops->args.v[0], &row, e) < 0)
		return -1;
	if (!sandbox_is_up(&row))
		err_set(e, ERR_STATE, "sandbox is not running: %s", row.name);
	else if (!a->list && sandbox_check_not_paused(&row, e) < 0)
		status = -1;
	else if (a->list)
		status = list(cli, &row, a, e);
	else
		status = session_run(cli, &row, &o, &outcome, e);
	if (status < 0 && (e->code == ERR_BUSY || e->code == ERR_NOT_FOUND))
		err_hint(e, "see what there is: msb attach --list %s", row.name);
	sandbox_row_release(&row);
	return session_status(&outcome, status);
}
