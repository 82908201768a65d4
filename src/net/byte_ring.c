/* SPDX-License-Identifier: Apache-2.0 */
#include "net/byte_ring.h"

#include "base/util.h"

#include <stdlib.h>
#include <string.h>

#define CAP_MIN ((size_t)8 << 10)

void byte_ring_init(struct byte_ring *r, size_t max)
{
	*r = (struct byte_ring){.max = max};
}

void byte_ring_release(struct byte_ring *r)
{
	free(r->mem);
	byte_ring_init(r, r->max);
}

/* The `n` bytes from position `at` on, as pieces. */
static int pieces(const struct byte_ring *r, size_t at, size_t n, struct iovec iov[2])
{
	size_t first;

	if (n == 0)
		return 0;
	at &= r->cap - 1;
	first = MIN(n, r->cap - at);
	iov[0] = (struct iovec){r->mem + at, first};
	if (first == n)
		return 1;
	iov[1] = (struct iovec){r->mem, n - first};
	return 2;
}

/* Moves what there is to a larger area. */
static void grow(struct byte_ring *r, size_t need)
{
	size_t cap = MAX(r->cap, MIN(CAP_MIN, r->max));
	struct iovec iov[2];
	uint8_t *mem, *p;
	int n;

	while (cap < need && cap < r->max)
		cap *= 2;
	mem = cap > r->cap ? malloc(cap) : NULL;
	if (!mem)
		return;
	p = mem;
	n = pieces(r, r->start, r->len, iov);
	for (int i = 0; i < n; i++) {
		memcpy(p, iov[i].iov_base, iov[i].iov_len);
		p += iov[i].iov_len;
	}
	free(r->mem);
	r->mem = mem;
	r->cap = cap;
	r->start = 0;
}

int byte_ring_room(struct byte_ring *r, size_t want, struct iovec iov[2])
{
	if (r->len + want > r->cap)
		grow(r, r->len + want);
	return pieces(r, r->start + r->len, MIN(want, r->cap - r->len), iov);
}

void byte_ring_added(struct byte_ring *r, size_t n)
{
	r->len += n;
}

int byte_ring_data(const struct byte_ring *r, size_t offset, size_t n, struct iovec iov[2])
{
	if (offset >= r->len)
		return 0;
	return pieces(r, r->start + offset, MIN(n, r->len - offset), iov);
}

void byte_ring_drop(struct byte_ring *r, size_t n)
{
	r->len -= n;
	/* An empty one starts anew, so that its next bytes are one piece, in memory just used. */
	r->start = r->len ? (r->start + n) & (r->cap - 1) : 0;
}

void byte_ring_idle(struct byte_ring *r)
{
	if (r->len == 0 && r->mem)
		byte_ring_release(r);
}
