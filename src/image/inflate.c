/* SPDX-License-Identifier: Apache-2.0 */
#include "image/inflate.h"

#include <stdlib.h>
#include <string.h>

#include <isa-l/igzip_lib.h>
#include <zstd.h>

#define ZSTD_WINDOW_LOG_MAX 24
#define STEP_MAX            ((size_t)1 << 30) /* what fits the decoder's counters */

struct inflate {
	inflate_peek_fn *peek;
	inflate_consume_fn *consume;
	void *source;
	enum inflate_format format;
	/* The first bytes may come one by one; they are kept here until they are used. */
	uint8_t head[INFLATE_MAGIC_LEN];
	size_t head_len, head_pos;
	bool between; /* between two gzip members or zstd frames: the stream may end here */
	struct inflate_state *gzip;
	ZSTD_DCtx *zstd;
};

struct inflate *inflate_new(inflate_peek_fn *peek, inflate_consume_fn *consume, void *source)
{
	struct inflate *z = xcalloc(1, sizeof(*z));

	z->peek = peek;
	z->consume = consume;
	z->source = source;
	z->between = true;
	return z;
}

struct inflate *inflate_free(struct inflate *z)
{
	if (!z)
		return NULL;
	free(z->gzip);
	ZSTD_freeDCtx(z->zstd);
	free(z);
	return NULL;
}

enum inflate_format inflate_format(const struct inflate *z)
{
	return z->format;
}

static ssize_t input_peek(struct inflate *z, const uint8_t **ret, struct err *e)
{
	ssize_t n;

	if (z->head_pos < z->head_len) {
		*ret = z->head + z->head_pos;
		return (ssize_t)(z->head_len - z->head_pos);
	}
	n = z->peek(z->source, ret);
	return n < 0 ? err_set(e, ERR_CORRUPT, "cannot read the compressed data") : n;
}

static void input_consume(struct inflate *z, size_t n)
{
	if (z->head_pos < z->head_len)
		z->head_pos += n;
	else
		z->consume(z->source, n);
}

static bool is_zstd(const uint8_t head[INFLATE_MAGIC_LEN])
{
	static const uint8_t frame[] = {0x28, 0xb5, 0x2f, 0xfd};
	/* The low half of the first byte is free to choose in a skippable frame. */
	static const uint8_t skippable[] = {0x50, 0x2a, 0x4d, 0x18};

	return memcmp(head, frame, INFLATE_MAGIC_LEN) == 0 ||
	       ((head[0] & 0xf0) == skippable[0] && memcmp(head + 1, skippable + 1, 3) == 0);
}

enum inflate_format inflate_sniff(const uint8_t *head, size_t n)
{
	if (n >= 2 && head[0] == 0x1f && head[1] == 0x8b)
		return INFLATE_GZIP;
	return n >= INFLATE_MAGIC_LEN && is_zstd(head) ? INFLATE_ZSTD : INFLATE_NONE;
}

static int detect(struct inflate *z, struct err *e)
{
	while (z->head_len < INFLATE_MAGIC_LEN) {
		const uint8_t *p;
		ssize_t n = z->peek(z->source, &p);

		if (n < 0)
			return err_set(e, ERR_CORRUPT, "cannot read the compressed data");
		if (n == 0)
			break;
		n = (ssize_t)MIN((size_t)n, INFLATE_MAGIC_LEN - z->head_len);
		memcpy(z->head + z->head_len, p, (size_t)n);
		z->head_len += (size_t)n;
		z->consume(z->source, (size_t)n);
	}
	z->format = inflate_sniff(z->head, z->head_len);
	if (z->format == INFLATE_GZIP) {
		z->gzip = xmalloc(sizeof(*z->gzip));
	} else if (z->format == INFLATE_ZSTD) {
		z->zstd = ZSTD_createDCtx();
		if (!z->zstd)
			return err_set(e, ERR_SYSTEM, "out of memory");
		ZSTD_DCtx_setParameter(z->zstd, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG_MAX);
	}
	return 0;
}

static const char *gzip_problem(int r)
{
	switch (r) {
	case ISAL_INVALID_WRAPPER:
	case ISAL_UNSUPPORTED_METHOD:
		return "bad header";
	case ISAL_INCORRECT_CHECKSUM:
		return "wrong checksum";
	default:
		return "bad block";
	}
}

/* One step; returns what it wrote, possibly nothing. */
static ssize_t step_gzip(struct inflate *z, const uint8_t *in, size_t n, uint8_t *out, size_t size,
			 struct err *e)
{
	struct inflate_state *g = z->gzip;
	int r;

	if (z->between) {
		isal_inflate_init(g);
		g->crc_flag = ISAL_GZIP;
		z->between = false;
	}
	g->next_in = (uint8_t *)(uintptr_t)in;
	g->avail_in = (uint32_t)MIN(n, STEP_MAX);
	n = g->avail_in;
	g->next_out = out;
	g->avail_out = (uint32_t)MIN(size, STEP_MAX);
	size = g->avail_out;
	r = isal_inflate(g);
	if (r < 0)
		return err_set(e, ERR_CORRUPT, "damaged gzip data: %s", gzip_problem(r));
	z->between = g->block_state == ISAL_BLOCK_FINISH;
	input_consume(z, n - g->avail_in);
	return (ssize_t)(size - g->avail_out);
}

static ssize_t step_zstd(struct inflate *z, const uint8_t *in, size_t n, uint8_t *out, size_t size,
			 struct err *e)
{
	ZSTD_inBuffer from = {.src = in, .size = n};
	ZSTD_outBuffer to = {.dst = out, .size = size};
	size_t r = ZSTD_decompressStream(z->zstd, &to, &from);

	if (ZSTD_isError(r))
		return err_set(e, ERR_CORRUPT, "damaged zstd data: %s", ZSTD_getErrorName(r));
	z->between = r == 0;
	input_consume(z, from.pos);
	return (ssize_t)to.pos;
}

ssize_t inflate_read(struct inflate *z, uint8_t *out, size_t size, struct err *e)
{
	if (z->format == INFLATE_UNKNOWN && detect(z, e) < 0)
		return -1;
	for (;;) {
		const uint8_t *in;
		ssize_t n = input_peek(z, &in, e), got;

		if (n < 0)
			return -1;
		if (z->format == INFLATE_NONE) {
			n = (ssize_t)MIN((size_t)n, size);
			if (n > 0) /* at the end there is no input to point to */
				memcpy(out, in, (size_t)n);
			input_consume(z, (size_t)n);
			return n;
		}
		/* At the end of the input a decoder may still hold output. */
		if (n == 0 && z->between)
			return 0;
		got = z->format == INFLATE_GZIP ? step_gzip(z, in, (size_t)n, out, size, e)
						: step_zstd(z, in, (size_t)n, out, size, e);
		if (got != 0)
			return got;
		if (n == 0)
			return err_set(e, ERR_CORRUPT, "the compressed data end too early");
	}
}
