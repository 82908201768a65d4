/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * The front-end (QEMU) owns the guest-visible part of the device: registers, interrupts, feature
 * negotiation. It hands us the guest's memory as descriptors to map, for each queue the
 * addresses of the rings (in its own address space: they are translated by the memory table), a
 * kick and a call eventfd; from then on the queue is served here without the front-end.
 *
 * One socket per device, handled on the device's own thread. So a message never finds the device
 * in the middle of a request, and nothing needs a lock: replacing the memory table means to
 * map the new one, find the rings of running queues again in it, and drop the old one.
 *
 * A ring is started by its kick descriptor and stopped by GET_VRING_BASE; once protocol features
 * were negotiated it is served only while it is also enabled. Addresses, size and base are kept
 * from their messages and latched when both hold.
 *
 * Trust: the front-end is another process that a guest may have taken over, with no more rights
 * than we have; it must not be able to corrupt us. Every message has one exact size (or a
 * checked range of sizes) and an exact number of descriptors, queue indices are checked, a
 * descriptor is closed unless it was stolen from the message. A message that breaks the rules ends
 * the connection, which stops the queues; the machine notices QEMU's end by itself.
 *
 * Replies: requests that ask for a value get one; others are answered with a u64 (0: done) when
 * REPLY_ACK was negotiated and the message asks for it.
 */
#include "virtio/vhost_user.h"

#include "base/cleanup.h"
#include "base/io.h"
#include "base/log.h"
#include "virtio/vhost_user_msg.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* A queue as the messages described it. */
struct ring {
	uint16_t size;
	uint16_t base;
	struct vhost_user_vring_addr addr;
	bool has_addr;
	bool enabled;
	int kick_fd;
	int call_fd;
	int err_fd;
};

struct vhost_user {
	struct virtio_device *dev;
	struct ev ev; /* fd owned */
	struct vhost_user_msg msg;
	uint64_t protocol_features;
	struct guest_mem mem;
	struct ring rings[VIRTIO_QUEUES_MAX];
	_Atomic bool broken;
};

/* --- Queues. */

/* #syscalls:vhost-user write */
static void on_notify(void *ctx, unsigned int queue)
{
	struct vhost_user *vu = ctx;

	event_signal(vu->rings[queue].call_fd);
}

static void on_broken(void *ctx, unsigned int queue)
{
	struct vhost_user *vu = ctx;

	vu->broken = true;
	event_signal(vu->rings[queue].err_fd);
}

static const struct virtio_transport_ops transport_ops = {
	.notify = on_notify,
	.broken = on_broken,
};

static bool ring_running(const struct vhost_user *vu, unsigned int i)
{
	return vu->dev->queues[i].vq.started;
}

static void ring_stop(struct vhost_user *vu, unsigned int i)
{
	if (!ring_running(vu, i))
		return;
	virtio_device_last_look(vu->dev);
	vu->rings[i].base = virtio_device_stop_queue(vu->dev, i);
}

/*
 * Starts the ring if everything it needs is there. Addresses that are not in the table are the
 * front-end's fault and an error; a ring that cannot be one is what the driver asked for.
 */
static int ring_try_start(struct vhost_user *vu, unsigned int i)
{
	struct ring *ring = &vu->rings[i];
	struct virtq_config cfg = {.size = ring->size, .next_avail = ring->base};
	int r;

	if (ring_running(vu, i) || ring->kick_fd < 0 || !ring->enabled || !ring->has_addr)
		return 0;
	if (!guest_mem_user_to_gpa(&vu->mem, ring->addr.desc, &cfg.desc) ||
	    !guest_mem_user_to_gpa(&vu->mem, ring->addr.avail, &cfg.avail) ||
	    !guest_mem_user_to_gpa(&vu->mem, ring->addr.used, &cfg.used))
		return -EINVAL;
	r = virtio_device_start_queue(vu->dev, i, &vu->mem, &cfg, ring->kick_fd);
	if (r != -EINVAL)
		return r;
	on_broken(vu, i);
	return 0;
}

static void ring_clear(struct vhost_user *vu, unsigned int i)
{
	struct ring *ring = &vu->rings[i];

	ring_stop(vu, i);
	close_fd(&ring->kick_fd);
	close_fd(&ring->call_fd);
	close_fd(&ring->err_fd);
	*ring = (struct ring){.kick_fd = -1, .call_fd = -1, .err_fd = -1};
}

static void clear_all(struct vhost_user *vu)
{
	for (unsigned int i = 0; i < vu->dev->num_queues; i++)
		ring_clear(vu, i);
}

/* --- Messages. Each handler returns the size of its reply, 0 for none, or -errno. */

static int get_features(struct vhost_user *vu, struct vhost_user_msg *m)
{
	m->p.u64 = vu->dev->features | VIRTIO_BIT(VHOST_USER_F_PROTOCOL_FEATURES);
	return sizeof(m->p.u64);
}

static int set_features(struct vhost_user *vu, struct vhost_user_msg *m)
{
	uint64_t known = vu->dev->features | VIRTIO_BIT(VHOST_USER_F_PROTOCOL_FEATURES);

	if (m->p.u64 & ~known)
		return -EINVAL;
	vu->dev->acked = m->p.u64 & vu->dev->features;
	/* Without protocol features there is no ENABLE message: rings are enabled from the start.
	 */
	if (!(m->p.u64 & VIRTIO_BIT(VHOST_USER_F_PROTOCOL_FEATURES)))
		for (unsigned int i = 0; i < vu->dev->num_queues; i++)
			vu->rings[i].enabled = true;
	return 0;
}

static uint64_t protocol_features(const struct vhost_user *vu)
{
	uint64_t f = VIRTIO_BIT(VHOST_USER_PROTOCOL_F_MQ) |
		     VIRTIO_BIT(VHOST_USER_PROTOCOL_F_REPLY_ACK) |
		     VIRTIO_BIT(VHOST_USER_PROTOCOL_F_RESET_DEVICE);

	/*
	 * QEMU warns about a configuration space of devices that it knows to have none, or makes
	 * itself from its arguments.
	 */
	if (vu->dev->config_size && vu->dev->id != VIRTIO_ID_NET)
		f |= VIRTIO_BIT(VHOST_USER_PROTOCOL_F_CONFIG);
	return f;
}

static int get_protocol_features(struct vhost_user *vu, struct vhost_user_msg *m)
{
	m->p.u64 = protocol_features(vu);
	return sizeof(m->p.u64);
}

static int set_protocol_features(struct vhost_user *vu, struct vhost_user_msg *m)
{
	if (m->p.u64 & ~protocol_features(vu))
		return -EINVAL;
	vu->protocol_features = m->p.u64;
	return 0;
}

static int nothing(struct vhost_user *vu, struct vhost_user_msg *m)
{
	return 0;
}

static int reset(struct vhost_user *vu, struct vhost_user_msg *m)
{
	for (unsigned int i = 0; i < vu->dev->num_queues; i++) {
		ring_stop(vu, i);
		close_fd(&vu->rings[i].kick_fd);
		vu->rings[i].enabled = false;
		vu->rings[i].base = 0;
	}
	vu->dev->acked = 0;
	return 0;
}

static int set_mem_table(struct vhost_user *vu, struct vhost_user_msg *m)
{
	struct vhost_user_memory *t = &m->p.memory;
	struct guest_mem fresh = {}, old;
	int r = 0;

	if (t->n > VHOST_USER_REGIONS_MAX || t->n != m->n_fds ||
	    m->h.size < offsetof(struct vhost_user_memory, regions) + t->n * sizeof(t->regions[0]))
		return -EPROTO;
	for (unsigned int i = 0; i < t->n && r == 0; i++) {
		const struct vhost_user_region *g = &t->regions[i];

		r = guest_mem_map(&fresh, m->fds[i], g->mmap_offset, g->gpa, g->size, g->user_addr);
	}
	if (r < 0) {
		guest_mem_release(&fresh);
		return r;
	}
	old = vu->mem;
	vu->mem = fresh;
	for (unsigned int i = 0; i < vu->dev->num_queues; i++)
		if (virtq_remap(virtio_queue(vu->dev, i)) < 0)
			virtio_device_queue_broken(vu->dev, i);
	guest_mem_release(&old);
	return 0;
}

static int ring_index(const struct vhost_user *vu, uint32_t index, struct ring **ret)
{
	if (index >= vu->dev->num_queues)
		return -EPROTO;
	if (ret)
		*ret = (struct ring *)&vu->rings[index];
	return 0;
}

static int set_vring_num(struct vhost_user *vu, struct vhost_user_msg *m)
{
	struct ring *ring;

	if (ring_index(vu, m->p.state.index, &ring) < 0 || m->p.state.num > VIRTQ_SIZE_MAX ||
	    ring_running(vu, m->p.state.index))
		return -EPROTO;
	ring->size = (uint16_t)m->p.state.num;
	return 0;
}

static int set_vring_addr(struct vhost_user *vu, struct vhost_user_msg *m)
{
	struct ring *ring;

	/* The only flag is for logging dirty pages, which was not offered. */
	if (ring_index(vu, m->p.addr.index, &ring) < 0 || m->p.addr.flags)
		return -EPROTO;
	ring->addr = m->p.addr;
	ring->has_addr = true;
	return 0;
}

static int set_vring_base(struct vhost_user *vu, struct vhost_user_msg *m)
{
	struct ring *ring;

	if (ring_index(vu, m->p.state.index, &ring) < 0 || m->p.state.num > UINT16_MAX)
		return -EPROTO;
	ring->base = (uint16_t)m->p.state.num;
	return 0;
}

static int get_vring_base(struct vhost_user *vu, struct vhost_user_msg *m)
{
	struct ring *ring;

	if (ring_index(vu, m->p.state.index, &ring) < 0)
		return -EPROTO;
	ring_stop(vu, m->p.state.index);
	/* A stopped ring needs a new kick descriptor to start again. */
	close_fd(&ring->kick_fd);
	m->p.state.num = ring->base;
	return sizeof(m->p.state);
}

/* Common to KICK, CALL and ERR: finds the ring and steals the descriptor (-1 when there is none).
 */
static int vring_fd(struct vhost_user *vu, struct vhost_user_msg *m, struct ring **ret_ring,
		    int *ret_fd)
{
	bool no_fd = m->p.u64 & VHOST_USER_VRING_NO_FD;

	if (m->p.u64 & ~(uint64_t)(VHOST_USER_VRING_INDEX | VHOST_USER_VRING_NO_FD))
		return -EPROTO;
	if (ring_index(vu, (uint32_t)(m->p.u64 & VHOST_USER_VRING_INDEX), ret_ring) < 0)
		return -EPROTO;
	if (m->n_fds != (no_fd ? 0 : 1))
		return -EPROTO;
	*ret_fd = no_fd ? -1 : steal_fd(&m->fds[0]);
	return 0;
}

/* #syscalls:vhost-user fcntl(F_GETFL) fcntl(F_SETFL) */
static int set_vring_kick(struct vhost_user *vu, struct vhost_user_msg *m)
{
	unsigned int i = (unsigned int)(m->p.u64 & VHOST_USER_VRING_INDEX);
	struct ring *ring;
	int fd, r = vring_fd(vu, m, &ring, &fd);

	if (r < 0)
		return r;
	ring_stop(vu, i);
	close_fd(&ring->kick_fd);
	ring->kick_fd = fd;
	/* Queues without a kick descriptor would have to be polled; nobody asks for that. */
	if (fd < 0)
		return -EOPNOTSUPP;
	r = fd_set_nonblock(fd, true);
	return r < 0 ? r : ring_try_start(vu, i);
}

/* #syscalls:vhost-user close */
static int set_vring_call(struct vhost_user *vu, struct vhost_user_msg *m)
{
	struct ring *ring;
	int fd, r = vring_fd(vu, m, &ring, &fd);

	if (r < 0)
		return r;
	close_fd(&ring->call_fd);
	ring->call_fd = fd;
	if (fd < 0)
		return 0;
	/* What was announced through the old descriptor may have been lost. */
	r = fd_set_nonblock(fd, true);
	if (r == 0 && ring_running(vu, (unsigned int)(ring - vu->rings)))
		event_signal(fd);
	return r;
}

static int set_vring_err(struct vhost_user *vu, struct vhost_user_msg *m)
{
	struct ring *ring;
	int fd, r = vring_fd(vu, m, &ring, &fd);

	if (r < 0)
		return r;
	close_fd(&ring->err_fd);
	ring->err_fd = fd;
	return fd < 0 ? 0 : fd_set_nonblock(fd, true);
}

static int get_queue_num(struct vhost_user *vu, struct vhost_user_msg *m)
{
	m->p.u64 = vu->dev->num_queues;
	return sizeof(m->p.u64);
}

static int set_vring_enable(struct vhost_user *vu, struct vhost_user_msg *m)
{
	struct ring *ring;

	if (ring_index(vu, m->p.state.index, &ring) < 0 || m->p.state.num > 1)
		return -EPROTO;
	ring->enabled = m->p.state.num;
	if (ring->enabled)
		return ring_try_start(vu, m->p.state.index);
	ring_stop(vu, m->p.state.index);
	return 0;
}

/* GET and SET_CONFIG: u32 offset, size, flags and then exactly `size` bytes. */
static int check_config(const struct vhost_user_msg *m)
{
	const struct vhost_user_config *c = &m->p.config;
	size_t head = offsetof(struct vhost_user_config, data);

	if (m->h.size < head || c->size > VHOST_USER_CONFIG_MAX ||
	    c->offset > VHOST_USER_CONFIG_MAX - c->size || m->h.size != head + c->size)
		return -EPROTO;
	return 0;
}

static int get_config(struct vhost_user *vu, struct vhost_user_msg *m)
{
	if (check_config(m) < 0)
		return -EPROTO;
	virtio_device_read_config(vu->dev, m->p.config.offset, m->p.config.data, m->p.config.size);
	return (int)m->h.size;
}

static int set_config(struct vhost_user *vu, struct vhost_user_msg *m)
{
	if (check_config(m) < 0)
		return -EPROTO;
	virtio_device_write_config(vu->dev, m->p.config.offset, m->p.config.data, m->p.config.size);
	return 0;
}

#define STATE_SIZE sizeof(struct vhost_user_vring_state)

/* What a request must look like; `min` and `max` bound the payload. */
static const struct {
	int (*fn)(struct vhost_user *vu, struct vhost_user_msg *m);
	uint32_t min;
	uint32_t max;
	bool fds;   /* descriptors may come with it */
	bool reply; /* has a reply of its own */
} handlers[] = {
	[VHOST_USER_GET_FEATURES] = {get_features, 0, 0, .reply = true},
	[VHOST_USER_SET_FEATURES] = {set_features, 8, 8},
	[VHOST_USER_SET_OWNER] = {nothing, 0, 0},
	[VHOST_USER_RESET_OWNER] = {reset, 0, 0},
	[VHOST_USER_SET_MEM_TABLE] = {set_mem_table, 8, sizeof(struct vhost_user_memory),
				      .fds = true},
	[VHOST_USER_SET_VRING_NUM] = {set_vring_num, STATE_SIZE, STATE_SIZE},
	[VHOST_USER_SET_VRING_ADDR] = {set_vring_addr, sizeof(struct vhost_user_vring_addr),
				       sizeof(struct vhost_user_vring_addr)},
	[VHOST_USER_SET_VRING_BASE] = {set_vring_base, STATE_SIZE, STATE_SIZE},
	[VHOST_USER_GET_VRING_BASE] = {get_vring_base, STATE_SIZE, STATE_SIZE, .reply = true},
	[VHOST_USER_SET_VRING_KICK] = {set_vring_kick, 8, 8, .fds = true},
	[VHOST_USER_SET_VRING_CALL] = {set_vring_call, 8, 8, .fds = true},
	[VHOST_USER_SET_VRING_ERR] = {set_vring_err, 8, 8, .fds = true},
	[VHOST_USER_GET_PROTOCOL_FEATURES] = {get_protocol_features, 0, 0, .reply = true},
	[VHOST_USER_SET_PROTOCOL_FEATURES] = {set_protocol_features, 8, 8},
	[VHOST_USER_GET_QUEUE_NUM] = {get_queue_num, 0, 0, .reply = true},
	[VHOST_USER_SET_VRING_ENABLE] = {set_vring_enable, STATE_SIZE, STATE_SIZE},
	[VHOST_USER_GET_CONFIG] = {get_config, 12, sizeof(struct vhost_user_config), .reply = true},
	[VHOST_USER_SET_CONFIG] = {set_config, 12, sizeof(struct vhost_user_config)},
	[VHOST_USER_RESET_DEVICE] = {reset, 0, 0},
};

static int handle(struct vhost_user *vu, struct vhost_user_msg *m)
{
	bool need_reply = m->h.flags & VHOST_USER_FLAG_NEED_REPLY &&
			  vu->protocol_features & VIRTIO_BIT(VHOST_USER_PROTOCOL_F_REPLY_ACK);
	uint32_t q = m->h.request;
	int r;

	if (q >= ARRAY_SIZE(handlers) || !handlers[q].fn)
		return -EPROTO;
	if (m->h.size < handlers[q].min || m->h.size > handlers[q].max ||
	    (m->n_fds && !handlers[q].fds))
		return -EPROTO;
	r = handlers[q].fn(vu, m);
	if (handlers[q].reply)
		return r < 0 ? r : vhost_user_msg_reply(m, vu->ev.fd, (uint32_t)r);
	if (!need_reply || r == -EPROTO)
		return r;
	m->p.u64 = r < 0;
	return vhost_user_msg_reply(m, vu->ev.fd, sizeof(m->p.u64));
}

static void on_readable(struct ev *ev, uint32_t events)
{
	struct vhost_user *vu = container_of(ev, struct vhost_user, ev);
	int r = vhost_user_msg_read(&vu->msg, ev->fd);

	/* One at a time: a front-end that never stops sending does not keep the queues waiting. */
	if (r > 0) {
		r = handle(vu, &vu->msg);
		if (r < 0)
			log_debug("vhost-user: request %u of device type %u: %s", vu->msg.h.request,
				  vu->dev->id, strerror(-r));
		vhost_user_msg_reset(&vu->msg);
	}
	if (r >= 0)
		return;
	loop_del(worker_loop(vu->dev->worker), ev);
	vhost_user_msg_reset(&vu->msg);
	clear_all(vu);
	close_fd(&ev->fd);
}

/* --- Life. */

struct vhost_user *vhost_user_new(struct virtio_device *dev, int fd)
{
	struct vhost_user *vu = calloc(1, sizeof(*vu));
	int r;

	if (!vu) {
		virtio_device_free(dev);
		close(fd);
		errno = ENOMEM;
		return NULL;
	}
	vu->dev = dev;
	vu->ev.fd = fd;
	vu->ev.fn = on_readable;
	vhost_user_msg_init(&vu->msg);
	for (unsigned int i = 0; i < ARRAY_SIZE(vu->rings); i++)
		vu->rings[i] = (struct ring){.kick_fd = -1, .call_fd = -1, .err_fd = -1};
	dev->transport = &transport_ops;
	dev->transport_ctx = vu;
	r = loop_add(worker_loop(dev->worker), &vu->ev, EPOLLIN);
	if (r < 0) {
		vhost_user_free(vu);
		errno = -r;
		return NULL;
	}
	return vu;
}

int vhost_user_start(struct vhost_user *vu)
{
	return worker_start(vu->dev->worker);
}

struct vhost_user *vhost_user_free(struct vhost_user *vu)
{
	if (!vu)
		return NULL;
	worker_stop(vu->dev->worker);
	clear_all(vu);
	vhost_user_msg_reset(&vu->msg);
	loop_del(worker_loop(vu->dev->worker), &vu->ev);
	close_fd(&vu->ev.fd);
	virtio_device_free(vu->dev);
	guest_mem_release(&vu->mem);
	free(vu);
	return NULL;
}

/* What another thread asks for. */
struct query {
	struct vhost_user *vu;
	bool idle;
	unsigned int running;
};

static void answer(void *arg)
{
	struct query *q = arg;
	struct virtio_device *dev = q->vu->dev;

	q->idle = q->vu->ev.fd < 0 && !(dev->ops->busy && dev->ops->busy(dev));
	for (unsigned int i = 0; i < dev->num_queues; i++)
		q->running += ring_running(q->vu, i);
}

bool vhost_user_idle(struct vhost_user *vu)
{
	struct query q = {.vu = vu};

	worker_call(vu->dev->worker, answer, &q);
	return q.idle;
}

unsigned int vhost_user_running_queues(struct vhost_user *vu)
{
	struct query q = {.vu = vu};

	worker_call(vu->dev->worker, answer, &q);
	return q.running;
}

bool vhost_user_broken(const struct vhost_user *vu)
{
	return vu->broken;
}
