/* SPDX-License-Identifier: Apache-2.0 */
/* Decompression: every way to cut the input gives the same output; damage is found. */
#include "fixture.h"

#include "image/inflate.h"

/* A source that gives at most `step` bytes at a time. */
struct source {
	const uint8_t *p;
	size_t n, step;
};

static ssize_t peek(void *ctx, const uint8_t **ret)
{
	struct source *s = ctx;

	*ret = s->p;
	return (ssize_t)MIN(s->n, s->step);
}

static void consume(void *ctx, size_t n)
{
	struct source *s = ctx;

	assert_true(n <= MIN(s->n, s->step));
	s->p += n;
	s->n -= n;
}

/* Decompresses with input in pieces of `step` and output in pieces of `room`. */
static int run(const struct buf *in, size_t step, size_t room, struct buf *out, struct err *e)
{
	struct source s = {buf_data(in), buf_len(in), step};
	struct inflate *z = inflate_new(peek, consume, &s);
	ssize_t n;

	buf_consume(out, buf_len(out));
	do {
		n = inflate_read(z, buf_reserve(out, room), room, e);
		if (n > 0)
			buf_commit(out, (size_t)n);
	} while (n > 0);
	inflate_free(z);
	return (int)n;
}

/* Text that compresses, with long and short distances. */
static void fill(struct buf *b, size_t n)
{
	uint32_t x = 1;

	while (buf_len(b) < n) {
		char word[64];

		x = x * 1664525 + 1013904223;
		snprintf(word, sizeof(word), "%u,%u.", x >> 20, x >> 28);
		assert_int_equal(buf_append(b, word, strlen(word)), 0);
	}
}

struct streams {
	struct buf plain, packed, out;
};

static void streams_init(struct streams *s)
{
	buf_init(&s->plain, 4 * MIB);
	buf_init(&s->packed, 4 * MIB);
	buf_init(&s->out, 4 * MIB);
}

static void streams_release(struct streams *s)
{
	buf_release(&s->plain);
	buf_release(&s->packed);
	buf_release(&s->out);
}

typedef void pack_fn(struct buf *out, const void *data, size_t n);

static void check_cuts(pack_fn *pack)
{
	static const size_t sizes[] = {1, 2, 3, 7, 13, 100, 4096, 1 << 20};
	struct streams s;

	streams_init(&s);
	fill(&s.plain, 150000);
	/* Three members, the middle one empty. */
	pack(&s.packed, buf_data(&s.plain), 70000);
	pack(&s.packed, "", 0);
	pack(&s.packed, buf_data(&s.plain) + 70000, buf_len(&s.plain) - 70000);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		for (size_t k = 0; k < ARRAY_SIZE(sizes); k++) {
			struct err e = {0};

			assert_int_equal(run(&s.packed, sizes[i], sizes[k], &s.out, &e), 0);
			assert_int_equal(buf_len(&s.out), buf_len(&s.plain));
			assert_memory_equal(buf_data(&s.out), buf_data(&s.plain),
					    buf_len(&s.plain));
		}
	}
	streams_release(&s);
}

static void test_cuts(void **state)
{
	check_cuts(gzip_append);
	check_cuts(zstd_append);
}

static void check_damage(pack_fn *pack)
{
	struct streams s;
	struct buf bad;

	streams_init(&s);
	buf_init(&bad, MIB);
	fill(&s.plain, 3000);
	pack(&s.packed, buf_data(&s.plain), buf_len(&s.plain));
	/* Cut off anywhere but at the end. */
	for (size_t n = 4; n < buf_len(&s.packed); n++) {
		struct err e = {0};

		buf_consume(&bad, buf_len(&bad));
		assert_int_equal(buf_append(&bad, buf_data(&s.packed), n), 0);
		assert_int_equal(run(&bad, 1000, 1000, &s.out, &e), -1);
		assert_int_equal(e.code, ERR_CORRUPT);
	}
	/* Followed by something else. */
	for (size_t step = 1; step < 64; step++) {
		struct err e = {0};

		buf_consume(&bad, buf_len(&bad));
		assert_int_equal(buf_append(&bad, buf_data(&s.packed), buf_len(&s.packed)), 0);
		assert_int_equal(buf_append(&bad, "garbage that is no header", 25), 0);
		assert_int_equal(run(&bad, step, 4096, &s.out, &e), -1);
		assert_int_equal(e.code, ERR_CORRUPT);
	}
	buf_release(&bad);
	streams_release(&s);
}

static void test_damage(void **state)
{
	check_damage(gzip_append);
	check_damage(zstd_append);
}

/* A flipped bit anywhere in a gzip stream is found, or was in a field that means nothing. */
static void test_gzip_checksum(void **state)
{
	struct streams s;

	streams_init(&s);
	fill(&s.plain, 2000);
	gzip_append(&s.packed, buf_data(&s.plain), buf_len(&s.plain));
	for (size_t i = 10; i < buf_len(&s.packed); i++) {
		uint8_t *p = (uint8_t *)(uintptr_t)buf_data(&s.packed) + i;
		struct err e = {0};

		*p ^= 0x10;
		assert_int_equal(run(&s.packed, 4096, 4096, &s.out, &e), -1);
		assert_int_equal(e.code, ERR_CORRUPT);
		*p ^= 0x10;
	}
	streams_release(&s);
}

/* With every optional part of a gzip header. */
static void test_gzip_header(void **state)
{
	static const uint8_t extra[] = {0x1f, 0x8b, 8, 0x1c, 0,   0,   0,   0,
					0,    3,    4, 0,    'e', 'x', 't', 'r'};
	struct streams s;

	streams_init(&s);
	fill(&s.plain, 1000);
	gzip_append(&s.packed, buf_data(&s.plain), buf_len(&s.plain));
	{
		struct buf whole;
		const char texts[] = "name\0a comment";

		buf_init(&whole, MIB);
		buf_append(&whole, extra, sizeof(extra));
		buf_append(&whole, texts, sizeof(texts));
		buf_append(&whole, buf_data(&s.packed) + 10, buf_len(&s.packed) - 10);
		for (size_t step = 1; step < 40; step++) {
			struct err e = {0};

			assert_int_equal(run(&whole, step, 4096, &s.out, &e), 0);
			assert_int_equal(buf_len(&s.out), buf_len(&s.plain));
		}
		buf_release(&whole);
	}
	streams_release(&s);
}

static void test_nothing_and_plain(void **state)
{
	struct err e = {0};
	struct streams s;

	streams_init(&s);
	assert_int_equal(run(&s.packed, 1, 100, &s.out, &e), 0);
	assert_int_equal(buf_len(&s.out), 0);
	for (size_t n = 1; n < 8; n++) {
		buf_consume(&s.packed, buf_len(&s.packed));
		buf_append(&s.packed, "abcdefgh", n);
		assert_int_equal(run(&s.packed, 1, 100, &s.out, &e), 0);
		assert_int_equal(buf_len(&s.out), n);
	}
	streams_release(&s);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cuts),
		cmocka_unit_test(test_damage),
		cmocka_unit_test(test_gzip_checksum),
		cmocka_unit_test(test_gzip_header),
		cmocka_unit_test(test_nothing_and_plain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
