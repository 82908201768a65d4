/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who says nothing and speaks after all, and users that close when they are told something: a guest
 * that is a script, and far ends that note what reaches them. Timers are fired by hand.
 */
#include "net/inspect_stream.c"

#include "../testing.h"

#include "base/loop.c" /* to run it more than once */

#define HELLO "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"

/* A far end. */
struct far {
	struct stream stream;
	struct buf got;
	size_t takes; /* how many more bytes it takes */
	const char *says;
	unsigned int shuts;
	bool closed, reset;
};

static struct world {
	struct loop *loop;
	struct stream *s;
	struct far far[2];
	int n_far, deny; /* deny: errno of the decision after these */
	int allow;
	enum policy_claim claim;
	char claimed[DOMAIN_LEN];
	unsigned int decisions;
	/* What the guest was told. */
	unsigned int opened, readable, writable;
	int failed;
	bool close_when_told;
} w;

static struct far *far_of(struct stream *s)
{
	return container_of(s, struct far, stream);
}

static ssize_t far_write(struct stream *s, const struct iovec *iov, int n)
{
	struct far *f = far_of(s);
	ssize_t done = 0;

	for (int i = 0; i < n; i++) {
		size_t len = MIN(iov[i].iov_len, f->takes);

		assert_int_equal(buf_append(&f->got, iov[i].iov_base, len), 0);
		f->takes -= len;
		done += (ssize_t)len;
	}
	return done;
}

static void far_shut(struct stream *s)
{
	far_of(s)->shuts++;
}

static ssize_t far_read(struct stream *s, const struct iovec *iov, int n)
{
	struct far *f = far_of(s);
	size_t len;

	if (!f->says)
		return -EAGAIN;
	len = MIN(strlen(f->says), iov[0].iov_len);
	memcpy(iov[0].iov_base, f->says, len);
	f->says = NULL;
	return (ssize_t)len;
}

static void far_close(struct stream *s, bool reset)
{
	struct far *f = far_of(s);

	assert_false(f->closed);
	f->closed = true;
	f->reset = reset;
}

static const struct stream_ops far_ops = {far_write, far_shut, far_read, far_close};

static struct stream *decide_script(void *ctx, enum policy_claim claim, const char *claimed)
{
	struct far *f;

	assert_memory_equal(ctx, "token", 6);
	w.decisions++;
	w.claim = claim;
	assert_true((claim == CLAIM_NAME) == (claimed != NULL));
	snprintf(w.claimed, sizeof(w.claimed), "%s", claimed ? claimed : "");
	if (w.n_far >= w.allow) {
		errno = w.deny;
		return NULL;
	}
	f = &w.far[w.n_far++];
	f->stream.ops = &far_ops;
	buf_init(&f->got, 65536);
	f->takes = SIZE_MAX;
	return &f->stream;
}

static void told(unsigned int *what)
{
	(*what)++;
	if (w.close_when_told) {
		stream_close(w.s, false);
		w.s = NULL;
	}
}

static void on_user_opened(void *ctx, int error)
{
	assert_int_equal(error, 0);
	told(&w.opened);
}

static void on_user_readable(void *ctx)
{
	told(&w.readable);
}

static void on_user_writable(void *ctx)
{
	told(&w.writable);
}

static void on_user_failed(void *ctx, int error)
{
	unsigned int n = 0;

	w.failed = error;
	told(&n);
}

static const struct stream_user_ops guest = {on_user_opened, on_user_readable, on_user_writable,
					     on_user_failed};

static void run(void)
{
	run_deferred(w.loop);
}

static int setup(void **state)
{
	w = (struct world){.allow = 2, .deny = EPERM};
	w.loop = loop_new();
	w.s = inspect_stream_new(w.loop, decide_script, "token", 6);
	if (!w.loop || !w.s)
		return -1;
	w.s->user = &guest;
	run();
	return w.opened == 1 ? 0 : -1;
}

static int teardown(void **state)
{
	if (w.s)
		stream_close(w.s, false);
	for (int i = 0; i < w.n_far; i++) {
		assert_true(w.far[i].closed);
		buf_release(&w.far[i].got);
	}
	/* Nothing of it is left in the loop. */
	assert_null(w.loop->timers);
	assert_null(w.loop->deferred);
	loop_free(w.loop);
	return 0;
}

static ssize_t say_n(const void *data, size_t n)
{
	struct iovec iov[2] = {{(void *)data, n / 2}, {(uint8_t *)data + n / 2, n - n / 2}};
	unsigned int before = w.opened + w.readable + w.writable;
	ssize_t r = stream_write(w.s, iov, 2);

	/* Nobody is told anything out of an operation. */
	assert_int_equal(w.opened + w.readable + w.writable, before);
	return r;
}

static void say(const char *text)
{
	assert_int_equal(say_n(text, strlen(text)), (ssize_t)strlen(text));
}

static void far_opens(int i, int error)
{
	w.far[i].stream.user->opened(w.far[i].stream.ctx, error);
	run();
}

static void assert_got(int i, const char *text)
{
	assert_int_equal(buf_len(&w.far[i].got), strlen(text));
	if (*text)
		assert_memory_equal(buf_data(&w.far[i].got), text, strlen(text));
}

static void time_is_up(void)
{
	struct timer *t = &self(w.s)->timer;

	assert_true(t->active);
	timer_cancel(w.loop, t);
	t->fn(t);
	run();
}

static ssize_t hear(char out[64])
{
	struct iovec iov = {out, 63};
	ssize_t n = stream_read(w.s, &iov, 1);

	out[MAX(n, 0)] = '\0';
	return n;
}

static void fall_silent(void)
{
	time_is_up();
	assert_int_equal(w.decisions, 1);
	assert_int_equal(w.claim, CLAIM_NONE);
}

static void test_server_speaks_first(void **state)
{
	char text[64];

	fall_silent();
	far_opens(0, 0);
	w.far[0].says = "220 hello";
	w.far[0].stream.user->readable(w.far[0].stream.ctx);
	assert_int_equal(hear(text), 9);
	/* Whose greeting was answered is no web server. */
	say(HELLO);
	assert_got(0, HELLO);
	assert_int_equal(w.decisions, 1);
}

/* Both at once: what was kept of the guest goes on as well. */
static void test_server_speaks_meanwhile(void **state)
{
	char text[64];

	fall_silent();
	far_opens(0, 0);
	say("USER");
	assert_got(0, "");
	w.far[0].says = "220 hello";
	w.far[0].stream.user->readable(w.far[0].stream.ctx);
	assert_int_equal(hear(text), 9);
	assert_got(0, "USER");
	assert_false(self(w.s)->timer.active);
	say(" me\r\n");
	assert_got(0, "USER me\r\n");
	assert_int_equal(w.decisions, 1);
}

static void test_silence_then_other(void **state)
{
	fall_silent();
	far_opens(0, 0);
	say("EHLO a.ex");
	assert_got(0, "");
	say("ample\r\n");
	assert_got(0, "EHLO a.example\r\n");
	say("more");
	assert_got(0, "EHLO a.example\r\nmore");
	assert_int_equal(w.decisions, 1);
	assert_int_equal(w.n_far, 1);
	assert_false(self(w.s)->timer.active);
}

/* To wait is no way around being asked for a name. */
static void test_silence_then_name(void **state)
{
	fall_silent();
	far_opens(0, 0);
	say("GET / HTTP/1.1\r\n");
	assert_int_equal(w.decisions, 1);
	say("Host: a.example\r\n\r\n");
	assert_int_equal(w.decisions, 2);
	assert_int_equal(w.claim, CLAIM_NAME);
	assert_string_equal(w.claimed, "a.example");
	/* The first one never got a byte. */
	assert_got(0, "");
	assert_true(w.far[0].closed);
	far_opens(1, 0);
	assert_got(1, HELLO);
	say("more");
	assert_got(1, HELLO "more");
	assert_int_equal(w.decisions, 2);
}

static void test_silence_then_denied(void **state)
{
	w.allow = 1;
	fall_silent();
	far_opens(0, 0);
	say(HELLO);
	run();
	assert_int_equal(w.decisions, 2);
	assert_int_equal(w.failed, -EPERM);
	assert_got(0, "");
}

/* The same before the first connection is there, and with an end instead of more. */
static void test_silence_then_half(void **state)
{
	w.allow = 1;
	fall_silent();
	say("\26\3\1");
	far_opens(0, 0);
	assert_got(0, "");
	stream_shut(w.s);
	run();
	assert_int_equal(w.claim, CLAIM_HIDDEN);
	assert_int_equal(w.failed, -EPERM);
	assert_int_equal(w.far[0].shuts, 0);
}

static void test_silence_then_half_for_long(void **state)
{
	w.allow = 1;
	fall_silent();
	far_opens(0, 0);
	say("\26\3\1");
	time_is_up();
	assert_int_equal(w.decisions, 2);
	assert_int_equal(w.claim, CLAIM_HIDDEN);
	assert_int_equal(w.failed, -EPERM);
	assert_got(0, "");
}

static void test_silence_then_end(void **state)
{
	fall_silent();
	far_opens(0, 0);
	stream_shut(w.s);
	assert_int_equal(w.far[0].shuts, 1);
	assert_int_equal(w.decisions, 1);
}

/* --- a user that closes when it is told something */

static void test_close_when_opened(void **state)
{
	stream_close(w.s, true);
	w.opened = 0;
	w.close_when_told = true;
	w.s = inspect_stream_new(w.loop, decide_script, "token", 6);
	assert_non_null(w.s);
	w.s->user = &guest;
	run();
	assert_int_equal(w.opened, 1);
	assert_null(w.s);
}

static void test_close_when_writable(void **state)
{
	say(HELLO);
	w.close_when_told = true;
	far_opens(0, 0);
	assert_null(w.s);
	assert_true(w.far[0].closed);
}

static void test_close_when_failed(void **state)
{
	w.allow = 0;
	say(HELLO);
	w.close_when_told = true;
	run();
	assert_null(w.s);
}

static void test_close_undecided(void **state)
{
	say("GET / HT");
	stream_close(w.s, true);
	w.s = NULL;
	run();
	assert_int_equal(w.decisions, 0);
}

static void test_close_passes_reset_on(void **state)
{
	say(HELLO);
	stream_close(w.s, true);
	w.s = NULL;
	assert_true(w.far[0].closed && w.far[0].reset);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_server_speaks_first),        T(test_server_speaks_meanwhile),
		T(test_silence_then_other),         T(test_silence_then_name),
		T(test_silence_then_denied),        T(test_silence_then_half),
		T(test_silence_then_half_for_long), T(test_silence_then_end),
		T(test_close_when_opened),          T(test_close_when_writable),
		T(test_close_when_failed),          T(test_close_undecided),
		T(test_close_passes_reset_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
