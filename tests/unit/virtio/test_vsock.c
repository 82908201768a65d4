/* SPDX-License-Identifier: Apache-2.0 */
/* The test is both the guest's driver and the host's programs. */
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

static void on_notify(void *ctx, unsigned int queue)
{
	struct fixture *f = ctx;
	uint64_t one = 1;

	assert_int_equal(write(f->call, &one, sizeof(one)), sizeof(one));
}

static void on_broken(void *ctx, unsigned int queue)
{
	struct fixture *f = ctx;

	f->broken = true;
	on_notify(ctx, queue);
}

static const struct virtio_transport_ops transport = {on_notify, on_broken};

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));
	struct vsock_config c = {.guest_cid = CID, .base = "v"};

	temp_setup((void **)&f->dir);
	*state = f;
	f->dir_fd = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	f->buf_alloc = 256 * 1024;
	c.dir_fd = dup(f->dir_fd);
	c.listen_fd = unix_listen_at(f->dir_fd, "v", 8);
	assert_true(c.listen_fd >= 0);
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

static int teardown(void **state)
{
	struct fixture *f = *state;

	virtio_device_free(f->dev);
	ram_release(&f->ram);
	close(f->kick[0]);
	close(f->kick[1]);
	close(f->call);
	close(f->dir_fd);
	temp_teardown((void **)&f->dir);
	free(f);
	return 0;
}

static void start_queues(void *arg)
{
	struct fixture *f = arg;

	assert_int_equal(
		virtio_device_start_queue(f->dev, 0, &f->ram.table, &f->rx.cfg, f->kick[0]), 0);
	assert_int_equal(
		virtio_device_start_queue(f->dev, 1, &f->ram.table, &f->tx.cfg, f->kick[1]), 0);
}

static void kick(struct fixture *f, int queue)
{
	uint64_t one = 1;

	assert_int_equal(write(f->kick[queue], &one, sizeof(one)), sizeof(one));
}

static void offer_rx(struct fixture *f, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		struct fake_part p = {RX_BUF_GPA + (uint64_t)(f->rx.next_desc % RX_BUFS) * RX_BUF,
				      RX_BUF, true};

		fq_add(&f->rx, &p, 1);
	}
	kick(f, 0);
}

static void bring_up(struct fixture *f)
{
	offer_rx(f, RX_BUFS);
	worker_call(f->dev->worker, start_queues, f);
}

static void wait_call(struct fixture *f)
{
	struct pollfd p = {.fd = f->call, .events = POLLIN};
	uint64_t n;

	assert_int_equal(poll(&p, 1, WAIT_MS), 1);
	assert_int_equal(read(f->call, &n, sizeof(n)), sizeof(n));
}

/* The device's next packet, without giving it a buffer in return. */
static void get_packet(struct fixture *f)
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

static void expect(struct fixture *f, uint16_t op)
{
	get_packet(f);
	assert_int_equal(f->h.op, op);
	offer_rx(f, 1);
}

static void wait_tx(struct fixture *f)
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
static void put_raw(struct fixture *f, const struct virtio_vsock_hdr *h, uint32_t n)
{
	const struct fake_part parts[] = {{TX_BUF_GPA, HDR, false}, {TX_BUF_GPA + HDR, n, false}};

	memcpy(ram_at(&f->ram, TX_BUF_GPA), h, HDR);
	fq_add(&f->tx, parts, n ? 2 : 1);
	kick(f, 1);
	wait_tx(f);
}

static struct virtio_vsock_hdr header(const struct fixture *f, uint16_t op, uint32_t host_port,
				      uint32_t guest_port)
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

static void put(struct fixture *f, uint16_t op, uint32_t host_port, uint32_t guest_port,
		uint32_t flags, const void *data, uint32_t n)
{
	struct virtio_vsock_hdr h = header(f, op, host_port, guest_port);

	h.flags = flags;
	h.len = n;
	if (n)
		memcpy(ram_at(&f->ram, TX_BUF_GPA + HDR), data, n);
	put_raw(f, &h, n);
}

static int client(struct fixture *f, const char *hello)
{
	int fd = unix_connect_at(f->dir_fd, "v");

	assert_true(fd >= 0);
	assert_int_equal(write_full(fd, hello, strlen(hello)), 0);
	return fd;
}

static void read_exactly(int fd, void *data, size_t n)
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

static void expect_eof(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	char c;

	assert_int_equal(poll(&p, 1, WAIT_MS), 1);
	assert_int_equal(read(fd, &c, 1), 0);
}

/* A host program's connection to guest port 52, accepted; *ret_port is the host's port. */
static int host_connect(struct fixture *f, uint32_t *ret_port)
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

/* A guest program's connection (from port 4000) to the socket v_<port>. */
static int guest_connect(struct fixture *f, uint32_t port)
{
	char name[32];
	int listener, fd;

	snprintf(name, sizeof(name), "v_%u", port);
	listener = unix_listen_at(f->dir_fd, name, 1);
	assert_true(listener >= 0);
	put(f, VIRTIO_VSOCK_OP_REQUEST, port, 4000, 0, NULL, 0);
	expect(f, VIRTIO_VSOCK_OP_RESPONSE);
	assert_int_equal(f->h.buf_alloc, CREDIT);
	fd = accept(listener, NULL, NULL);
	assert_true(fd >= 0);
	close(listener);
	return fd;
}

static void test_host_connect(void **state)
{
	struct fixture *f = *state;
	uint32_t port;
	char got[16];
	int fd;

	bring_up(f);
	fd = host_connect(f, &port);
	put(f, VIRTIO_VSOCK_OP_RW, port, 52, 0, "hello", 5);
	read_exactly(fd, got, 5);
	assert_memory_equal(got, "hello", 5);
	assert_int_equal(write_full(fd, "world", 5), 0);
	expect(f, VIRTIO_VSOCK_OP_RW);
	assert_int_equal(f->h.len, 5);
	assert_memory_equal(f->data, "world", 5);
	/* Half close by the host, then by the guest, answered with a reset. */
	shutdown(fd, SHUT_WR);
	expect(f, VIRTIO_VSOCK_OP_SHUTDOWN);
	assert_int_equal(f->h.flags, VIRTIO_VSOCK_SHUTDOWN_SEND);
	put(f, VIRTIO_VSOCK_OP_RW, port, 52, 0, "last", 4);
	put(f, VIRTIO_VSOCK_OP_SHUTDOWN, port, 52, 3, NULL, 0);
	expect(f, VIRTIO_VSOCK_OP_RST);
	read_exactly(fd, got, 4);
	assert_memory_equal(got, "last", 4);
	expect_eof(fd);
	close(fd);
}

static void test_host_close(void **state)
{
	struct fixture *f = *state;
	uint32_t port;
	int fd;

	bring_up(f);
	fd = host_connect(f, &port);
	assert_int_equal(write_full(fd, "bye", 3), 0);
	close(fd);
	expect(f, VIRTIO_VSOCK_OP_RW);
	expect(f, VIRTIO_VSOCK_OP_SHUTDOWN);
	if (f->h.flags == VIRTIO_VSOCK_SHUTDOWN_SEND)
		expect(f, VIRTIO_VSOCK_OP_SHUTDOWN);
	assert_int_equal(f->h.flags, 3);
	put(f, VIRTIO_VSOCK_OP_RST, port, 52, 0, NULL, 0);
	/* Gone: anything else about it gets a reset. */
	put(f, VIRTIO_VSOCK_OP_RW, port, 52, 0, "x", 1);
	expect(f, VIRTIO_VSOCK_OP_RST);
}

static void test_refused_by_guest(void **state)
{
	struct fixture *f = *state;
	int fd;

	bring_up(f);
	fd = client(f, "CONNECT 99\n");
	expect(f, VIRTIO_VSOCK_OP_REQUEST);
	put(f, VIRTIO_VSOCK_OP_RST, f->h.src_port, 99, 0, NULL, 0);
	expect_eof(fd);
	close(fd);
}

static void test_early_client(void **state)
{
	struct fixture *f = *state;
	int fd = client(f, "CONNECT 52\n");
	struct pollfd p = {.fd = fd, .events = POLLIN};

	assert_int_equal(poll(&p, 1, 50), 0);
	bring_up(f);
	expect(f, VIRTIO_VSOCK_OP_REQUEST);
	close(fd);
	/* It gave up after the guest was asked. */
	expect(f, VIRTIO_VSOCK_OP_RST);
}

static void test_bad_hello(void **state)
{
	static const char *const bad[] = {"GET / HTTP/1.0\r\n",
					  "CONNECT\n",
					  "CONNECT 4294967296\n",
					  "CONNECT -1\n",
					  "CONNECT 1 2\n",
					  "CONNECT 00000000000000000000000000001\n",
					  "\n"};
	struct fixture *f = *state;

	bring_up(f);
	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		int fd = client(f, bad[i]);
		struct pollfd p = {.fd = fd, .events = POLLIN};
		char c;

		/* With bytes left unread this is a reset instead of an end. */
		assert_int_equal(poll(&p, 1, WAIT_MS), 1);
		assert_true(read(fd, &c, 1) <= 0);
		close(fd);
	}
}

/* Bytes behind the line belong to the stream, and a line may come in pieces. */
static void test_hello_pieces(void **state)
{
	struct fixture *f = *state;
	int fd;

	bring_up(f);
	fd = client(f, "CONN");
	usleep(2000);
	assert_int_equal(write_full(fd, "ECT 52\nearly", 12), 0);
	expect(f, VIRTIO_VSOCK_OP_REQUEST);
	put(f, VIRTIO_VSOCK_OP_RESPONSE, f->h.src_port, 52, 0, NULL, 0);
	expect(f, VIRTIO_VSOCK_OP_RW);
	assert_memory_equal(f->data, "early", 5);
	close(fd);
}

static void test_guest_connect(void **state)
{
	struct fixture *f = *state;
	char got[8];
	int fd;

	bring_up(f);
	fd = guest_connect(f, 1024);
	put(f, VIRTIO_VSOCK_OP_RW, 1024, 4000, 0, "abc", 3);
	read_exactly(fd, got, 3);
	put(f, VIRTIO_VSOCK_OP_SHUTDOWN, 1024, 4000, VIRTIO_VSOCK_SHUTDOWN_SEND, NULL, 0);
	expect_eof(fd);
	/* The other direction is still open. */
	assert_int_equal(write_full(fd, "def", 3), 0);
	expect(f, VIRTIO_VSOCK_OP_RW);
	assert_memory_equal(f->data, "def", 3);
	close(fd);
}

static void test_nobody_listens(void **state)
{
	struct fixture *f = *state;

	bring_up(f);
	put(f, VIRTIO_VSOCK_OP_REQUEST, 5555, 4000, 0, NULL, 0);
	expect(f, VIRTIO_VSOCK_OP_RST);
	assert_int_equal(f->h.src_port, 5555);
	assert_int_equal(f->h.dst_port, 4000);
}

/* A slow host program: the guest may send exactly its credit, no data are lost, others go on. */
static void test_credit_of_guest(void **state)
{
	static uint8_t chunk[32 * 1024];
	struct fixture *f = *state;
	size_t sent = 0, taken = 0;
	uint32_t told = 0;
	int slow, fast;
	char got[4];

	bring_up(f);
	slow = guest_connect(f, 1024);
	/* Until the host's socket is full and so is our credit. */
	for (;;) {
		struct virtio_vsock_hdr h = header(f, VIRTIO_VSOCK_OP_CREDIT_REQUEST, 1024, 4000);

		put_raw(f, &h, 0);
		do
			expect(f, VIRTIO_VSOCK_OP_CREDIT_UPDATE);
		while (f->h.fwd_cnt < told);
		told = f->h.fwd_cnt;
		if (sent - told + sizeof(chunk) > CREDIT)
			break;
		memset(chunk, (int)(sent / sizeof(chunk)), sizeof(chunk));
		put(f, VIRTIO_VSOCK_OP_RW, 1024, 4000, 0, chunk, sizeof(chunk));
		sent += sizeof(chunk);
	}
	assert_true(sent > CREDIT);
	fast = guest_connect(f, 1025);
	put(f, VIRTIO_VSOCK_OP_RW, 1025, 4000, 0, "hi", 2);
	read_exactly(fast, got, 2);
	/* The guest ends; everything still arrives. */
	put(f, VIRTIO_VSOCK_OP_SHUTDOWN, 1024, 4000, 3, NULL, 0);
	expect(f, VIRTIO_VSOCK_OP_RST);
	while (taken < sent) {
		read_exactly(slow, chunk, sizeof(chunk));
		assert_int_equal(chunk[0], (uint8_t)(taken / sizeof(chunk)));
		taken += sizeof(chunk);
	}
	expect_eof(slow);
	close(slow);
	close(fast);
}

static void test_credit_overrun(void **state)
{
	static uint8_t chunk[64 * 1024];
	struct fixture *f = *state;
	int fd;

	bring_up(f);
	fd = guest_connect(f, 1024);
	/* The host reads nothing: sooner or later this is more than was granted. */
	for (int i = 0; i < 32; i++) {
		put(f, VIRTIO_VSOCK_OP_RW, 1024, 4000, 0, chunk, sizeof(chunk));
		assert_false(f->broken);
	}
	do {
		get_packet(f);
		offer_rx(f, 1);
	} while (f->h.op == VIRTIO_VSOCK_OP_CREDIT_UPDATE);
	assert_int_equal(f->h.op, VIRTIO_VSOCK_OP_RST);
	close(fd);
}

/* A slow guest: no more is sent than it has room for. */
static void test_credit_of_host(void **state)
{
	static uint8_t chunk[64 * 1024];
	struct fixture *f = *state;
	uint32_t port, sent = 0;
	int fd;

	f->buf_alloc = 10000;
	bring_up(f);
	fd = host_connect(f, &port);
	for (uint32_t i = 0; i < sizeof(chunk); i++)
		chunk[i] = (uint8_t)(i % 251);
	assert_int_equal(write_full(fd, chunk, sizeof(chunk)), 0);
	for (;;) {
		get_packet(f);
		offer_rx(f, 1);
		if (f->h.op == VIRTIO_VSOCK_OP_CREDIT_REQUEST) {
			assert_int_equal(sent, f->fwd_cnt + f->buf_alloc);
			f->fwd_cnt = sent;
			put(f, VIRTIO_VSOCK_OP_CREDIT_UPDATE, port, 52, 0, NULL, 0);
			continue;
		}
		assert_int_equal(f->h.op, VIRTIO_VSOCK_OP_RW);
		assert_memory_equal(f->data, chunk + sent, f->h.len);
		sent += f->h.len;
		assert_true(sent - f->fwd_cnt <= f->buf_alloc);
		if (sent == sizeof(chunk))
			break;
	}
	/* A lie about what was consumed gives no credit. */
	f->fwd_cnt = sent + 1;
	put(f, VIRTIO_VSOCK_OP_CREDIT_UPDATE, port, 52, 0, NULL, 0);
	assert_int_equal(write_full(fd, "x", 1), 0);
	expect(f, VIRTIO_VSOCK_OP_CREDIT_REQUEST);
	close(fd);
}

/* Without buffers of the guest data wait; they come in order once there are some. */
static void test_no_rx_buffers(void **state)
{
	static uint8_t chunk[100 * 1024];
	struct fixture *f = *state;
	uint32_t port, got = 0;
	int fd;

	bring_up(f);
	fd = host_connect(f, &port);
	for (uint32_t i = 0; i < sizeof(chunk); i++)
		chunk[i] = (uint8_t)(i % 253);
	assert_int_equal(write_full(fd, chunk, sizeof(chunk)), 0);
	while (got < sizeof(chunk)) {
		get_packet(f);
		assert_int_equal(f->h.op, VIRTIO_VSOCK_OP_RW);
		assert_memory_equal(f->data, chunk + got, f->h.len);
		got += f->h.len;
		/* One buffer back for each is the least a driver can do. */
		offer_rx(f, 1);
	}
	close(fd);
}

static void test_hostile_packets(void **state)
{
	struct fixture *f = *state;
	struct virtio_vsock_hdr h;
	int fd;

	bring_up(f);
	/* Lengths that the packet does not have. */
	fd = guest_connect(f, 1024);
	h = header(f, VIRTIO_VSOCK_OP_RW, 1024, 4000);
	h.len = UINT32_MAX;
	put_raw(f, &h, 8);
	expect(f, VIRTIO_VSOCK_OP_RST);
	close(fd);
	fd = guest_connect(f, 1024);
	h.len = 9;
	put_raw(f, &h, 8);
	expect(f, VIRTIO_VSOCK_OP_RST);
	close(fd);
	/* Unknown operation, unknown type, not for us, not from the guest. */
	fd = guest_connect(f, 1024);
	put(f, 77, 1024, 4000, 0, NULL, 0);
	expect(f, VIRTIO_VSOCK_OP_RST);
	close(fd);
	h = header(f, VIRTIO_VSOCK_OP_REQUEST, 1024, 4001);
	h.type = 9;
	put_raw(f, &h, 0);
	get_packet(f);
	assert_int_equal(f->h.type, 9);
	assert_int_equal(f->h.op, VIRTIO_VSOCK_OP_RST);
	h = header(f, VIRTIO_VSOCK_OP_REQUEST, 1024, 4001);
	h.src_cid = 99;
	put_raw(f, &h, 0);
	/* A second request for a connection that exists ends it. */
	fd = guest_connect(f, 1024);
	put(f, VIRTIO_VSOCK_OP_REQUEST, 1024, 4000, 0, NULL, 0);
	expect(f, VIRTIO_VSOCK_OP_RST);
	close(fd);
	assert_false(f->broken);
}

static void test_short_packet(void **state)
{
	struct fixture *f = *state;
	const struct fake_part part = {TX_BUF_GPA, HDR - 1, false};

	bring_up(f);
	fq_add(&f->tx, &part, 1);
	kick(f, 1);
	wait_tx(f);
	assert_true(f->broken);
}

/* A guest that provokes answers without taking them is kept waiting, and loses none. */
static void test_reset_flood(void **state)
{
	struct fixture *f = *state;
	struct virtio_vsock_hdr h;
	uint32_t head, len;
	unsigned int done = 0;

	worker_call(f->dev->worker, start_queues, f);
	h = header(f, VIRTIO_VSOCK_OP_RW, 1, 4000);
	memcpy(ram_at(&f->ram, TX_BUF_GPA), &h, HDR);
	for (unsigned int round = 0; round < 10; round++) {
		const struct fake_part part = {TX_BUF_GPA, HDR, false};

		for (unsigned int i = 0; i < 16 && (uint16_t)(f->tx.next_desc - done) < 16; i++)
			fq_add(&f->tx, &part, 1);
		kick(f, 1);
		usleep(2000);
		while (fq_take_used(&f->tx, &head, &len))
			done++;
	}
	assert_int_equal(done, 64);
	offer_rx(f, RX_BUFS);
	while (done < 80) {
		usleep(1000);
		while (fq_take_used(&f->tx, &head, &len))
			done++;
	}
	for (int i = 0; i < 80; i++)
		expect(f, VIRTIO_VSOCK_OP_RST);
}

static void stop_queues(void *arg)
{
	struct fixture *f = arg;

	virtio_device_stop_queue(f->dev, 0);
	virtio_device_stop_queue(f->dev, 1);
}

static void test_driver_reset(void **state)
{
	struct fixture *f = *state;
	uint32_t port;
	int fd, other;

	bring_up(f);
	fd = host_connect(f, &port);
	worker_call(f->dev->worker, stop_queues, f);
	expect_eof(fd);
	close(fd);
	/* A client that comes between two drivers gets the second one. */
	other = client(f, "CONNECT 52\n");
	usleep(2000);
	fq_init(&f->rx, &f->ram, RX_GPA, RX_BUFS);
	fq_init(&f->tx, &f->ram, TX_GPA, 16);
	bring_up(f);
	expect(f, VIRTIO_VSOCK_OP_REQUEST);
	close(other);
}

static void test_bad_settings(void **state)
{
	const struct vsock_config bad[] = {
		{.guest_cid = 2, .listen_fd = -1, .dir_fd = -1},
		{.guest_cid = UINT32_MAX, .listen_fd = -1, .dir_fd = -1},
		{.guest_cid = 3, .listen_fd = -1, .dir_fd = -1, .base = "a/b"},
		{.guest_cid = 3, .listen_fd = -1, .dir_fd = -1, .base = ""},
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++)
		assert_null(vsock_new(&bad[i]));
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_host_connect),
		CASE(test_host_close),
		CASE(test_refused_by_guest),
		CASE(test_early_client),
		CASE(test_bad_hello),
		CASE(test_hello_pieces),
		CASE(test_guest_connect),
		CASE(test_nobody_listens),
		CASE(test_credit_of_guest),
		CASE(test_credit_overrun),
		CASE(test_credit_of_host),
		CASE(test_no_rx_buffers),
		CASE(test_hostile_packets),
		CASE(test_short_packet),
		CASE(test_reset_flood),
		CASE(test_driver_reset),
		cmocka_unit_test(test_bad_settings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
