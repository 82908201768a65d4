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
	json_int_t timeout = STOP_DEFAULT_MS;
	int force = 0;

	if (json_unpack(j, "{s?I, s?b}", "timeout_ms", &timeout, "force", &force) < 0 ||
	    timeout < 0 || timeout > 86400000) {
		session_answer_error(s, ERR_INVALID, "malformed stop request");
		return;
	}
	session_wait_for_end(s);
	monitor_stop(s->m, END_REQUESTED, force ? 0 : (uint64_t)timeout);
}

static void handle_touch(struct session *s)
{
	if (s->m->state == MONITOR_STOPPING) {
		session_answer_error(s, ERR_STATE, "the sandbox is stopping");
		return;
	}
	limits_used(s->m);
	session_answer(s, message_ok());
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
	} else if (strcmp(op, "touch") == 0) {
		handle_touch(s);
	} else if (strcmp(op, "exec") != 0 && strcmp(op, "ping") != 0) {
		session_answer_error(s, ERR_UNSUPPORTED, "unknown operation");
	} else if (s->m->state == MONITOR_STOPPING) {
		session_answer_error(s, ERR_STATE, "the sandbox is stopping");
	} else {
		s->is_exec = strcmp(op, "exec") == 0;
		s->is_use = strcmp(op, "ping") != 0;
		s->tty = json_is_true(json_object_get(j, "tty"));
		session_pass_on(s);
	}
	json_decref(j);
}
