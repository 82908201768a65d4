/* SPDX-License-Identifier: Apache-2.0 */
/* The network device: chains of any shape both ways, with frames from the other end of the rings.
 */
#include "guest.h"

#include "base/frame_ring.h"
#include "virtio/net.h"

#include <linux/virtio_net.h>
#include <sys/eventfd.h>

enum {
	OP_KICK = GUEST_OPS, /* u8 queue */
	OP_RESTART,          /* u8 queue, u8 features to leave out */
	OP_FRAME,            /* u16 length, u8 flags, u8 gso: for the guest */
	OP_TAKE,             /* the other end takes what the guest has sent */
	OP_BUFFER,           /* u8 queue, u16 length: a chain of one buffer, offered */
	OPS,
};

struct target {
	struct guest g;
	struct virtio_device *dev;
	struct frame_rings net;
	unsigned int next_desc;
	bool broken[2];
};

static void on_notify(void *ctx, unsigned int queue)
{
	CHECK(queue < 2);
}

static void on_broken(void *ctx, unsigned int queue)
{
	((struct target *)ctx)->broken[queue] = true;
}

static const struct virtio_transport_ops transport = {on_notify, on_broken};

static void restart(struct target *t, unsigned int queue, uint8_t without)
{
	struct virtq_config cfg = guest_queue(queue);

	cfg.next_avail = virtio_device_stop_queue(t->dev, queue);
	t->dev->acked = t->dev->features;
	if (without & 1)
		t->dev->acked &= ~VIRTIO_BIT(VIRTIO_NET_F_MRG_RXBUF);
	if (without & 2)
		t->dev->acked &= ~VIRTIO_BIT(VIRTIO_NET_F_GUEST_CSUM);
	if (without & 4)
		t->dev->acked &= ~VIRTIO_BIT(VIRTIO_NET_F_GUEST_TSO4);
	t->broken[queue] = false;
	CHECK(virtio_device_start_queue(t->dev, queue, &t->g.table, &cfg, -1) == 0);
}

static void frame(struct target *t, struct input *in)
{
	uint16_t len = take16(in);
	struct virtio_net_hdr_v1 h = {
		.flags = take8(in), .gso_type = take8(in), .csum_start = 34, .csum_offset = 6};
	uint8_t *p = frame_ring_reserve(&t->net.out, len);

	if (!p)
		return;
	memset(p, 0x11, len);
	memcpy(p, &h, MIN(sizeof(h), (size_t)len));
	frame_ring_commit(&t->net.out, len);
	frame_ring_publish(&t->net.out);
}

static void take_frames(struct target *t)
{
	const uint8_t *p;
	int len;

	while ((len = frame_ring_next(&t->net.in, &p)) > 0) {
		CHECK((size_t)len >= sizeof(struct virtio_net_hdr_v1) && (size_t)len <= FRAME_MAX);
		frame_ring_done(&t->net.in);
	}
	CHECK(len == 0);
	frame_ring_release(&t->net.in);
}

static void buffer(struct target *t, struct input *in)
{
	unsigned int queue = take8(in) % 2, i = t->next_desc++ % GUEST_QUEUE_SIZE;

	guest_desc(&t->g, queue, i, 0x3000, take16(in),
		   queue == NET_QUEUE_RX ? VRING_DESC_F_WRITE : 0, 0);
	guest_offer(&t->g, queue, (uint16_t)i);
}

static void step(struct target *t, struct input *in)
{
	unsigned int op = take8(in) % OPS, queue;

	switch (op) {
	case OP_KICK:
		queue = take8(in) % 2;
		virtio_device_kick(t->dev, queue);
		CHECK(t->broken[queue] == virtio_queue(t->dev, queue)->broken);
		break;
	case OP_RESTART:
		queue = take8(in) % 2;
		restart(t, queue, take8(in));
		break;
	case OP_FRAME:
		frame(t, in);
		break;
	case OP_TAKE:
		take_frames(t);
		break;
	case OP_BUFFER:
		buffer(t, in);
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
	struct net_device_config c = {.mac = {2}, .mtu = 1500, .rings_fd = frame_rings_create()};

	CHECK(c.rings_fd >= 0 && frame_rings_map(&t.net, c.rings_fd, FRAME_SIDE_NET) == 0);
	c.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	c.call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	guest_init(&t.g);
	t.dev = net_device_new(&c);
	CHECK(t.dev);
	t.dev->transport = &transport;
	t.dev->transport_ctx = &t;
	restart(&t, 0, 0);
	restart(&t, 1, 0);
	while (in.n)
		step(&t, &in);
	virtio_device_stop_queue(t.dev, 0);
	virtio_device_stop_queue(t.dev, 1);
	virtio_device_free(t.dev);
	frame_rings_unmap(&t.net);
	close(c.rings_fd);
	guest_release(&t.g);
	CHECK(next_fd() == fd);
	return 0;
}
