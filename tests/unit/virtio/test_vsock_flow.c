/* SPDX-License-Identifier: Apache-2.0 */
/* Credit, missing buffers and hostile packets of the socket device. */
#include "fake_vsock.h"

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

static void do_nothing(void *ctx)
{
}

/* Until the device has seen a kick: what was ready before is handled in the same round or the next.
 */
static void settle(struct fixture *f)
{
	worker_call(f->dev->worker, do_nothing, NULL);
	worker_call(f->dev->worker, do_nothing, NULL);
}

#define OUTSTANDING 16

/* Keeps that many packets in the device's hands; counts those that it has given back. */
static void flood(struct fixture *f, unsigned int *done)
{
	const struct fake_part part = {TX_BUF_GPA, HDR, false};
	uint32_t head, len;

	while ((uint16_t)(f->tx.next_desc - *done) < OUTSTANDING)
		fq_add(&f->tx, &part, 1);
	kick(f, 1);
	settle(f);
	while (fq_take_used(&f->tx, &head, &len))
		(*done)++;
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
	for (unsigned int round = 0; round < 10; round++)
		flood(f, &done);
	assert_int_equal(done, 64);
	offer_rx(f, RX_BUFS);
	while (done < 64 + OUTSTANDING) {
		usleep(1000);
		while (fq_take_used(&f->tx, &head, &len))
			done++;
	}
	for (int i = 0; i < 64 + OUTSTANDING; i++)
		expect(f, VIRTIO_VSOCK_OP_RST);
}

/* Adds a packet at the moment that follows the device's first look at an empty tx queue. */
static void add_when_notified(void *ctx, unsigned int queue)
{
	static const struct fake_part part = {TX_BUF_GPA, HDR, false};
	struct fixture *f = ctx;

	if (queue == 1 && f->tx.next_desc == 63)
		fq_add(&f->tx, &part, 1);
	on_notify(ctx, queue);
}

/*
 * The last packet of a turn's budget finds the queue empty, and one more comes before kicks are
 * asked for: no kick follows, so the device must come back by itself.
 */
static void test_end_of_turn(void **state)
{
	static const struct virtio_transport_ops ops = {add_when_notified, on_broken};
	static const struct fake_part part = {TX_BUF_GPA, HDR, false};
	struct fixture *f = *state;

	f->dev->transport = &ops;
	fq_init(&f->tx, &f->ram, TX_GPA, 128);
	memset(ram_at(&f->ram, TX_BUF_GPA), 0, HDR); /* from nobody: ignored */
	for (int i = 0; i < 63; i++)
		fq_add(&f->tx, &part, 1);
	fq_set_used_event(&f->tx, 63);
	worker_call(f->dev->worker, start_queues, f);
	for (int i = 0; i < 64; i++) {
		uint32_t head, len;

		while (!fq_take_used(&f->tx, &head, &len))
			wait_call(f);
	}
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_end_of_turn),    CASE(test_credit_of_guest), CASE(test_credit_overrun),
		CASE(test_credit_of_host), CASE(test_no_rx_buffers),   CASE(test_hostile_packets),
		CASE(test_short_packet),   CASE(test_reset_flood),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
