/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * The guest's driver negotiates through a page of registers whose every access ends in
 * virtio_mmio_read or _write on the thread of the vCPU that made it. The device lives on its
 * worker. Three kinds of state, then:
 *
 *  - the register file belongs to `lock`, which only vCPU threads and the machine take;
 *  - the device and its queues belong to the worker and are reached by worker_call, with the lock
 *    held: so register writes that change the device happen one after the other, and the Status
 *    register cannot be read as 0 while a reset is still going on;
 *  - Status and InterruptStatus are atomic words, because the worker sets bits of them (on_notify,
 *    on_broken) while a vCPU may hold the lock and wait for that very worker. THE WORKER NEVER
 * TAKES THE LOCK. An interrupt handler reads and acknowledges without the lock, too: it does not
 * wait for another vCPU's reset.
 *
 * Kicks do not come this way: the machine ties each queue's eventfd to the write of its number to
 * QueueNotify. A write that arrives here nevertheless signals the same eventfd.
 *
 * Interrupts are edges: a notification sets its bit and then signals the line, every time. The
 * handler acknowledges before it looks at the rings, so either it sees what was published or the
 * edge comes after it.
 *
 * The life of a device (2.1, 3.1). Status bits only accumulate until 0 is written. FEATURES_OK is
 * refused unless what the driver accepted was offered and contains VERSION_1; from then on the
 * features stay. DRIVER_OK is refused without FEATURES_OK. A queue's size and addresses are
 * latched by QueueReady = 1; it runs when DRIVER_OK holds as well. A queue that cannot be
 * started, or whose driver breaks the rules, sets DEVICE_NEEDS_RESET and says so by a
 * configuration interrupt. Whatever the driver writes in whatever order is one of these transitions
 * or nothing.
 *
 * A saved device is its registers and, of each running queue, the index of the next chain: devices
 * finish a request before they look at anything else, so nothing is ever in flight while the
 * worker is stopped or frozen.
 */
#include "virtio/virtio_mmio.h"

#include "base/cleanup.h"
#include "base/io.h"

#include <assert.h>
#include <errno.h>
#include <linux/virtio_mmio.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#define MAGIC     0x74726976u /* "virt" */
#define VERSION   2u
#define VENDOR_ID 0x4253534du /* "MSSB" */
#define REG_SIZE  4u

#define STATUS_DRIVER_BITS                                                                  \
	(VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_DRIVER_OK | \
	 VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_FAILED)
#define STATUS_ALL    (STATUS_DRIVER_BITS | VIRTIO_CONFIG_S_NEEDS_RESET)
#define INTERRUPT_ALL ((uint32_t)(VIRTIO_MMIO_INT_VRING | VIRTIO_MMIO_INT_CONFIG))

/* It is written to files. */
static_assert(sizeof(struct virtio_mmio_queue_state) == 32, "padding");
static_assert(sizeof(struct virtio_mmio_state) == 48 + 32 * VIRTIO_QUEUES_MAX + VIRTIO_CONFIG_MAX,
	      "padding");

struct virtio_mmio {
	struct virtio_device *dev;
	const struct guest_mem *mem;
	int irq_fd;
	int kick_fds[VIRTIO_QUEUES_MAX];

	_Atomic uint32_t status;
	_Atomic uint32_t interrupt_status;

	pthread_mutex_t lock; /* the fields below */
	uint32_t device_features_sel;
	uint32_t driver_features_sel;
	uint32_t queue_sel;
	uint32_t config_generation;
	uint64_t driver_features;
	/* Of these, next_avail is where a queue that is not running yet will begin. */
	struct virtio_mmio_queue_state queues[VIRTIO_QUEUES_MAX];
};

/* #syscalls:mmio write */
static void interrupt(struct virtio_mmio *t, uint32_t why)
{
	atomic_fetch_or(&t->interrupt_status, why);
	event_signal(t->irq_fd);
}

/* --- On the worker. */

static void on_notify(void *ctx, unsigned int queue)
{
	interrupt(ctx, VIRTIO_MMIO_INT_VRING);
}

static void on_broken(void *ctx, unsigned int queue)
{
	struct virtio_mmio *t = ctx;

	atomic_fetch_or(&t->status, VIRTIO_CONFIG_S_NEEDS_RESET);
	interrupt(t, VIRTIO_MMIO_INT_CONFIG);
}

static const struct virtio_transport_ops transport_ops = {
	.notify = on_notify,
	.broken = on_broken,
};

/* What a register access wants from the worker, and the answer. */
struct call {
	struct virtio_mmio *t;
	unsigned int queue;
	uint32_t offset;
	uint32_t len;
	const void *data;
	int r;
	bool idle;
};

static int start_queue(struct virtio_mmio *t, unsigned int queue)
{
	const struct virtio_mmio_queue_state *q = &t->queues[queue];
	struct virtq_config cfg = {
		.size = (uint16_t)q->size,
		.desc = q->desc,
		.avail = q->avail,
		.used = q->used,
		.next_avail = q->next_avail,
	};

	if (q->size > t->dev->queue_size_max)
		return -EINVAL;
	return virtio_device_start_queue(t->dev, queue, t->mem, &cfg, t->kick_fds[queue]);
}

static void call_start_queue(void *arg)
{
	struct call *c = arg;

	c->r = start_queue(c->t, c->queue);
}

static void call_stop_queue(void *arg)
{
	struct call *c = arg;

	virtio_device_last_look(c->t->dev);
	virtio_device_stop_queue(c->t->dev, c->queue);
}

static void call_accept(void *arg)
{
	struct call *c = arg;

	c->t->dev->acked = c->t->driver_features;
}

static void call_stop(void *arg)
{
	struct call *c = arg;

	for (unsigned int i = 0; i < c->t->dev->num_queues; i++)
		virtio_device_stop_queue(c->t->dev, i);
	c->t->dev->acked = 0;
}

static void call_reset(void *arg)
{
	struct call *c = arg;

	virtio_device_last_look(c->t->dev);
	call_stop(c);
}

static void call_write_config(void *arg)
{
	struct call *c = arg;

	virtio_device_write_config(c->t->dev, c->offset, c->data, c->len);
}

/*
 * A kick that waits is work that was given away and not looked at, a rekick likewise.
 * #syscalls:mmio poll
 */
static bool kick_waits(const struct virtio_mmio *t)
{
	for (unsigned int i = 0; i < t->dev->num_queues; i++) {
		struct pollfd p = {.fd = t->kick_fds[i], .events = POLLIN};
		const struct virtq *vq = virtio_queue(t->dev, i);

		if (vq->started && !vq->broken && poll(&p, 1, 0) > 0)
			return true;
	}
	return false;
}

static void call_idle(void *arg)
{
	struct call *c = arg;
	struct virtio_device *dev = c->t->dev;

	c->idle = !kick_waits(c->t) && !(dev->ops->busy && dev->ops->busy(dev));
}

/* --- Transitions, with the lock held. */

static void call(struct virtio_mmio *t, void (*fn)(void *arg), struct call *c)
{
	c->t = t;
	worker_call(t->dev->worker, fn, c);
}

static bool has_status(const struct virtio_mmio *t, uint32_t bits)
{
	return (t->status & bits) == bits;
}

static bool features_acceptable(const struct virtio_mmio *t)
{
	return !(t->driver_features & ~t->dev->features) &&
	       (t->driver_features & VIRTIO_BIT(VIRTIO_F_VERSION_1));
}

static void run_queue(struct virtio_mmio *t, unsigned int queue)
{
	struct call c = {.queue = queue};

	call(t, call_start_queue, &c);
	if (c.r < 0)
		on_broken(t, queue);
}

static void reset(struct virtio_mmio *t)
{
	struct call c = {};

	call(t, call_reset, &c);
	t->device_features_sel = t->driver_features_sel = t->queue_sel = 0;
	t->driver_features = 0;
	memset(t->queues, 0, sizeof(t->queues));
	/* Nothing notifies any more, so these stay as they are now. */
	t->interrupt_status = 0;
	t->status = 0;
}

static void write_status(struct virtio_mmio *t, uint32_t v)
{
	struct call c = {};

	if (v == 0) {
		reset(t);
		return;
	}
	atomic_fetch_or(&t->status, v & (VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER |
					 VIRTIO_CONFIG_S_FAILED));
	if ((v & VIRTIO_CONFIG_S_FEATURES_OK) && !has_status(t, VIRTIO_CONFIG_S_FEATURES_OK) &&
	    features_acceptable(t)) {
		call(t, call_accept, &c);
		atomic_fetch_or(&t->status, VIRTIO_CONFIG_S_FEATURES_OK);
	}
	if (!(v & VIRTIO_CONFIG_S_DRIVER_OK) || has_status(t, VIRTIO_CONFIG_S_DRIVER_OK) ||
	    !has_status(t, VIRTIO_CONFIG_S_FEATURES_OK))
		return;
	atomic_fetch_or(&t->status, VIRTIO_CONFIG_S_DRIVER_OK);
	for (unsigned int i = 0; i < t->dev->num_queues; i++)
		if (t->queues[i].ready)
			run_queue(t, i);
}

/* The selected queue, or NULL when the device has no such queue. */
static struct virtio_mmio_queue_state *selected(struct virtio_mmio *t)
{
	return t->queue_sel < t->dev->num_queues ? &t->queues[t->queue_sel] : NULL;
}

static void write_ready(struct virtio_mmio *t, uint32_t v)
{
	struct virtio_mmio_queue_state *q = selected(t);
	struct call c = {.queue = t->queue_sel};

	if (!q || v > 1 || v == q->ready)
		return;
	q->ready = (uint16_t)v;
	if (!v)
		call(t, call_stop_queue, &c);
	else if (has_status(t, VIRTIO_CONFIG_S_DRIVER_OK))
		run_queue(t, t->queue_sel);
}

/* --- Registers, with the lock held. */

static uint32_t low(uint64_t v)
{
	return (uint32_t)v;
}

static uint32_t high(uint64_t v)
{
	return (uint32_t)(v >> 32);
}

static void set_low(uint64_t *p, uint32_t v)
{
	*p = (*p & ~(uint64_t)UINT32_MAX) | v;
}

static void set_high(uint64_t *p, uint32_t v)
{
	*p = (uint64_t)v << 32 | low(*p);
}

/* One of the two words of a feature set; there are no features beyond them. */
static uint32_t feature_word(uint64_t features, uint32_t sel)
{
	if (sel > 1)
		return 0;
	return sel ? high(features) : low(features);
}

static void write_features(struct virtio_mmio *t, uint32_t v)
{
	if (has_status(t, VIRTIO_CONFIG_S_FEATURES_OK))
		return;
	if (t->driver_features_sel == 0)
		set_low(&t->driver_features, v);
	else if (t->driver_features_sel == 1)
		set_high(&t->driver_features, v);
}

/* Size and addresses of the selected queue, which stay while it is ready. */
static void write_queue(struct virtio_mmio *t, uint64_t offset, uint32_t v)
{
	struct virtio_mmio_queue_state *q = selected(t);

	if (!q || q->ready)
		return;
	switch (offset) {
	case VIRTIO_MMIO_QUEUE_NUM:
		q->size = v;
		break;
	case VIRTIO_MMIO_QUEUE_DESC_LOW:
		set_low(&q->desc, v);
		break;
	case VIRTIO_MMIO_QUEUE_DESC_HIGH:
		set_high(&q->desc, v);
		break;
	case VIRTIO_MMIO_QUEUE_AVAIL_LOW:
		set_low(&q->avail, v);
		break;
	case VIRTIO_MMIO_QUEUE_AVAIL_HIGH:
		set_high(&q->avail, v);
		break;
	case VIRTIO_MMIO_QUEUE_USED_LOW:
		set_low(&q->used, v);
		break;
	case VIRTIO_MMIO_QUEUE_USED_HIGH:
		set_high(&q->used, v);
		break;
	default:
		break;
	}
}

static void write_register(struct virtio_mmio *t, uint64_t offset, uint32_t v)
{
	switch (offset) {
	case VIRTIO_MMIO_DEVICE_FEATURES_SEL:
		t->device_features_sel = v;
		break;
	case VIRTIO_MMIO_DRIVER_FEATURES:
		write_features(t, v);
		break;
	case VIRTIO_MMIO_DRIVER_FEATURES_SEL:
		t->driver_features_sel = v;
		break;
	case VIRTIO_MMIO_QUEUE_SEL:
		t->queue_sel = v;
		break;
	case VIRTIO_MMIO_QUEUE_READY:
		write_ready(t, v);
		break;
	case VIRTIO_MMIO_STATUS:
		write_status(t, v);
		break;
	default:
		write_queue(t, offset, v);
		break;
	}
}

static uint32_t read_register(struct virtio_mmio *t, uint64_t offset)
{
	const struct virtio_mmio_queue_state *q = selected(t);

	switch (offset) {
	case VIRTIO_MMIO_MAGIC_VALUE:
		return MAGIC;
	case VIRTIO_MMIO_VERSION:
		return VERSION;
	case VIRTIO_MMIO_DEVICE_ID:
		return t->dev->id;
	case VIRTIO_MMIO_VENDOR_ID:
		return VENDOR_ID;
	case VIRTIO_MMIO_DEVICE_FEATURES:
		return feature_word(t->dev->features, t->device_features_sel);
	case VIRTIO_MMIO_QUEUE_NUM_MAX:
		return q ? t->dev->queue_size_max : 0;
	case VIRTIO_MMIO_QUEUE_READY:
		return q ? q->ready : 0;
	case VIRTIO_MMIO_STATUS:
		return t->status;
	/* There is no shared memory: such a region has length and base -1. */
	case VIRTIO_MMIO_SHM_LEN_LOW:
	case VIRTIO_MMIO_SHM_LEN_HIGH:
	case VIRTIO_MMIO_SHM_BASE_LOW:
	case VIRTIO_MMIO_SHM_BASE_HIGH:
		return UINT32_MAX;
	case VIRTIO_MMIO_CONFIG_GENERATION:
		return t->config_generation;
	default:
		return 0;
	}
}

static void write_config(struct virtio_mmio *t, uint64_t offset, const void *data, uint32_t len)
{
	struct call c = {
		.offset = (uint32_t)(offset - VIRTIO_MMIO_CONFIG), .data = data, .len = len};

	call(t, call_write_config, &c);
	/* Another vCPU that is reading a field in two parts must not get half of each value. */
	t->config_generation++;
}

void virtio_mmio_read(struct virtio_mmio *t, uint64_t offset, void *data, uint32_t len)
{
	uint32_t v = 0;

	if (offset >= VIRTIO_MMIO_CONFIG && offset < VIRTIO_MMIO_SIZE) {
		/* Only the driver changes the configuration, and that with the lock held. */
		pthread_mutex_lock(&t->lock);
		virtio_device_read_config(t->dev, (uint32_t)(offset - VIRTIO_MMIO_CONFIG), data,
					  len);
		pthread_mutex_unlock(&t->lock);
		return;
	}
	memset(data, 0, len);
	if (offset >= VIRTIO_MMIO_CONFIG || offset % REG_SIZE || len != REG_SIZE)
		return;
	if (offset == VIRTIO_MMIO_INTERRUPT_STATUS) {
		v = t->interrupt_status;
	} else {
		pthread_mutex_lock(&t->lock);
		v = read_register(t, offset);
		pthread_mutex_unlock(&t->lock);
	}
	memcpy(data, &v, sizeof(v));
}

void virtio_mmio_write(struct virtio_mmio *t, uint64_t offset, const void *data, uint32_t len)
{
	uint32_t v;

	if (offset >= VIRTIO_MMIO_CONFIG && offset < VIRTIO_MMIO_SIZE) {
		pthread_mutex_lock(&t->lock);
		write_config(t, offset, data, len);
		pthread_mutex_unlock(&t->lock);
		return;
	}
	if (offset >= VIRTIO_MMIO_CONFIG || offset % REG_SIZE || len != REG_SIZE)
		return;
	memcpy(&v, data, sizeof(v));
	switch (offset) {
	case VIRTIO_MMIO_QUEUE_NOTIFY:
		if (v < t->dev->num_queues)
			event_signal(t->kick_fds[v]);
		break;
	case VIRTIO_MMIO_INTERRUPT_ACK:
		atomic_fetch_and(&t->interrupt_status, ~v);
		break;
	default:
		pthread_mutex_lock(&t->lock);
		write_register(t, offset, v);
		pthread_mutex_unlock(&t->lock);
		break;
	}
}

/* --- For the machine. */

static int set_up(struct virtio_mmio *t)
{
	for (unsigned int i = 0; i < t->dev->num_queues; i++) {
		t->kick_fds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (t->kick_fds[i] < 0)
			return -errno;
	}
	return fd_set_nonblock(t->irq_fd, true);
}

struct virtio_mmio *virtio_mmio_new(struct virtio_device *dev, const struct guest_mem *mem,
				    int irq_fd)
{
	struct virtio_mmio *t = calloc(1, sizeof(*t));
	int r;

	if (!t) {
		virtio_device_free(dev);
		close(irq_fd);
		errno = ENOMEM;
		return NULL;
	}
	t->dev = dev;
	t->mem = mem;
	t->irq_fd = irq_fd;
	pthread_mutex_init(&t->lock, NULL);
	for (unsigned int i = 0; i < VIRTIO_QUEUES_MAX; i++)
		t->kick_fds[i] = -1;
	dev->transport = &transport_ops;
	dev->transport_ctx = t;
	r = set_up(t);
	if (r < 0) {
		virtio_mmio_free(t);
		errno = -r;
		return NULL;
	}
	return t;
}

struct virtio_mmio *virtio_mmio_free(struct virtio_mmio *t)
{
	struct call c = {};

	if (!t)
		return NULL;
	virtio_mmio_stop(t);
	/* Nothing is looked at any more: the machine may have been saved just now. */
	call(t, call_stop, &c);
	virtio_device_free(t->dev);
	for (unsigned int i = 0; i < VIRTIO_QUEUES_MAX; i++)
		close_fd(&t->kick_fds[i]);
	close_fd(&t->irq_fd);
	pthread_mutex_destroy(&t->lock);
	free(t);
	return NULL;
}

int virtio_mmio_start(struct virtio_mmio *t)
{
	return worker_start(t->dev->worker);
}

void virtio_mmio_stop(struct virtio_mmio *t)
{
	worker_stop(t->dev->worker);
}

void virtio_mmio_freeze(struct virtio_mmio *t)
{
	worker_freeze(t->dev->worker);
}

void virtio_mmio_thaw(struct virtio_mmio *t)
{
	worker_thaw(t->dev->worker);
}

int virtio_mmio_kick_fd(const struct virtio_mmio *t, unsigned int queue)
{
	return t->kick_fds[queue];
}

unsigned int virtio_mmio_num_queues(const struct virtio_mmio *t)
{
	return t->dev->num_queues;
}

bool virtio_mmio_idle(struct virtio_mmio *t)
{
	struct call c = {};

	call(t, call_idle, &c);
	return c.idle;
}

/* --- Saving and loading. */

void virtio_mmio_save(struct virtio_mmio *t, struct virtio_mmio_state *ret)
{
	const struct virtio_device *dev = t->dev;

	pthread_mutex_lock(&t->lock);
	*ret = (struct virtio_mmio_state){
		.device_id = dev->id,
		.status = t->status,
		.interrupt_status = t->interrupt_status,
		.device_features_sel = t->device_features_sel,
		.driver_features_sel = t->driver_features_sel,
		.queue_sel = t->queue_sel,
		.config_generation = t->config_generation,
		.num_queues = dev->num_queues,
		.offered = dev->features,
		.acked = t->driver_features,
	};
	memcpy(ret->queues, t->queues, sizeof(ret->queues));
	for (unsigned int i = 0; i < dev->num_queues; i++)
		ret->queues[i].next_avail = dev->queues[i].vq.next_avail;
	memcpy(ret->config, dev->config, dev->config_size);
	pthread_mutex_unlock(&t->lock);
}

/* The driver was told these bytes and does not ask again; its own field may be anything. */
static bool same_config(const struct virtio_device *dev, const uint8_t *config)
{
	for (uint32_t i = 0; i < dev->config_size; i++) {
		if (i >= dev->config_rw_offset && i - dev->config_rw_offset < dev->config_rw_size)
			continue;
		if (config[i] != dev->config[i])
			return false;
	}
	return true;
}

/* Whether it is a state that this device's registers can be in. */
static bool valid_state(const struct virtio_device *dev, const struct virtio_mmio_state *s)
{
	if (s->device_id != dev->id || s->num_queues != dev->num_queues ||
	    s->offered != dev->features || !same_config(dev, s->config))
		return false;
	if (s->status & ~STATUS_ALL || s->interrupt_status & ~INTERRUPT_ALL)
		return false;
	if ((s->status & VIRTIO_CONFIG_S_DRIVER_OK) && !(s->status & VIRTIO_CONFIG_S_FEATURES_OK))
		return false;
	for (unsigned int i = 0; i < VIRTIO_QUEUES_MAX; i++)
		if (s->queues[i].ready > (i < dev->num_queues))
			return false;
	return true;
}

static void call_load(void *arg)
{
	struct call *c = arg;
	struct virtio_mmio *t = c->t;
	struct virtio_device *dev = t->dev;

	dev->acked = has_status(t, VIRTIO_CONFIG_S_FEATURES_OK) ? t->driver_features : 0;
	virtio_device_write_config(dev, dev->config_rw_offset, c->data, c->len);
	/* A device that waits for its reset serves nobody. */
	if (!has_status(t, VIRTIO_CONFIG_S_DRIVER_OK) || has_status(t, VIRTIO_CONFIG_S_NEEDS_RESET))
		return;
	for (unsigned int i = 0; i < dev->num_queues && c->r == 0; i++)
		if (t->queues[i].ready)
			c->r = start_queue(t, i);
	if (c->r == 0 && dev->ops->restored)
		dev->ops->restored(dev);
}

int virtio_mmio_load(struct virtio_mmio *t, const struct virtio_mmio_state *s)
{
	const struct virtio_device *dev = t->dev;
	struct call c = {.data = s->config + dev->config_rw_offset, .len = dev->config_rw_size};

	if (!valid_state(dev, s))
		return -EINVAL;
	pthread_mutex_lock(&t->lock);
	t->status = s->status;
	t->interrupt_status = s->interrupt_status;
	t->device_features_sel = s->device_features_sel;
	t->driver_features_sel = s->driver_features_sel;
	t->queue_sel = s->queue_sel;
	t->config_generation = s->config_generation;
	t->driver_features = s->acked;
	memcpy(t->queues, s->queues, sizeof(t->queues));
	if (has_status(t, VIRTIO_CONFIG_S_FEATURES_OK) && !features_acceptable(t))
		c.r = -EINVAL;
	else
		call(t, call_load, &c);
	/* The edge may have been lost with the machine that was saved; one too many is harmless. */
	if (c.r == 0 && t->interrupt_status)
		event_signal(t->irq_fd);
	/* The queues count on from here; a later QueueReady starts a queue anew. */
	for (unsigned int i = 0; i < VIRTIO_QUEUES_MAX; i++)
		t->queues[i].next_avail = 0;
	pthread_mutex_unlock(&t->lock);
	return c.r < 0 ? -EINVAL : 0;
}
