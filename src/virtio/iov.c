/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio/iov.h"

#include "base/util.h"

#include <string.h>

void iov_iter_init(struct iov_iter *it, const struct iovec *iov, unsigned int n, size_t total)
{
	*it = (struct iov_iter){.iov = iov, .n = n, .left = total};
}

/* The next contiguous piece of at most `len` bytes; 0 at the end. */
static size_t next_piece(struct iov_iter *it, size_t len, void **ret)
{
	size_t n;

	len = MIN(len, it->left);
	if (len == 0)
		return 0;
	while (it->skip == it->iov->iov_len) {
		it->iov++;
		it->n--;
		it->skip = 0;
	}
	n = MIN(len, it->iov->iov_len - it->skip);
	*ret = (char *)it->iov->iov_base + it->skip;
	it->skip += n;
	it->left -= n;
	return n;
}

size_t iov_iter_read(struct iov_iter *it, void *data, size_t len)
{
	size_t done = 0, n;
	void *p;

	while ((n = next_piece(it, len - done, &p)) > 0) {
		memcpy((char *)data + done, p, n);
		done += n;
	}
	return done;
}

size_t iov_iter_write(struct iov_iter *it, const void *data, size_t len)
{
	size_t done = 0, n;
	void *p;

	while ((n = next_piece(it, len - done, &p)) > 0) {
		memcpy(p, (const char *)data + done, n);
		done += n;
	}
	return done;
}

size_t iov_iter_zero(struct iov_iter *it, size_t len)
{
	size_t done = 0, n;
	void *p;

	while ((n = next_piece(it, len - done, &p)) > 0) {
		memset(p, 0, n);
		done += n;
	}
	return done;
}

size_t iov_iter_skip(struct iov_iter *it, size_t len)
{
	size_t done = 0, n;
	void *p;

	while ((n = next_piece(it, len - done, &p)) > 0)
		done += n;
	return done;
}

unsigned int iov_iter_take(struct iov_iter *it, size_t len, struct iovec *out, unsigned int max,
			   size_t *ret_len)
{
	unsigned int k = 0;
	size_t done = 0, n;
	void *p;

	while (k < max && (n = next_piece(it, len - done, &p)) > 0) {
		out[k++] = (struct iovec){.iov_base = p, .iov_len = n};
		done += n;
	}
	*ret_len = done;
	return k;
}
