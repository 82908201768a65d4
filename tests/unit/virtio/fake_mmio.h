/* SPDX-License-Identifier: Apache-2.0 */
/* For tests of the mmio transport: a device that counts what is done to it, and its driver. */
#pragma once

#include "fake_driver.h"

#include "virtio/virtio_mmio.h"

#include <linux/virtio_mmio.h>
#include <poll.h>
#include <sys/eventfd.h>

#define WAIT_MS    5000
#define DEVICE_ID  42
#define QUEUES     2
#define QUEUE_MAX  64
#define QUEUE_SIZE 16
#define BUF_GPA    (RAM_GPA + MIB)
#define BUF_SIZE   256
#define FILLING    0x5a
#define FEATURE    VIRTIO_BIT(3)
#define OFFERED    (VIRTIO_RING_FEATURES | FEATURE)
/* Configuration: 8 bytes to read, 4 to write, 4 to read. */
#define CONFIG_SIZE 16
#define CONFIG_RW   8

#define ACKNOWLEDGE VIRTIO_CONFIG_S_ACKNOWLEDGE
#define DRIVER      VIRTIO_CONFIG_S_DRIVER
#define DRIVER_OK   VIRTIO_CONFIG_S_DRIVER_OK
#define FEATURES_OK VIRTIO_CONFIG_S_FEATURES_OK
#define FAILED      VIRTIO_CONFIG_S_FAILED
#define NEEDS_RESET VIRTIO_CONFIG_S_NEEDS_RESET
#define RUNNING     (ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK)

/* Fills the buffers it is given. */
struct counting_device {
	struct virtio_device dev;
	unsigned int started[QUEUES];
	unsigned int stopped[QUEUES];
	unsigned int config_written;
	unsigned int restored;
	bool restored_running; /* the first queue was, when that was said */
	bool busy;
};

static inline struct counting_device *counting(struct virtio_device *dev)
{
	return container_of(dev, struct counting_device, dev);
}

static inline void counting_kick(struct virtio_device *dev, unsigned int queue)
{
	struct virtq *vq = virtio_queue(dev, queue);
	struct iovec iov[QUEUE_MAX];
	struct virtq_chain c;
	int r;

	do {
		while ((r = virtq_pop(vq, iov, ARRAY_SIZE(iov), &c)) > 0) {
			for (unsigned int i = 0; i < c.in_n; i++)
				memset(c.in[i].iov_base, FILLING, c.in[i].iov_len);
			virtq_push(vq, c.head, (uint32_t)c.in_len);
		}
		virtio_device_publish(dev, queue);
	} while (r == 0 && virtq_kicks_on(vq));
	if (r < 0)
		virtio_device_queue_broken(dev, queue);
}

static inline void counting_started(struct virtio_device *dev, unsigned int queue)
{
	counting(dev)->started[queue]++;
}

static inline void counting_stopped(struct virtio_device *dev, unsigned int queue)
{
	counting(dev)->stopped[queue]++;
}

static inline void counting_config_written(struct virtio_device *dev)
{
	counting(dev)->config_written++;
}

static inline bool counting_busy(const struct virtio_device *dev)
{
	return container_of(dev, struct counting_device, dev)->busy;
}

static inline void counting_restored(struct virtio_device *dev)
{
	counting(dev)->restored++;
	counting(dev)->restored_running = virtio_queue(dev, 0)->started;
}

static inline void counting_free(struct virtio_device *dev)
{
	virtio_device_release(dev);
	free(counting(dev));
}

static const struct virtio_device_ops counting_ops = {
	.kick = counting_kick,
	.queue_started = counting_started,
	.queue_stopped = counting_stopped,
	.config_written = counting_config_written,
	.busy = counting_busy,
	.restored = counting_restored,
	.free = counting_free,
};

static inline struct virtio_device *counting_new(void)
{
	struct counting_device *d = xcalloc(1, sizeof(*d));

	assert_int_equal(
		virtio_device_init(&d->dev, &counting_ops, DEVICE_ID, "count", QUEUES, QUEUE_MAX),
		0);
	d->dev.features |= FEATURE;
	for (unsigned int i = 0; i < CONFIG_SIZE; i++)
		d->dev.config[i] = (uint8_t)(0x10 + i);
	d->dev.config_size = CONFIG_SIZE;
	d->dev.config_rw_offset = CONFIG_RW;
	d->dev.config_rw_size = 4;
	return &d->dev;
}

struct fixture {
	struct fake_ram ram;
	struct fake_queue q[QUEUES];
	int irq;
	struct virtio_device *dev;
	struct virtio_mmio *t;
};

static inline void new_transport(struct fixture *f)
{
	f->dev = counting_new();
	f->t = virtio_mmio_new(f->dev, &f->ram.table, dup(f->irq));
	assert_non_null(f->t);
}

static inline void fresh_rings(struct fixture *f)
{
	for (unsigned int i = 0; i < QUEUES; i++)
		fq_init(&f->q[i], &f->ram, RAM_GPA + i * 64 * KIB, QUEUE_SIZE);
}

static inline int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));

	*state = f;
	ram_init(&f->ram);
	fresh_rings(f);
	f->irq = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	assert_true(f->irq >= 0);
	new_transport(f);
	assert_int_equal(virtio_mmio_start(f->t), 0);
	return 0;
}

static inline int teardown(void **state)
{
	struct fixture *f = *state;

	virtio_mmio_free(f->t);
	close(f->irq);
	ram_release(&f->ram);
	free(f);
	return 0;
}

#define mmio_test(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

static inline uint32_t rd(struct fixture *f, uint64_t offset)
{
	uint32_t v = 0xdeadbeef;

	virtio_mmio_read(f->t, offset, &v, sizeof(v));
	return v;
}

static inline void wr(struct fixture *f, uint64_t offset, uint32_t v)
{
	virtio_mmio_write(f->t, offset, &v, sizeof(v));
}

static inline uint32_t status(struct fixture *f)
{
	return rd(f, VIRTIO_MMIO_STATUS);
}

static inline void write_status(struct fixture *f, uint32_t bits)
{
	wr(f, VIRTIO_MMIO_STATUS, status(f) | bits);
}

static inline void accept_features(struct fixture *f, uint64_t features)
{
	wr(f, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
	wr(f, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)features);
	wr(f, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
	wr(f, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)(features >> 32));
}

/* Up to FEATURES_OK. */
static inline void negotiate(struct fixture *f)
{
	wr(f, VIRTIO_MMIO_STATUS, 0);
	write_status(f, ACKNOWLEDGE);
	write_status(f, DRIVER);
	accept_features(f, OFFERED);
	write_status(f, FEATURES_OK);
	assert_int_equal(status(f), ACKNOWLEDGE | DRIVER | FEATURES_OK);
}

static inline void describe_queue(struct fixture *f, unsigned int queue, uint32_t size,
				  uint64_t desc, uint64_t avail, uint64_t used)
{
	wr(f, VIRTIO_MMIO_QUEUE_SEL, queue);
	wr(f, VIRTIO_MMIO_QUEUE_NUM, size);
	wr(f, VIRTIO_MMIO_QUEUE_DESC_LOW, (uint32_t)desc);
	wr(f, VIRTIO_MMIO_QUEUE_DESC_HIGH, (uint32_t)(desc >> 32));
	wr(f, VIRTIO_MMIO_QUEUE_AVAIL_LOW, (uint32_t)avail);
	wr(f, VIRTIO_MMIO_QUEUE_AVAIL_HIGH, (uint32_t)(avail >> 32));
	wr(f, VIRTIO_MMIO_QUEUE_USED_LOW, (uint32_t)used);
	wr(f, VIRTIO_MMIO_QUEUE_USED_HIGH, (uint32_t)(used >> 32));
}

static inline void set_ready(struct fixture *f, unsigned int queue, uint32_t ready)
{
	wr(f, VIRTIO_MMIO_QUEUE_SEL, queue);
	wr(f, VIRTIO_MMIO_QUEUE_READY, ready);
}

static inline void set_up_queue(struct fixture *f, unsigned int queue)
{
	const struct virtq_config *c = &f->q[queue].cfg;

	describe_queue(f, queue, c->size, c->desc, c->avail, c->used);
	set_ready(f, queue, 1);
}

static inline void bring_up(struct fixture *f)
{
	fresh_rings(f);
	negotiate(f);
	for (unsigned int i = 0; i < QUEUES; i++)
		set_up_queue(f, i);
	write_status(f, DRIVER_OK);
	assert_int_equal(status(f), RUNNING);
}

static inline bool running(struct fixture *f, unsigned int queue)
{
	return f->dev->queues[queue].vq.started && !f->dev->queues[queue].vq.broken;
}

/* Offers a buffer and asks for an interrupt. */
static inline void offer(struct fixture *f, unsigned int queue)
{
	struct fake_queue *q = &f->q[queue];
	const struct fake_part part = {BUF_GPA + queue * BUF_SIZE, BUF_SIZE, true};

	memset(ram_at(&f->ram, part.gpa), 0, BUF_SIZE);
	fq_set_used_event(q, q->used_seen);
	fq_add(q, &part, 1);
}

/* True when the buffer came back, filled. */
static inline bool take(struct fixture *f, unsigned int queue)
{
	const uint8_t *p = ram_at(&f->ram, BUF_GPA + queue * BUF_SIZE);
	uint32_t head, len;

	if (!fq_take_used(&f->q[queue], &head, &len))
		return false;
	assert_int_equal(len, BUF_SIZE);
	for (unsigned int i = 0; i < BUF_SIZE; i++)
		assert_int_equal(p[i], FILLING);
	return true;
}

static inline void wait_irq(struct fixture *f)
{
	struct pollfd p = {.fd = f->irq, .events = POLLIN};
	uint64_t n;

	assert_int_equal(poll(&p, 1, WAIT_MS), 1);
	assert_int_equal(read(f->irq, &n, sizeof(n)), sizeof(n));
}

static inline bool irq_pending(struct fixture *f)
{
	uint64_t n;

	return read(f->irq, &n, sizeof(n)) == sizeof(n);
}

/* One request from the kick to its answer. */
static inline void round_trip(struct fixture *f, unsigned int queue)
{
	offer(f, queue);
	wr(f, VIRTIO_MMIO_QUEUE_NOTIFY, queue);
	while (!take(f, queue))
		wait_irq(f);
	wr(f, VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_MMIO_INT_VRING);
}
