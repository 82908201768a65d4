/* SPDX-License-Identifier: Apache-2.0 */
/* Questions over TCP, in pieces and in heaps. */
#include "net/resolver_stream.c"
#include "net/resolver_upstream.c"

#include "resolver_world.h"

static struct client {
	struct stream *s;
	struct buf in;
	unsigned int opened, readable, writable;
	int failed;
	bool end;
} client;

static void client_opened(void *ctx, int error)
{
	assert_int_equal(error, 0);
	client.opened++;
}

/* Reads little at a time. */
static void client_readable(void *ctx)
{
	uint8_t part[7];
	struct iovec iov[2] = {{part, 3}, {part + 3, 4}};
	ssize_t n;

	client.readable++;
	while ((n = stream_read(client.s, iov, 2)) > 0)
		assert_int_equal(buf_append(&client.in, part, (size_t)n), 0);
	if (n == 0)
		client.end = true;
	else
		assert_int_equal(n, -EAGAIN);
}

static void client_writable(void *ctx)
{
	client.writable++;
}

static void client_failed(void *ctx, int error)
{
	client.failed = error;
	stream_close(client.s, true);
	client.s = NULL;
}

static const struct stream_user_ops client_ops = {client_opened, client_readable, client_writable,
						  client_failed};

static int setup_stream(void **state)
{
	setup(state);
	client = (struct client){.s = resolver_stream(w.r)};
	if (!client.s)
		return -1;
	client.s->user = &client_ops;
	buf_init(&client.in, MIB);
	assert_int_equal(client.opened, 0);
	run();
	assert_int_equal(client.opened, 1);
	return 0;
}

static int teardown_stream(void **state)
{
	if (client.s)
		stream_close(client.s, false);
	buf_release(&client.in);
	return teardown(state);
}

static ssize_t client_write(const void *data, size_t n)
{
	struct iovec iov = {(void *)data, n};

	return stream_write(client.s, &iov, 1);
}

static void m_framed(struct message *to, unsigned int id, const char *name)
{
	struct message m;

	begin_question(&m, name, DNS_A);
	set16(&m, 0, id);
	add16(to, (unsigned int)m.n);
	add(to, m.p, m.n);
}

/* How many whole answers there are; they are looked at and dropped. */
static unsigned int take_answers(uint64_t *ids)
{
	unsigned int n = 0;

	while (buf_len(&client.in) >= 2) {
		const uint8_t *p = buf_data(&client.in);
		size_t len = (size_t)(p[0] << 8 | p[1]);

		if (buf_len(&client.in) < 2 + len)
			break;
		assert_int_equal(p[2 + 3] & 15, DNS_NOERROR);
		assert_false(*ids & 1ULL << p[2 + 1]);
		*ids |= 1ULL << p[2 + 1];
		buf_consume(&client.in, 2 + len);
		n++;
	}
	return n;
}

static void test_stream(void **state)
{
	struct message m = {.n = 0};
	uint64_t ids = 0;

	m_framed(&m, 1, "a.example");
	m_framed(&m, 2, "b.example");
	for (size_t i = 0; i < m.n; i++)
		assert_int_equal(client_write(m.p + i, 1), 1);
	for (int i = 0; i < 10 && ids != 6; i++) {
		run();
		take_answers(&ids);
	}
	assert_int_equal(ids, 6);
	assert_int_equal(client.failed, 0);
	assert_false(client.end);
	stream_shut(client.s);
	run();
	assert_true(client.end);
}

/* As many questions as fit, and then no more of them: each gets its answer before the end. */
static void test_stream_questions_then_end(void **state)
{
	struct message m = {.n = 0};
	uint64_t ids = 0;
	char name[32];

	/* All that are asked at once get their answers at once. */
	for (unsigned int i = 0; i < 60; i++) {
		snprintf(name, sizeof(name), "n%u.example", i / 4);
		m_framed(&m, i, name);
	}
	assert_int_equal(client_write(m.p, m.n), m.n);
	stream_shut(client.s);
	for (int i = 0; i < 100 && !client.end; i++)
		run();
	assert_true(client.end);
	assert_int_equal(take_answers(&ids), 60);
	assert_int_equal(ids, (1ULL << 60) - 1);
}

/* What is left of a question that never became whole is nothing to wait for. */
static void test_stream_end_in_a_question(void **state)
{
	struct message m = {.n = 0};

	m_framed(&m, 1, "a.example");
	assert_int_equal(client_write(m.p, m.n - 1), m.n - 1);
	stream_shut(client.s);
	run();
	assert_true(client.end);
}

static void test_stream_garbage(void **state)
{
	assert_int_equal(client_write("\0\4abcd", 6), -EPROTO);
}

static void test_stream_empty_message(void **state)
{
	assert_int_equal(client_write("\0\0", 2), -EPROTO);
}

/* Garbage that is looked at only when there is room for more questions. */
static void test_stream_garbage_later(void **state)
{
	struct message m = {.n = 0};

	for (unsigned int i = 0; i < 8; i++)
		m_framed(&m, i, "a.example");
	add16(&m, 2);
	add16(&m, 0);
	assert_int_equal(client_write(m.p, m.n), m.n);
	for (int i = 0; i < 100 && !client.failed; i++)
		run();
	assert_int_equal(client.failed, -EPROTO);
	assert_null(client.s);
}

static void test_stream_idle(void **state)
{
	struct resolver_tcp *t = self(client.s);
	struct message m = {.n = 0};

	/* Not while there is an answer to come. */
	w.servers[0].respond = say_nothing;
	m_framed(&m, 1, "a.example");
	assert_int_equal(client_write(m.p, m.n), m.n);
	timer_cancel(w.loop, &t->idle);
	on_idle(&t->idle);
	assert_true(t->idle.active);
	assert_int_equal(client.failed, 0);
	run();
	LIST_FIRST(&w.r->queries)->give_up_at = 0;
	fire(LIST_FIRST(&w.r->queries));
	timer_cancel(w.loop, &t->idle);
	on_idle(&t->idle);
	assert_int_equal(client.failed, -ETIMEDOUT);
}

/* The answer to a connection that is gone. */
static void test_stream_closed_while_asking(void **state)
{
	struct message m = {.n = 0};

	m_framed(&m, 1, "a.example");
	assert_int_equal(client_write(m.p, m.n), m.n);
	stream_close(client.s, true);
	client.s = NULL;
	for (int i = 0; i < 100 && w.r->n_queries; i++)
		run();
	assert_int_equal(w.r->n_queries, 0);
	assert_int_equal(client.readable, 0);
}

/* One that asks and does not read has a bound. */
static void test_stream_bound(void **state)
{
	static uint8_t question[512];
	struct message m = {.n = 0};
	size_t taken = 0;

	m_framed(&m, 1, "a.example");
	memcpy(question, m.p, m.n);
	client.s->user = &(const struct stream_user_ops){client_opened, client_writable,
							 client_writable, client_failed};
	for (int i = 0; i < 1000000; i++) {
		ssize_t n = client_write(question, m.n);

		assert_true(n >= 0);
		taken += (size_t)n;
		if ((size_t)n < m.n)
			break;
		if (i % 16 == 0)
			run();
	}
	assert_true(taken < 2 * MIB);
	assert_true(buf_len(&self(client.s)->out) <= OUT_MAX);
	assert_int_equal(client_write("x", 1), 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup_stream, teardown_stream)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_stream),
		T(test_stream_questions_then_end),
		T(test_stream_end_in_a_question),
		T(test_stream_garbage),
		T(test_stream_empty_message),
		T(test_stream_garbage_later),
		T(test_stream_idle),
		T(test_stream_closed_while_asking),
		T(test_stream_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
