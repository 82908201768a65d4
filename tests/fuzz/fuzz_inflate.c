/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compressed streams. An input is u8 flags, u8 step, u16 place, u8 damage, and a payload. Bits 0
 * and 1 of the flags say what becomes of it: nothing (it is the stream), gzip, zstd, or gzip in two
 * members. Of a stream made here the byte at the place is changed by the damage, or, with bit 2,
 * the stream ends there. It is read whole and in pieces that depend on the step: what comes out
 * must not depend on how it came in.
 */
#include "image.h"

#include "image/inflate.h"

#include <zlib.h>
#include <zstd.h>

#define CUT     4
#define OUT_MAX (256 * KIB)

struct source {
	const uint8_t *p;
	size_t n;
	uint32_t step; /* 0: all at once */
	bool ended;
};

struct outcome {
	uint8_t *data;
	size_t n;
	int end; /* 0 the end, -1 an error, 1 more than OUT_MAX */
	enum inflate_format format;
	struct err e;
};

static size_t next_size(uint32_t *state)
{
	*state = *state * 1664525 + 1013904223;
	return *state >> 24 & 1 ? 1 + (*state >> 20 & 7) : 1 + (*state >> 16 & 1023);
}

static ssize_t peek(void *ctx, const uint8_t **ret)
{
	struct source *s = ctx;
	size_t n = s->step ? next_size(&s->step) : s->n;

	*ret = s->p;
	return (ssize_t)MIN(n, s->n);
}

static void consume(void *ctx, size_t n)
{
	struct source *s = ctx;

	CHECK(n <= s->n);
	s->p += n;
	s->n -= n;
}

static void run(const uint8_t *stream, size_t n, uint32_t step, struct outcome *o)
{
	struct source s = {.p = stream, .n = n, .step = step};
	struct inflate *z = inflate_new(peek, consume, &s);
	uint32_t state = step;

	*o = (struct outcome){.data = malloc(OUT_MAX), .end = 1};
	CHECK(o->data);
	while (o->n < OUT_MAX) {
		size_t room = step ? next_size(&state) : OUT_MAX;
		ssize_t got;

		room = MIN(room, OUT_MAX - o->n);
		got = inflate_read(z, o->data + o->n, room, &o->e);

		CHECK(got <= (ssize_t)room);
		if (got <= 0) {
			o->end = got < 0 ? -1 : 0;
			break;
		}
		o->n += (size_t)got;
	}
	if (o->end < 0)
		check_error(&o->e);
	else
		CHECK(o->e.code == ERR_NONE);
	if (o->end == 0)
		CHECK(s.n == 0);
	o->format = inflate_format(z);
	inflate_free(z);
}

static size_t gzip(const uint8_t *data, size_t n, uint8_t *out, size_t room)
{
	z_stream z = {.next_in = (Bytef *)(uintptr_t)data,
		      .avail_in = (uInt)n,
		      .next_out = out,
		      .avail_out = (uInt)room};

	CHECK(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK);
	CHECK(deflate(&z, Z_FINISH) == Z_STREAM_END);
	deflateEnd(&z);
	return room - z.avail_out;
}

/* Makes the stream, owned. */
static uint8_t *make_stream(uint8_t flags, const uint8_t *data, size_t n, size_t *ret_len)
{
	size_t room = 2 * n + 1024, half = n / 2, len;
	uint8_t *out = malloc(room);

	CHECK(out);
	switch (flags & 3) {
	case 1:
		len = gzip(data, n, out, room);
		break;
	case 2:
		len = ZSTD_compress(out, room, data, n, 3);
		CHECK(!ZSTD_isError(len));
		break;
	case 3:
		len = gzip(data, half, out, room);
		len += gzip(data + half, n - half, out + len, room - len);
		break;
	default:
		len = n;
		if (n)
			memcpy(out, data, n);
	}
	*ret_len = len;
	return out;
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t n)
{
	struct input in = {input, n};
	uint8_t flags = take8(&in), step = take8(&in);
	unsigned int place = take16(&in);
	uint8_t damage = take8(&in), *made, *stream;
	struct outcome whole, pieces;
	size_t len, common;

	made = make_stream(flags, in.p, in.n, &len);
	if (flags & CUT && flags & 3) {
		len = MIN(len, place);
		damage = 1;
	} else if (flags & 3 && len) {
		made[place % len] ^= damage;
	}
	stream = exact_copy(made, len);
	run(stream, len, 0, &whole);
	run(stream, len, 1U + step, &pieces);
	CHECK(whole.format == pieces.format);
	/*
	 * When a frame's header comes in two pieces, libzstd 1.5.4 may take the second for a frame
	 * of its own, so what is damaged on purpose is not always found.
	 */
	if (whole.format != INFLATE_ZSTD) {
		CHECK(whole.end == pieces.end && (whole.end < 0 || whole.n == pieces.n));
		common = MIN(whole.n, pieces.n);
		CHECK(memcmp(whole.data, pieces.data, common) == 0);
	}
	if (flags & 3 && !damage)
		CHECK(whole.end == 0 && whole.n == in.n && memcmp(whole.data, in.p, in.n) == 0 &&
		      pieces.end == 0 && pieces.n == in.n && memcmp(pieces.data, in.p, in.n) == 0);
	free(whole.data);
	free(pieces.data);
	free(stream);
	free(made);
	return 0;
}
