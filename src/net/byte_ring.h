/* SPDX-License-Identifier: Apache-2.0 */
/* A bounded ring of bytes that is allocated when first used, grows up to its bound and is read by
 * position. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct byte_ring {
	uint8_t *mem;
	size_t cap;   /* a power of two; 0: nothing allocated */
	size_t max;   /* bound, a power of two */
	size_t start; /* position of the first byte in mem */
	size_t len;
};

void byte_ring_init(struct byte_ring *r, size_t max);
void byte_ring_release(struct byte_ring *r);
/*
 * Free room as at most two pieces, growing the ring as needed for `want` bytes. Returns the number
 * of pieces; 0 when it is full or there is no memory. byte_ring_added then says how much was
 * filled.
 */
int byte_ring_room(struct byte_ring *r, size_t want, struct iovec iov[2]);
void byte_ring_added(struct byte_ring *r, size_t n);
/* The bytes from `offset` on, at most `n`, as at most two pieces. Returns the number of pieces. */
int byte_ring_data(const struct byte_ring *r, size_t offset, size_t n, struct iovec iov[2]);
void byte_ring_drop(struct byte_ring *r, size_t n);
/* Gives the memory back if the ring is empty. */
void byte_ring_idle(struct byte_ring *r);
