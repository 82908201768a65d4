/* SPDX-License-Identifier: Apache-2.0 */
/* A front-end that sends what the input says, before a balloon or a socket device. */
#include "guest.h"

#include "base/cleanup.h"
#include "virtio/balloon.h"
#include "virtio/vhost_user.h"
#include "virtio/vhost_user_msg.h"
#include "virtio/vsock.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>

/* The guest's memory lies in one file, at another address for the front-end. */
#define FILE_SIZE (GUEST_HIGH + GUEST_HIGH_SIZE)
#define USER_ADDR 0x7f0000000000ULL
#define FDS_MAX   4

enum {
	OP_MESSAGE = GUEST_OPS, /* u8 request, u8 flags, u8 n, u8 descriptors, n bytes */
	OP_RAW,                 /* u8 n, n bytes: a message, or part of one */
	OP_MEMORY,              /* u8 flags: a memory table */
	OP_RING,                /* u8 queue, u8 flags: everything it takes to start one */
	OP_KICK,                /* u8 queue */
	OPS,
};

struct target {
	struct guest g;
	int ram; /* memfd */
	int kicks[GUEST_QUEUES];
	int pipes[2];
	int fd;
	struct virtio_device *dev;
	struct vhost_user *vu;
};

/* Nothing is dropped for real: the ring, which may be in the range, would start anew for ever. */
static void discard(void *ctx, void *host, size_t len)
{
	CHECK(len && len % 4096 == 0 && (uintptr_t)host % 4096 == 0);
}

static void drain(struct target *t)
{
	char bytes[4096];

	while (recv(t->fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
}

/* A message is handled per round; a round without one does no harm. */
static void deliver(struct target *t)
{
	for (int i = 0; i < 2; i++)
		run_round(worker_loop(t->dev->worker));
	drain(t);
}

static void send_message(struct target *t, const void *data, size_t n, const int *fds,
			 unsigned int n_fds)
{
	union {
		char data[CMSG_SPACE(sizeof(int) * FDS_MAX)];
		struct cmsghdr align;
	} control = {};
	struct iovec iov = {(void *)data, n};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};

	if (n == 0)
		return;
	if (n_fds) {
		struct cmsghdr *c;

		m.msg_control = control.data;
		m.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
		c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * n_fds);
	}
	if (sendmsg(t->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		CHECK(errno == EPIPE || errno == ECONNRESET);
	deliver(t);
}

static void message(struct target *t, uint32_t request, uint32_t flags, const void *payload,
		    uint32_t size, const int *fds, unsigned int n_fds)
{
	struct vhost_user_header h = {request, VHOST_USER_VERSION | flags, size};
	char data[sizeof(h) + sizeof(union vhost_user_payload)];

	CHECK(size <= sizeof(union vhost_user_payload));
	memcpy(data, &h, sizeof(h));
	memcpy(data + sizeof(h), payload, size);
	send_message(t, data, sizeof(h) + size, fds, n_fds);
}

/* Two bits for each of the descriptors: which kind of file. */
static void any_message(struct target *t, struct input *in)
{
	uint8_t request = take8(in), flags = take8(in), n = take8(in), which = take8(in);
	uint8_t payload[255];
	int fds[FDS_MAX];
	unsigned int n_fds = 0;
	const int kinds[] = {-1, t->ram, t->kicks[0], t->pipes[0]};

	for (; n_fds < FDS_MAX && which & 3; which >>= 2)
		fds[n_fds++] = kinds[which & 3];
	take(in, payload, n);
	message(t, request, flags & (VHOST_USER_FLAG_NEED_REPLY | VHOST_USER_FLAG_REPLY), payload,
		n, fds, n_fds);
}

static void memory(struct target *t, uint8_t flags)
{
	struct vhost_user_memory m = {
		.n = 2,
		.regions = {{0, GUEST_LOW, USER_ADDR, 0},
			    {GUEST_HIGH, GUEST_HIGH_SIZE, USER_ADDR + GUEST_HIGH, GUEST_HIGH}},
	};
	const int fds[] = {t->ram, t->ram};

	if (flags & 1)
		m.n = 1;
	if (flags & 2)
		m.regions[0].size = 0x2000;
	if (flags & 4)
		m.regions[1].user_addr = USER_ADDR + 0x1000;
	if (flags & 8) /* not at a page's beginning, in the file or here */
		m.regions[0].mmap_offset = 0x801;
	message(t, VHOST_USER_SET_MEM_TABLE, 0, &m,
		(uint32_t)(offsetof(struct vhost_user_memory, regions) +
			   m.n * sizeof(m.regions[0])),
		fds, m.n);
}

static void ring(struct target *t, uint32_t queue, uint8_t flags)
{
	const struct virtq_config c = guest_queue(queue);
	struct vhost_user_vring_state s = {queue, GUEST_QUEUE_SIZE};
	struct vhost_user_vring_addr a = {
		.index = queue,
		.desc = USER_ADDR + c.desc,
		.avail = USER_ADDR + c.avail,
		.used = USER_ADDR + c.used,
	};
	uint64_t v = queue;

	if (flags & 1) {
		v = t->dev->features | VIRTIO_BIT(VHOST_USER_F_PROTOCOL_FEATURES);
		if (flags & 2)
			v &= ~VIRTIO_BIT(VIRTIO_RING_F_EVENT_IDX);
		message(t, VHOST_USER_SET_FEATURES, 0, &v, sizeof(v), NULL, 0);
		v = queue;
	}
	message(t, VHOST_USER_SET_VRING_NUM, 0, &s, sizeof(s), NULL, 0);
	s.num = flags & 4 ? 3 : 0;
	message(t, VHOST_USER_SET_VRING_BASE, 0, &s, sizeof(s), NULL, 0);
	message(t, VHOST_USER_SET_VRING_ADDR, 0, &a, sizeof(a), NULL, 0);
	message(t, VHOST_USER_SET_VRING_CALL, 0, &v, sizeof(v), &t->kicks[0], 1);
	message(t, VHOST_USER_SET_VRING_ERR, 0, &v, sizeof(v), &t->kicks[1], 1);
	message(t, VHOST_USER_SET_VRING_KICK, 0, &v, sizeof(v), &t->kicks[queue], 1);
	s.num = 1;
	message(t, VHOST_USER_SET_VRING_ENABLE, 0, &s, sizeof(s), NULL, 0);
}

static void step(struct target *t, struct input *in)
{
	unsigned int op = take8(in) % OPS;
	uint8_t bytes[255], a;
	uint64_t one = 1;

	switch (op) {
	case OP_MESSAGE:
		any_message(t, in);
		break;
	case OP_RAW:
		a = take8(in);
		take(in, bytes, a);
		send_message(t, bytes, a, NULL, 0);
		break;
	case OP_MEMORY:
		memory(t, take8(in));
		break;
	case OP_RING:
		a = take8(in);
		ring(t, a % GUEST_QUEUES, take8(in));
		break;
	case OP_KICK:
		/* Full: its own call descriptor may be among its kicks. */
		if (write(t->kicks[take8(in) % GUEST_QUEUES], &one, sizeof(one)) < 0)
			CHECK(errno == EAGAIN);
		run_round(worker_loop(t->dev->worker));
		break;
	default:
		guest_op(&t->g, in, op);
	}
}

static void make(struct target *t, bool balloon)
{
	const struct vsock_config c = {.guest_cid = 3, .listen_fd = -1, .offers_fd = -1};
	int sv[2];

	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) == 0);
	t->dev = balloon ? balloon_new(discard, t) : vsock_new(&c);
	t->vu = t->dev ? vhost_user_new(t->dev, sv[1]) : NULL;
	CHECK(t->vu);
	t->fd = sv[0];
	t->ram = memfd_create("ram", MFD_CLOEXEC);
	CHECK(t->ram >= 0 && ftruncate(t->ram, FILE_SIZE) == 0);
	t->g.low = mmap(NULL, FILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, t->ram, 0);
	CHECK(t->g.low != MAP_FAILED);
	t->g.high = t->g.low + GUEST_HIGH;
	for (unsigned int i = 0; i < GUEST_QUEUES; i++)
		t->kicks[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	CHECK(pipe(t->pipes) == 0);
	close_fd(&t->pipes[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct input in = {data, n};
	struct target t = {};
	int fd = next_fd();

	make(&t, take8(&in) & 1);
	while (in.n)
		step(&t, &in);
	vhost_user_idle(t.vu);
	vhost_user_running_queues(t.vu);
	vhost_user_free(t.vu);
	for (unsigned int i = 0; i < GUEST_QUEUES; i++)
		close(t.kicks[i]);
	close(t.pipes[0]);
	close(t.fd);
	close(t.ram);
	munmap(t.g.low, FILE_SIZE);
	CHECK(next_fd() == fd);
	return 0;
}
