/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Questions over TCP (RFC 7766): the far end of a guest's connection to port 53. Messages are cut
 * as the guest likes; each comes after its length. Answers go out in the order in which they are
 * there.
 */
#include "net/resolver_internal.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/util.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define IDLE_MAX  (10 * NSEC_PER_SEC)
#define ASKED_MAX 64 /* questions of one connection that wait for their answers */
#define OUT_MAX   ((size_t)4 * (2 + DNS_MESSAGE_MAX))

struct resolver_tcp {
	struct stream stream;
	struct resolver *r;
	LIST_ENTRY(resolver_tcp) link;
	uint64_t number; /* by which its answers find it, or do not when it is gone */
	struct buf in, out;
	unsigned int asked;
	bool shut; /* the guest asks no more */
	bool opened;
	struct deferred telling; /* the user: that it is open, readable, writable */
	bool tell_writable, tell_readable;
	struct timer idle;
};

static struct resolver_tcp *self(struct stream *s)
{
	return container_of(s, struct resolver_tcp, stream);
}

static void used(struct resolver_tcp *t)
{
	timer_set(t->r->loop, &t->idle, clock_mono_ns() + IDLE_MAX);
}

static void on_answer(void *ctx, const void *token, const uint8_t *msg, size_t len)
{
	struct resolver *r = ctx;
	const uint8_t head[2] = {(uint8_t)(len >> 8), (uint8_t)len};
	struct resolver_tcp *t;
	uint64_t number;

	memcpy(&number, token, sizeof(number));
	LIST_FOREACH(t, &r->streams, link)
	if (t->number == number)
		break;
	if (!t)
		return;
	t->asked--;
	/* There is room for every question that was taken. */
	buf_append(&t->out, head, sizeof(head));
	buf_append(&t->out, msg, len);
	t->tell_readable = true;
	used(t);
	loop_defer(r->loop, &t->telling);
}

static bool can_ask(const struct resolver_tcp *t)
{
	return t->asked < ASKED_MAX &&
	       buf_room(&t->out) >= (size_t)(t->asked + 1) * (2 + DNS_MESSAGE_MAX);
}

/* Is there a whole question? */
static bool has_question(const struct resolver_tcp *t)
{
	const uint8_t *p = buf_data(&t->in);

	return buf_len(&t->in) >= 2 && buf_len(&t->in) >= 2 + (size_t)(p[0] << 8 | p[1]);
}

/* Asks what is there. 0, or -EPROTO: what is there is no question. */
static int take_questions(struct resolver_tcp *t)
{
	while (can_ask(t) && has_question(t)) {
		const uint8_t *p = buf_data(&t->in);
		size_t len = (size_t)(p[0] << 8 | p[1]);

		t->asked++;
		if (resolver_ask(t->r, p + 2, len, true, &t->number, sizeof(t->number), on_answer,
				 t->r) < 0)
			return -EPROTO;
		buf_consume(&t->in, 2 + len);
	}
	return 0;
}

static ssize_t tcp_write(struct stream *s, const struct iovec *iov, int n)
{
	struct resolver_tcp *t = self(s);
	ssize_t done;

	used(t);
	done = buf_append_pieces(&t->in, iov, n);
	if (done < 0)
		return done;
	return take_questions(t) < 0 ? -EPROTO : done;
}

static void tcp_shut(struct stream *s)
{
	struct resolver_tcp *t = self(s);

	t->shut = true;
	t->tell_readable = true;
	loop_defer(t->r->loop, &t->telling);
}

static ssize_t tcp_read(struct stream *s, const struct iovec *iov, int n)
{
	struct resolver_tcp *t = self(s);
	ssize_t done = 0;

	for (int i = 0; i < n && buf_len(&t->out); i++) {
		size_t len = MIN(iov[i].iov_len, buf_len(&t->out));

		memcpy(iov[i].iov_base, buf_data(&t->out), len);
		buf_consume(&t->out, len);
		done += (ssize_t)len;
	}
	if (done == 0)
		return t->shut && t->asked == 0 && !has_question(t) ? 0 : -EAGAIN;
	/* With room for answers there is room for questions. */
	if (buf_len(&t->in)) {
		t->tell_writable = true;
		loop_defer(t->r->loop, &t->telling);
	}
	return done;
}

static void tcp_close(struct stream *s, bool reset)
{
	struct resolver_tcp *t = self(s);

	LIST_REMOVE(t, link);
	timer_cancel(t->r->loop, &t->idle);
	loop_undefer(t->r->loop, &t->telling);
	buf_release(&t->in);
	buf_release(&t->out);
	free(t);
}

static const struct stream_ops ops = {tcp_write, tcp_shut, tcp_read, tcp_close};

/* One thing at a time, because each may end the stream. */
static void on_telling(struct deferred *d)
{
	struct resolver_tcp *t = container_of(d, struct resolver_tcp, telling);
	const struct stream_user_ops *user = t->stream.user;

	if (!t->opened) {
		t->opened = true;
		if (t->tell_readable || t->tell_writable)
			loop_defer(t->r->loop, d);
		user->opened(t->stream.ctx, 0);
	} else if (t->tell_writable) {
		t->tell_writable = false;
		if (t->tell_readable)
			loop_defer(t->r->loop, d);
		if (take_questions(t) < 0)
			user->failed(t->stream.ctx, -EPROTO);
		else
			user->writable(t->stream.ctx);
	} else if (t->tell_readable) {
		t->tell_readable = false;
		user->readable(t->stream.ctx);
	}
}

static void on_idle(struct timer *timer)
{
	struct resolver_tcp *t = container_of(timer, struct resolver_tcp, idle);

	/* What waits for an answer gets one in time. */
	if (t->asked) {
		used(t);
		return;
	}
	t->stream.user->failed(t->stream.ctx, -ETIMEDOUT);
}

struct stream *resolver_stream(struct resolver *r)
{
	struct resolver_tcp *t = calloc(1, sizeof(*t));

	if (!t) {
		errno = ENOMEM;
		return NULL;
	}
	t->stream.ops = &ops;
	t->r = r;
	t->number = ++r->next_stream;
	buf_init(&t->in, 2 + DNS_MESSAGE_MAX);
	buf_init(&t->out, OUT_MAX);
	t->telling.fn = on_telling;
	t->idle.fn = on_idle;
	LIST_INSERT_HEAD(&r->streams, t, link);
	used(t);
	loop_defer(r->loop, &t->telling);
	return &t->stream;
}
