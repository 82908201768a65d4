/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/exec_client.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/loop.h"

#include <endian.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <termios.h>

/* Read standard input only while less than this waits to be sent. */
#define OUT_BUFFERED_MAX ((size_t)256 << 10)

struct client {
	const struct exec_client *x;
	struct detach_keys keys;
	struct loop *loop;
	int fd;
	struct ev sock, in, sig;
	struct buf from, to;
	bool stdin_open;
	bool stdin_is_file; /* epoll does not take regular files: always readable */
	bool tty;           /* the program is on one */
	bool raw;           /* so is the user, whose keys are passed on */
	bool done;
	int signals;
	uint64_t session; /* 0: not told yet */
	struct exec_outcome *ret;
	struct err *err;
	bool failed;
};

/* --- terminal ------------------------------------------------------------------------------ */

static struct termios saved_termios;
static bool termios_changed;

static void terminal_restore(void)
{
	if (termios_changed)
		tcsetattr(STDIN_FILENO, TCSADRAIN, &saved_termios);
	termios_changed = false;
}

static bool terminal_raw(void)
{
	struct termios raw;

	if (tcgetattr(STDIN_FILENO, &saved_termios) < 0)
		return false;
	raw = saved_termios;
	cfmakeraw(&raw);
	if (tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) < 0)
		return false;
	if (!termios_changed)
		atexit(terminal_restore);
	termios_changed = true;
	return true;
}

bool exec_client_window(uint16_t *rows, uint16_t *cols)
{
	struct winsize ws;

	if (ioctl(STDIN_FILENO, TIOCGWINSZ, &ws) < 0 && ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws) < 0)
		return false;
	if (!ws.ws_row || !ws.ws_col)
		return false;
	*rows = ws.ws_row;
	*cols = ws.ws_col;
	return true;
}

void exec_client_prepare(struct exec_request *request, bool force_tty)
{
	request->has_stdin = true;
	request->tty = force_tty || (isatty(STDIN_FILENO) && isatty(STDOUT_FILENO));
	if (request->tty)
		exec_client_window(&request->rows, &request->cols);
}

/* --- events -------------------------------------------------------------------------------- */

static void finish(struct client *c)
{
	c->done = true;
	loop_stop(c->loop);
}

static void fail(struct client *c)
{
	c->failed = true;
	finish(c);
}

static void update_events(struct client *c)
{
	bool room = buf_len(&c->to) < OUT_BUFFERED_MAX;

	loop_mod(c->loop, &c->sock, EPOLLIN | (buf_len(&c->to) ? EPOLLOUT : 0));
	if (!c->stdin_is_file)
		loop_mod(c->loop, &c->in, c->stdin_open && room ? EPOLLIN : 0);
}

static void flush(struct client *c)
{
	while (buf_len(&c->to)) {
		ssize_t n =
			send(c->fd, buf_data(&c->to), buf_len(&c->to), MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN) /* the reason comes by reading */
			buf_consume(&c->to, buf_len(&c->to));
		if (n < 0)
			break;
		buf_consume(&c->to, (size_t)n);
	}
}

/* The user typed the keys for it. What does not work leaves everything as it is. */
static void detach(struct client *c)
{
	struct err e = {0};

	flush(c); /* what was typed before is for the program */
	if (c->x->detach(c->x->ctx, c->session, &e) == 0) {
		c->ret->detached = c->session;
		finish(c);
	} else {
		terminal_restore();
		err_print(&e);
		terminal_raw();
	}
}

static void typed(struct client *c, const uint8_t *data, size_t n)
{
	static uint8_t left[FRAME_DATA_CHUNK + DETACH_KEYS_MAX];
	bool leave;

	n = detach_keys_filter(&c->keys, data, n, left, &leave);
	for (size_t at = 0; at < n; at += FRAME_DATA_CHUNK)
		frame_append(&c->to, FRAME_STDIN, 0, left + at, MIN(n - at, FRAME_DATA_CHUNK));
	if (leave && c->session)
		detach(c);
}

static void read_stdin(struct client *c)
{
	static uint8_t data[FRAME_DATA_CHUNK];
	ssize_t n = read(STDIN_FILENO, data, sizeof(data));

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n > 0 && c->raw) {
		typed(c, data, (size_t)n);
	} else if (n > 0) {
		frame_append(&c->to, FRAME_STDIN, 0, data, (size_t)n);
	} else {
		/* Others may attach to the program after us, and have input for it. */
		if (c->x->request)
			frame_append(&c->to, FRAME_STDIN, FRAME_EOF, NULL, 0);
		c->stdin_open = false;
		loop_del(c->loop, &c->in);
	}
}

static void on_stdin(struct ev *ev, uint32_t events)
{
	struct client *c = container_of(ev, struct client, in);

	read_stdin(c);
	if (c->done)
		return;
	flush(c);
	update_events(c);
}

/* Sends what a regular file has to give as far as there is room. */
static void pump_file(struct client *c)
{
	while (c->stdin_is_file && c->stdin_open && buf_len(&c->to) < OUT_BUFFERED_MAX) {
		read_stdin(c);
		flush(c);
	}
	update_events(c);
}

static void send_signal(struct client *c, uint32_t number)
{
	uint32_t le = htole32(number);

	frame_append(&c->to, FRAME_SIGNAL, 0, &le, sizeof(le));
}

static void send_size(struct client *c, uint16_t rows, uint16_t cols)
{
	const uint16_t size[2] = {htole16(rows), htole16(cols)};

	frame_append(&c->to, FRAME_RESIZE, 0, size, sizeof(size));
}

static void on_signal(struct ev *ev, uint32_t events)
{
	struct client *c = container_of(ev, struct client, sig);
	struct signalfd_siginfo si;

	if (read(ev->fd, &si, sizeof(si)) != sizeof(si))
		return;
	if (si.ssi_signo == SIGWINCH) {
		uint16_t rows, cols;

		if (!c->tty || !exec_client_window(&rows, &cols))
			return;
		send_size(c, rows, cols);
	} else if (!c->ret->started || ++c->signals > 1) {
		err_set(c->err, ERR_CANCELLED, "interrupted");
		fail(c);
		return;
	} else {
		send_signal(c, si.ssi_signo);
	}
	flush(c);
	update_events(c);
}

static void handle_result(struct client *c, const struct frame *f)
{
	json_t *j = message_parse(f->payload, f->len, c->err);

	if (!j || exec_result_from_json(j, &c->ret->result, c->err) < 0)
		fail(c);
	else
		finish(c);
	json_decref(j);
}

static void handle_output(struct client *c, int fd, const struct frame *f)
{
	int r = write_full(fd, f->payload, f->len);

	if (r == -EPIPE) {
		c->ret->result =
			(struct exec_result){.exit_code = 128 + SIGPIPE, .signal = SIGPIPE};
		finish(c);
	} else if (r < 0) {
		err_sys(c->err, -r, "cannot write to standard %s",
			fd == STDOUT_FILENO ? "output" : "error");
		fail(c);
	}
}

static int watch_stdin(struct client *c)
{
	int r;

	c->stdin_open = true;
	c->in = (struct ev){.fd = STDIN_FILENO, .fn = on_stdin};
	r = loop_add(c->loop, &c->in, EPOLLIN);
	if (r == -EPERM) {
		c->stdin_is_file = true;
		return 0;
	}
	return r;
}

/* We are in the middle of a session that somebody started. */
static void attached(struct client *c)
{
	uint16_t rows, cols;
	int r;

	c->ret->started = clock_mono_ns();
	c->raw = c->tty && isatty(STDIN_FILENO) && terminal_raw();
	if (c->tty && exec_client_window(&rows, &cols)) {
		/* A program draws its screen anew when the size changes, so it is made to change.
		 */
		send_size(c, rows, (uint16_t)(cols > 1 ? cols - 1 : 2));
		send_size(c, rows, cols);
	}
	r = watch_stdin(c);
	if (r < 0) {
		err_sys(c->err, -r, "cannot read standard input");
		fail(c);
	}
}

static void handle_event(struct client *c, const struct frame *f)
{
	json_t *j = message_parse(f->payload, f->len, c->err);
	const char *event = json_string_value(json_object_get(j, "event"));

	if (!j) {
		fail(c);
	} else if (event && str_eq(event, "started")) {
		c->ret->started = clock_mono_ns();
	} else if (event && (str_eq(event, "session") || str_eq(event, "attached"))) {
		c->session = (uint64_t)json_integer_value(json_object_get(j, "id"));
		if (str_eq(event, "attached") && !c->ret->started) {
			c->tty = json_is_true(json_object_get(j, "tty"));
			attached(c);
		}
	}
	json_decref(j);
}

static void handle_frame(struct client *c, const struct frame *f)
{
	switch (f->type) {
	case FRAME_STDOUT:
		handle_output(c, STDOUT_FILENO, f);
		break;
	case FRAME_STDERR:
		handle_output(c, STDERR_FILENO, f);
		break;
	case FRAME_EVENT:
		handle_event(c, f);
		break;
	case FRAME_RESULT:
		handle_result(c, f);
		break;
	default:
		break; /* later versions may send more */
	}
}

static void on_socket(struct ev *ev, uint32_t events)
{
	struct client *c = container_of(ev, struct client, sock);
	struct frame f;
	uint8_t *p;
	ssize_t n;
	int r = 0;

	if (events & EPOLLOUT)
		flush(c);
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
		p = buf_reserve(&c->from, FRAME_DATA_CHUNK);
		n = p ? recv(c->fd, p, FRAME_DATA_CHUNK, MSG_DONTWAIT) : 0;
		if (n > 0)
			buf_commit(&c->from, (size_t)n);
		while (!c->done && (r = frame_peek(&c->from, &f)) > 0) {
			handle_frame(c, &f);
			frame_consume(&c->from, &f);
		}
		if (!c->done && (r < 0 || n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))) {
			err_set(c->err, ERR_STATE, "the sandbox went away");
			fail(c);
		}
	}
	if (!c->done)
		pump_file(c);
}

/* --- set-up -------------------------------------------------------------------------------- */

static int watch_signals(struct client *c, sigset_t *old)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGWINCH);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, old);
	c->sig = (struct ev){.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK), .fn = on_signal};
	return c->sig.fd < 0 ? -errno : loop_add(c->loop, &c->sig, EPOLLIN);
}

static json_t *request_json(const struct exec_client *x)
{
	if (x->request)
		return exec_request_to_json(x->request);
	return json_pack("{s:s, s:I}", "op", "attach", "session", (json_int_t)x->session);
}

static int start(struct client *c, sigset_t *old)
{
	const struct exec_request *request = c->x->request;
	json_t *j = request_json(c->x);
	int r = j ? message_append(&c->to, FRAME_REQUEST, j) : -EINVAL;

	json_decref(j);
	if (r == -EMSGSIZE || r == -ENOBUFS)
		return err_set(c->err, ERR_INVALID, "the command line is too long");
	if (r == -EINVAL)
		return err_set(c->err, ERR_INVALID,
			       "arguments and environment must be valid UTF-8");
	c->sock = (struct ev){.fd = c->fd, .fn = on_socket};
	if (r == 0)
		r = loop_add(c->loop, &c->sock, EPOLLIN);
	if (r == 0)
		r = watch_signals(c, old);
	if (r == 0 && request && request->has_stdin)
		r = watch_stdin(c);
	if (r < 0)
		return err_sys(c->err, -r, "cannot start the session");
	c->tty = request && request->tty;
	c->raw = c->tty && isatty(STDIN_FILENO) && terminal_raw();
	return 0;
}

int exec_client_run(const struct exec_client *x, struct exec_outcome *ret, struct err *e)
{
	struct client c = {
		.x = x,
		.keys = *x->keys,
		.loop = loop_new(),
		.fd = x->fd,
		.sig.fd = -1,
		.ret = ret,
		.err = e,
	};
	void (*old_pipe)(int) = signal(SIGPIPE, SIG_IGN);
	sigset_t old;
	int r;

	*ret = (struct exec_outcome){.asked = clock_mono_ns()};
	sigprocmask(SIG_SETMASK, NULL, &old);
	buf_init(&c.from, FRAME_HEADER_LEN + FRAME_PAYLOAD_MAX + FRAME_DATA_CHUNK);
	buf_init(&c.to, FRAME_HEADER_LEN + FRAME_PAYLOAD_MAX + OUT_BUFFERED_MAX);
	r = c.loop ? start(&c, &old) : err_sys(e, errno, "cannot start the session");
	if (r == 0) {
		flush(&c);
		pump_file(&c);
		loop_run(c.loop);
		terminal_restore();
		r = c.failed ? -1 : 0;
	}
	close(x->fd);
	close_fd(&c.sig.fd);
	sigprocmask(SIG_SETMASK, &old, NULL);
	signal(SIGPIPE, old_pipe);
	buf_release(&c.from);
	buf_release(&c.to);
	loop_free(c.loop);
	return r;
}
