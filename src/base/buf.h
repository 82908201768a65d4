/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A growable byte buffer with a bound given at its creation, so that no peer decides how much
 * memory is used. Data are consumed from the front and appended at the back.
 */
#pragma once

#include "base/util.h"

#include <sys/types.h>
#include <sys/uio.h>

struct buf {
	uint8_t *mem;
	size_t start; /* first unread byte */
	size_t end;   /* one past the last byte */
	size_t cap;   /* allocated */
	size_t max;   /* bound on end - start */
};

/* Makes an empty buffer that holds at most `max` bytes; nothing is allocated yet. */
void buf_init(struct buf *b, size_t max);
void buf_release(struct buf *b);

static inline const uint8_t *buf_data(const struct buf *b)
{
	return b->mem + b->start;
}

static inline size_t buf_len(const struct buf *b)
{
	return b->end - b->start;
}

/* How many bytes may still be appended. */
static inline size_t buf_room(const struct buf *b)
{
	return b->max - buf_len(b);
}

/* Makes `n` bytes writable at the end and returns them; NULL past the bound or out of memory. */
uint8_t *buf_reserve(struct buf *b, size_t n);
/* Takes over `n` of the bytes that buf_reserve gave. */
void buf_commit(struct buf *b, size_t n);
/* 0, or -ENOBUFS past the bound, or -ENOMEM. */
int buf_append(struct buf *b, const void *data, size_t n);
/* As much of the pieces as there is room for; how many bytes that is, or -ENOMEM. */
ssize_t buf_append_pieces(struct buf *b, const struct iovec *iov, int n);
int buf_printf(struct buf *b, const char *fmt, ...) PRINTF_FORMAT(2, 3);
/* Drops `n` bytes from the front. */
void buf_consume(struct buf *b, size_t n);
