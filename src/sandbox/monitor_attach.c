/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sessions that go on without their client, and clients that come back to them. A session is left
 * by an operation of its own (detach), sent on another connection, so that the stream of the
 * program's input need not be searched for it; a client whose connection just ends takes its
 * program with it.
 */
#include "sandbox/monitor.h"

#include <stdio.h>

#define COMMAND_TEXT_MAX 200

char *attach_command_text(json_t *argv)
{
	char text[COMMAND_TEXT_MAX + 1] = "";
	size_t i, len = 0;
	json_t *word;

	json_array_foreach (argv, i, word) {
		const char *s = json_string_value(word);
		int n = snprintf(text + len, sizeof(text) - len, "%s%s", i ? " " : "", s ? s : "?");

		len = MIN(len + (size_t)MAX(n, 0), sizeof(text) - 1);
	}
	/* A character that was cut in two would make the whole text unusable in JSON. */
	if (len == sizeof(text) - 1)
		while (len && ((uint8_t)text[--len] & 0xc0) == 0x80)
			;
	text[len] = '\0';
	return xstrdup(text);
}

/* Programs that a client can have or come back to. */
static bool is_program(const struct session *s)
{
	return s->is_exec && s->state <= SESSION_RELAY && !s->agent_done;
}

static struct session *find(const struct monitor *m, json_int_t id)
{
	struct session *s = m->sessions;

	while (s && ((json_int_t)s->id != id || !is_program(s)))
		s = s->next;
	return s;
}

void attach_handle_list(struct session *s)
{
	json_t *a = json_array();

	for (const struct session *i = s->m->sessions; i; i = i->next)
		if (is_program(i))
			json_array_insert_new(
				a, 0,
				json_pack("{s:I, s:s, s:b, s:b, s:b}", "id", (json_int_t)i->id,
					  "command", i->command, "tty", i->tty, "attached",
					  i->client_fd >= 0, "workload", i->is_workload));
	session_answer(s, json_pack("{s:b, s:o}", "ok", 1, "sessions", a));
}

void attach_handle_detach(struct session *s, json_t *j)
{
	struct monitor *m = s->m;
	json_int_t id = 0;
	struct session *target;
	int owner = 0;

	if (json_unpack(j, "{s:I, s?b}", "session", &id, "owner", &owner) < 0) {
		session_answer_error(s, ERR_INVALID, "malformed detach request");
		return;
	}
	target = find(m, id);
	if (!target || target->client_fd < 0) {
		session_answer_error(s, ERR_NOT_FOUND, "no such session");
		return;
	}
	target->kept = true;
	if (owner) {
		m->spec.attached = false;
		target->is_workload = true;
	}
	session_drop_client(target);
	session_answer(s, message_ok());
}

/*
 * The session to attach to: that with the number, or else the only one without a client. NULL, and
 * *ret_n tells how many there are.
 */
static struct session *choose(const struct monitor *m, json_int_t id, size_t *ret_n)
{
	struct session *found = NULL;

	*ret_n = 0;
	for (struct session *i = m->sessions; i; i = i->next) {
		if (is_program(i) && i->kept && (id == 0 || (json_int_t)i->id == id)) {
			found = i;
			++*ret_n;
		}
	}
	return *ret_n == 1 ? found : NULL;
}

void attach_handle_attach(struct session *s, json_t *j)
{
	json_int_t id = 0;
	struct session *target;
	size_t n;

	if (json_unpack(j, "{s?I}", "session", &id) < 0 || id < 0) {
		session_answer_error(s, ERR_INVALID, "malformed attach request");
		return;
	}
	target = choose(s->m, id, &n);
	if (!target && n > 1)
		session_answer_error(s, ERR_BUSY, "there are several sessions to attach to");
	else if (!target && id)
		session_answer_error(s, ERR_NOT_FOUND, "no such session to attach to");
	else if (!target)
		session_answer_error(s, ERR_NOT_FOUND, "there is no session to attach to");
	else if (target->client_fd >= 0)
		session_answer_error(s, ERR_BUSY, "a client is attached to the session already");
	else
		session_take_client(target, s);
}
