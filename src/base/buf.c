/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void buf_init(struct buf *b, size_t max)
{
	*b = (struct buf){.max = max};
}

void buf_release(struct buf *b)
{
	free(b->mem);
	*b = (struct buf){.max = b->max};
}

uint8_t *buf_reserve(struct buf *b, size_t n)
{
	size_t len = buf_len(b), cap;
	uint8_t *mem;

	if (n > b->max - len)
		return NULL;
	if (b->cap - b->end >= n)
		return b->mem + b->end;
	if (b->start > 0) {
		memmove(b->mem, b->mem + b->start, len);
		b->start = 0;
		b->end = len;
		if (b->cap - b->end >= n)
			return b->mem + b->end;
	}
	cap = MAX(b->cap * 2, MAX(len + n, (size_t)256));
	cap = MIN(cap, b->max);
	mem = realloc(b->mem, cap);
	if (!mem)
		return NULL;
	b->mem = mem;
	b->cap = cap;
	return b->mem + b->end;
}

void buf_commit(struct buf *b, size_t n)
{
	b->end += n;
}

int buf_append(struct buf *b, const void *data, size_t n)
{
	uint8_t *p;

	if (n == 0)
		return 0;
	p = buf_reserve(b, n);
	if (!p)
		return n > buf_room(b) ? -ENOBUFS : -ENOMEM;
	memcpy(p, data, n);
	buf_commit(b, n);
	return 0;
}

ssize_t buf_append_pieces(struct buf *b, const struct iovec *iov, int n)
{
	ssize_t done = 0;

	for (int i = 0; i < n; i++) {
		size_t len = MIN(iov[i].iov_len, buf_room(b));

		if (buf_append(b, iov[i].iov_base, len) < 0)
			return -ENOMEM;
		done += (ssize_t)len;
		if (len < iov[i].iov_len)
			break;
	}
	return done;
}

int buf_printf(struct buf *b, const char *fmt, ...)
{
	char *s = NULL;
	va_list ap;
	int n, r;

	va_start(ap, fmt);
	n = vasprintf(&s, fmt, ap);
	va_end(ap);
	if (n < 0)
		return -ENOMEM;
	r = buf_append(b, s, (size_t)n);
	free(s);
	return r;
}

void buf_consume(struct buf *b, size_t n)
{
	b->start += n;
	if (b->start == b->end)
		b->start = b->end = 0;
}
