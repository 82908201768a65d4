/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/copy_client.h"

#include "base/cleanup.h"
#include "base/io.h"
#include "cli/cli.h"
#include "proto/tree_send.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_CHUNK ((size_t)128 << 10)

/* --- signals ------------------------------------------------------------------------------- */

/* The connections of the copy that runs; shutting them down wakes whatever waits for them. */
static volatile sig_atomic_t interrupted, open_fds[2] = {-1, -1};

static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};

static void on_signal(int sig)
{
	interrupted = 1;
	for (size_t i = 0; i < ARRAY_SIZE(open_fds); i++)
		if (open_fds[i] >= 0)
			shutdown(open_fds[i], SHUT_RDWR);
}

struct guard {
	struct sigaction old[ARRAY_SIZE(signals)];
};

static void guard_begin(struct guard *g, int a, int b)
{
	const struct sigaction end = {.sa_handler = on_signal}, ignore = {.sa_handler = SIG_IGN};

	interrupted = 0;
	open_fds[0] = a;
	open_fds[1] = b;
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		sigaction(signals[i], signals[i] == SIGPIPE ? &ignore : &end, &g->old[i]);
}

/* Closes the connections. Returns `r`, or -1 for one that was interrupted and failed for it. */
static int guard_end(struct guard *g, int r, struct err *e)
{
	for (size_t i = 0; i < ARRAY_SIZE(open_fds); i++) {
		int fd = open_fds[i];

		open_fds[i] = -1;
		close_fd(&fd);
	}
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		sigaction(signals[i], &g->old[i], NULL);
	return r < 0 && interrupted ? err_set(e, ERR_CANCELLED, "interrupted") : r;
}

/* --- frames -------------------------------------------------------------------------------- */

/* What comes from a sandbox. */
struct source {
	const struct copy_peer *peer;
	struct buf in;
	struct frame last;
};

static void source_init(struct source *s, const struct copy_peer *peer)
{
	*s = (struct source){.peer = peer};
	buf_init(&s->in, FRAME_HEADER_LEN + FRAME_PAYLOAD_MAX + READ_CHUNK);
}

/* The next frame, which is valid until the next call. 0 or -1. */
static int next_frame(struct source *s, struct frame *ret, struct err *e)
{
	int r;

	if (s->last.type)
		frame_consume(&s->in, &s->last);
	s->last.type = 0;
	while ((r = frame_peek(&s->in, ret)) == 0) {
		uint8_t *p = buf_reserve(&s->in, READ_CHUNK);
		ssize_t n = p ? read(s->peer->fd, p, READ_CHUNK) : 0;

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return err_set(e, ERR_STATE, "sandbox '%s' went away", s->peer->sandbox);
		buf_commit(&s->in, (size_t)n);
	}
	if (r < 0)
		return err_set(e, ERR_CORRUPT, "sandbox '%s' sent garbage", s->peer->sandbox);
	s->last = *ret;
	return 0;
}

/* 0 for a result that says ok. */
static int check_result(const struct source *s, const struct frame *f, struct err *e)
{
	json_t *j = message_parse(f->payload, f->len, e);
	int r = j ? message_check(j, e) : -1;

	json_decref(j);
	/* What state it is in says the monitor, which names no files. */
	if (r < 0 && e->code != ERR_STATE)
		err_wrap(e, "sandbox '%s'", s->peer->sandbox);
	return r;
}

/* Waits for the end of a request that nothing more is sent for. */
static int await_result(struct source *s, struct err *e)
{
	struct frame f = {0};

	do {
		if (next_frame(s, &f, e) < 0)
			return -1;
	} while (f.type != FRAME_RESULT);
	return check_result(s, &f, e);
}

/* After the tree. */
static int expect_result(struct source *s, struct err *e)
{
	struct frame f;

	if (next_frame(s, &f, e) < 0)
		return -1;
	if (f.type != FRAME_RESULT)
		return err_set(e, ERR_CORRUPT, "sandbox '%s' sent more than the files",
			       s->peer->sandbox);
	return check_result(s, &f, e);
}

/* A result where there should be more of the tree. */
static int early_result(struct source *s, const struct frame *f, struct err *e)
{
	if (check_result(s, f, e) < 0)
		return -1;
	return err_set(e, ERR_CORRUPT, "sandbox '%s' ended too early", s->peer->sandbox);
}

static int send_request(const struct copy_peer *to, json_t *request, struct err *e)
{
	int r = message_write(to->fd, FRAME_REQUEST, request);

	json_decref(request);
	return r < 0 ? err_sys(e, -r, "cannot talk to sandbox '%s'", to->sandbox) : 0;
}

/* The sandbox takes no more: it has said why, or is gone. */
static int refused(struct source *answer, struct err *e)
{
	if (await_result(answer, e) < 0)
		return -1;
	return err_set(e, ERR_CORRUPT, "sandbox '%s' ended too early", answer->peer->sandbox);
}

static void warn_skipped(const struct tree_skipped *s)
{
	print_warning("skipped '%s': %s", s->path, s->kind);
}

static void warn_skipped_here(struct tree_out *out, const char *path, const char *kind)
{
	print_warning("skipped '%s': %s", path, kind);
}

/* --- copies -------------------------------------------------------------------------------- */

static int receive(struct source *from, struct tree_in *tree, struct err *e)
{
	struct frame f;
	int r = 0;

	while (r == 0) {
		if (next_frame(from, &f, e) < 0)
			return -1;
		r = f.type == FRAME_RESULT ? early_result(from, &f, e) : tree_in_frame(tree, &f, e);
	}
	return r < 0 ? -1 : expect_result(from, e);
}

int copy_to_host(const struct copy_peer *from, const struct fs_read_request *what,
		 const struct tree_place *where, struct err *e)
{
	struct tree_place place = *where;
	struct tree_in *tree = xmalloc(sizeof(*tree));
	struct source in;
	struct guard g;
	int r;

	place.skipped = warn_skipped;
	tree_in_init(tree, &place);
	source_init(&in, from);
	guard_begin(&g, from->fd, -1);
	r = send_request(from, fs_read_request_to_json(what), e);
	if (r == 0)
		r = receive(&in, tree, e);
	tree_in_release(tree);
	free(tree);
	buf_release(&in.in);
	return guard_end(&g, r, e);
}

int copy_from_host(const char *what, bool follow, const struct copy_peer *to,
		   const struct fs_write_request *where, struct err *e)
{
	struct source answer;
	struct tree_out out;
	struct guard g;
	int r;

	source_init(&answer, to);
	tree_out_init(&out, to->fd);
	out.answers = true;
	out.skipped = warn_skipped_here;
	guard_begin(&g, to->fd, -1);
	r = send_request(to, fs_write_request_to_json(where), e);
	if (r == 0 && tree_send(&out, what, follow, e) < 0)
		r = out.broken ? refused(&answer, e) : -1;
	else if (r == 0)
		r = await_result(&answer, e);
	tree_out_release(&out);
	buf_release(&answer.in);
	return guard_end(&g, r, e);
}

/* Warns, and returns true, of an event that is for people. */
static bool is_for_people(const struct frame *f, struct err *e)
{
	json_t *j = f->type == FRAME_EVENT ? message_parse(f->payload, f->len, e) : NULL;
	bool skipped = j && tree_event_of(j) == TREE_SKIPPED;
	struct tree_skipped s;

	if (skipped && tree_skipped_from_json(j, &s, e) == 0) {
		warn_skipped(&s);
		tree_skipped_release(&s);
	}
	json_decref(j);
	return skipped;
}

static int pass_on(struct source *from, struct tree_out *out, struct source *answer, struct err *e)
{
	struct frame f;
	json_t *end;

	for (;;) {
		if (next_frame(from, &f, e) < 0)
			return -1;
		if (f.type == FRAME_RESULT)
			break;
		if (f.type != FRAME_EVENT && f.type != FRAME_DATA)
			return err_set(e, ERR_CORRUPT, "sandbox '%s' sent a %s frame",
				       from->peer->sandbox, frame_type_name(f.type));
		if (!is_for_people(&f, e) && tree_out_pass(out, &f) < 0)
			return refused(answer, e);
	}
	if (check_result(from, &f, e) < 0)
		return -1;
	if (tree_out_flush(out) < 0)
		return refused(answer, e);
	/* Else one that has not got all of a tree would wait for the rest. It may be gone by now.
	 */
	end = tree_end_to_json();
	message_write(answer->peer->fd, FRAME_EVENT, end);
	json_decref(end);
	return await_result(answer, e);
}

int copy_between(const struct copy_peer *from, const struct fs_read_request *what,
		 const struct copy_peer *to, const struct fs_write_request *where, struct err *e)
{
	struct source in, answer;
	struct tree_out out;
	struct guard g;
	int r;

	source_init(&in, from);
	source_init(&answer, to);
	tree_out_init(&out, to->fd);
	out.answers = true;
	guard_begin(&g, from->fd, to->fd);
	r = send_request(from, fs_read_request_to_json(what), e);
	if (r == 0)
		r = send_request(to, fs_write_request_to_json(where), e);
	if (r == 0)
		r = pass_on(&in, &out, &answer, e);
	tree_out_release(&out);
	buf_release(&in.in);
	buf_release(&answer.in);
	return guard_end(&g, r, e);
}
