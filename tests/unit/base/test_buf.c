/* SPDX-License-Identifier: Apache-2.0 */
#include "../testing.h"

#include "base/buf.h"

static void assert_content(const struct buf *b, const char *text)
{
	assert_int_equal(buf_len(b), strlen(text));
	assert_memory_equal(buf_data(b), text, strlen(text));
}

static void test_starts_empty(void **state)
{
	struct buf b;

	buf_init(&b, 10);
	assert_int_equal(buf_len(&b), 0);
	assert_int_equal(buf_room(&b), 10);
	assert_null(b.mem);
	assert_int_equal(buf_append(&b, NULL, 0), 0);
	assert_null(b.mem);
	buf_release(&b);
	buf_release(&b);
}

static void test_bound(void **state)
{
	struct buf b;

	buf_init(&b, 10);
	assert_int_equal(buf_append(&b, "0123456789", 10), 0);
	assert_int_equal(buf_room(&b), 0);
	assert_int_equal(buf_append(&b, "x", 1), -ENOBUFS);
	assert_int_equal(buf_printf(&b, "%d", 1), -ENOBUFS);
	assert_null(buf_reserve(&b, 1));
	assert_content(&b, "0123456789");
	buf_consume(&b, 1);
	assert_int_equal(buf_append(&b, "xy", 2), -ENOBUFS);
	assert_int_equal(buf_append(&b, "x", 1), 0);
	assert_content(&b, "123456789x");
	buf_release(&b);
}

static void test_reserve(void **state)
{
	struct buf b;
	uint8_t *p;

	buf_init(&b, 4096);
	assert_null(buf_reserve(&b, 4097));
	assert_null(buf_reserve(&b, SIZE_MAX));
	p = buf_reserve(&b, 4096);
	assert_non_null(p);
	memset(p, 'a', 4096); /* all of it is writable */
	buf_commit(&b, 3);
	assert_content(&b, "aaa");
	/* After something is held, a size that would wrap around is still refused. */
	assert_null(buf_reserve(&b, SIZE_MAX - 1));
	assert_null(buf_reserve(&b, 4094));
	assert_non_null(buf_reserve(&b, 4093));
	assert_content(&b, "aaa");
	buf_release(&b);
}

static void test_growth_keeps_the_content(void **state)
{
	struct buf b;

	buf_init(&b, 20000);
	for (unsigned i = 0; i < 20000; i++) {
		uint8_t c = (uint8_t)(i * 7);

		assert_int_equal(buf_append(&b, &c, 1), 0);
	}
	for (unsigned i = 0; i < 20000; i++)
		assert_int_equal(buf_data(&b)[i], (uint8_t)(i * 7));
	assert_true(b.cap <= b.max);
	buf_release(&b);
}

/* A stream of any length goes through a bounded buffer in bounded memory and in order. */
static void test_sliding_window(void **state)
{
	struct buf b;
	uint32_t in = 0, out = 0;

	buf_init(&b, 1000);
	for (unsigned round = 0; round < 5000; round++) {
		for (unsigned n = round % 60; n && buf_room(&b) >= sizeof(in); n--, in++)
			assert_int_equal(buf_append(&b, &in, sizeof(in)), 0);
		for (unsigned n = round % 53; n && buf_len(&b); n--, out++) {
			uint32_t v;

			memcpy(&v, buf_data(&b), sizeof(v));
			assert_int_equal(v, out);
			buf_consume(&b, sizeof(v));
		}
		assert_true(buf_len(&b) <= 1000);
		assert_true(b.cap <= 1000);
	}
	assert_int_equal(buf_len(&b), (in - out) * sizeof(in));
	buf_release(&b);
}

static void test_consume(void **state)
{
	struct buf b;

	buf_init(&b, 100);
	assert_int_equal(buf_append(&b, "hello", 5), 0);
	buf_consume(&b, 0);
	assert_content(&b, "hello");
	buf_consume(&b, 2);
	assert_content(&b, "llo");
	buf_consume(&b, 3);
	assert_int_equal(buf_len(&b), 0);
	assert_int_equal(buf_room(&b), 100);
	assert_int_equal(b.start, 0);
	buf_release(&b);
}

static void test_printf(void **state)
{
	struct buf b;
	char big[600];

	buf_init(&b, 1000);
	assert_int_equal(buf_printf(&b, "%s-%d", "a", 42), 0);
	assert_int_equal(buf_printf(&b, "%s", ""), 0);
	assert_content(&b, "a-42");
	memset(big, 'x', sizeof(big));
	assert_int_equal(buf_printf(&b, "%.*s", (int)sizeof(big), big), 0);
	assert_int_equal(buf_len(&b), 604);
	buf_release(&b);
}

static void test_release_keeps_the_bound(void **state)
{
	struct buf b;

	buf_init(&b, 3);
	assert_int_equal(buf_append(&b, "abc", 3), 0);
	buf_release(&b);
	assert_int_equal(buf_len(&b), 0);
	assert_int_equal(buf_append(&b, "abcd", 4), -ENOBUFS);
	assert_int_equal(buf_append(&b, "xyz", 3), 0);
	assert_content(&b, "xyz");
	buf_release(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_starts_empty),
		cmocka_unit_test(test_bound),
		cmocka_unit_test(test_reserve),
		cmocka_unit_test(test_growth_keeps_the_content),
		cmocka_unit_test(test_sliding_window),
		cmocka_unit_test(test_consume),
		cmocka_unit_test(test_printf),
		cmocka_unit_test(test_release_keeps_the_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
