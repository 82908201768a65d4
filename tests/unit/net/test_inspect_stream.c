/* SPDX-License-Identifier: Apache-2.0 */
/* The filter that looks at first bytes, between a user and a stream that both are the test's. */
#include "net/inspect_stream.h"

#include "base/clock.h"
#include "base/util.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define REQUEST "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"

struct fixture {
	struct loop *loop;
	struct stream *s; /* the filter */
	/* The user. */
	unsigned int n_opened, n_failed, n_readable, n_writable;
	int error;
	/* The decision. */
	bool deny;
	unsigned int n_decided;
	enum policy_claim claim;
	char claimed[DOMAIN_LEN];
	/* The real stream. */
	struct stream next;
	char got[4096];
	size_t n_got, room;
	bool shut, closed, reset;
};

static struct fixture *fixture; /* of the test that runs */

static void stop(struct fixture *f)
{
	loop_stop(f->loop);
}

static void on_opened(void *ctx, int error)
{
	struct fixture *f = ctx;

	assert_int_equal(error, 0);
	f->n_opened++;
	stop(f);
}

static void on_readable(void *ctx)
{
	((struct fixture *)ctx)->n_readable++;
}

static void on_writable(void *ctx)
{
	((struct fixture *)ctx)->n_writable++;
}

static void on_failed(void *ctx, int error)
{
	struct fixture *f = ctx;

	f->n_failed++;
	f->error = error;
	stop(f);
}

static const struct stream_user_ops user = {on_opened, on_readable, on_writable, on_failed};

static ssize_t next_write(struct stream *s, const struct iovec *iov, int n)
{
	struct fixture *f = container_of(s, struct fixture, next);
	size_t len = MIN(iov[0].iov_len, f->room);

	memcpy(f->got + f->n_got, iov[0].iov_base, len);
	f->n_got += len;
	f->room -= len;
	return (ssize_t)len;
}

static void next_shut(struct stream *s)
{
	container_of(s, struct fixture, next)->shut = true;
}

static ssize_t next_read(struct stream *s, const struct iovec *iov, int n)
{
	memcpy(iov[0].iov_base, "hi", 2);
	return 2;
}

static void next_close(struct stream *s, bool reset)
{
	struct fixture *f = container_of(s, struct fixture, next);

	f->closed = true;
	f->reset = reset;
}

static const struct stream_ops next_ops = {next_write, next_shut, next_read, next_close};

static struct stream *decide(void *ctx, enum policy_claim claim, const char *claimed)
{
	struct fixture *f = fixture;

	assert_memory_equal(ctx, "token", 5);
	f->n_decided++;
	f->claim = claim;
	snprintf(f->claimed, sizeof(f->claimed), "%s", claimed ? claimed : "-");
	if (f->deny) {
		errno = EPERM;
		return NULL;
	}
	f->next.ops = &next_ops;
	return &f->next;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	fixture = f;
	f->room = SIZE_MAX;
	f->loop = loop_new();
	f->s = inspect_stream_new(f->loop, decide, "token", 5);
	f->s->user = &user;
	f->s->ctx = f;
	assert_int_equal(f->n_opened, 0); /* not before it was returned */
	assert_int_equal(loop_run(f->loop), 0);
	assert_int_equal(f->n_opened, 1);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	stream_close(f->s, false);
	loop_free(f->loop);
	free(f);
	return 0;
}

static ssize_t say(struct fixture *f, const char *text)
{
	struct iovec iov = {(void *)text, strlen(text)};

	return stream_write(f->s, &iov, 1);
}

static void open_next(struct fixture *f, int error)
{
	f->next.user->opened(f->next.ctx, error);
}

static void test_name(void **state)
{
	struct fixture *f = *state;
	char data[10];
	struct iovec iov = {data, sizeof(data)};

	assert_int_equal(say(f, "GET / HTTP/1.1\r\n"), 16);
	assert_int_equal(f->n_decided, 0);
	assert_int_equal(stream_read(f->s, &iov, 1), -EAGAIN);
	assert_int_equal(say(f, "Host: a.example\r\n\r\n"), 19);
	assert_int_equal(f->n_decided, 1);
	assert_int_equal(f->claim, CLAIM_NAME);
	assert_string_equal(f->claimed, "a.example");
	/* More comes before the connection is there. */
	assert_int_equal(say(f, "body"), 4);
	assert_int_equal(f->n_got, 0);
	open_next(f, 0);
	assert_memory_equal(f->got, REQUEST "body", strlen(REQUEST "body"));
	assert_int_equal(f->n_writable, 1);
	/* From now on straight through. */
	assert_int_equal(say(f, "more"), 4);
	assert_memory_equal(f->got + strlen(REQUEST "body"), "more", 4);
	assert_int_equal(stream_read(f->s, &iov, 1), 2);
	f->next.user->readable(f->next.ctx);
	assert_int_equal(f->n_readable, 1);
	stream_shut(f->s);
	assert_true(f->shut);
	assert_int_equal(f->n_decided, 1);
}

static void test_order_of_bytes(void **state)
{
	struct fixture *f = *state;

	f->room = 10;
	say(f, REQUEST);
	open_next(f, 0);
	assert_int_equal(f->n_got, 10);
	assert_int_equal(f->n_writable, 0);
	/* Nothing goes past what was kept. */
	assert_int_equal(say(f, "later"), 0);
	stream_shut(f->s);
	assert_false(f->shut);
	f->room = SIZE_MAX;
	f->next.user->writable(f->next.ctx);
	assert_memory_equal(f->got, REQUEST, strlen(REQUEST));
	assert_true(f->shut);
	assert_int_equal(f->n_writable, 1);
}

static void test_other_protocol(void **state)
{
	struct fixture *f = *state;

	say(f, "\1\2\3\4");
	assert_int_equal(f->claim, CLAIM_NONE);
	assert_string_equal(f->claimed, "-");
}

static void test_hidden(void **state)
{
	struct fixture *f = *state;

	say(f, "GET / HTTP/1.1\r\n\r\n");
	assert_int_equal(f->claim, CLAIM_HIDDEN);
	assert_string_equal(f->claimed, "-");
}

static void test_end_of_half_a_greeting(void **state)
{
	struct fixture *f = *state;

	say(f, "GET / HT");
	stream_shut(f->s);
	assert_int_equal(f->claim, CLAIM_HIDDEN);
	open_next(f, 0);
	assert_memory_equal(f->got, "GET / HT", 8);
	assert_true(f->shut);
}

/* The silence is the only thing here that takes time; it ends by itself. */
static void test_silence(void **state)
{
	struct fixture *f = *state;
	uint64_t start = clock_mono_ns();

	f->deny = true;
	assert_int_equal(loop_run(f->loop), 0);
	assert_int_equal(f->claim, CLAIM_NONE);
	assert_true(clock_mono_ns() - start >= 200 * NSEC_PER_MSEC);
	assert_int_equal(f->error, -EPERM);
}

static void test_denied(void **state)
{
	struct fixture *f = *state;
	char data[10];
	struct iovec iov = {data, sizeof(data)};

	f->deny = true;
	assert_int_equal(say(f, REQUEST), strlen(REQUEST));
	/* Told by the loop, not out of the write. */
	assert_int_equal(f->n_failed, 0);
	assert_int_equal(loop_run(f->loop), 0);
	assert_int_equal(f->n_failed, 1);
	assert_int_equal(f->error, -EPERM);
	assert_int_equal(say(f, "x"), -EPERM);
	assert_int_equal(stream_read(f->s, &iov, 1), -EPERM);
}

static void test_connection_that_fails(void **state)
{
	struct fixture *f = *state;

	say(f, REQUEST);
	open_next(f, -ECONNREFUSED);
	assert_int_equal(loop_run(f->loop), 0);
	assert_int_equal(f->error, -ECONNREFUSED);
}

static void test_too_much(void **state)
{
	struct fixture *f = *state;
	char text[1001];
	size_t total = 0;

	memset(text, 'x', 1000);
	text[1000] = '\0';
	say(f, "GET / HTTP/1.1\r\nX: ");
	while (f->n_decided == 0) {
		total += (size_t)say(f, text);
		assert_true(total <= SNIFF_MAX);
	}
	assert_int_equal(f->claim, CLAIM_HIDDEN);
	assert_int_equal(say(f, text), 0);
}

static void test_closed_in_between(void **state)
{
	struct fixture *f = *state;

	say(f, REQUEST);
	stream_close(f->s, true);
	assert_true(f->closed && f->reset);
	f->s = inspect_stream_new(f->loop, decide, "token", 5);
	f->s->user = &user;
	f->s->ctx = f;
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_name),
		CASE(test_order_of_bytes),
		CASE(test_other_protocol),
		CASE(test_hidden),
		CASE(test_end_of_half_a_greeting),
		CASE(test_silence),
		CASE(test_denied),
		CASE(test_connection_that_fails),
		CASE(test_too_much),
		CASE(test_closed_in_between),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
