/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/session.h"

#include "agent/launch.h"
#include "agent/reply.h"
#include "base/cleanup.h"
#include "base/clock.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#define DEFAULT_ROWS 24
#define DEFAULT_COLS 80
/* What a terminal takes for the end of its input. */
#define TTY_EOF '\4'

/* Standard output, standard error, or a terminal's output. */
struct stream {
	struct session *session;
	int fd; /* -1: at its end */
	struct ev ev;
	uint8_t type;
	bool paused;
	size_t owed; /* bytes that were in the pipe when the program ended */
};

struct session {
	struct server *server;
	struct session *next;
	struct conn *conn; /* NULL: the peer is gone */
	pid_t pid;
	bool tty;
	bool is_init;   /* of the sandbox; nobody need be connected */
	bool started;   /* the program runs, or ran */
	bool ended;     /* and was collected */
	bool hung_up;   /* nobody waits for it any longer */
	bool timed_out; /* and was killed for it */
	int status;
	uint64_t forked_ns, started_ns, ended_ns; /* CLOCK_MONOTONIC */
	int report;
	struct ev report_ev;
	int in; /* -1: closed */
	struct ev in_ev;
	size_t in_done; /* bytes of the first buffered frame that were passed on */
	struct stream streams[2];
	struct timer timeout;    /* of the program, or from the hang-up to the kill */
	struct timer quiet;      /* an ended program's streams are silent; a terminal is closed */
	uint64_t drain_deadline; /* 0: the program's own output is not through yet */
};

static void session_progress(struct session *s);

/* --- life ---------------------------------------------------------------------------------- */

static void stream_close(struct stream *st)
{
	loop_del(st->session->server->loop, &st->ev);
	close_fd(&st->fd);
	st->owed = 0;
}

static void input_close(struct session *s)
{
	loop_del(s->server->loop, &s->in_ev);
	close_fd(&s->in);
}

static void close_streams(struct session *s)
{
	input_close(s);
	for (size_t i = 0; i < ARRAY_SIZE(s->streams); i++)
		stream_close(&s->streams[i]);
}

void session_free(struct session *s)
{
	struct session **p = &s->server->sessions;

	while (*p != s)
		p = &(*p)->next;
	*p = s->next;
	s->server->n_sessions--;
	if (s->server->init == s)
		s->server->init = NULL;
	if (s->conn)
		s->conn->session = NULL;
	close_streams(s);
	loop_del(s->server->loop, &s->report_ev);
	close_fd(&s->report);
	timer_cancel(s->server->loop, &s->timeout);
	timer_cancel(s->server->loop, &s->quiet);
	free(s);
}

struct session *session_find(const struct server *server, pid_t pid)
{
	struct session *s = server->sessions;

	while (s && (s->pid != pid || s->ended))
		s = s->next;
	return s;
}

/* --- signals ------------------------------------------------------------------------------- */

static void kill_group(struct session *s, int sig)
{
	if (s->ended)
		return;
	/* It is not the leader of a group yet when it has not come as far as setsid. */
	if (kill(-s->pid, sig) < 0)
		kill(s->pid, sig);
}

int session_signal(struct session *s, int sig)
{
	pid_t foreground = -1;

	if (s->ended)
		return -ESRCH;
	if (s->tty && s->streams[0].fd >= 0)
		foreground = tcgetpgrp(s->streams[0].fd);
	if (foreground > 1 && kill(-foreground, sig) == 0)
		return 0;
	kill_group(s, sig);
	return 0;
}

void session_hangup_terminals(struct server *server)
{
	for (struct session *s = server->sessions; s; s = s->next)
		if (s->tty)
			kill_group(s, SIGHUP);
}

static void on_timeout(struct timer *t)
{
	struct session *s = container_of(t, struct session, timeout);

	if (!s->hung_up)
		s->timed_out = true;
	kill_group(s, SIGKILL);
}

/* The init outlives its connections; what it prints waits for the next one. */
static void leave_init(struct session *s)
{
	struct loop *l = s->server->loop;

	timer_cancel(l, &s->timeout);
	timer_cancel(l, &s->quiet);
	loop_del(l, &s->in_ev);
	s->in_done = 0;
	for (size_t i = 0; i < ARRAY_SIZE(s->streams); i++)
		loop_del(l, &s->streams[i].ev);
}

void session_hangup(struct session *s)
{
	s->conn->session = NULL;
	s->conn = NULL;
	if (s->is_init && !s->ended) {
		leave_init(s);
		return;
	}
	s->hung_up = true;
	if (s->ended) {
		session_free(s);
		return;
	}
	close_streams(s);
	kill_group(s, SIGHUP);
	kill_group(s, SIGCONT);
	timer_set(s->server->loop, &s->timeout, clock_mono_ns() + SESSION_HANGUP_NS);
}

void session_leader_ended(struct session *s)
{
	/* Who survived the hang-up does not survive its leader. */
	if (s->hung_up || s->timed_out)
		kill_group(s, SIGKILL);
}

/* --- output -------------------------------------------------------------------------------- */

static void stream_pause(struct stream *st)
{
	/* Not merely masked: a pipe whose writers are gone reports that for ever. */
	loop_del(st->session->server->loop, &st->ev);
	st->paused = true;
}

static void on_stream(struct ev *ev, uint32_t events)
{
	struct stream *st = container_of(ev, struct stream, ev);
	struct session *s = st->session;
	struct buf *out = &s->conn->out;
	uint8_t *p;
	ssize_t n;

	if (buf_len(out) >= CONN_OUT_HIGH) {
		stream_pause(st);
		return;
	}
	/* Straight into the connection's buffer, behind room for the header. */
	p = buf_reserve(out, FRAME_HEADER_LEN + FRAME_DATA_CHUNK);
	if (!p) {
		stream_pause(st);
		return;
	}
	n = read(st->fd, p + FRAME_HEADER_LEN, FRAME_DATA_CHUNK);
	if (n < 0 && (errno == EINTR || errno == EAGAIN)) {
		st->owed = 0;
		session_progress(s);
		return;
	}
	/*
	 * A terminal that nobody has open reads as EIO. Its program may open it again, and would
	 * be hung up on if we closed our side, so as long as it lives we only look again later.
	 */
	if (n <= 0 && s->tty && !s->ended) {
		stream_pause(st);
		timer_set(s->server->loop, &s->quiet, clock_mono_ns() + SESSION_QUIET_NS);
		return;
	}
	if (n <= 0) {
		stream_close(st);
		session_progress(s);
		return;
	}
	frame_header_encode(p, st->type, 0, (uint32_t)n);
	buf_commit(out, FRAME_HEADER_LEN + (size_t)n);
	st->owed -= MIN(st->owed, (size_t)n);
	if (s->quiet.active)
		timer_cancel(s->server->loop, &s->quiet);
	if (s->ended && st->owed == 0) {
		session_progress(s);
		return;
	}
	conn_flush(s->conn);
}

void session_resume(struct session *s)
{
	for (size_t i = 0; i < ARRAY_SIZE(s->streams); i++) {
		struct stream *st = &s->streams[i];

		if (st->paused && st->fd >= 0 && loop_add(s->server->loop, &st->ev, EPOLLIN) == 0)
			st->paused = false;
	}
}

/* Tells the connection that the program runs, and lets its output come. */
static void announce(struct session *s)
{
	struct reply event;

	reply_begin(&event, &s->conn->out, FRAME_EVENT);
	reply_string(&event, "event", "started");
	reply_number(&event, "pid", (uint64_t)s->pid);
	reply_end(&event);
	/* Output is taken only now, so that the event comes first. */
	for (size_t i = 0; i < ARRAY_SIZE(s->streams); i++)
		s->streams[i].paused = s->streams[i].fd >= 0;
}

/* --- the end ------------------------------------------------------------------------------- */

/* What reboot(2) in a PID namespace has its first process killed by. */
static const char *init_wish(int status)
{
	if (!WIFSIGNALED(status))
		return NULL;
	/* Of no other origin: a first process gets signals only if it has handlers for them. */
	return WTERMSIG(status) == SIGINT ? "off" : WTERMSIG(status) == SIGHUP ? "reboot" : NULL;
}

static void session_finish(struct session *s)
{
	struct conn *c = s->conn;
	int status = s->status;
	bool timed_out = s->timed_out;
	const char *wish = s->is_init ? init_wish(status) : NULL;
	uint64_t start_ns = s->started_ns - s->forked_ns, run_ns = s->ended_ns - s->started_ns;
	struct reply r;

	session_free(s);
	if (!c)
		return;
	/* As exec_result_from_json reads it. */
	reply_begin(&r, &c->out, FRAME_RESULT);
	reply_true(&r, "ok");
	if (wish) {
		reply_number(&r, "exit_code", 0);
		reply_string(&r, "wish", wish);
	} else if (WIFSIGNALED(status)) {
		uint64_t sig = (uint64_t)WTERMSIG(status);

		reply_number(&r, "exit_code", 128 + sig);
		reply_number(&r, "signal", sig);
	} else {
		reply_number(&r, "exit_code", (uint64_t)WEXITSTATUS(status));
	}
	if (timed_out)
		reply_true(&r, "timed_out");
	reply_number(&r, "start_ns", start_ns);
	reply_number(&r, "run_ns", run_ns);
	conn_finish(c, &r);
}

static void on_quiet(struct timer *t)
{
	struct session *s = container_of(t, struct session, quiet);

	if (s->ended)
		session_finish(s);
	else
		session_resume(s);
}

/*
 * Moves an ended session towards its result. May free it. Called when a stream had nothing more,
 * when one closed and when the program was collected.
 */
static void session_progress(struct session *s)
{
	bool open = false, owing = false;
	uint64_t now;

	if (!s->ended)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(s->streams); i++) {
		open |= s->streams[i].fd >= 0;
		owing |= s->streams[i].owed > 0;
	}
	if (!open) {
		session_finish(s);
		return;
	}
	if (!owing) {
		now = clock_mono_ns();
		if (!s->drain_deadline)
			s->drain_deadline = now + SESSION_DRAIN_NS;
		if (now >= s->drain_deadline) {
			session_finish(s);
			return;
		}
		timer_set(s->server->loop, &s->quiet,
			  MIN(now + SESSION_QUIET_NS, s->drain_deadline));
	}
	conn_flush(s->conn);
}

/* The start failed: the report is the result, and the child is nobody's. */
static void start_failed(struct session *s, const struct err *e)
{
	struct conn *c = s->conn;

	session_free(s);
	if (c)
		conn_fail(c, e);
}

/* Returns false when the session is gone. */
static bool take_report(struct session *s)
{
	struct err e;
	int r = launch_read_report(s->report, &e);

	if (r == 0)
		return true;
	loop_del(s->server->loop, &s->report_ev);
	close_fd(&s->report);
	if (r < 0) {
		start_failed(s, &e);
		return false;
	}
	s->started = true;
	s->started_ns = clock_mono_ns();
	if (s->conn)
		announce(s);
	return true;
}

static void on_report(struct ev *ev, uint32_t events)
{
	struct session *s = container_of(ev, struct session, report_ev);

	if (take_report(s) && s->conn)
		conn_flush(s->conn);
}

/* The program was collected, and somebody is there to hear of it. Returns whether output is left.
 */
static bool take_stock(struct session *s)
{
	bool owing = false;

	input_close(s);
	for (size_t i = 0; i < ARRAY_SIZE(s->streams); i++) {
		struct stream *st = &s->streams[i];
		int pending = 0;

		/* What the program wrote is in here now; more can only be of its heirs. */
		if (st->fd >= 0 && ioctl(st->fd, FIONREAD, &pending) == 0)
			st->owed = (size_t)MAX(pending, 0);
		owing |= st->owed > 0;
	}
	s->conn->hold_input = false;
	return owing;
}

void session_collected(struct session *s, int status)
{
	if (!s->started && !take_report(s))
		return;
	s->ended = true;
	s->ended_ns = clock_mono_ns();
	s->status = status;
	timer_cancel(s->server->loop, &s->timeout);
	if (s->conn) {
		take_stock(s);
		session_progress(s);
	} else if (!s->is_init || s->server->halting) {
		session_free(s);
	}
}

/* --- input --------------------------------------------------------------------------------- */

/* Passes a stdin frame on. Returns 1 when done with it, 0 when the program does not read. */
static int pass_stdin(struct session *s, const struct frame *f)
{
	while (s->in >= 0 && s->in_done < f->len) {
		ssize_t n = write(s->in, f->payload + s->in_done, f->len - s->in_done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return 0;
		if (n < 0)
			input_close(s); /* the program closed it; the rest is for nobody */
		else
			s->in_done += (size_t)n;
	}
	if ((f->flags & FRAME_EOF) && s->in >= 0) {
		if (s->tty && write(s->in, &(char){TTY_EOF}, 1) < 0 && errno == EAGAIN)
			return 0;
		input_close(s);
	}
	s->in_done = 0;
	return 1;
}

static int take_frame(struct session *s, const struct frame *f)
{
	uint16_t size[2];
	uint32_t sig;

	switch (f->type) {
	case FRAME_STDIN:
		return pass_stdin(s, f);
	case FRAME_RESIZE:
		if (f->len != sizeof(size))
			return -EBADMSG;
		memcpy(size, f->payload, sizeof(size));
		if (s->tty && s->streams[0].fd >= 0)
			ioctl(s->streams[0].fd, TIOCSWINSZ,
			      &(struct winsize){.ws_row = le16toh(size[0]),
						.ws_col = le16toh(size[1])});
		return 1;
	case FRAME_SIGNAL:
		if (f->len != sizeof(sig))
			return -EBADMSG;
		memcpy(&sig, f->payload, sizeof(sig));
		sig = le32toh(sig);
		if (sig < 1 || sig > (uint32_t)SIGRTMAX)
			return -EBADMSG;
		session_signal(s, (int)sig);
		return 1;
	default:
		return -EBADMSG;
	}
}

int session_input(struct session *s)
{
	struct conn *c = s->conn;
	struct frame f;
	int r;

	while ((r = frame_peek(&c->in, &f)) > 0) {
		r = take_frame(s, &f);
		if (r <= 0)
			break;
		frame_consume(&c->in, &f);
		/* The next frame starts anew. */
	}
	if (r < 0)
		return r;
	/* r is 0: either the program does not read, or the next frame is not complete. */
	c->hold_input = s->in >= 0 && frame_peek(&c->in, &f) > 0;
	if (c->hold_input && !s->in_ev.active) {
		r = loop_add(s->server->loop, &s->in_ev, EPOLLOUT);
		if (r < 0)
			return r;
	}
	return 0;
}

static void on_input_room(struct ev *ev, uint32_t events)
{
	struct session *s = container_of(ev, struct session, in_ev);
	struct conn *c = s->conn;

	loop_del(s->server->loop, ev);
	if (session_input(s) < 0)
		s->conn->hold_input = false; /* the next read finds it malformed again */
	conn_flush(c);
}

/* --- the start ----------------------------------------------------------------------------- */

/* Descriptors of both sides of a program's streams; -1 where there is none. */
struct plumbing {
	int in, child_in;
	int out, child_out;
	int err, child_err;
};

static void plumbing_release(struct plumbing *p)
{
	close_fd(&p->in);
	close_fd(&p->child_in);
	close_fd(&p->out);
	close_fd(&p->child_out);
	close_fd(&p->err);
	close_fd(&p->child_err);
}

static int make_pipe(int *read_end, int *write_end)
{
	int p[2];

	if (pipe2(p, O_CLOEXEC) < 0)
		return -errno;
	*read_end = p[0];
	*write_end = p[1];
	return 0;
}

/* Only our end is non-blocking: the flag belongs to the file, which the program shares. */
static int make_pipes(const struct exec_request *r, struct plumbing *p)
{
	int result = make_pipe(&p->out, &p->child_out);

	if (result == 0)
		result = make_pipe(&p->err, &p->child_err);
	if (result == 0 && r->has_stdin)
		result = make_pipe(&p->child_in, &p->in);
	if (result < 0)
		return result;
	if (fcntl(p->out, F_SETFL, O_NONBLOCK) < 0 || fcntl(p->err, F_SETFL, O_NONBLOCK) < 0 ||
	    (p->in >= 0 && fcntl(p->in, F_SETFL, O_NONBLOCK) < 0))
		return -errno;
	return 0;
}

static int make_terminal(const struct server *server, const struct exec_request *r,
			 struct plumbing *p)
{
	struct winsize size = {
		.ws_row = r->rows ? r->rows : DEFAULT_ROWS,
		.ws_col = r->cols ? r->cols : DEFAULT_COLS,
	};
	int flags = O_RDWR | O_NOCTTY | O_CLOEXEC;

	/* By descriptor: what the guest has made of /dev meanwhile does not matter. */
	p->out = server->devpts >= 0 ? openat(server->devpts, "ptmx", flags | O_NONBLOCK)
				     : open("/dev/ptmx", flags | O_NONBLOCK);
	if (p->out < 0 || ioctl(p->out, TIOCSPTLCK, &(int){0}) < 0 ||
	    ioctl(p->out, TIOCSWINSZ, &size) < 0)
		return -errno;
	p->child_in = ioctl(p->out, TIOCGPTPEER, flags);
	if (p->child_in < 0)
		return -errno;
	if (r->has_stdin) {
		/* One more descriptor, to wait for both directions independently. */
		p->in = fcntl(p->out, F_DUPFD_CLOEXEC, 3);
		if (p->in < 0)
			return -errno;
	}
	return 0;
}

static void stream_init(struct session *s, size_t i, int fd, uint8_t type)
{
	s->streams[i] = (struct stream){
		.session = s,
		.fd = fd,
		.ev = {.fd = fd, .fn = on_stream},
		.type = type,
	};
}

/*
 * Starts a program that belongs to no connection yet; whether it could be started is still to be
 * reported. NULL with the error set.
 */
static struct session *session_new(struct server *server, const struct exec_request *r,
				   int (*prepare)(struct err *e), struct err *e)
{
	struct plumbing p = {-1, -1, -1, -1, -1, -1};
	struct session *s;
	struct launch l;
	int result;

	result = r->tty ? make_terminal(server, r, &p) : make_pipes(r, &p);
	if (result < 0) {
		plumbing_release(&p);
		err_sys(e, -result, "cannot make the program's %s", r->tty ? "terminal" : "pipes");
		return NULL;
	}
	s = calloc(1, sizeof(*s));
	if (!s) {
		plumbing_release(&p);
		err_sys(e, ENOMEM, "cannot start the program");
		return NULL;
	}
	l = (struct launch){
		.request = r,
		.config = server->config,
		.prepare = prepare,
		.in = p.child_in,
		.out = p.child_out,
		.err = p.child_err,
	};
	s->report = -1;
	s->forked_ns = clock_mono_ns();
	s->pid = launch_start(&l, &s->report);
	if (s->pid < 0) {
		result = s->pid;
		plumbing_release(&p);
		free(s);
		err_sys(e, -result, "cannot start the program");
		return NULL;
	}
	s->server = server;
	s->tty = r->tty;
	s->in = steal_fd(&p.in);
	s->in_ev = (struct ev){.fd = s->in, .fn = on_input_room};
	stream_init(s, 0, steal_fd(&p.out), FRAME_STDOUT);
	stream_init(s, 1, steal_fd(&p.err), FRAME_STDERR);
	plumbing_release(&p);
	s->report_ev = (struct ev){.fd = s->report, .fn = on_report};
	s->timeout.fn = on_timeout;
	s->quiet.fn = on_quiet;
	s->next = server->sessions;
	server->sessions = s;
	server->n_sessions++;
	return s;
}

static void session_connect(struct session *s, struct conn *c, uint64_t timeout_ms)
{
	if (timeout_ms && !s->ended)
		timer_set(s->server->loop, &s->timeout,
			  clock_mono_ns() + timeout_ms * NSEC_PER_MSEC);
	s->conn = c;
	c->state = CONN_EXEC;
	c->session = s;
}

int session_start(struct conn *c, const struct exec_request *r, struct err *e)
{
	struct server *server = c->server;
	struct session *s;
	int result;

	if (session_check_init(server, e) < 0)
		return -1;
	s = session_new(server, r, NULL, e);
	if (!s)
		return -1;
	result = loop_add(server->loop, &s->report_ev, EPOLLIN);
	if (result < 0) {
		kill_group(s, SIGKILL);
		session_free(s);
		return err_sys(e, -result, "cannot start the program");
	}
	session_connect(s, c, r->timeout_ms);
	return 0;
}

/* --- the init ------------------------------------------------------------------------------ */

int session_start_init(struct server *server, const struct exec_request *r,
		       int (*prepare)(struct err *e), struct err *e)
{
	struct session *s = session_new(server, r, prepare, e);
	struct pollfd report;
	int result;

	if (!s)
		return -1;
	/* The sandbox is not up before it is known whether its init is. */
	report = (struct pollfd){.fd = s->report, .events = POLLIN};
	do
		poll(&report, 1, -1);
	while ((result = launch_read_report(s->report, e)) == 0);
	close_fd(&s->report);
	if (result < 0) {
		session_free(s);
		return -1;
	}
	s->is_init = s->started = true;
	s->started_ns = clock_mono_ns();
	server->init = s;
	return 0;
}

int session_join_init(struct conn *c, const struct exec_request *r, struct err *e)
{
	struct session *s = c->server->init;
	struct winsize size = {.ws_row = r->rows, .ws_col = r->cols};

	if (!s)
		return err_set(e, ERR_STATE, "the sandbox has no init, or it has ended");
	if (s->conn)
		return err_set(e, ERR_BUSY, "somebody else is connected to the sandbox's init");
	session_connect(s, c, r->timeout_ms);
	announce(s);
	/* What it printed before it ended is still to come; then, or if there is nothing, the end.
	 */
	if (s->ended && !take_stock(s))
		timer_set(s->server->loop, &s->quiet, clock_mono_ns());
	if (!s->ended && s->tty && size.ws_row && size.ws_col)
		ioctl(s->streams[0].fd, TIOCSWINSZ, &size);
	return 0;
}

int session_check_init(const struct server *server, struct err *e)
{
	if (server->config->has_init && session_init_pid(server) == 0)
		return err_set(e, ERR_STATE, "the sandbox's init has ended");
	return 0;
}

pid_t session_init_pid(const struct server *server)
{
	return server->init && !server->init->ended ? server->init->pid : 0;
}
