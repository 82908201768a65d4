/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 *	driver -- transmit queue --> copy --> ring out ==> msb-net
 *	driver <-- receive queue <-- copy <-- ring in  <== msb-net
 *
 * One copy per frame and direction. Each turn moves up to BUDGET frames, then shows them to the
 * other side all at once: one change of an index, at most one wake-up, at most one interrupt.
 * There are three reasons to sleep, each with its own way of being woken:
 *
 *	transmit queue empty	the driver kicks
 *	no buffer for a frame	the driver kicks; the frame stays in the ring
 *	ring in empty, or ring	msb-net signals the call descriptor
 *	out full
 *
 * While the device is at work it asks for none of them.
 *
 * A frame in a ring is always a virtio_net_hdr of 12 bytes (virtio 1.2, 5.1.6) and an Ethernet
 * frame. The rings have no place for what the driver accepted, so msb-net takes it that everything
 * was; frames that this driver could not take are put right here (a checksum that was left to it)
 * or dropped (segments to be, a frame larger than its buffers). Nothing else in a frame is looked
 * at: msb-net believes nothing that the guest sends, and the guest's kernel nothing of the network.
 *
 * Received frames go to as many buffers as they need when MRG_RXBUF was accepted (5.1.6.4), to one
 * otherwise. How many is known only at the end, so the place of num_buffers is remembered. Buffers
 * are not given back to the driver before there are enough.
 */
#include "virtio/net.h"

#include "base/cleanup.h"
#include "base/frame_ring.h"
#include "base/io.h"
#include "base/log.h"
#include "virtio/device.h"
#include "virtio/iov.h"

#include <errno.h>
#include <linux/virtio_net.h>
#include <string.h>

#define QUEUES     2
#define QUEUE_SIZE 256
#define CHAIN_MAX  VIRTQ_SIZE_MAX
/* Frames per turn and direction. */
#define BUDGET      64
#define HEADER_SIZE sizeof(struct virtio_net_hdr_v1)
#define ETH_HEADER  14
#define FRAME_MIN   (HEADER_SIZE + ETH_HEADER)
/* What the driver sees of the configuration: up to and including the mtu. */
#define CONFIG_SIZE (offsetof(struct virtio_net_config, mtu) + sizeof(uint16_t))

#define FEATURES                                                                     \
	(VIRTIO_BIT(VIRTIO_NET_F_CSUM) | VIRTIO_BIT(VIRTIO_NET_F_GUEST_CSUM) |       \
	 VIRTIO_BIT(VIRTIO_NET_F_HOST_TSO4) | VIRTIO_BIT(VIRTIO_NET_F_HOST_TSO6) |   \
	 VIRTIO_BIT(VIRTIO_NET_F_GUEST_TSO4) | VIRTIO_BIT(VIRTIO_NET_F_GUEST_TSO6) | \
	 VIRTIO_BIT(VIRTIO_NET_F_MRG_RXBUF) | VIRTIO_BIT(VIRTIO_NET_F_MTU) |         \
	 VIRTIO_BIT(VIRTIO_NET_F_MAC) | VIRTIO_BIT(VIRTIO_NET_F_STATUS))

/* A chain of the receive queue that holds part of a frame. */
struct filled {
	uint16_t head;
	uint32_t len;
};

struct net_device {
	struct virtio_device dev;
	struct frame_rings rings;
	struct ev call_ev; /* fd owned */
	int wake_fd;
	bool tx_full;  /* the transmit queue waits for room in the ring */
	bool reported; /* that a ring is broken */
	struct stats_net *stats;
	struct stats_net uncounted;
	/* Too large for the stack. */
	struct iovec iov[CHAIN_MAX];
	struct filled filled[VIRTQ_SIZE_MAX];
};

/* What a turn did, for the counters. */
struct tally {
	uint64_t frames;
	uint64_t bytes;
};

static void tally_add(struct tally *t, size_t len)
{
	t->frames++;
	t->bytes += len - HEADER_SIZE;
}

/* #syscalls:net write */
static void wake_net(struct net_device *n)
{
	event_signal(n->wake_fd);
}

static void report_broken(struct net_device *n)
{
	if (!n->reported)
		log_error("the network's rings are broken, the guest has no network any more");
	n->reported = true;
}

/* --- Guest to network. */

/* Moves one chain. 1, 0 when the ring is full. */
static int transmit(struct net_device *n, const struct virtq_chain *c, struct tally *t)
{
	struct iov_iter it;
	uint8_t *frame;

	if (c->out_len < FRAME_MIN || c->out_len > FRAME_MAX)
		return 1;
	frame = frame_ring_reserve(&n->rings.out, c->out_len);
	if (!frame)
		return 0;
	iov_iter_init(&it, c->out, c->out_n, c->out_len);
	iov_iter_read(&it, frame, c->out_len);
	frame_ring_commit(&n->rings.out, c->out_len);
	tally_add(t, c->out_len);
	return 1;
}

/* 1 when there is more to do, 0 when somebody will call, -EPROTO for a driver that broke rules. */
static int tx_turn(struct net_device *n, struct tally *t)
{
	struct virtq *vq = virtio_queue(&n->dev, NET_QUEUE_TX);
	struct virtq_chain c;

	for (int i = 0; i < BUDGET; i++) {
		int r = virtq_pop(vq, n->iov, ARRAY_SIZE(n->iov), &c);

		if (r < 0)
			return r;
		if (r == 0 && !virtq_kicks_on(vq))
			return 0;
		if (r == 0) {
			virtq_kicks_off(vq);
			continue;
		}
		if (transmit(n, &c, t)) {
			virtq_push(vq, c.head, 0);
			continue;
		}
		virtq_unpop(vq, 1);
		n->tx_full = !frame_ring_await_room(&n->rings.out);
		if (n->tx_full)
			return 0;
	}
	return 1;
}

static void tx_run(struct net_device *n)
{
	struct tally t = {};
	int r;

	n->tx_full = false;
	virtq_kicks_off(virtio_queue(&n->dev, NET_QUEUE_TX));
	r = tx_turn(n, &t);
	if (frame_ring_publish(&n->rings.out))
		wake_net(n);
	stats_add(&n->stats->tx_frames, t.frames);
	stats_add(&n->stats->tx_bytes, t.bytes);
	virtio_device_publish(&n->dev, NET_QUEUE_TX);
	if (n->rings.out.broken)
		report_broken(n);
	if (r < 0)
		virtio_device_queue_broken(&n->dev, NET_QUEUE_TX);
	else if (r > 0)
		virtio_device_rekick(&n->dev, NET_QUEUE_TX);
}

/* --- Network to guest. */

static uint16_t checksum(const uint8_t *p, size_t len)
{
	uint64_t sum = 0;

	for (; len >= 2; p += 2, len -= 2)
		sum += (uint32_t)p[0] << 8 | p[1];
	if (len)
		sum += (uint32_t)p[0] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	/* Zero would say "none" in UDP, and is the same sum. */
	return sum == 0xffff ? 0xffff : (uint16_t)~sum;
}

/*
 * Completes a checksum that was left to the receiver, in the ring: the frame may be looked at once
 * more, so its header then says that nothing is to be done.
 */
static bool complete_checksum(uint8_t *frame, size_t len, struct virtio_net_hdr_v1 *h)
{
	size_t start = HEADER_SIZE + h->csum_start, at = start + h->csum_offset;
	uint16_t sum;

	if (at + sizeof(sum) > len)
		return false;
	sum = checksum(frame + start, len - start);
	frame[at] = (uint8_t)(sum >> 8);
	frame[at + 1] = (uint8_t)sum;
	h->flags &= (uint8_t)~VIRTIO_NET_HDR_F_NEEDS_CSUM;
	memcpy(frame, h, HEADER_SIZE);
	return true;
}

/* Makes the frame one that the driver can take; false when that cannot be. */
static bool suit_driver(const struct net_device *n, uint8_t *frame, size_t len,
			struct virtio_net_hdr_v1 *h)
{
	uint64_t acked = n->dev.acked;

	switch (h->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
	case VIRTIO_NET_HDR_GSO_NONE:
		break;
	case VIRTIO_NET_HDR_GSO_TCPV4:
		if (!(acked & VIRTIO_BIT(VIRTIO_NET_F_GUEST_TSO4)))
			return false;
		break;
	case VIRTIO_NET_HDR_GSO_TCPV6:
		if (!(acked & VIRTIO_BIT(VIRTIO_NET_F_GUEST_TSO6)))
			return false;
		break;
	default:
		return false;
	}
	if (!(h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) ||
	    acked & VIRTIO_BIT(VIRTIO_NET_F_GUEST_CSUM))
		return true;
	return complete_checksum(frame, len, h);
}

/* Writes a frame, its header taken from `h`, and remembers where the number of buffers belongs. */
struct scatter {
	const uint8_t *frame;
	size_t len;
	size_t done;
	struct virtio_net_hdr_v1 *h;
	uint8_t *count[2];
};

/* The guest's address of byte `at` of the chain; it is known to be that long. */
static uint8_t *byte_at(const struct virtq_chain *c, size_t at)
{
	unsigned int i = 0;

	while (at >= c->in[i].iov_len)
		at -= c->in[i++].iov_len;
	return (uint8_t *)c->in[i].iov_base + at;
}

static size_t scatter(struct scatter *s, const struct virtq_chain *c)
{
	size_t n = MIN(c->in_len, s->len - s->done), skip = 0;
	struct iov_iter it;

	iov_iter_init(&it, c->in, c->in_n, n);
	if (s->done == 0) {
		size_t at = offsetof(struct virtio_net_hdr_v1, num_buffers);

		s->count[0] = byte_at(c, at);
		s->count[1] = byte_at(c, at + 1);
		skip = iov_iter_write(&it, s->h, HEADER_SIZE);
	}
	iov_iter_write(&it, s->frame + s->done + skip, n - skip);
	s->done += n;
	return n;
}

/* Fills buffers until the frame is in. How many, 0 when there are too few or -EPROTO. */
static int fill_buffers(struct net_device *n, struct scatter *s, unsigned int max)
{
	struct virtq *vq = virtio_queue(&n->dev, NET_QUEUE_RX);
	unsigned int used = 0;
	struct virtq_chain c;

	while (s->done < s->len && used < max) {
		int r = virtq_pop(vq, n->iov, ARRAY_SIZE(n->iov), &c);

		if (r < 0)
			return r;
		if (r == 0)
			break;
		/* 5.1.6.3.1: a buffer has at least the size of the header. */
		if (c.in_len < HEADER_SIZE)
			return -EPROTO;
		n->filled[used++] = (struct filled){c.head, (uint32_t)scatter(s, &c)};
	}
	if (s->done == s->len)
		return (int)used;
	virtq_unpop(vq, used);
	/* One that does not fit into all the buffers that there can be never will. */
	return used == max ? -EMSGSIZE : 0;
}

/* 1, 0 when there are too few buffers, -EPROTO; a frame that cannot be delivered is dropped. */
static int deliver(struct net_device *n, uint8_t *frame, size_t len, struct tally *t)
{
	struct virtq *vq = virtio_queue(&n->dev, NET_QUEUE_RX);
	bool merge = n->dev.acked & VIRTIO_BIT(VIRTIO_NET_F_MRG_RXBUF);
	struct virtio_net_hdr_v1 h;
	struct scatter s = {.frame = frame, .len = len, .h = &h};
	int used;

	if (len < FRAME_MIN)
		return 1;
	memcpy(&h, frame, HEADER_SIZE);
	if (!suit_driver(n, frame, len, &h))
		return 1;
	used = fill_buffers(n, &s, merge ? vq->cfg.size : 1);
	if (used == -EMSGSIZE)
		return 1;
	if (used <= 0)
		return used;
	*s.count[0] = (uint8_t)used;
	*s.count[1] = (uint8_t)(used >> 8);
	for (int i = 0; i < used; i++)
		virtq_push(vq, n->filled[i].head, n->filled[i].len);
	tally_add(t, len);
	return 1;
}

/* As tx_turn. */
static int rx_turn(struct net_device *n, struct tally *t)
{
	struct virtq *vq = virtio_queue(&n->dev, NET_QUEUE_RX);
	struct frame_ring *in = &n->rings.in;

	for (int i = 0; i < BUDGET; i++) {
		uint16_t seen = virtq_driver_index(vq);
		const uint8_t *frame;
		int r, len = frame_ring_next(in, &frame);

		if (len < 0)
			return 0;
		if (len == 0 && !frame_ring_await_frame(in))
			return 0;
		if (len == 0)
			continue;
		r = deliver(n, (uint8_t *)frame, (size_t)len, t);
		if (r < 0)
			return r;
		if (r > 0)
			frame_ring_done(in);
		else if (!virtq_kick_past(vq, seen))
			return 0;
	}
	return 1;
}

static void rx_run(struct net_device *n)
{
	struct tally t = {};
	int r;

	virtq_kicks_off(virtio_queue(&n->dev, NET_QUEUE_RX));
	r = rx_turn(n, &t);
	virtio_device_publish(&n->dev, NET_QUEUE_RX);
	stats_add(&n->stats->rx_frames, t.frames);
	stats_add(&n->stats->rx_bytes, t.bytes);
	if (frame_ring_release(&n->rings.in))
		wake_net(n);
	if (n->rings.in.broken)
		report_broken(n);
	if (r < 0)
		virtio_device_queue_broken(&n->dev, NET_QUEUE_RX);
	else if (r > 0)
		event_signal(n->call_ev.fd);
}

/* --- Events. */

static void net_kick(struct virtio_device *dev, unsigned int queue)
{
	struct net_device *n = container_of(dev, struct net_device, dev);

	if (queue == NET_QUEUE_TX)
		tx_run(n);
	else
		rx_run(n);
}

/* #syscalls:net read */
static void on_call(struct ev *ev, uint32_t events)
{
	struct net_device *n = container_of(ev, struct net_device, call_ev);
	uint64_t count;

	if (read(ev->fd, &count, sizeof(count)) < 0)
		return;
	virtio_device_kick(&n->dev, NET_QUEUE_RX);
	if (n->tx_full)
		virtio_device_kick(&n->dev, NET_QUEUE_TX);
}

static void net_queue_stopped(struct virtio_device *dev, unsigned int queue)
{
	struct net_device *n = container_of(dev, struct net_device, dev);

	if (queue == NET_QUEUE_TX)
		n->tx_full = false;
}

/* The guest's last words count as sent when msb-net has taken them. */
static bool net_busy(const struct virtio_device *dev)
{
	const struct net_device *n = container_of(dev, struct net_device, dev);

	return !frame_ring_drained(&n->rings.out);
}

/* --- Life. */

static void net_free(struct virtio_device *dev)
{
	struct net_device *n = container_of(dev, struct net_device, dev);

	if (dev->worker)
		loop_del(worker_loop(dev->worker), &n->call_ev);
	virtio_device_release(dev);
	close_fd(&n->call_ev.fd);
	close_fd(&n->wake_fd);
	frame_rings_unmap(&n->rings);
	free(n);
}

/* A saved machine has no frames on the way: the rings are fresh, and the queues were kicked. */
static const struct virtio_device_ops net_ops = {
	.kick = net_kick,
	.queue_stopped = net_queue_stopped,
	.busy = net_busy,
	.free = net_free,
};

static int init(struct net_device *n, const struct net_device_config *c)
{
	struct virtio_net_config config = {
		.status = VIRTIO_NET_S_LINK_UP,
		.max_virtqueue_pairs = 1,
		.mtu = c->mtu,
	};
	int r;

	r = virtio_device_init(&n->dev, &net_ops, VIRTIO_ID_NET, "net", QUEUES, QUEUE_SIZE);
	if (r == 0)
		r = frame_rings_map(&n->rings, c->rings_fd, FRAME_SIDE_VMM);
	if (r == 0)
		r = fd_set_nonblock(n->call_ev.fd, true);
	if (r == 0)
		r = fd_set_nonblock(n->wake_fd, true);
	if (r == 0)
		r = loop_add(worker_loop(n->dev.worker), &n->call_ev, EPOLLIN);
	if (r < 0)
		return r;
	worker_batch(n->dev.worker);
	memcpy(config.mac, c->mac, sizeof(config.mac));
	memcpy(n->dev.config, &config, CONFIG_SIZE);
	n->dev.config_size = CONFIG_SIZE;
	n->dev.features |= FEATURES;
	return 0;
}

struct virtio_device *net_device_new(const struct net_device_config *c)
{
	struct net_device *n = calloc(1, sizeof(*n));
	int r;

	if (!n) {
		close(c->call_fd);
		close(c->wake_fd);
		errno = ENOMEM;
		return NULL;
	}
	n->stats = &n->uncounted;
	n->call_ev.fd = c->call_fd;
	n->call_ev.fn = on_call;
	n->wake_fd = c->wake_fd;
	r = init(n, c);
	if (r < 0) {
		virtio_device_free(&n->dev);
		errno = -r;
		return NULL;
	}
	return &n->dev;
}

void net_device_count(struct virtio_device *dev, struct stats_net *stats)
{
	struct net_device *n = container_of(dev, struct net_device, dev);

	n->stats = stats ? stats : &n->uncounted;
}
