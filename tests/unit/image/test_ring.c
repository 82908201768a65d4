/* SPDX-License-Identifier: Apache-2.0 */
#include "../testing.h"

#include "image/ring.h"

#include <pthread.h>

#define RING_LEN 65536U
#define PIECES   20000U

/* Bytes that tell where they belong. */
static uint8_t byte_at(uint64_t pos)
{
	return (uint8_t)(pos * 2654435761U >> 13);
}

static void *write_pieces(void *arg)
{
	static uint8_t piece[40000];
	struct ring *r = arg;
	uint64_t pos = 0;

	for (unsigned int i = 0; i < PIECES; i++) {
		size_t n = 1 + i * 7919U % sizeof(piece);

		for (size_t k = 0; k < n; k++)
			piece[k] = byte_at(pos + k);
		if (!ring_write(r, piece, n))
			break;
		pos += n;
	}
	ring_close_write(r);
	return NULL;
}

/* The reader takes odd amounts while the writer looks for room: nothing is lost or made up. */
static void test_pieces(void **state)
{
	struct ring *r = ring_new(RING_LEN);
	uint64_t pos = 0, want = 0;
	const uint8_t *p;
	pthread_t thread;
	size_t n;

	for (unsigned int i = 0; i < PIECES; i++)
		want += 1 + i * 7919U % 40000;
	assert_int_equal(pthread_create(&thread, NULL, write_pieces, r), 0);
	while ((n = ring_peek(r, &p)) > 0) {
		n = MIN(n, 1 + (size_t)(pos * 31 % 30000));
		for (size_t k = 0; k < n; k++)
			if (p[k] != byte_at(pos + k))
				fail_msg("byte %llu is wrong", (unsigned long long)(pos + k));
		ring_consume(r, n);
		pos += n;
		assert_true(pos <= want);
	}
	assert_int_equal(pos, want);
	pthread_join(thread, NULL);
	ring_free(r);
}

static void test_hanging_up(void **state)
{
	struct ring *r = ring_new(RING_LEN);
	uint8_t *to, byte = 7;
	const uint8_t *p;

	assert_int_equal(ring_reserve(r, &to), RING_LEN);
	assert_true(ring_write(r, &byte, 1));
	ring_close_read(r);
	assert_false(ring_write(r, &byte, 1));
	assert_int_equal(ring_reserve(r, &to), 0);
	/* What was queued before the end is still given. */
	ring_close_write(r);
	assert_int_equal(ring_peek(r, &p), 1);
	assert_int_equal(p[0], 7);
	ring_consume(r, 1);
	assert_int_equal(ring_peek(r, &p), 0);
	ring_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pieces),
		cmocka_unit_test(test_hanging_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
