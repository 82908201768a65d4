/* SPDX-License-Identifier: Apache-2.0 */
/* The registers of the mmio transport, before a balloon or a socket device; saving and loading. */
#include "guest.h"

#include "base/cleanup.h"
#include "virtio/balloon.h"
#include "virtio/virtio_mmio.h"
#include "virtio/vsock.h"

#include <errno.h>
#include <linux/virtio_mmio.h>
#include <sys/eventfd.h>

enum {
	OP_WRITE = GUEST_OPS, /* u8 register, u32 value: written, then read */
	OP_ACCESS,            /* u64 offset, u8 length, u64 value: written, then read */
	OP_KICK,              /* u8 queue, by the descriptor */
	OP_UP,                /* u8 flags: all of a driver's way up */
	OP_SAVE,              /* u8 n, n pairs of u16 at and u8 value that spoil the state */
	OP_IDLE,
	OPS,
};

struct target {
	struct guest g;
	bool balloon;
	struct virtio_device *dev;
	struct virtio_mmio *t;
	int irq;
};

/* What a machine does, and what can go wrong with it. */
static void discard(void *ctx, void *host, size_t len)
{
	const struct target *t = ctx;
	uint8_t *p = host;

	CHECK(len && len % 4096 == 0 && (uintptr_t)p % 4096 == 0);
	CHECK((p >= t->g.low && p + len <= t->g.low + GUEST_LOW) ||
	      (p >= t->g.high && p + len <= t->g.high + GUEST_HIGH_SIZE));
	memset(p, 0, len);
}

static void make(struct target *t)
{
	const struct vsock_config c = {.guest_cid = 3, .listen_fd = -1, .offers_fd = -1};

	t->dev = t->balloon ? balloon_new(discard, t) : vsock_new(&c);
	CHECK(t->dev);
	t->t = virtio_mmio_new(t->dev, &t->g.table, dup(t->irq));
	CHECK(t->t);
}

static void reg(struct target *t, uint64_t offset, uint32_t v)
{
	virtio_mmio_write(t->t, offset, &v, sizeof(v));
	if (offset == VIRTIO_MMIO_STATUS && v == 0) {
		virtio_mmio_read(t->t, offset, &v, sizeof(v));
		CHECK(v == 0 && t->dev->acked == 0);
		for (unsigned int i = 0; i < t->dev->num_queues; i++)
			CHECK(!virtio_queue(t->dev, i)->started);
	}
}

static void up(struct target *t, uint8_t flags)
{
	uint64_t features = t->dev->features;

	if (flags & 1)
		features &= ~VIRTIO_BIT(VIRTIO_RING_F_EVENT_IDX);
	if (flags & 2)
		features &= ~VIRTIO_BIT(VIRTIO_RING_F_INDIRECT_DESC);
	if (!(flags & 4))
		reg(t, VIRTIO_MMIO_STATUS, 0);
	reg(t, VIRTIO_MMIO_STATUS, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
	reg(t, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
	reg(t, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)features);
	reg(t, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
	reg(t, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)(features >> 32));
	reg(t, VIRTIO_MMIO_STATUS, VIRTIO_CONFIG_S_FEATURES_OK);
	for (uint32_t i = 0; i < GUEST_QUEUES; i++) {
		const struct virtq_config c = guest_queue(i);

		reg(t, VIRTIO_MMIO_QUEUE_SEL, i);
		reg(t, VIRTIO_MMIO_QUEUE_NUM, c.size);
		reg(t, VIRTIO_MMIO_QUEUE_DESC_LOW, (uint32_t)c.desc);
		reg(t, VIRTIO_MMIO_QUEUE_AVAIL_LOW, (uint32_t)c.avail);
		reg(t, VIRTIO_MMIO_QUEUE_USED_LOW, (uint32_t)c.used);
		reg(t, VIRTIO_MMIO_QUEUE_READY, 1);
	}
	reg(t, VIRTIO_MMIO_STATUS, VIRTIO_CONFIG_S_DRIVER_OK);
}

static void register_access(struct target *t, struct input *in)
{
	uint64_t offset = take64(in), v;
	uint32_t len = 1u << (take8(in) & 3);

	v = take64(in);
	virtio_mmio_write(t->t, offset, &v, len);
	virtio_mmio_read(t->t, offset, &v, len);
}

static void save(struct target *t, struct input *in)
{
	struct virtio_mmio_state s, again;
	unsigned int n = take8(in) & 15;
	bool spoilt = n > 0;
	int r;

	virtio_mmio_save(t->t, &s);
	for (; n; n--) {
		uint16_t at = take16(in) % sizeof(s);

		((uint8_t *)&s)[at] = take8(in);
	}
	virtio_mmio_free(t->t);
	make(t);
	r = virtio_mmio_load(t->t, &s);
	CHECK(r == 0 || r == -EINVAL);
	/* The machine would not start. */
	if (r < 0) {
		CHECK(spoilt);
		virtio_mmio_free(t->t);
		make(t);
		return;
	}
	/* Requests are served on the way, so that indexes may differ; what was agreed on may not.
	 */
	virtio_mmio_save(t->t, &again);
	CHECK(again.acked == s.acked && again.queue_sel == s.queue_sel);
	CHECK((again.status & ~(uint32_t)VIRTIO_CONFIG_S_NEEDS_RESET) ==
	      (s.status & ~(uint32_t)VIRTIO_CONFIG_S_NEEDS_RESET));
}

static void step(struct target *t, struct input *in)
{
	unsigned int op = take8(in) % OPS;
	uint64_t one = 1, offset;
	uint32_t v;

	switch (op) {
	case OP_WRITE:
		offset = take8(in) * 4u;
		reg(t, offset, take32(in));
		virtio_mmio_read(t->t, offset, &v, sizeof(v));
		run_round(worker_loop(t->dev->worker));
		break;
	case OP_ACCESS:
		register_access(t, in);
		break;
	case OP_KICK:
		CHECK(write(virtio_mmio_kick_fd(t->t, take8(in) % GUEST_QUEUES), &one,
			    sizeof(one)) == sizeof(one));
		run_round(worker_loop(t->dev->worker));
		break;
	case OP_UP:
		up(t, take8(in));
		break;
	case OP_SAVE:
		save(t, in);
		break;
	case OP_IDLE:
		virtio_mmio_idle(t->t);
		break;
	default:
		guest_op(&t->g, in, op);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct input in = {data, n};
	struct target t = {};
	int fd = next_fd();

	guest_init(&t.g);
	t.irq = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	t.balloon = take8(&in) & 1;
	make(&t);
	while (in.n)
		step(&t, &in);
	/* Whatever happened, a reset and a new start mend it. */
	for (unsigned int i = 0; i < GUEST_QUEUES; i++)
		memset(t.g.low + i * 0x1000, 0, 0x1000);
	up(&t, 0);
	for (unsigned int i = 0; i < GUEST_QUEUES; i++)
		CHECK(virtio_queue(t.dev, i)->started && !virtio_queue(t.dev, i)->broken);
	virtio_mmio_free(t.t);
	close(t.irq);
	guest_release(&t.g);
	CHECK(next_fd() == fd);
	return 0;
}
