/* SPDX-License-Identifier: Apache-2.0 */
/* For tests that are both the guest's driver and the host's programs of the socket device. */
#pragma once

#include "fake_driver.h"

#include "virtio/vsock.h"

#include <linux/virtio_vsock.h>
#include <poll.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#define CID        3
#define RX_GPA     RAM_GPA
#define TX_GPA     (RAM_GPA + 64 * KIB)
#define TX_BUF_GPA (RAM_GPA + 512 * KIB)
#define RX_BUF_GPA (RAM_GPA + MIB)
#define RX_BUF     4096
#define RX_BUFS    64
#define WAIT_MS    5000
#define CREDIT     (256 * 1024) /* what the device gives the guest */
#define HDR        sizeof(struct virtio_vsock_hdr)

struct fixture {
	char *dir;
	int dir_fd;
	int offers; /* our end */
	struct fake_ram ram;
	struct fake_queue rx;
	struct fake_queue tx;
	int kick[2];
	int call;
	struct virtio_device *dev;
	atomic_bool broken;
	/* The packet taken last. */
	struct virtio_vsock_hdr h;
	uint8_t data[RX_BUF];
	/* What the guest says about its own buffers. */
	uint32_t buf_alloc;
	uint32_t fwd_cnt;
};

static inline void on_notify(void *ctx, unsigned int queue)
{
	struct fixture *f = ctx;
	uint64_t one = 1;

	assert_int_equal(write(f->call, &one, sizeof(one)), sizeof(one));
}

static inline void on_broken(void *ctx, unsigned int queue)
{
	struct fixture *f = ctx;

	f->broken = true;
	on_notify(ctx, queue);
}

static const struct virtio_transport_ops transport = {on_notify, on_broken};

static inline int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));
	struct vsock_config c = {.guest_cid = CID};
	int sv[2];

	temp_setup((void **)&f->dir);
	*state = f;
	f->dir_fd = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	f->buf_alloc = 256 * 1024;
	c.listen_fd = unix_listen_at(f->dir_fd, "v", 8);
	assert_true(c.listen_fd >= 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv), 0);
	f->offers = sv[0];
	c.offers_fd = sv[1];
	f->dev = vsock_new(&c);
	assert_non_null(f->dev);
	f->dev->transport = &transport;
	f->dev->transport_ctx = f;
	f->dev->acked = f->dev->features;
	f->kick[0] = eventfd(0, EFD_CLOEXEC);
	f->kick[1] = eventfd(0, EFD_CLOEXEC);
	f->call = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ram_init(&f->ram);
	fq_init(&f->rx, &f->ram, RX_GPA, RX_BUFS);
	fq_init(&f->tx, &f->ram, TX_GPA, 16);
	assert_int_equal(worker_start(f->dev->worker), 0);
	return 0;
}

static inline int teardown(void **state)
{
	struct fixture *f = *state;

	virtio_device_free(f->dev);
	ram_release(&f->ram);
	close(f->kick[0]);
	close(f->kick[1]);
	close(f->call);
	close(f->dir_fd);
	close_fd(&f->offers);
	temp_teardown((void **)&f->dir);
	free(f);
	return 0;
}

static inline void start_queues(void *arg)
{
	struct fixture *f = arg;

	assert_int_equal(
		virtio_device_start_queue(f->dev, 0, &f->ram.table, &f->rx.cfg, f->kick[0]), 0);
	assert_int_equal(
		virtio_device_start_queue(f->dev, 1, &f->ram.table, &f->tx.cfg, f->kick[1]), 0);
}

static inline void kick(struct fixture *f, int queue)
{
	uint64_t one = 1;

	assert_int_equal(write(f->kick[queue], &one, sizeof(one)), sizeof(one));
}

static inline void offer_rx(struct fixture *f, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		struct fake_part p = {RX_BUF_GPA + (uint64_t)(f->rx.next_desc % RX_BUFS) * RX_BUF,
				      RX_BUF, true};

		fq_add(&f->rx, &p, 1);
	}
	kick(f, 0);
}

static inline void bring_up(struct fixture *f)
{
	offer_rx(f, RX_BUFS);
	worker_call(f->dev->worker, start_queues, f);
}

static inline void wait_call(struct fixture *f)
{
	struct pollfd p = {.fd = f->call, .events = POLLIN};
	uint64_t n;

	assert_int_equal(poll(&p, 1, WAIT_MS), 1);
	assert_int_equal(read(f->call, &n, sizeof(n)), sizeof(n));
}

/* The device's next packet, without giving it a buffer in return. */
static inline void get_packet(struct fixture *f)
{
	uint32_t head, len;
	uint8_t *p;

	for (;;) {
		fq_set_used_event(&f->rx, f->rx.used_seen);
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		if (fq_take_used(&f->rx, &head, &len))
			break;
		wait_call(f);
	}
	assert_true(len >= HDR && len <= RX_BUF);
	p = ram_at(&f->ram, RX_BUF_GPA + head * (uint64_t)RX_BUF);
	memcpy(&f->h, p, HDR);
	assert_int_equal(f->h.len, len - HDR);
	memcpy(f->data, p + HDR, f->h.len);
	assert_int_equal(f->h.dst_cid, CID);
	assert_int_equal(f->h.src_cid, 2);
}

static inline void expect(struct fixture *f, uint16_t op)
{
	get_packet(f);
	assert_int_equal(f->h.op, op);
	offer_rx(f, 1);
}

static inline void wait_tx(struct fixture *f)
{
	uint32_t head, len;

	for (;;) {
		fq_set_used_event(&f->tx, f->tx.used_seen);
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		if (fq_take_used(&f->tx, &head, &len) || f->broken)
			return;
		wait_call(f);
	}
}

/* Sends a packet whose payload, `n` bytes, lies behind TX_BUF_GPA + HDR. */
static inline void put_raw(struct fixture *f, const struct virtio_vsock_hdr *h, uint32_t n)
{
	const struct fake_part parts[] = {{TX_BUF_GPA, HDR, false}, {TX_BUF_GPA + HDR, n, false}};

	memcpy(ram_at(&f->ram, TX_BUF_GPA), h, HDR);
	fq_add(&f->tx, parts, n ? 2 : 1);
	kick(f, 1);
	wait_tx(f);
}

static inline struct virtio_vsock_hdr header(const struct fixture *f, uint16_t op,
					     uint32_t host_port, uint32_t guest_port)
{
	return (struct virtio_vsock_hdr){
		.src_cid = CID,
		.dst_cid = 2,
		.src_port = guest_port,
		.dst_port = host_port,
		.type = VIRTIO_VSOCK_TYPE_STREAM,
		.op = op,
		.buf_alloc = f->buf_alloc,
		.fwd_cnt = f->fwd_cnt,
	};
}

static inline void put(struct fixture *f, uint16_t op, uint32_t host_port, uint32_t guest_port,
		       uint32_t flags, const void *data, uint32_t n)
{
	struct virtio_vsock_hdr h = header(f, op, host_port, guest_port);

	h.flags = flags;
	h.len = n;
	if (n)
		memcpy(ram_at(&f->ram, TX_BUF_GPA + HDR), data, n);
	put_raw(f, &h, n);
}

static inline int client(struct fixture *f, const char *hello)
{
	int fd = unix_connect_at(f->dir_fd, "v");

	assert_true(fd >= 0);
	assert_int_equal(write_full(fd, hello, strlen(hello)), 0);
	return fd;
}

static inline void read_exactly(int fd, void *data, size_t n)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	for (size_t done = 0; done < n;) {
		ssize_t r;

		assert_int_equal(poll(&p, 1, WAIT_MS), 1);
		r = read(fd, (char *)data + done, n - done);
		assert_true(r > 0);
		done += (size_t)r;
	}
}

static inline void expect_eof(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	char c;

	assert_int_equal(poll(&p, 1, WAIT_MS), 1);
	assert_int_equal(read(fd, &c, 1), 0);
}

/* A host program's connection to guest port 52, accepted; *ret_port is the host's port. */
static inline int host_connect(struct fixture *f, uint32_t *ret_port)
{
	int fd = client(f, "CONNECT 52\n");
	char ok[32], want[32];

	expect(f, VIRTIO_VSOCK_OP_REQUEST);
	assert_int_equal(f->h.dst_port, 52);
	*ret_port = f->h.src_port;
	put(f, VIRTIO_VSOCK_OP_RESPONSE, *ret_port, 52, 0, NULL, 0);
	snprintf(want, sizeof(want), "OK %u\n", *ret_port);
	read_exactly(fd, ok, strlen(want));
	assert_memory_equal(ok, want, strlen(want));
	return fd;
}

/* The descriptor of the next offer, which has to be for `port`. */
static inline int take_offer(struct fixture *f, uint32_t port)
{
	struct pollfd p = {.fd = f->offers, .events = POLLIN};
	uint32_t got[2] = {};
	struct iovec iov = {got, sizeof(got)};
	union {
		char data[CMSG_SPACE(2 * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct msghdr mh = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.data,
		.msg_controllen = sizeof(control.data),
	};
	int fd;

	assert_int_equal(poll(&p, 1, WAIT_MS), 1);
	assert_int_equal(recvmsg(f->offers, &mh, MSG_CMSG_CLOEXEC), sizeof(struct vsock_offer));
	assert_int_equal(got[0], port);
	assert_non_null(CMSG_FIRSTHDR(&mh));
	assert_int_equal(CMSG_FIRSTHDR(&mh)->cmsg_len, CMSG_LEN(sizeof(int)));
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&mh)), sizeof(fd));
	return fd;
}

/* A guest program's connection (from port 4000) to a port where a host program takes it. */
static inline int guest_connect(struct fixture *f, uint32_t port)
{
	int fd;

	put(f, VIRTIO_VSOCK_OP_REQUEST, port, 4000, 0, NULL, 0);
	expect(f, VIRTIO_VSOCK_OP_RESPONSE);
	assert_int_equal(f->h.buf_alloc, CREDIT);
	fd = take_offer(f, port);
	assert_int_equal(fd_set_nonblock(fd, false), 0);
	return fd;
}
