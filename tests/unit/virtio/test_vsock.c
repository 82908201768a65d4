/* SPDX-License-Identifier: Apache-2.0 */
/* Making and ending connections of the socket device. */
#include "fake_vsock.h"

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

/* Nobody takes offers any more. */
static void test_offers_gone(void **state)
{
	struct fixture *f = *state;

	bring_up(f);
	close_fd(&f->offers);
	put(f, VIRTIO_VSOCK_OP_REQUEST, 5555, 4000, 0, NULL, 0);
	expect(f, VIRTIO_VSOCK_OP_RST);
	assert_int_equal(f->h.src_port, 5555);
	assert_int_equal(f->h.dst_port, 4000);
}

/* Closed by the owner: whatever was said meanwhile, the last word is a reset. */
static void test_offer_refused(void **state)
{
	struct fixture *f = *state;

	bring_up(f);
	put(f, VIRTIO_VSOCK_OP_REQUEST, 5555, 4000, 0, NULL, 0);
	close(take_offer(f, 5555));
	expect(f, VIRTIO_VSOCK_OP_RESPONSE);
	do
		get_packet(f);
	while (f->h.op == VIRTIO_VSOCK_OP_SHUTDOWN);
	assert_int_equal(f->h.op, VIRTIO_VSOCK_OP_RST);
	assert_int_equal(f->h.dst_port, 4000);
}

/* The owner does not look: the device does not wait for it, and nobody else notices. */
static void test_offers_full(void **state)
{
	struct fixture *f = *state;
	uint32_t port, n = 0, first;
	int fd;

	bring_up(f);
	do {
		put(f, VIRTIO_VSOCK_OP_REQUEST, 1000 + n, 4000, 0, NULL, 0);
		get_packet(f);
		offer_rx(f, 1);
		n++;
	} while (f->h.op == VIRTIO_VSOCK_OP_RESPONSE);
	assert_int_equal(f->h.op, VIRTIO_VSOCK_OP_RST);
	/* Not for the limit of the guest's connections. */
	assert_in_range(n, 2, 700);
	fd = host_connect(f, &port);
	close(fd);
	first = f->h.src_port;
	assert_int_equal(first, port);
	/*
	 * With room again, offers are made again; the one that was refused never comes. The
	 * connections end in whatever order the device hears of it.
	 */
	for (uint32_t i = 0; i < n - 1; i++)
		close(take_offer(f, 1000 + i));
	for (uint32_t ended = 0; ended < n - 1;) {
		get_packet(f);
		offer_rx(f, 1);
		ended += f->h.op == VIRTIO_VSOCK_OP_RST && f->h.src_port < 1000 + n - 1;
	}
	put(f, VIRTIO_VSOCK_OP_REQUEST, 5000, 4000, 0, NULL, 0);
	/* Also the host program's connection may end as late as now. */
	do {
		get_packet(f);
		offer_rx(f, 1);
	} while (f->h.src_port != 5000);
	assert_int_equal(f->h.op, VIRTIO_VSOCK_OP_RESPONSE);
	close(take_offer(f, 5000));
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

#define EVENT_GPA     (RAM_GPA + 128 * KIB)
#define EVENT_BUF_GPA (RAM_GPA + 600 * KIB)

struct event_queue {
	struct fixture *f;
	struct fake_queue q;
	int kick;
};

static void start_event_queue(void *arg)
{
	struct event_queue *e = arg;

	assert_int_equal(
		virtio_device_start_queue(e->f->dev, 2, &e->f->ram.table, &e->q.cfg, e->kick), 0);
}

static void stop_event_queue(void *arg)
{
	struct event_queue *e = arg;

	virtio_device_stop_queue(e->f->dev, 2);
}

static void restored(void *arg)
{
	struct fixture *f = arg;

	f->dev->ops->restored(f->dev);
}

static void nothing(void *arg)
{
}

static void event_queue_init(struct event_queue *e, struct fixture *f)
{
	*e = (struct event_queue){.f = f, .kick = eventfd(0, EFD_CLOEXEC)};
	fq_init(&e->q, &f->ram, EVENT_GPA, 8);
}

static void offer_event(struct event_queue *e, uint32_t len)
{
	const struct fake_part part = {EVENT_BUF_GPA, len, true};

	memset(ram_at(&e->f->ram, EVENT_BUF_GPA), 0xff, len);
	fq_set_used_event(&e->q, e->q.used_seen);
	fq_add(&e->q, &part, 1);
}

static bool got_event(struct event_queue *e)
{
	const struct virtio_vsock_event *got = ram_at(&e->f->ram, EVENT_BUF_GPA);
	uint32_t head, len;

	if (!fq_take_used(&e->q, &head, &len))
		return false;
	assert_int_equal(len, sizeof(*got));
	assert_int_equal(got->id, VIRTIO_VSOCK_EVENT_TRANSPORT_RESET);
	return true;
}

static void test_restored(void **state)
{
	struct fixture *f = *state;
	struct event_queue e;
	uint32_t before, head, len;
	uint64_t one = 1;
	int old, new;

	event_queue_init(&e, f);
	bring_up(f);
	old = host_connect(f, &before);
	offer_event(&e, 4);
	worker_call(f->dev->worker, start_event_queue, &e);
	assert_false(got_event(&e));
	worker_call(f->dev->worker, restored, f);
	assert_true(got_event(&e));
	/* What the guest's driver would close with the old connections is not begun. */
	new = client(f, "CONNECT 52\n");
	for (int i = 0; i < 3; i++) /* accepted, heard, and had there been anything to do, done */
		worker_call(f->dev->worker, nothing, NULL);
	assert_false(fq_take_used(&f->rx, &head, &len));
	/* It is told once, and has dealt with it when it gives the buffer back. */
	offer_event(&e, 4);
	assert_int_equal(fq_avail_event(&e.q), 1);
	assert_int_equal(write(e.kick, &one, sizeof(one)), sizeof(one));
	expect(f, VIRTIO_VSOCK_OP_REQUEST);
	assert_false(got_event(&e));
	/* No new connection looks like one that the guest remembers (but once in 2^30 runs). */
	assert_int_not_equal(f->h.src_port, before + 1);
	close(old);
	close(new);
	close(e.kick);
}

static void test_restored_without_buffers(void **state)
{
	struct fixture *f = *state;
	struct event_queue e;
	uint64_t one = 1;

	event_queue_init(&e, f);
	bring_up(f);
	worker_call(f->dev->worker, start_event_queue, &e);
	worker_call(f->dev->worker, restored, f);
	assert_false(got_event(&e));
	offer_event(&e, 4);
	/* The device asked for this kick. */
	assert_int_equal(fq_avail_event(&e.q), 0);
	assert_int_equal(write(e.kick, &one, sizeof(one)), sizeof(one));
	while (!got_event(&e))
		wait_call(f);
	/* A driver that starts over has no connections to close. */
	worker_call(f->dev->worker, restored, f);
	worker_call(f->dev->worker, stop_event_queue, &e);
	close(e.kick);
	event_queue_init(&e, f);
	offer_event(&e, 4);
	worker_call(f->dev->worker, start_event_queue, &e);
	assert_false(got_event(&e));
	assert_false(f->broken);
	/* No room for an event in it. */
	worker_call(f->dev->worker, stop_event_queue, &e);
	close(e.kick);
	event_queue_init(&e, f);
	offer_event(&e, 3);
	worker_call(f->dev->worker, start_event_queue, &e);
	worker_call(f->dev->worker, restored, f);
	assert_true(f->broken);
	close(e.kick);
}

static void test_bad_settings(void **state)
{
	int stream = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const struct vsock_config bad[] = {
		{.guest_cid = 2, .listen_fd = -1, .offers_fd = -1},
		{.guest_cid = UINT32_MAX, .listen_fd = -1, .offers_fd = -1},
		{.guest_cid = 3, .listen_fd = -1, .offers_fd = open("/dev/null", O_RDWR)},
		{.guest_cid = 3, .listen_fd = -1, .offers_fd = stream},
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++)
		assert_null(vsock_new(&bad[i]));
	/* Taken over also then. */
	assert_int_equal(fcntl(stream, F_GETFD), -1);
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
		CASE(test_offers_gone),
		CASE(test_offer_refused),
		CASE(test_offers_full),
		CASE(test_driver_reset),
		CASE(test_restored),
		CASE(test_restored_without_buffers),
		cmocka_unit_test(test_bad_settings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
