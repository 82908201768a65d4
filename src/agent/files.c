/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/files.h"

#include "base/clock.h"
#include "base/io.h"
#include "proto/tree_receive.h"
#include "proto/tree_send.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/close_range.h>

#define OP_READ    "fs.read"
#define OP_WRITE   "fs.write"
#define READ_CHUNK ((size_t)128 << 10)
/* Where the child has its connection. */
#define CONN_FD (STDERR_FILENO + 1)

/* Either request; the other one is empty. */
struct operation {
	bool is_write;
	struct fs_read_request read;
	struct fs_write_request write;
};

bool files_is_operation(const char *op)
{
	return strcmp(op, OP_READ) == 0 || strcmp(op, OP_WRITE) == 0;
}

/* --- the child ----------------------------------------------------------------------------- */

/* At a shutdown: what waits for the connection fails and cleans up. */
static void on_term(int sig)
{
	shutdown(CONN_FD, SHUT_RDWR);
}

static void skipped(struct tree_out *out, const char *path, const char *kind)
{
	tree_out_event(out, FRAME_EVENT, tree_skipped_to_json(path, kind));
}

/* Leaves the result to be sent. 0, or -1 when the client is gone. */
static int serve_read(const struct fs_read_request *r, struct tree_out *out)
{
	struct err e = {0};

	out->owners = true;
	out->skipped = skipped;
	if (tree_send(out, r->path, r->follow, &e) < 0)
		return out->broken ? -1 : tree_out_event(out, FRAME_RESULT, message_error(&e));
	return tree_out_event(out, FRAME_RESULT, message_ok());
}

/* 1, or 0 at the end of the stream, which here always is too early, or -1 for garbage. */
static int next_frame(struct buf *in, struct frame *ret)
{
	int r;

	while ((r = frame_peek(in, ret)) == 0) {
		size_t room = MIN(buf_room(in), READ_CHUNK);
		uint8_t *p = buf_reserve(in, room);
		ssize_t n = p ? read(CONN_FD, p, room) : 0;

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return 0;
		buf_commit(in, (size_t)n);
	}
	return r;
}

static int serve_write(const struct fs_write_request *r, struct buf *in, struct tree_out *out)
{
	static struct tree_in tree;
	const struct tree_place place = {
		.path = r->path,
		.name = r->name,
		.source = r->source,
		.owners = r->owners,
	};
	struct err e = {0};
	struct frame f;
	int done = 0, got = 1;

	tree_in_init(&tree, &place);
	while (done == 0 && (got = next_frame(in, &f)) > 0) {
		done = tree_in_frame(&tree, &f, &e);
		frame_consume(in, &f);
	}
	tree_in_release(&tree);
	if (got <= 0)
		return -1;
	return tree_out_event(out, FRAME_RESULT, done > 0 ? message_ok() : message_error(&e));
}

/*
 * Until the client closes, or for a while. A client that still sends is let do so, as it looks for
 * the result only then.
 */
static void linger(void)
{
	struct pollfd p = {.fd = CONN_FD, .events = POLLIN};
	uint64_t deadline = clock_mono_ns() + LINGER_NS;
	static char drop[READ_CHUNK];

	shutdown(CONN_FD, SHUT_WR);
	for (;;) {
		uint64_t now = clock_mono_ns();

		if (now >= deadline ||
		    poll(&p, 1, (int)((deadline - now) / NSEC_PER_MSEC) + 1) <= 0)
			return;
		if (read(CONN_FD, drop, sizeof(drop)) <= 0)
			return;
	}
}

static _Noreturn void child(int fd, struct buf *in, const struct operation *op)
{
	struct tree_out out;
	sigset_t none;
	int r;

	if (fd != CONN_FD && dup2(fd, CONN_FD) < 0)
		_exit(1);
	/* Programs wait for the ends of the agent's pipes among them to be closed. */
	close_range(CONN_FD + 1, ~0U, 0);
	fd_set_nonblock(CONN_FD, false);
	sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
	sigaction(SIGTERM, &(struct sigaction){.sa_handler = on_term}, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	umask(0);
	tree_out_init(&out, CONN_FD);
	r = op->is_write ? serve_write(&op->write, in, &out) : serve_read(&op->read, &out);
	if (r == 0 && tree_out_flush(&out) == 0)
		linger();
	_exit(0);
}

/* --- the first process --------------------------------------------------------------------- */

static int parse(json_t *j, struct operation *ret, struct err *e)
{
	*ret = (struct operation){
		.is_write = str_eq(json_string_value(json_object_get(j, "op")), OP_WRITE)};
	return ret->is_write ? fs_write_request_from_json(j, &ret->write, e)
			     : fs_read_request_from_json(j, &ret->read, e);
}

int files_start(int fd, struct buf *in, json_t *request, struct err *e)
{
	struct operation op;
	pid_t pid;

	if (parse(request, &op, e) < 0)
		return -1;
	pid = _Fork();
	if (pid == 0)
		child(fd, in, &op);
	if (pid < 0)
		err_sys(e, errno, "cannot serve the request");
	fs_read_request_release(&op.read);
	fs_write_request_release(&op.write);
	return pid < 0 ? -1 : 0;
}
