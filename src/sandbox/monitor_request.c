/* SPDX-License-Identifier: Apache-2.0 */
/* What clients ask for: the monitor's own operations, and which of the others go to the agent. */
#include "sandbox/monitor.h"

#include <string.h>

static json_t *status_answer(const struct monitor *m)
{
	static const char *const names[MONITOR_STATE_COUNT] = {"launching", "booting", "ready",
							       "stopping"};

	return json_pack("{s:b, s:s, s:s, s:i, s:i}", "ok", 1, "state", names[m->state], "machine",
			 machine_kind_name(m->spec.machine), "cpus", (int)m->spec.cpus,
			 "memory_mib", (int)m->spec.memory_mib);
}

static void handle_stop(struct session *s, json_t *j)
{
	json_int_t timeout = STOP_DEFAULT_MS, programs = 0;
	int force = 0;

	if (json_unpack(j, "{s?I, s?I, s?b}", "timeout_ms", &timeout, "programs_ms", &programs,
			"force", &force) < 0 ||
	    timeout < 0 || timeout > STOP_MAX_MS || programs < 0 || programs > STOP_MAX_MS) {
		session_answer_error(s, ERR_INVALID, "malformed stop request");
		return;
	}
	session_wait_for_end(s);
	s->m->programs_ms = (uint64_t)programs;
	monitor_stop(s->m, END_REQUESTED, force ? 0 : (uint64_t)timeout);
}

void session_handle_request(struct session *s, const struct frame *f)
{
	struct err e = {0};
	json_t *j = f->type == FRAME_REQUEST ? message_parse(f->payload, f->len, &e) : NULL;
	const char *op = j ? json_string_value(json_object_get(j, "op")) : NULL;

	if (!op) {
		session_answer_error(s, ERR_INVALID, e.msg[0] ? e.msg : "malformed request");
	} else if (strcmp(op, "status") == 0) {
		session_answer(s, status_answer(s->m));
	} else if (strcmp(op, "stop") == 0) {
		handle_stop(s, j);
	} else if (strcmp(op, "sessions") == 0) {
		attach_handle_list(s);
	} else if (strcmp(op, "detach") == 0) {
		attach_handle_detach(s, j);
	} else if (strcmp(op, "attach") == 0) {
		attach_handle_attach(s, j);
	} else if (strcmp(op, "exec") != 0 && strcmp(op, "ping") != 0) {
		session_answer_error(s, ERR_UNSUPPORTED, "unknown operation");
	} else if (s->m->state == MONITOR_STOPPING) {
		session_answer_error(s, ERR_STATE, "the sandbox is stopping");
	} else {
		s->is_exec = strcmp(op, "exec") == 0;
		s->tty = json_is_true(json_object_get(j, "tty"));
		if (s->is_exec)
			s->command = attach_command_text(json_object_get(j, "argv"));
		session_pass_on(s);
	}
	json_decref(j);
}
