/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio/rng.h"

#include "base/util.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#define QUEUE_SIZE 64
/* One request gets at most this much, so that a huge buffer cannot occupy the thread. */
#define REQUEST_MAX (64 * KIB)
/* Requests per turn. */
#define BUDGET 16

/* #syscalls:rng getrandom */
static uint32_t fill(const struct virtq_chain *c)
{
	size_t done = 0;

	for (unsigned int i = 0; i < c->in_n && done < REQUEST_MAX; i++) {
		size_t n = MIN(c->in[i].iov_len, REQUEST_MAX - done);
		ssize_t r = getrandom(c->in[i].iov_base, n, 0);

		if (r < 0)
			break;
		done += (size_t)r;
		/* Short means interrupted: the driver asks again for the rest. */
		if ((size_t)r < n)
			break;
	}
	return (uint32_t)done;
}

static void rng_kick(struct virtio_device *dev, unsigned int queue)
{
	struct virtq *vq = virtio_queue(dev, queue);
	struct iovec iov[QUEUE_SIZE];
	struct virtq_chain c;
	int r;

	for (int n = 0; n < BUDGET; n++) {
		r = virtq_pop(vq, iov, ARRAY_SIZE(iov), &c);
		if (r == 0 && virtq_kicks_on(vq))
			continue;
		if (r <= 0)
			goto out;
		virtq_push(vq, c.head, fill(&c));
	}
	virtio_device_rekick(dev, queue);
	r = 0;
out:
	virtio_device_publish(dev, queue);
	if (r < 0)
		virtio_device_queue_broken(dev, queue);
}

static void rng_free(struct virtio_device *dev)
{
	virtio_device_release(dev);
	free(dev);
}

static const struct virtio_device_ops rng_ops = {
	.kick = rng_kick,
	.free = rng_free,
};

struct virtio_device *rng_new(void)
{
	struct virtio_device *dev = calloc(1, sizeof(*dev));
	int r;

	if (!dev)
		return NULL;
	r = virtio_device_init(dev, &rng_ops, VIRTIO_ID_RNG, "rng", 1, QUEUE_SIZE);
	if (r < 0) {
		virtio_device_free(dev);
		errno = -r;
		return NULL;
	}
	return dev;
}
