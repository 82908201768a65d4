/* SPDX-License-Identifier: Apache-2.0 */
#include "../testing.h"

#include "agent/reply.h"

#include <errno.h>
#include <string.h>

static void test_frame(void **state)
{
	static const char expected[] = "{\"ok\":true,\"a\":{\"n\":0,\"m\":18446744073709551615},"
				       "\"s\":\"text\"}";
	struct buf b;
	struct reply r;
	struct frame f;

	buf_init(&b, 4096);
	assert_int_equal(frame_append(&b, FRAME_STDOUT, 0, "before", 6), 0);
	reply_begin(&r, &b, FRAME_RESULT);
	reply_true(&r, "ok");
	reply_open(&r, "a");
	reply_number(&r, "n", 0);
	reply_number(&r, "m", UINT64_MAX);
	reply_close(&r);
	reply_string(&r, "s", "text");
	assert_int_equal(reply_end(&r), 0);

	assert_int_equal(frame_peek(&b, &f), 1);
	frame_consume(&b, &f);
	assert_int_equal(frame_peek(&b, &f), 1);
	assert_int_equal(f.type, FRAME_RESULT);
	assert_int_equal(f.len, strlen(expected));
	assert_memory_equal(f.payload, expected, f.len);
	frame_consume(&b, &f);
	assert_int_equal(buf_len(&b), 0);
	buf_release(&b);
}

static void test_empty_object(void **state)
{
	struct buf b;
	struct reply r;
	struct frame f;

	buf_init(&b, 4096);
	reply_begin(&r, &b, FRAME_EVENT);
	assert_int_equal(reply_end(&r), 0);
	assert_int_equal(frame_peek(&b, &f), 1);
	assert_int_equal(f.len, 2);
	buf_release(&b);
}

static void test_no_room(void **state)
{
	struct buf b;
	struct reply r;

	/* Wherever it stops, what stood there before remains. */
	for (size_t max = 6; max < 40; max++) {
		buf_init(&b, max);
		assert_int_equal(buf_append(&b, "before", 6), 0);
		reply_begin(&r, &b, FRAME_RESULT);
		reply_number(&r, "number", 1234567890123);
		reply_string(&r, "x", "y");
		assert_int_equal(reply_end(&r), -ENOBUFS);
		assert_int_equal(buf_len(&b), 6);
		assert_memory_equal(buf_data(&b), "before", 6);
		buf_release(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frame),
		cmocka_unit_test(test_empty_object),
		cmocka_unit_test(test_no_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
