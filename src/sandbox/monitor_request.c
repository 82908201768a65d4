/* SPDX-License-Identifier: Apache-2.0 */
/* What clients ask for: the monitor's own operations, and which of the others go to the agent. */
#include "sandbox/monitor.h"

#include <string.h>

static json_t *status_answer(const struct monitor *m)
{
	static const char *const names[MONITOR_STATE_COUNT] = {"launching", "booting", "ready",
							       "stopping"};

	const char *state =
		m->pause.paused && m->state == MONITOR_READY ? "paused" : names[m->state];

	return json_pack("{s:b, s:s, s:s, s:i, s:i}", "ok", 1, "state", state, "machine",
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

static void handle_pause(struct session *s, bool pause)
{
	struct monitor *m = s->m;

	s->wants = pause ? WANTS_PAUSE : WANTS_RESUME;
	session_hold(s);
	pause_step(m); /* may end the session */
}

static void refuse_paused(struct session *s)
{
	struct err e;

	err_set(&e, ERR_STATE, "sandbox is paused: %s", s->m->spec.name);
	err_hint(&e, "msb resume %s", s->m->spec.name);
	session_answer(s, message_error(&e));
}

static void handle_touch(struct session *s)
{
	limits_used(s->m);
	session_answer(s, message_ok());
}

/* Whether it can be done at all; what is always possible is dealt with before. */
static bool is_known(const char *op)
{
	static const char *const known[] = {"exec",  "ping",  "fs.read", "fs.write",
					    "touch", "pause", "resume"};

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (strcmp(op, known[i]) == 0)
			return true;
	return false;
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
	} else if (strcmp(op, "metrics") == 0) {
		session_answer(s, metrics_answer(s->m));
	} else if (strcmp(op, "ports") == 0) {
		session_answer(s, net_ports_answer(s->m));
	} else if (strcmp(op, "stop") == 0) {
		handle_stop(s, j);
	} else if (strcmp(op, "sessions") == 0) {
		attach_handle_list(s);
	} else if (strcmp(op, "detach") == 0) {
		attach_handle_detach(s, j);
	} else if (strcmp(op, "attach") == 0) {
		attach_handle_attach(s, j);
	} else if (!is_known(op)) {
		session_answer_error(s, ERR_UNSUPPORTED, "unknown operation");
	} else if (s->m->state == MONITOR_STOPPING) {
		session_answer_error(s, ERR_STATE, "the sandbox is stopping");
	} else if (strcmp(op, "touch") == 0) {
		handle_touch(s);
	} else if (strcmp(op, "pause") == 0 || strcmp(op, "resume") == 0) {
		handle_pause(s, strcmp(op, "pause") == 0);
	} else if (s->m->pause.paused) {
		refuse_paused(s);
	} else {
		s->is_exec = strcmp(op, "exec") == 0;
		s->is_use = strcmp(op, "ping") != 0;
		s->followed = s->is_exec || str_starts_with(op, "fs.");
		s->is_init = s->is_exec && json_is_true(json_object_get(j, "join"));
		s->is_workload = s->is_init;
		s->tty = json_is_true(json_object_get(j, "tty"));
		if (s->is_exec)
			s->command = attach_command_text(json_object_get(j, "argv"));
		session_pass_on(s);
	}
	json_decref(j);
}
