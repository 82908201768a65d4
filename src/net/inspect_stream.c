/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Until it is decided, the guest's bytes are kept here; they are copied before they are looked at.
 * Then the real stream takes over, and what the user calls costs one indirection. First of all it
 * gets the bytes that were kept.
 *
 * A guest that says nothing gets its connection as one that names nobody, so that the server can
 * speak first. When it is the guest after all that does, its first bytes are looked at as if it had
 * never waited: with a name in them the decision is made anew, and the connection too, of which
 * the server has not had a byte. Otherwise waiting would be a way to say any name.
 */
#include "net/inspect_stream.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/util.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/*
 * Who says nothing for this long waits for the server to speak first, as it is with mail and SSH;
 * the protocols that have names for us begin at once.
 */
#define SILENCE (300 * NSEC_PER_MSEC)
/* Who has begun to say something has this long to end it. */
#define PATIENCE (10 * NSEC_PER_SEC)

struct inspect_stream {
	struct stream stream;
	struct loop *loop;
	inspect_decide_fn *decide;
	uint8_t token[INSPECT_TOKEN_MAX];
	struct stream *next; /* NULL: not decided */
	bool next_open;
	bool silent; /* decided without a word of the guest's; nobody has spoken yet */
	bool shut;   /* the guest says no more, which is still to be passed on */
	bool told_open;
	bool patient; /* it has begun to speak */
	int error;    /* -errno: it was denied, or could not be */
	struct buf kept;
	struct timer timer;
	struct deferred telling;
};

static struct inspect_stream *self(struct stream *s)
{
	return container_of(s, struct inspect_stream, stream);
}

static void fail(struct inspect_stream *is, int error)
{
	is->error = error;
	timer_cancel(is->loop, &is->timer);
	loop_defer(is->loop, &is->telling);
}

/* --- the real stream's events -------------------------------------------------------------- */

/* Passes on what was kept. False when there is more, when it failed, or when it must not yet. */
static bool pass_kept(struct inspect_stream *is)
{
	if (is->silent && buf_len(&is->kept))
		return false;
	while (buf_len(&is->kept)) {
		struct iovec iov = {(void *)buf_data(&is->kept), buf_len(&is->kept)};
		ssize_t n = stream_write(is->next, &iov, 1);

		if (n < 0)
			fail(is, (int)n);
		if (n <= 0)
			return false;
		buf_consume(&is->kept, (size_t)n);
	}
	buf_release(&is->kept);
	if (is->shut) {
		is->shut = false;
		stream_shut(is->next);
	}
	return true;
}

static void on_opened(void *ctx, int error)
{
	struct inspect_stream *is = ctx;

	if (error) {
		fail(is, error);
		return;
	}
	is->next_open = true;
	if (pass_kept(is))
		is->stream.user->writable(is->stream.ctx);
}

static void on_readable(void *ctx)
{
	struct inspect_stream *is = ctx;

	is->stream.user->readable(is->stream.ctx);
}

static void on_writable(void *ctx)
{
	struct inspect_stream *is = ctx;

	if (is->next_open && pass_kept(is))
		is->stream.user->writable(is->stream.ctx);
}

static void on_failed(void *ctx, int error)
{
	struct inspect_stream *is = ctx;

	is->stream.user->failed(is->stream.ctx, error);
}

static const struct stream_user_ops next_user = {on_opened, on_readable, on_writable, on_failed};

/* --- the decision -------------------------------------------------------------------------- */

/* Asks for the stream to go on with. */
static void ask(struct inspect_stream *is, enum policy_claim claim, const char *claimed)
{
	is->next = is->decide(is->token, claim, claimed);
	if (!is->next) {
		fail(is, -errno);
		return;
	}
	is->next->user = &next_user;
	is->next->ctx = is;
}

static void decide(struct inspect_stream *is, bool end)
{
	struct sniff found;
	enum policy_claim claim;

	if ((is->next && !is->silent) || is->error)
		return;
	sniff(buf_data(&is->kept), buf_len(&is->kept), end, &found);
	if (found.result == SNIFF_MORE)
		return;
	timer_cancel(is->loop, &is->timer);
	claim = found.result == SNIFF_NAME    ? CLAIM_NAME
		: found.result == SNIFF_OTHER ? CLAIM_NONE
					      : CLAIM_HIDDEN;
	if (is->next && claim == CLAIM_NONE) {
		is->silent = false;
		if (is->next_open)
			pass_kept(is);
		return;
	}
	if (is->next)
		stream_close(is->next, false);
	is->next_open = false;
	is->silent = buf_len(&is->kept) == 0 && !is->shut;
	ask(is, claim, claim == CLAIM_NAME ? found.name : NULL);
}

static void on_timer(struct timer *t)
{
	decide(container_of(t, struct inspect_stream, timer), true);
}

static void on_telling(struct deferred *d)
{
	struct inspect_stream *is = container_of(d, struct inspect_stream, telling);

	if (is->told_open) {
		is->stream.user->failed(is->stream.ctx, is->error);
		return;
	}
	is->told_open = true;
	if (is->error)
		loop_defer(is->loop, d);
	is->stream.user->opened(is->stream.ctx, 0);
}

/* --- operations ---------------------------------------------------------------------------- */

static ssize_t inspect_write(struct stream *s, const struct iovec *iov, int n)
{
	struct inspect_stream *is = self(s);
	ssize_t done;

	if (is->error)
		return is->error;
	if (is->next_open && !is->silent)
		return buf_len(&is->kept) ? 0 : stream_write(is->next, iov, n);
	done = buf_append_pieces(&is->kept, iov, n);
	if (done < 0)
		return done;
	if ((!is->next || is->silent) && !is->patient) {
		is->patient = true;
		timer_set(is->loop, &is->timer, clock_mono_ns() + PATIENCE);
	}
	decide(is, false);
	return done;
}

static void inspect_shut(struct stream *s)
{
	struct inspect_stream *is = self(s);

	is->shut = true;
	/* Who ends without a word has nothing to be looked at. */
	if (!is->next || buf_len(&is->kept))
		decide(is, true);
	if (is->next_open && !is->error)
		pass_kept(is);
}

static ssize_t inspect_read(struct stream *s, const struct iovec *iov, int n)
{
	struct inspect_stream *is = self(s);
	ssize_t r;

	if (is->error)
		return is->error;
	if (!is->next_open)
		return -EAGAIN;
	r = stream_read(is->next, iov, n);
	/* The server has spoken first: whatever the guest answers names nobody. */
	if (r >= 0 && is->silent) {
		is->silent = false;
		timer_cancel(is->loop, &is->timer);
		pass_kept(is);
	}
	return r;
}

static void inspect_close(struct stream *s, bool reset)
{
	struct inspect_stream *is = self(s);

	if (is->next)
		stream_close(is->next, reset);
	timer_cancel(is->loop, &is->timer);
	loop_undefer(is->loop, &is->telling);
	buf_release(&is->kept);
	free(is);
}

static const struct stream_ops ops = {inspect_write, inspect_shut, inspect_read, inspect_close};

struct stream *inspect_stream_new(struct loop *loop, inspect_decide_fn *decide_fn,
				  const void *token, size_t token_len)
{
	struct inspect_stream *is = calloc(1, sizeof(*is));

	if (!is) {
		errno = ENOMEM;
		return NULL;
	}
	is->stream.ops = &ops;
	is->loop = loop;
	is->decide = decide_fn;
	memcpy(is->token, token, MIN(token_len, sizeof(is->token)));
	buf_init(&is->kept, SNIFF_MAX);
	is->timer.fn = on_timer;
	is->telling.fn = on_telling;
	timer_set(loop, &is->timer, clock_mono_ns() + SILENCE);
	loop_defer(loop, &is->telling);
	return &is->stream;
}
