/* SPDX-License-Identifier: Apache-2.0 */
/* The socket device between a guest and host programs that both do what the input says. */
#include "guest.h"

#include "base/cleanup.h"
#include "virtio/vsock.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_vsock.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>

#define CID          3
#define SOCKETS      8
#define LISTEN_PORT  1024
#define HEADER       0x3000u
#define RX_BUFFERS   0x4000u
#define RX_BUFFER    0x400u
#define EVENT_BUFFER 0x3800u

enum {
	OP_KICK = GUEST_OPS, /* u8 queue */
	OP_ROUND,
	OP_PACKET,  /* u8 op, from, to; u16 length; u8 flags; u32 credit, taken */
	OP_RX,      /* u8 n: buffers, offered and kicked */
	OP_EVENT,   /* a buffer for events, likewise */
	OP_CONNECT, /* u8 n, n bytes: a host program that says this; n = 0: CONNECT 52 */
	OP_ACCEPT,
	OP_WRITE,   /* u8 socket, u8 n */
	OP_READ,    /* u8 socket */
	OP_SHUT,    /* u8 socket, u8 how */
	OP_CLOSE,   /* u8 socket */
	OP_RESTART, /* u8 queue */
	OP_RESTORED,
	OPS,
};

struct target {
	struct guest g;
	struct virtio_device *dev;
	int kicks[GUEST_QUEUES];
	struct sockaddr_un address; /* of the device's listening socket */
	socklen_t address_len;
	int offers;           /* where the device offers the guest's connections */
	int sockets[SOCKETS]; /* of host programs */
};

static void on_notify(void *ctx, unsigned int queue)
{
	CHECK(queue < GUEST_QUEUES);
}

static const struct virtio_transport_ops transport = {on_notify, on_notify};

static void kick(struct target *t, unsigned int queue)
{
	uint64_t one = 1;

	CHECK(write(t->kicks[queue], &one, sizeof(one)) == sizeof(one));
	run_round(worker_loop(t->dev->worker));
}

static void restart(struct target *t, unsigned int queue)
{
	struct virtq_config cfg = guest_queue(queue);

	cfg.next_avail = virtio_device_stop_queue(t->dev, queue);
	CHECK(virtio_device_start_queue(t->dev, queue, &t->g.table, &cfg, t->kicks[queue]) == 0);
}

/* Ports that there may be something behind: the device counts its own from the second one on. */
static uint32_t port(uint8_t v)
{
	return v < 16 ? v * 4u + LISTEN_PORT : 0x40000000u + v - 16;
}

static void packet(struct target *t, struct input *in)
{
	struct virtio_vsock_hdr h = {
		.src_cid = CID,
		.dst_cid = 2,
		.type = VIRTIO_VSOCK_TYPE_STREAM,
	};
	unsigned int i = (unsigned int)t->g.avail[1] * 2 % GUEST_QUEUE_SIZE;

	h.op = take8(in);
	h.src_port = port(take8(in));
	h.dst_port = port(take8(in));
	h.len = take16(in);
	h.flags = take8(in);
	h.buf_alloc = take32(in);
	h.fwd_cnt = take32(in);
	guest_write(&t->g, HEADER, &h, sizeof(h));
	guest_desc(&t->g, 1, i, HEADER, sizeof(h), h.len ? VRING_DESC_F_NEXT : 0,
		   (uint16_t)(i + 1));
	guest_desc(&t->g, 1, i + 1, HEADER + 0x100, h.len, 0, 0);
	guest_offer(&t->g, 1, (uint16_t)i);
	kick(t, 1);
}

static void offer_rx(struct target *t, unsigned int n)
{
	for (; n; n--) {
		unsigned int i = t->g.avail[0] % GUEST_QUEUE_SIZE;

		guest_desc(&t->g, 0, i, RX_BUFFERS + i * RX_BUFFER, RX_BUFFER, VRING_DESC_F_WRITE,
			   0);
		guest_offer(&t->g, 0, (uint16_t)i);
	}
	kick(t, 0);
}

static void offer_event(struct target *t)
{
	unsigned int i = t->g.avail[2] % GUEST_QUEUE_SIZE;

	guest_desc(&t->g, 2, i, EVENT_BUFFER, 8, VRING_DESC_F_WRITE, 0);
	guest_offer(&t->g, 2, (uint16_t)i);
	kick(t, 2);
}

/* A place for a new host program; the one that was there goes. */
static int *socket_at(struct target *t)
{
	for (unsigned int i = 0; i < SOCKETS; i++)
		if (t->sockets[i] < 0)
			return &t->sockets[i];
	close_fd(&t->sockets[0]);
	return &t->sockets[0];
}

static void host_connect(struct target *t, struct input *in)
{
	uint8_t n = take8(in), words[255] = "CONNECT 52\n";
	int *fd = socket_at(t);

	if (n)
		take(in, words, n);
	else
		n = 11;
	*fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* The listener's queue may be full. */
	if (connect(*fd, (struct sockaddr *)&t->address, t->address_len) < 0 ||
	    send(*fd, words, n, MSG_NOSIGNAL) < 0)
		close_fd(fd);
}

static void host_op(struct target *t, struct input *in, unsigned int op)
{
	static uint8_t bytes[64 * 1024];
	int *fd = &t->sockets[take8(in) % SOCKETS];
	uint8_t arg = op == OP_WRITE || op == OP_SHUT ? take8(in) : 0;

	if (*fd < 0)
		return;
	switch (op) {
	case OP_WRITE:
		if (send(*fd, bytes, (size_t)arg * arg, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
			CHECK(errno == EAGAIN || errno == EPIPE || errno == ECONNRESET);
		break;
	case OP_READ:
		if (recv(*fd, bytes, sizeof(bytes), MSG_DONTWAIT) < 0)
			CHECK(errno == EAGAIN || errno == ECONNRESET);
		break;
	case OP_SHUT:
		shutdown(*fd, arg % 3);
		break;
	default:
		close_fd(fd);
	}
}

/* The descriptor of the next offer, or -1. */
static int take_offer(struct target *t)
{
	union {
		struct cmsghdr align;
		char data[CMSG_SPACE(sizeof(int))];
	} room;
	struct vsock_offer offer;
	struct iovec iov = {&offer, sizeof(offer)};
	struct msghdr m = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &room,
		.msg_controllen = sizeof(room),
	};
	int fd = -1;

	if (recvmsg(t->offers, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) < 0)
		return -1;
	CHECK(CMSG_FIRSTHDR(&m));
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(fd));
	return fd;
}

static void host_accept(struct target *t)
{
	int fd = take_offer(t);

	if (fd >= 0)
		*socket_at(t) = fd;
}

static void step(struct target *t, struct input *in)
{
	unsigned int op = take8(in) % OPS;

	switch (op) {
	case OP_KICK:
		kick(t, take8(in) % GUEST_QUEUES);
		break;
	case OP_ROUND:
		run_round(worker_loop(t->dev->worker));
		break;
	case OP_PACKET:
		packet(t, in);
		break;
	case OP_RX:
		offer_rx(t, take8(in) % GUEST_QUEUE_SIZE + 1);
		break;
	case OP_EVENT:
		offer_event(t);
		break;
	case OP_CONNECT:
		host_connect(t, in);
		break;
	case OP_ACCEPT:
		host_accept(t);
		break;
	case OP_WRITE:
	case OP_READ:
	case OP_SHUT:
	case OP_CLOSE:
		host_op(t, in, op);
		break;
	case OP_RESTART:
		restart(t, take8(in) % GUEST_QUEUES);
		break;
	case OP_RESTORED:
		t->dev->ops->restored(t->dev);
		break;
	default:
		guest_op(&t->g, in, op);
	}
}

static void make_device(struct target *t)
{
	struct vsock_config c = {.guest_cid = CID};
	int offers[2];

	/* A name that the kernel chooses. */
	t->address = (struct sockaddr_un){.sun_family = AF_UNIX};
	t->address_len = sizeof(t->address);
	c.listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(bind(c.listen_fd, (struct sockaddr *)&t->address, sizeof(sa_family_t)) == 0);
	CHECK(listen(c.listen_fd, SOCKETS) == 0);
	CHECK(getsockname(c.listen_fd, (struct sockaddr *)&t->address, &t->address_len) == 0);
	CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, offers) == 0);
	t->offers = offers[0];
	c.offers_fd = offers[1];
	t->dev = vsock_new(&c);
	CHECK(t->dev);
	t->dev->transport = &transport;
	t->dev->acked = t->dev->features;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct input in = {data, n};
	struct target t = {};
	int fd = next_fd();

	guest_init(&t.g);
	make_device(&t);
	for (unsigned int i = 0; i < SOCKETS; i++)
		t.sockets[i] = -1;
	for (unsigned int i = 0; i < GUEST_QUEUES; i++) {
		t.kicks[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		restart(&t, i);
	}
	while (in.n)
		step(&t, &in);
	t.dev->ops->busy(t.dev);
	for (unsigned int i = 0; i < GUEST_QUEUES; i++)
		virtio_device_stop_queue(t.dev, i);
	virtio_device_free(t.dev);
	for (unsigned int i = 0; i < GUEST_QUEUES; i++)
		close_fd(&t.kicks[i]);
	for (unsigned int i = 0; i < SOCKETS; i++)
		close_fd(&t.sockets[i]);
	/* With it go the connections that nobody took. */
	close_fd(&t.offers);
	guest_release(&t.g);
	CHECK(next_fd() == fd);
	return 0;
}
