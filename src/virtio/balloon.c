/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * The target size of the balloon (num_pages) stays 0: the host never squeezes the guest. What is
 * wanted is free page reporting (5.5.6.7): when the guest's allocator has whole blocks of free
 * pages, the driver describes them by device-writable buffers, leaves them alone until the chain
 * is used, and takes them for uninitialised afterwards. We drop their contents, which gives the
 * memory back to the host until the guest touches it again. A driver that inflates on its own gets
 * the same; deflating needs nothing, because a page that was dropped comes back when it is touched.
 *
 * Queues are numbered over those that exist: Linux gives no index to a queue whose feature was not
 * negotiated. With reporting as the only feature offered that makes
 *
 *	0 inflate	1 deflate	2 reporting
 *
 * and a further feature that has a queue may only be offered together with a look at which ones
 * the driver accepted.
 *
 * Nothing that is dropped can hurt anybody but the guest, whose memory it is: mappings stay, only
 * contents are lost. Both ends of a range are rounded inwards to pages of the host's address, so
 * that no byte goes that was not named.
 */
#include "virtio/balloon.h"

#include "base/util.h"
#include "virtio/iov.h"

#include <errno.h>
#include <linux/virtio_balloon.h>
#include <stdlib.h>
#include <string.h>

#define QUEUE_INFLATE 0
#define QUEUE_DEFLATE 1
#define QUEUE_REPORT  2
#define QUEUES        3
/* The driver describes 32 ranges at once and needs a queue at least that long. */
#define QUEUE_SIZE 128
#define CHAIN_MAX  QUEUE_SIZE
#define PAGE       ((size_t)1 << VIRTIO_BALLOON_PFN_SHIFT)
/* Page numbers heard from one chain; the driver sends 256. Not to drop a page is no error. */
#define PFNS_MAX 1024
/* Chains per turn. */
#define BUDGET 16

struct balloon {
	struct virtio_device dev;
	void (*discard)(void *ctx, void *host, size_t len);
	void *ctx;
};

/* Pages that are neighbours here, to be dropped by one call. */
struct run {
	uint8_t *start;
	size_t len;
};

static void run_flush(struct balloon *b, struct run *run)
{
	if (run->len)
		b->discard(b->ctx, run->start, run->len);
	run->len = 0;
}

/* The driver's allocator hands pages out upwards as well as downwards. */
static void run_add(struct balloon *b, struct run *run, uint8_t *page)
{
	if (run->len && page == run->start + run->len) {
		run->len += PAGE;
	} else if (run->len && page + PAGE == run->start) {
		run->start = page;
		run->len += PAGE;
	} else {
		run_flush(b, run);
		*run = (struct run){page, PAGE};
	}
}

static void inflate(struct balloon *b, const struct virtq *vq, const struct virtq_chain *c)
{
	struct run run = {};
	struct iov_iter it;
	uint32_t pfn;

	iov_iter_init(&it, c->out, c->out_n, c->out_len);
	for (unsigned int n = 0; n < PFNS_MAX; n++) {
		uint8_t *page;

		if (iov_iter_read(&it, &pfn, sizeof(pfn)) != sizeof(pfn))
			break;
		page = guest_mem_ptr(vq->mem, (uint64_t)pfn << VIRTIO_BALLOON_PFN_SHIFT, PAGE);
		if (page && (uintptr_t)page % PAGE == 0)
			run_add(b, &run, page);
	}
	run_flush(b, &run);
}

static void report(struct balloon *b, const struct virtq_chain *c)
{
	for (unsigned int i = 0; i < c->in_n; i++) {
		uint8_t *start = c->in[i].iov_base;
		size_t skip = (PAGE - (uintptr_t)start % PAGE) % PAGE;

		if (c->in[i].iov_len < skip + PAGE)
			continue;
		b->discard(b->ctx, start + skip, (c->in[i].iov_len - skip) & ~(PAGE - 1));
	}
}

static void balloon_kick(struct virtio_device *dev, unsigned int queue)
{
	struct balloon *b = container_of(dev, struct balloon, dev);
	struct virtq *vq = virtio_queue(dev, queue);
	struct iovec iov[CHAIN_MAX];
	struct virtq_chain c;
	int r = 0;

	for (int n = 0; n < BUDGET; n++) {
		r = virtq_pop(vq, iov, ARRAY_SIZE(iov), &c);
		if (r == 0 && virtq_kicks_on(vq))
			continue;
		if (r <= 0)
			goto out;
		if (queue == QUEUE_INFLATE)
			inflate(b, vq, &c);
		else if (queue == QUEUE_REPORT)
			report(b, &c);
		/* Nothing was written; what a page now holds the driver must not assume. */
		virtq_push(vq, c.head, 0);
	}
	virtio_device_rekick(dev, queue);
	r = 0;
out:
	virtio_device_publish(dev, queue);
	if (r < 0)
		virtio_device_queue_broken(dev, queue);
}

static void balloon_free(struct virtio_device *dev)
{
	struct balloon *b = container_of(dev, struct balloon, dev);

	virtio_device_release(dev);
	free(b);
}

static const struct virtio_device_ops balloon_ops = {
	.kick = balloon_kick,
	.free = balloon_free,
};

struct virtio_device *balloon_new(void (*discard)(void *ctx, void *host, size_t len), void *ctx)
{
	struct balloon *b = calloc(1, sizeof(*b));
	int r;

	if (!b)
		return NULL;
	b->discard = discard;
	b->ctx = ctx;
	r = virtio_device_init(&b->dev, &balloon_ops, VIRTIO_ID_BALLOON, "balloon", QUEUES,
			       QUEUE_SIZE);
	if (r < 0) {
		virtio_device_free(&b->dev);
		errno = -r;
		return NULL;
	}
	b->dev.features |= VIRTIO_BIT(VIRTIO_BALLOON_F_REPORTING);
	/* num_pages and actual; what follows them belongs to features that are not offered. */
	b->dev.config_size = offsetof(struct virtio_balloon_config, actual) + sizeof(uint32_t);
	b->dev.config_rw_offset = offsetof(struct virtio_balloon_config, actual);
	b->dev.config_rw_size = sizeof(uint32_t);
	return &b->dev;
}
