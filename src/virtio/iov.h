/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A position in an array of buffers, from which bytes are taken front to back. The guest cuts its
 * requests into buffers as it likes (virtio 1.2, 2.7.4.1), so a device reads and writes through
 * one of these instead of expecting a header in a buffer of its own.
 */
#pragma once

#include <stddef.h>
#include <sys/uio.h>

struct iov_iter {
	const struct iovec *iov; /* the current buffer */
	unsigned int n;          /* buffers left, the current one included */
	size_t skip;             /* bytes of the current buffer already taken */
	size_t left;             /* bytes left in all of them */
};

void iov_iter_init(struct iov_iter *it, const struct iovec *iov, unsigned int n, size_t total);

/* Copies up to `len` bytes out of, or into, the buffers and moves on; returns how many. */
size_t iov_iter_read(struct iov_iter *it, void *data, size_t len);
size_t iov_iter_write(struct iov_iter *it, const void *data, size_t len);
/* Writes zeroes. */
size_t iov_iter_zero(struct iov_iter *it, size_t len);
size_t iov_iter_skip(struct iov_iter *it, size_t len);

/*
 * Describes the next bytes, at most `len` of them in at most `max` buffers, in `out` and moves
 * past them. Returns the number of buffers; *ret_len is what they hold together.
 */
unsigned int iov_iter_take(struct iov_iter *it, size_t len, struct iovec *out, unsigned int max,
			   size_t *ret_len);
