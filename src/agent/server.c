/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/server.h"

#include "agent/files.h"
#include "agent/reply.h"
#include "agent/restored.h"
#include "agent/session.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

/* Of a shutdown request: an hour. */
#define GRACE_MAX_MS 3600000

#define READ_CHUNK ((size_t)64 << 10)
/* Output up to the mark, one more chunk of each stream, and the small JSON frames. */
#define OUT_MAX (CONN_OUT_HIGH + 2 * (FRAME_HEADER_LEN + FRAME_DATA_CHUNK) + 16 * KIB)

/* --- connections --------------------------------------------------------------------------- */

static void conn_free(struct conn *c)
{
	struct server *s = c->server;
	struct conn **p = &s->conns;

	while (*p != c)
		p = &(*p)->next;
	*p = c->next;
	s->n_conns--;
	loop_del(s->loop, &c->ev);
	timer_cancel(s->loop, &c->linger);
	close(c->fd);
	buf_release(&c->in);
	buf_release(&c->out);
	free(c);
}

/* The peer is gone, or not worth talking to any longer. */
static void conn_drop(struct conn *c)
{
	if (c->session)
		session_hangup(c->session);
	if (c->state == CONN_HALT) {
		/* The shutdown goes on and finishes this connection in the end. */
		loop_del(c->server->loop, &c->ev);
		return;
	}
	conn_free(c);
}

static void conn_watch(struct conn *c)
{
	uint32_t events = 0;

	/* While nothing is read, the end of the stream must still be noticed. */
	events |= c->hold_input ? EPOLLRDHUP : EPOLLIN;
	if (buf_len(&c->out))
		events |= EPOLLOUT;
	loop_mod(c->server->loop, &c->ev, events);
}

void conn_flush(struct conn *c)
{
	while (buf_len(&c->out)) {
		ssize_t n = send(c->fd, buf_data(&c->out), buf_len(&c->out),
				 MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0) {
			conn_drop(c);
			return;
		}
		buf_consume(&c->out, (size_t)n);
	}
	if (c->state == CONN_LINGER && buf_len(&c->out) == 0)
		shutdown(c->fd, SHUT_WR);
	conn_watch(c);
	if (c->session && buf_len(&c->out) < CONN_OUT_HIGH)
		session_resume(c->session);
}

static void on_linger(struct timer *t)
{
	conn_free(container_of(t, struct conn, linger));
}

/* Closing with unread input could overtake the result, so the peer is let close first. */
static void conn_linger(struct conn *c, int error)
{
	c->state = CONN_LINGER;
	c->session = NULL;
	c->hold_input = false;
	buf_consume(&c->in, buf_len(&c->in));
	if (error || !c->ev.active) {
		conn_free(c);
		return;
	}
	timer_set(c->server->loop, &c->linger, clock_mono_ns() + LINGER_NS);
	conn_flush(c);
}

void conn_finish(struct conn *c, struct reply *r)
{
	conn_linger(c, reply_end(r));
}

void conn_fail(struct conn *c, const struct err *e)
{
	json_t *j = message_error(e);
	int r = message_append(&c->out, FRAME_RESULT, j);

	json_decref(j);
	conn_linger(c, r);
}

void conn_ok(struct conn *c)
{
	struct reply r;

	reply_begin(&r, &c->out, FRAME_RESULT);
	reply_true(&r, "ok");
	conn_finish(c, &r);
}

/* --- operations ---------------------------------------------------------------------------- */

static int op_ping(struct conn *c)
{
	struct reply r;

	reply_begin(&r, &c->out, FRAME_RESULT);
	reply_true(&r, "ok");
	reply_number(&r, "uptime_ns", clock_mono_ns());
	reply_number(&r, "sessions", c->server->n_sessions);
	conn_finish(c, &r);
	return 0;
}

static int op_exec(struct conn *c, json_t *j, struct err *e)
{
	struct exec_request r;
	int result;

	if (exec_request_from_json(j, &r, e) < 0)
		return -1;
	result = r.join ? session_join_init(c, &r, e) : session_start(c, &r, e);
	exec_request_release(&r);
	if (result < 0)
		return -1;
	/* Input may have come along with the request. */
	if (session_input(c->session) < 0)
		conn_drop(c);
	else
		conn_watch(c);
	return 0;
}

static int op_signal(struct conn *c, json_t *j, struct err *e)
{
	json_int_t pid = json_integer_value(json_object_get(j, "pid"));
	json_int_t sig = json_integer_value(json_object_get(j, "signal"));
	struct session *s =
		pid > 0 && pid <= INT32_MAX ? session_find(c->server, (pid_t)pid) : NULL;
	int r;

	if (sig < 1 || sig > SIGRTMAX)
		return err_set(e, ERR_INVALID, "no such signal");
	if (!s)
		return err_set(e, ERR_NOT_FOUND, "no running program %lld", (long long)pid);
	r = session_signal(s, (int)sig);
	if (r < 0)
		return err_sys(e, -r, "cannot signal program %lld", (long long)pid);
	conn_ok(c);
	return 0;
}

static int op_restored(struct conn *c, json_t *j, struct err *e)
{
	if (restored(j, c->server->random_fd, e) < 0)
		return -1;
	conn_ok(c);
	return 0;
}

static int op_files(struct conn *c, json_t *j, struct err *e)
{
	if (session_check_init(c->server, e) < 0 || files_start(c->fd, &c->in, j, e) < 0)
		return -1;
	conn_free(c); /* it is the child's */
	return 0;
}

static int op_shutdown(struct conn *c, json_t *j, struct err *e)
{
	struct server *s = c->server;
	json_t *grace = json_object_get(j, "grace_ms");
	json_int_t ms = grace ? json_integer_value(grace) : 2000;

	if (grace && (!json_is_integer(grace) || ms < 0 || ms > GRACE_MAX_MS))
		return err_set(e, ERR_INVALID, "malformed message: 'grace_ms' is out of range");
	if (!s->on_shutdown)
		return err_set(e, ERR_UNSUPPORTED, "this agent cannot shut down");
	c->state = CONN_HALT;
	s->halting = true;
	s->on_shutdown(s->ctx, c, (uint64_t)ms * NSEC_PER_MSEC);
	return 0;
}

static void dispatch(struct conn *c, const struct frame *f)
{
	struct err e = {0};
	const char *op;
	json_t *j;
	int r = -1;

	j = message_parse(f->payload, f->len, &e);
	frame_consume(&c->in, f);
	op = j ? json_string_value(json_object_get(j, "op")) : NULL;
	if (!j)
		r = -1;
	else if (!op)
		err_set(&e, ERR_INVALID, "malformed message: 'op' must be a string");
	else if (c->server->halting)
		err_set(&e, ERR_STATE, "the sandbox is shutting down");
	else if (strcmp(op, "exec") == 0)
		r = op_exec(c, j, &e);
	else if (strcmp(op, "signal") == 0)
		r = op_signal(c, j, &e);
	else if (strcmp(op, "shutdown") == 0)
		r = op_shutdown(c, j, &e);
	else if (strcmp(op, "ping") == 0)
		r = op_ping(c);
	else if (files_is_operation(op))
		r = op_files(c, j, &e);
	else if (strcmp(op, "restored") == 0)
		r = op_restored(c, j, &e);
	else
		err_set(&e, ERR_UNSUPPORTED, "the agent knows no operation '%.64s'", op);
	json_decref(j);
	if (r < 0)
		conn_fail(c, &e);
}

/* --- events -------------------------------------------------------------------------------- */

static void conn_input(struct conn *c)
{
	struct frame f;
	int r;

	switch (c->state) {
	case CONN_REQUEST:
		r = frame_peek(&c->in, &f);
		if (r < 0 || (r > 0 && f.type != FRAME_REQUEST))
			conn_drop(c);
		else if (r > 0)
			dispatch(c, &f);
		break;
	case CONN_EXEC:
		if (session_input(c->session) < 0)
			conn_drop(c);
		else
			conn_watch(c);
		break;
	case CONN_HALT:
	case CONN_LINGER:
		buf_consume(&c->in, buf_len(&c->in));
		break;
	}
}

static void on_conn(struct ev *ev, uint32_t events)
{
	struct conn *c = container_of(ev, struct conn, ev);
	uint8_t *p;
	ssize_t n;

	/* Nobody is at the other end, even if we are not reading at the moment. */
	if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) && c->hold_input) {
		conn_drop(c);
		return;
	}
	if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) && !c->hold_input) {
		p = buf_reserve(&c->in, MIN(READ_CHUNK, buf_room(&c->in)));
		n = p ? recv(c->fd, p, MIN(READ_CHUNK, buf_room(&c->in)), MSG_DONTWAIT) : -1;
		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
			conn_drop(c);
			return;
		}
		if (n > 0) {
			buf_commit(&c->in, (size_t)n);
			conn_input(c);
			return; /* it may be gone; what is writable is reported again */
		}
	}
	if (events & EPOLLOUT)
		conn_flush(c);
}

static int conn_new(struct server *s, int fd, struct conn **ret)
{
	struct conn *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return -ENOMEM;
	c->server = s;
	c->fd = c->ev.fd = fd;
	c->ev.fn = on_conn;
	c->linger.fn = on_linger;
	buf_init(&c->in, FRAME_HEADER_LEN + FRAME_PAYLOAD_MAX);
	buf_init(&c->out, OUT_MAX);
	r = loop_add(s->loop, &c->ev, EPOLLIN);
	if (r < 0) {
		free(c);
		return r;
	}
	c->next = s->conns;
	s->conns = c;
	s->n_conns++;
	*ret = c;
	return 0;
}

int server_add(struct server *s, int fd)
{
	struct conn *c;
	struct err e;
	int r = conn_new(s, fd, &c);

	if (r < 0) {
		close(fd);
		return r;
	}
	if (s->n_conns > CONNECTIONS_MAX) {
		err_set(&e, ERR_BUSY, "too many operations at once in this sandbox");
		conn_fail(c, &e);
	}
	return 0;
}

static void on_accept(struct ev *ev, uint32_t events)
{
	struct server *s = container_of(ev, struct server, listen_ev);
	struct sockaddr_vm peer = {0};
	socklen_t len = sizeof(peer);
	int fd =
		accept4(s->listen_fd, (struct sockaddr *)&peer, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return;
	/* Guest programs have no business here: only the host gives orders. */
	if (peer.svm_family != AF_VSOCK || peer.svm_cid != VMADDR_CID_HOST)
		close(fd);
	else
		server_add(s, fd);
}

/* --- children ------------------------------------------------------------------------------ */

void server_reap(struct server *s)
{
	for (;;) {
		struct session *session;
		siginfo_t si = {0};
		int status = 0;

		/* Looked at first: a process keeps its number, and its group's, until collected. */
		if (waitid(P_ALL, 0, &si, WEXITED | WNOHANG | WNOWAIT) < 0) {
			if (errno == ECHILD && s->on_childless)
				s->on_childless(s->ctx);
			return;
		}
		if (si.si_pid == 0)
			return;
		session = session_find(s, si.si_pid);
		if (session)
			session_leader_ended(session);
		if (waitpid(si.si_pid, &status, WNOHANG) == si.si_pid && session)
			session_collected(session, status);
	}
}

/* --- life ---------------------------------------------------------------------------------- */

void server_init(struct server *s, struct loop *l, const struct boot_config *config)
{
	*s = (struct server){
		.loop = l,
		.config = config,
		.devpts = -1,
		.random_fd = -1,
		.listen_fd = -1,
	};
}

void server_release(struct server *s)
{
	while (s->sessions)
		session_free(s->sessions);
	while (s->conns)
		conn_free(s->conns);
	loop_del(s->loop, &s->listen_ev);
	close_fd(&s->listen_fd);
}

int server_listen(struct server *s, int fd)
{
	s->listen_fd = s->listen_ev.fd = fd;
	s->listen_ev.fn = on_accept;
	return loop_add(s->loop, &s->listen_ev, EPOLLIN);
}
