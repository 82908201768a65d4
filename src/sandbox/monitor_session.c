/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sessions: one per client connection, one operation each. The monitor reads the request, which
 * is either its own business (status, stop) or the agent's; then it opens a connection to the
 * agent for this session alone and passes bytes both ways without re-encoding them. What a program
 * prints is found in the passing stream and logged. A slow client fills only its own buffers.
 *
 *   REQUEST --> WAITING --> CONNECTING --> RELAY --> freed
 *      |       (agent not    (CONNECT sent,   |
 *      |        ready yet)    OK awaited)     +--> the agent is done: flush, close
 *      +--> STOP_WAIT (answered when the machine has ended)
 *      +--> HELD (answered by who works on it: monitor_pause.c)
 *
 * A session may go on without a client: the sandbox's workload does from the start, another program
 * after its client has detached (monitor_attach.c). What it prints is then only logged. A client
 * that comes to it later must find a stream of whole frames, and so must the agent when a client
 * left in the middle of one: hence what a client sends is passed on frame by frame, and a client
 * that comes into the middle of a frame of output gets a header for the rest of it.
 *
 * A connection for a program or for files that ends without a result means that the machine is
 * going down, and how is known a moment later: such a session waits (LOST) to be answered with the
 * reason.
 *
 * One connection to the agent is made in advance when a session has ended, so that the next one
 * need not wait for the guest to accept it. It is a session without a client and without a request.
 */
#include "sandbox/monitor.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/io.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define SESSIONS_MAX     1024
#define READ_CHUNK       ((size_t)128 << 10)
#define BUFFERED_MAX     ((size_t)256 << 10) /* stop reading above this */
#define RESULT_FRAME_MAX ((size_t)64 << 10)
#define LOST_WAIT        (5 * NSEC_PER_SEC)

void session_free(struct session *s)
{
	struct monitor *m = s->m;
	struct session **p = &m->sessions;
	bool used_agent;

	while (*p != s)
		p = &(*p)->next;
	*p = s->next;
	if (m->spare == s)
		m->spare = NULL;
	if (s->is_use)
		limits_used(m);
	timer_cancel(m->loop, &s->lost_timer);
	loop_del(m->loop, &s->client_ev);
	loop_del(m->loop, &s->agent_ev);
	close_fd(&s->client_fd);
	close_fd(&s->agent_fd);
	buf_release(&s->to_agent);
	buf_release(&s->to_client);
	buf_release(&s->tap.result);
	free(s->command);
	used_agent = s->is_use;
	free(s);
	if (used_agent)
		session_keep_spare(m);
}

/* Writes as much of the first `len` bytes as the socket takes; how many, or -errno for a peer that
 * is gone.
 */
static ssize_t flush(int fd, struct buf *b, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = send(fd, buf_data(b), len - done, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0)
			return -errno;
		buf_consume(b, (size_t)n);
		done += (size_t)n;
	}
	return (ssize_t)done;
}

static bool flush_client(struct session *s)
{
	return s->client_fd < 0 || flush(s->client_fd, &s->to_client, buf_len(&s->to_client)) >= 0;
}

static void flush_agent(struct session *s)
{
	ssize_t n = s->state == SESSION_RELAY ? flush(s->agent_fd, &s->to_agent, s->whole) : 0;

	if (n >= 0) {
		s->whole -= (size_t)n;
	} else { /* its end comes by reading */
		buf_consume(&s->to_agent, buf_len(&s->to_agent));
		s->whole = 0;
	}
}

/* Counts the whole frames of what the client has sent. False when it is malformed. */
static bool count_frames(struct session *s)
{
	struct frame f;
	size_t left;

	while ((left = buf_len(&s->to_agent) - s->whole) >= FRAME_HEADER_LEN) {
		if (frame_header_decode(buf_data(&s->to_agent) + s->whole, &f) < 0)
			return false;
		if (left - FRAME_HEADER_LEN < f.len)
			break;
		s->whole += FRAME_HEADER_LEN + f.len;
	}
	return true;
}

/* Asks for exactly the events that can make progress. */
void session_update(struct session *s)
{
	uint32_t client = 0, agent = 0;

	if (s->state != SESSION_STOP_WAIT && s->state != SESSION_HELD && s->state != SESSION_LOST &&
	    s->whole < BUFFERED_MAX)
		client |= EPOLLIN;
	if (buf_len(&s->to_client))
		client |= EPOLLOUT;
	if (!s->agent_done && buf_len(&s->to_client) < BUFFERED_MAX)
		agent |= EPOLLIN;
	if (s->state == SESSION_RELAY && s->whole)
		agent |= EPOLLOUT;
	loop_mod(s->m->loop, &s->client_ev, client);
	loop_mod(s->m->loop, &s->agent_ev, agent);
}

void session_answer(struct session *s, json_t *result)
{
	if (s->client_fd >= 0) {
		fd_set_nonblock(s->client_fd, false);
		message_append(&s->to_client, FRAME_RESULT, result);
		flush_client(s);
	}
	json_decref(result);
	session_free(s);
}

void session_answer_error(struct session *s, enum err_code code, const char *msg)
{
	struct err e;

	err_set(&e, code, "%s", msg);
	session_answer(s, message_error(&e));
}

/* --- the log tap --------------------------------------------------------------------------- */

static void tap_payload(struct session *s, const uint8_t *data, size_t n)
{
	struct monitor *m = s->m;

	if (!s->is_exec)
		return;
	switch (s->tap.type) {
	case FRAME_STDOUT:
		logfile_entry(&m->exec_log, s->tty ? LOG_OUTPUT : LOG_STDOUT, s->id, data, n);
		break;
	case FRAME_STDERR:
		logfile_entry(&m->exec_log, LOG_STDERR, s->id, data, n);
		break;
	case FRAME_RESULT:
		if (s->is_workload)
			buf_append(&s->tap.result, data, n);
		break;
	default:
		break;
	}
}

/* Follows the frames in a piece of the agent's stream. False when it is malformed. */
static bool tap(struct session *s, const uint8_t *data, size_t n)
{
	while (n) {
		size_t take;

		if (s->tap.left == 0) {
			struct frame f;

			take = MIN(n, FRAME_HEADER_LEN - s->tap.have);
			memcpy(s->tap.header + s->tap.have, data, take);
			s->tap.have += take;
			data += take;
			n -= take;
			if (s->tap.have < FRAME_HEADER_LEN)
				break;
			if (frame_header_decode(s->tap.header, &f) < 0)
				return false;
			s->tap.have = 0;
			s->tap.type = f.type;
			s->tap.left = f.len;
			continue;
		}
		take = MIN(n, s->tap.left);
		tap_payload(s, data, take);
		s->tap.left -= (uint32_t)take;
		data += take;
		n -= take;
	}
	return true;
}

static void on_client(struct ev *ev, uint32_t events);
static void pump(struct session *s);

/* --- clients that come and go -------------------------------------------------------------- */

void session_drop_client(struct session *s)
{
	loop_del(s->m->loop, &s->client_ev);
	close_fd(&s->client_fd);
	buf_consume(&s->to_client, buf_len(&s->to_client));
	/* The agent must not get the beginning of a frame whose rest will never come. */
	s->to_agent.end = s->to_agent.start + s->whole;
	session_update(s);
}

/* Makes what the client gets begin with a whole frame, though the agent may be within one. */
static void resume_frame(struct session *s)
{
	uint8_t header[FRAME_HEADER_LEN];

	if (s->tap.left) {
		frame_header_encode(header, s->tap.type, 0, s->tap.left);
		buf_append(&s->to_client, header, sizeof(header));
	} else {
		buf_append(&s->to_client, s->tap.header, s->tap.have);
	}
}

int session_take_client(struct session *s, struct session *from)
{
	json_t *j = json_pack("{s:s, s:I, s:b}", "event", "attached", "id", (json_int_t)s->id,
			      "tty", s->tty);
	struct frame request;
	int r;

	/* What the client sent behind its request is for the program. */
	if (frame_peek(&from->to_agent, &request) > 0)
		frame_consume(&from->to_agent, &request);
	buf_append(&s->to_agent, buf_data(&from->to_agent), buf_len(&from->to_agent));
	message_append(&s->to_client, FRAME_EVENT, j);
	json_decref(j);
	s->announced = true;
	if (s->state == SESSION_RELAY)
		resume_frame(s);
	loop_del(s->m->loop, &from->client_ev);
	s->client_fd = from->client_fd;
	from->client_fd = -1;
	session_free(from);
	s->client_ev = (struct ev){.fd = s->client_fd, .fn = on_client};
	r = loop_add(s->m->loop, &s->client_ev, EPOLLIN);
	if (r < 0 || !count_frames(s)) {
		session_drop_client(s);
		return r;
	}
	session_update(s);
	return 0;
}

/* The client is gone: the agent ends the program when its connection closes. */
static void client_left(struct session *s)
{
	if (!s->kept) {
		session_free(s);
		return;
	}
	session_drop_client(s);
	if (s->agent_done && s->state == SESSION_RELAY)
		pump(s); /* it only waited for the client to take the rest */
}

/* --- the end of the workload or the init --------------------------------------------------- */

static void note_exit(struct session *s, const struct exec_result *r)
{
	struct monitor *m = s->m;

	m->exit_code = r->exit_code;
	m->cause = r->wish != INIT_WISH_NONE ? END_GUEST : END_COMPLETED;
	if (r->wish != INIT_WISH_NONE)
		snprintf(m->end_text, sizeof(m->end_text), "%s",
			 r->wish == INIT_WISH_REBOOT ? GUEST_REBOOTED : GUEST_SWITCHED_OFF);
	else if (s->is_init && r->signal)
		snprintf(m->end_text, sizeof(m->end_text), "the init was killed by signal %d",
			 r->signal);
	else
		snprintf(m->end_text, sizeof(m->end_text), "the %s exited with status %d",
			 s->is_init ? "init" : "command", r->exit_code);
}

/* Why the sandbox will have ended, by the result that came, unless it was ended before. */
static void note_result(struct session *s)
{
	struct monitor *m = s->m;
	struct exec_result r;
	struct err e = {0};
	json_t *j;

	if (m->cause != END_NONE)
		return; /* it was ended with the sandbox, which has its own reason */
	j = message_parse(buf_data(&s->tap.result), buf_len(&s->tap.result), &e);
	if (j && exec_result_from_json(j, &r, &e) == 0) {
		note_exit(s, &r);
	} else {
		m->exit_code = err_exit_status(&e);
		snprintf(m->end_text, sizeof(m->end_text), "%s", e.msg);
		monitor_note(m, "%s", e.msg);
	}
	if (m->cause == END_NONE)
		m->cause = END_COMPLETED;
	json_decref(j);
}

/* How the sandbox ends with its workload. */
static void workload_ended(struct session *s)
{
	struct monitor *m = s->m;

	if (buf_len(&s->tap.result) == 0) {
		/* The machine is breaking down; its end will tell how. */
		monitor_stop(m, END_NONE, STOP_DEFAULT_MS);
		return;
	}
	note_result(s);
	monitor_stop(m, END_COMPLETED, STOP_DEFAULT_MS);
}

/* --- relay --------------------------------------------------------------------------------- */

static void on_lost(struct timer *t)
{
	struct session *s = container_of(t, struct session, lost_timer);

	session_answer_error(s, ERR_STATE, "the connection to the sandbox's agent broke");
}

static void agent_lost(struct session *s)
{
	if (s->is_workload)
		workload_ended(s);
	if (s->client_fd < 0) {
		session_free(s);
		return;
	}
	loop_del(s->m->loop, &s->agent_ev);
	s->agent_done = true;
	s->state = SESSION_LOST;
	s->lost_timer.fn = on_lost;
	timer_set(s->m->loop, &s->lost_timer, clock_mono_ns() + LOST_WAIT);
	session_update(s);
}

/* The last frame of a stream that was followed is the result. */
static bool has_result(const struct session *s)
{
	return s->tap.type == FRAME_RESULT && s->tap.left == 0 && s->tap.have == 0;
}

static void pump(struct session *s)
{
	if (!flush_client(s)) {
		client_left(s);
		return;
	}
	flush_agent(s);
	if (!s->agent_done || (s->client_fd >= 0 && buf_len(&s->to_client))) {
		session_update(s);
	} else if (s->followed && !has_result(s)) {
		agent_lost(s);
	} else {
		/* A request of the monitor's own is a shutdown, whose end is the machine's. */
		if (s->is_workload)
			workload_ended(s);
		session_free(s);
	}
}

/* Tells the client the number that other operations know the session by. */
static void announce(struct session *s)
{
	json_t *j = json_pack("{s:s, s:I}", "event", "session", "id", (json_int_t)s->id);

	message_append(&s->to_client, FRAME_EVENT, j);
	json_decref(j);
	s->announced = true;
}

static void agent_relay(struct session *s)
{
	uint8_t *p;
	ssize_t n;

	/* Together with the agent's first word, so that it costs no message of its own. */
	if (s->is_exec && s->client_fd >= 0 && !s->announced)
		announce(s);
	p = buf_reserve(&s->to_client, READ_CHUNK);
	if (!p)
		return;
	n = recv(s->agent_fd, p, READ_CHUNK, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0) {
		if (s->followed && !tap(s, p, (size_t)n)) {
			if (s->is_workload)
				workload_ended(s);
			session_answer_error(s, ERR_INTERNAL, "the agent sent garbage");
			return;
		}
		/* Before the client has it, which may end the sandbox then. */
		if (s->is_init && has_result(s))
			note_result(s);
		if (s->client_fd >= 0)
			buf_commit(&s->to_client, (size_t)n);
	} else {
		s->agent_done = true;
		loop_del(s->m->loop, &s->agent_ev);
	}
	pump(s);
}

/* The answer to CONNECT is one line, which is read byte by byte so that no frame is eaten. */
static void agent_connecting(struct session *s)
{
	char c;

	for (;;) {
		ssize_t n = recv(s->agent_fd, &c, 1, MSG_DONTWAIT);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0 || s->tap.have >= 32) {
			agent_lost(s);
			return;
		}
		if (s->tap.have < 2 && c != "OK"[s->tap.have]) {
			agent_lost(s);
			return;
		}
		if (c == '\n')
			break;
		s->tap.have++;
	}
	s->tap.have = 0;
	s->state = SESSION_RELAY;
	pump(s);
}

static void on_agent(struct ev *ev, uint32_t events)
{
	struct session *s = container_of(ev, struct session, agent_ev);

	if (s->state == SESSION_CONNECTING)
		agent_connecting(s);
	else if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		agent_relay(s);
	else
		pump(s);
}

/*
 * Gives the session the connection that was made in advance. False when there is none; else the
 * session may be gone.
 */
static bool take_spare(struct session *s)
{
	struct monitor *m = s->m;
	struct session *spare = m->spare;

	if (!spare || spare->state != SESSION_RELAY || spare->agent_done)
		return false;
	loop_del(m->loop, &spare->agent_ev);
	s->agent_fd = steal_fd(&spare->agent_fd);
	session_free(spare);
	s->state = SESSION_RELAY;
	s->agent_ev = (struct ev){.fd = s->agent_fd, .fn = on_agent};
	if (loop_add(m->loop, &s->agent_ev, EPOLLIN) < 0)
		agent_lost(s);
	else
		pump(s);
	return true;
}

static void connect_agent(struct session *s)
{
	static const char request[] = "CONNECT 1024\n";
	int fd;

	if (s != s->m->spare && take_spare(s))
		return;
	fd = unix_connect_at(s->m->run_dir, "vsock.sock");
	if (fd < 0) {
		agent_lost(s);
		return;
	}
	s->agent_fd = fd;
	s->state = SESSION_CONNECTING;
	s->agent_ev = (struct ev){.fd = fd, .fn = on_agent};
	if (send(fd, request, strlen(request), MSG_NOSIGNAL) != (ssize_t)strlen(request) ||
	    loop_add(s->m->loop, &s->agent_ev, EPOLLIN) < 0)
		agent_lost(s);
}

static struct session *session_new(struct monitor *m, int client_fd)
{
	struct session *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->m = m;
	s->client_fd = client_fd;
	s->agent_fd = -1;
	/* Whole frames up to the mark, one that is not complete yet, and what is read at once. */
	buf_init(&s->to_agent, BUFFERED_MAX + FRAME_HEADER_LEN + FRAME_PAYLOAD_MAX + READ_CHUNK);
	buf_init(&s->to_client, BUFFERED_MAX + READ_CHUNK);
	buf_init(&s->tap.result, RESULT_FRAME_MAX);
	s->next = m->sessions;
	m->sessions = s;
	return s;
}

void session_keep_spare(struct monitor *m)
{
	if (m->spare || !m->keeps_spare || m->spec.attached || m->state != MONITOR_READY)
		return;
	m->spare = session_new(m, -1);
	if (m->spare)
		connect_agent(m->spare);
}

/* --- clients ------------------------------------------------------------------------------- */

void session_pass_on(struct session *s)
{
	s->state = SESSION_WAITING;
	if (s->m->state == MONITOR_READY)
		connect_agent(s);
}

void session_hold(struct session *s)
{
	s->state = SESSION_HELD;
	session_update(s);
}

void session_wait_for_end(struct session *s)
{
	s->state = SESSION_STOP_WAIT;
	session_update(s);
}

static void on_client(struct ev *ev, uint32_t events)
{
	struct session *s = container_of(ev, struct session, client_ev);
	struct frame f;
	uint8_t *p;
	ssize_t n;

	if (events & EPOLLIN) {
		p = buf_reserve(&s->to_agent, READ_CHUNK);
		n = p ? recv(ev->fd, p, READ_CHUNK, MSG_DONTWAIT) : -1;
		if (p && n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) {
			client_left(s);
			return;
		}
		buf_commit(&s->to_agent, (size_t)n);
	} else if (events & (EPOLLHUP | EPOLLERR)) {
		client_left(s);
		return;
	}
	if (!count_frames(s)) {
		if (s->state == SESSION_REQUEST)
			session_answer_error(s, ERR_INVALID, "malformed frame");
		else
			client_left(s);
		return;
	}
	if (s->state == SESSION_REQUEST) {
		/* The request stays in the buffer: the agent is sent the same bytes. */
		if (frame_peek(&s->to_agent, &f) > 0)
			session_handle_request(s, &f);
		return;
	}
	pump(s);
}

void session_accept(struct monitor *m, int client_fd)
{
	size_t n = 0;
	struct session *s;

	for (s = m->sessions; s; s = s->next)
		n++;
	s = n < SESSIONS_MAX ? session_new(m, client_fd) : NULL;
	if (!s) {
		close(client_fd);
		return;
	}
	s->id = ++m->next_session;
	s->client_ev = (struct ev){.fd = client_fd, .fn = on_client};
	if (loop_add(m->loop, &s->client_ev, EPOLLIN) < 0)
		session_free(s);
}

static struct session *own_session(struct monitor *m, json_t *request)
{
	struct session *s = session_new(m, -1);

	if (s) {
		s->id = ++m->next_session;
		message_append(&s->to_agent, FRAME_REQUEST, request);
		s->whole = buf_len(&s->to_agent);
	}
	json_decref(request);
	return s;
}

void session_start_workload(struct monitor *m)
{
	json_t *request = exec_request_to_json(&m->spec.workload);
	char *command = attach_command_text(json_object_get(request, "argv"));
	struct session *s = own_session(m, request);

	if (!s) {
		free(command);
		return;
	}
	s->is_exec = s->followed = s->is_workload = s->is_use = s->kept = true;
	s->is_init = m->spec.workload.join;
	s->tty = m->spec.workload.tty;
	s->command = command;
	connect_agent(s);
}

void session_watch_init(struct monitor *m)
{
	json_t *request = exec_request_to_json(&m->spec.boot.init);
	char *command = attach_command_text(json_object_get(request, "argv"));
	struct session *s;

	json_object_set_new(request, "join", json_true());
	s = own_session(m, request);
	if (!s) {
		free(command);
		return;
	}
	/* Not kept: nobody is to attach to it by chance. */
	s->is_exec = s->followed = s->is_workload = s->is_init = true;
	s->tty = m->spec.boot.init.tty;
	s->command = command;
	connect_agent(s);
}

void sessions_agent_ready(struct monitor *m)
{
	struct session *next;

	for (struct session *s = m->sessions; s; s = next) {
		next = s->next;
		if (s->state == SESSION_WAITING)
			connect_agent(s);
	}
}

void session_send_shutdown(struct monitor *m, uint64_t grace_ms)
{
	struct session *s = own_session(
		m, json_pack("{s:s, s:I}", "op", "shutdown", "grace_ms", (json_int_t)grace_ms));

	/* Not an exec: its end is the end of the machine, which is watched anyway. */
	if (s)
		connect_agent(s);
}

void sessions_finish(struct monitor *m)
{
	char text[600];

	while (m->sessions) {
		struct session *s = m->sessions;

		if (s->state == SESSION_STOP_WAIT) {
			session_answer(s, message_ok());
			continue;
		}
		if (s->state == SESSION_RELAY && s->agent_done && has_result(s)) {
			flush_client(s); /* it was slow to take what it was sent */
			session_free(s);
			continue;
		}
		snprintf(text, sizeof(text), "the sandbox ended: %s", monitor_end_text(m));
		session_answer_error(s, ERR_STATE, text);
	}
}
