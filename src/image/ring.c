/* SPDX-License-Identifier: Apache-2.0 */
#include "image/ring.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct ring {
	uint8_t *mem;
	size_t size;
	size_t start; /* of the unread bytes */
	size_t used;
	bool write_closed, read_closed;
	pthread_mutex_t mutex; /* for all of the above but the bytes */
	pthread_cond_t readable, writable;
};

struct ring *ring_new(size_t size)
{
	struct ring *r = xcalloc(1, sizeof(*r));

	r->mem = xmalloc(size);
	r->size = size;
	pthread_mutex_init(&r->mutex, NULL);
	pthread_cond_init(&r->readable, NULL);
	pthread_cond_init(&r->writable, NULL);
	return r;
}

struct ring *ring_free(struct ring *r)
{
	if (!r)
		return NULL;
	pthread_cond_destroy(&r->readable);
	pthread_cond_destroy(&r->writable);
	pthread_mutex_destroy(&r->mutex);
	free(r->mem);
	free(r);
	return NULL;
}

size_t ring_reserve(struct ring *r, uint8_t **ret)
{
	size_t n = 0, end;

	pthread_mutex_lock(&r->mutex);
	while (r->used == r->size && !r->read_closed)
		pthread_cond_wait(&r->writable, &r->mutex);
	if (!r->read_closed) {
		end = (r->start + r->used) % r->size;
		n = MIN(r->size - r->used, r->size - end);
		*ret = r->mem + end;
	}
	pthread_mutex_unlock(&r->mutex);
	return n;
}

void ring_commit(struct ring *r, size_t n)
{
	pthread_mutex_lock(&r->mutex);
	r->used += n;
	pthread_cond_signal(&r->readable);
	pthread_mutex_unlock(&r->mutex);
}

void ring_close_write(struct ring *r)
{
	pthread_mutex_lock(&r->mutex);
	r->write_closed = true;
	pthread_cond_signal(&r->readable);
	pthread_mutex_unlock(&r->mutex);
}

bool ring_write(struct ring *r, const void *data, size_t n)
{
	const uint8_t *p = data;

	while (n) {
		uint8_t *to;
		size_t k = ring_reserve(r, &to);

		if (k == 0)
			return false;
		k = MIN(k, n);
		memcpy(to, p, k);
		ring_commit(r, k);
		p += k;
		n -= k;
	}
	return true;
}

size_t ring_peek(struct ring *r, const uint8_t **ret)
{
	size_t n;

	pthread_mutex_lock(&r->mutex);
	while (r->used == 0 && !r->write_closed)
		pthread_cond_wait(&r->readable, &r->mutex);
	n = MIN(r->used, r->size - r->start);
	*ret = r->mem + r->start;
	pthread_mutex_unlock(&r->mutex);
	return n;
}

void ring_consume(struct ring *r, size_t n)
{
	pthread_mutex_lock(&r->mutex);
	r->start = (r->start + n) % r->size;
	r->used -= n;
	pthread_cond_signal(&r->writable);
	pthread_mutex_unlock(&r->mutex);
}

void ring_close_read(struct ring *r)
{
	pthread_mutex_lock(&r->mutex);
	r->read_closed = true;
	pthread_cond_signal(&r->writable);
	pthread_mutex_unlock(&r->mutex);
}
