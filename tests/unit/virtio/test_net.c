/* SPDX-License-Identifier: Apache-2.0 */
/* The network device between a driver and the other end of the rings, both played here. */
#include "fake_driver.h"

#include "base/frame_ring.h"
#include "virtio/net.h"
#include "virtio/device.h"

#include <linux/virtio_net.h>
#include <sys/eventfd.h>

#define QUEUE_LEN  64
#define BUFFER_GPA (RAM_GPA + MIB)
#define HEADER     12
#define NOTHING    0xee /* what buffers hold before anybody writes */

struct fixture {
	struct fake_ram ram;
	struct fake_queue rx, tx;
	struct virtio_device *dev;
	struct frame_rings net;
	int rings_fd;
	int wake; /* duplicates of what the device has */
	int call;
	unsigned int notified[2];
	unsigned int broken;
	struct stats_net stats;
	uint64_t next_buffer;
};

static void on_notify(void *ctx, unsigned int queue)
{
	((struct fixture *)ctx)->notified[queue]++;
}

static void on_broken(void *ctx, unsigned int queue)
{
	((struct fixture *)ctx)->broken++;
}

static const struct virtio_transport_ops transport = {on_notify, on_broken};

static struct virtio_device *device(struct fixture *f)
{
	struct net_device_config c = {
		.mac = {2, 3, 4, 5, 6, 7},
		.mtu = 1400,
		.rings_fd = f->rings_fd,
		.wake_fd = dup(f->wake),
		.call_fd = dup(f->call),
	};

	return net_device_new(&c);
}

static void start_queue(struct fixture *f, unsigned int queue)
{
	struct fake_queue *q = queue == NET_QUEUE_TX ? &f->tx : &f->rx;

	fq_init(q, &f->ram, RAM_GPA + queue * 64 * KIB, QUEUE_LEN);
	assert_int_equal(virtio_device_start_queue(f->dev, queue, &f->ram.table, &q->cfg, -1), 0);
}

static struct fixture *setup_with(uint64_t without)
{
	struct fixture *f = xcalloc(1, sizeof(*f));

	ram_init(&f->ram);
	memset(f->ram.mem, NOTHING, RAM_SIZE);
	f->wake = eventfd(0, EFD_NONBLOCK);
	f->call = eventfd(0, EFD_NONBLOCK);
	f->rings_fd = frame_rings_create();
	assert_int_equal(frame_rings_map(&f->net, f->rings_fd, FRAME_SIDE_NET), 0);
	f->dev = device(f);
	assert_non_null(f->dev);
	net_device_count(f->dev, &f->stats);
	f->dev->transport = &transport;
	f->dev->transport_ctx = f;
	f->dev->acked = f->dev->features & ~without;
	f->next_buffer = BUFFER_GPA;
	start_queue(f, NET_QUEUE_RX);
	start_queue(f, NET_QUEUE_TX);
	return f;
}

static int setup(void **state)
{
	*state = setup_with(0);
	return 0;
}

static int setup_plain(void **state)
{
	*state = setup_with(
		VIRTIO_BIT(VIRTIO_NET_F_MRG_RXBUF) | VIRTIO_BIT(VIRTIO_NET_F_GUEST_CSUM) |
		VIRTIO_BIT(VIRTIO_NET_F_GUEST_TSO4) | VIRTIO_BIT(VIRTIO_NET_F_GUEST_TSO6));
	return 0;
}

static int setup_no_events(void **state)
{
	*state = setup_with(VIRTIO_BIT(VIRTIO_RING_F_EVENT_IDX));
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	virtio_device_free(f->dev);
	frame_rings_unmap(&f->net);
	close(f->rings_fd);
	close(f->wake);
	close(f->call);
	ram_release(&f->ram);
	free(f);
	return 0;
}

/* How often an eventfd was signalled since. */
static uint64_t signals(int fd)
{
	uint64_t n = 0;

	return read(fd, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

static void stop_loop(struct timer *t)
{
	struct loop **l = (struct loop **)(t + 1);

	loop_stop(*l);
}

/* The device's thread for as long as it has something to do at once. */
static void run(struct fixture *f)
{
	struct {
		struct timer t;
		struct loop *loop;
	} end = {.t.fn = stop_loop, .loop = worker_loop(f->dev->worker)};

	timer_set(end.loop, &end.t, 0);
	assert_int_equal(loop_run(end.loop), 0);
}

/* --- The network's side. */

static uint8_t byte(size_t i, uint8_t first)
{
	return (uint8_t)(first + i * 7);
}

static void fill(uint8_t *frame, size_t len, uint8_t first)
{
	for (size_t i = 0; i < len; i++)
		frame[i] = i < HEADER ? 0 : byte(i, first);
}

static bool put(struct fixture *f, size_t len, uint8_t first)
{
	uint8_t *p = frame_ring_reserve(&f->net.out, len);

	if (!p)
		return false;
	fill(p, len, first);
	frame_ring_commit(&f->net.out, len);
	return true;
}

static void put_bytes(struct fixture *f, const void *frame, size_t len)
{
	uint8_t *p = frame_ring_reserve(&f->net.out, len);

	assert_non_null(p);
	memcpy(p, frame, len);
	frame_ring_commit(&f->net.out, len);
}

static void send(struct fixture *f)
{
	if (frame_ring_publish(&f->net.out))
		event_signal(f->call);
	run(f);
}

static void get(struct fixture *f, size_t len, uint8_t first)
{
	const uint8_t *p;

	assert_int_equal(frame_ring_next(&f->net.in, &p), len);
	for (size_t i = 0; i < len; i++)
		assert_int_equal(p[i], byte(i, first));
	frame_ring_done(&f->net.in);
}

static void get_none(struct fixture *f)
{
	const uint8_t *p;

	assert_int_equal(frame_ring_next(&f->net.in, &p), 0);
}

/* --- The driver's side. */

/* A frame to be sent, cut into parts of `part` bytes. */
static uint16_t offer_tx(struct fixture *f, size_t len, size_t part, uint8_t first)
{
	struct fake_part parts[QUEUE_LEN];
	unsigned int n = 0;
	uint8_t *p = ram_at(&f->ram, f->next_buffer);

	for (size_t i = 0; i < len; i++)
		p[i] = byte(i, first);
	for (size_t at = 0; at < len; at += part)
		parts[n++] = (struct fake_part){f->next_buffer + at, (uint32_t)MIN(part, len - at),
						false};
	f->next_buffer += ALIGN_UP(len, 64);
	return fq_add(&f->tx, parts, n);
}

static void take_tx(struct fixture *f, uint16_t head)
{
	uint32_t used, len;

	assert_true(fq_take_used(&f->tx, &used, &len));
	assert_int_equal(used, head);
	assert_int_equal(len, 0);
}

/* A buffer for a frame; its address. */
static uint64_t offer_rx(struct fixture *f, uint32_t len)
{
	struct fake_part part = {f->next_buffer, len, true};

	f->next_buffer += ALIGN_UP(len, 64);
	fq_add(&f->rx, &part, 1);
	return part.gpa;
}

static void take_rx(struct fixture *f, uint32_t len)
{
	uint32_t used, got;

	assert_true(fq_take_used(&f->rx, &used, &got));
	assert_int_equal(got, len);
}

static void take_no_rx(struct fixture *f)
{
	uint32_t used, len;

	assert_false(fq_take_used(&f->rx, &used, &len));
}

/* Bytes `from` to `to` of a frame that put() made are in the buffer. */
static void check_bytes(struct fixture *f, uint64_t gpa, size_t from, size_t to, uint8_t first)
{
	const uint8_t *p = ram_at(&f->ram, gpa);

	for (size_t i = MAX(from, (size_t)HEADER); i < to; i++)
		assert_int_equal(p[i - from], byte(i, first));
}

static unsigned int num_buffers(struct fixture *f, uint64_t gpa)
{
	const uint8_t *p = ram_at(&f->ram, gpa);

	return p[10] | (unsigned int)p[11] << 8;
}

/* --- Setting up. */

static void test_registers(void **state)
{
	struct fixture *f = *state;
	uint8_t c[16];

	assert_int_equal(f->dev->id, VIRTIO_ID_NET);
	assert_int_equal(f->dev->num_queues, 2);
	/* What Linux needs for segments of 64 KiB; nothing that would need a queue for commands. */
	assert_int_equal(
		f->dev->features & ~VIRTIO_RING_FEATURES,
		VIRTIO_BIT(VIRTIO_NET_F_CSUM) | VIRTIO_BIT(VIRTIO_NET_F_GUEST_CSUM) |
			VIRTIO_BIT(VIRTIO_NET_F_HOST_TSO4) | VIRTIO_BIT(VIRTIO_NET_F_HOST_TSO6) |
			VIRTIO_BIT(VIRTIO_NET_F_GUEST_TSO4) | VIRTIO_BIT(VIRTIO_NET_F_GUEST_TSO6) |
			VIRTIO_BIT(VIRTIO_NET_F_MRG_RXBUF) | VIRTIO_BIT(VIRTIO_NET_F_MTU) |
			VIRTIO_BIT(VIRTIO_NET_F_MAC) | VIRTIO_BIT(VIRTIO_NET_F_STATUS));
	virtio_device_read_config(f->dev, 0, c, sizeof(c));
	assert_memory_equal(c, "\2\3\4\5\6\7\1\0\1\0\x78\5\0\0\0\0", 16);
	/* Nothing of it is the driver's. */
	virtio_device_write_config(f->dev, 0, "\0", 1);
	virtio_device_read_config(f->dev, 0, c, 1);
	assert_int_equal(c[0], 2);
}

static void test_wrong_file(void **state)
{
	struct fixture *f = *state;
	struct net_device_config c = {.rings_fd = f->ram.fd, .mtu = 1400};
	int fd;

	c.wake_fd = dup(f->wake);
	c.call_fd = dup(f->call);
	assert_null(net_device_new(&c));
	assert_int_equal(errno, EINVAL);
	/* Both are closed. */
	fd = c.wake_fd;
	assert_true(fcntl(fd, F_GETFD) < 0);
	fd = c.call_fd;
	assert_true(fcntl(fd, F_GETFD) < 0);
}

/* --- Guest to network. */

static void test_send(void **state)
{
	struct fixture *f = *state;
	uint16_t a = offer_tx(f, 60, 60, 1), b = offer_tx(f, 1526, 100, 2);

	signals(f->wake);
	fq_set_used_event(&f->tx, 1);
	virtio_device_kick(f->dev, NET_QUEUE_TX);
	get(f, 60, 1);
	get(f, 1526, 2);
	get_none(f);
	take_tx(f, a);
	take_tx(f, b);
	/* One wake-up and one interrupt for both. */
	assert_int_equal(signals(f->wake), 1);
	assert_int_equal(f->notified[NET_QUEUE_TX], 1);
	assert_int_equal(f->stats.tx_frames, 2);
	assert_int_equal(f->stats.tx_bytes, 48 + 1514);
	/* The other side has not gone to sleep again. */
	offer_tx(f, 60, 60, 1);
	virtio_device_kick(f->dev, NET_QUEUE_TX);
	assert_int_equal(signals(f->wake), 0);
}

static void test_send_sizes(void **state)
{
	struct fixture *f = *state;
	const struct {
		size_t len;
		bool sent;
	} cases[] = {{1, false},   {12, false},       {25, false},
		     {26, true},   {FRAME_MAX, true}, {FRAME_MAX + 1, false},
		     {MIB, false}, {27, true}};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint16_t head;

		f->next_buffer = BUFFER_GPA;
		head = offer_tx(f, cases[i].len, cases[i].len, 5);
		virtio_device_kick(f->dev, NET_QUEUE_TX);
		take_tx(f, head);
		if (cases[i].sent)
			get(f, cases[i].len, 5);
		get_none(f);
	}
	assert_int_equal(f->broken, 0);
	assert_int_equal(f->stats.tx_frames, 3);
}

/* A chain that has something to be written behind what is sent: that stays as it is. */
static void test_send_with_room(void **state)
{
	struct fixture *f = *state;
	struct fake_part parts[] = {{BUFFER_GPA, 60, false}, {BUFFER_GPA + KIB, 60, true}};
	uint8_t *p = ram_at(&f->ram, BUFFER_GPA);

	for (size_t i = 0; i < 60; i++)
		p[i] = byte(i, 3);
	take_tx(f, (fq_add(&f->tx, parts, 2), virtio_device_kick(f->dev, NET_QUEUE_TX), 0));
	get(f, 60, 3);
	assert_int_equal(p[KIB], NOTHING);
	fq_add(&f->tx, parts + 1, 1);
	virtio_device_kick(f->dev, NET_QUEUE_TX);
	get_none(f);
}

static void test_ring_full(void **state)
{
	struct fixture *f = *state;
	unsigned int n = 0, got = 0;
	uint32_t head, len;
	const uint8_t *p;

	/* More than the ring takes; the rest stays in the queue. */
	for (; n < 16; n++) {
		f->next_buffer = BUFFER_GPA;
		offer_tx(f, 60000, 60000, 0);
	}
	virtio_device_kick(f->dev, NET_QUEUE_TX);
	while (fq_take_used(&f->tx, &head, &len))
		got++;
	assert_true(got >= 4 && got < n);
	assert_int_equal(f->stats.tx_frames, got);
	/* Kicks and calls for other reasons change nothing. */
	virtio_device_kick(f->dev, NET_QUEUE_TX);
	assert_false(fq_take_used(&f->tx, &head, &len));
	/* When the other side has made room, it wakes the device. */
	for (unsigned int i = 0; i < n; i++) {
		assert_int_equal(frame_ring_next(&f->net.in, &p), 60000);
		frame_ring_done(&f->net.in);
		if (frame_ring_release(&f->net.in))
			event_signal(f->call);
		run(f);
	}
	get_none(f);
	assert_int_equal(f->stats.tx_frames, n);
	while (fq_take_used(&f->tx, &head, &len))
		got++;
	assert_int_equal(got, n);
}

static void test_busy(void **state)
{
	struct fixture *f = *state;

	assert_false(f->dev->ops->busy(f->dev));
	offer_tx(f, 60, 60, 0);
	virtio_device_kick(f->dev, NET_QUEUE_TX);
	assert_true(f->dev->ops->busy(f->dev));
	virtio_device_stop_queue(f->dev, NET_QUEUE_TX);
	assert_true(f->dev->ops->busy(f->dev));
	get(f, 60, 0);
	frame_ring_release(&f->net.in);
	assert_false(f->dev->ops->busy(f->dev));
}

/* The driver adds to the queue while the device is at work: it need not kick, but may. */
static void test_kicks(void **state)
{
	struct fixture *f = *state;

	virtio_device_kick(f->dev, NET_QUEUE_TX);
	if (f->tx.cfg.event_idx && f->dev->acked & VIRTIO_BIT(VIRTIO_RING_F_EVENT_IDX))
		assert_int_equal(fq_avail_event(&f->tx), 0);
	assert_int_equal(f->tx.used[0], 0);
	offer_tx(f, 60, 60, 0);
	virtio_device_kick(f->dev, NET_QUEUE_TX);
	get(f, 60, 0);
	/* After its turn it wants to be kicked again. */
	if (f->dev->acked & VIRTIO_BIT(VIRTIO_RING_F_EVENT_IDX))
		assert_int_equal(fq_avail_event(&f->tx), 1);
	else
		assert_int_equal(f->tx.used[0], 0);
}

static void test_send_broken_driver(void **state)
{
	struct fixture *f = *state;

	fq_offer(&f->tx, QUEUE_LEN);
	virtio_device_kick(f->dev, NET_QUEUE_TX);
	assert_int_equal(f->broken, 1);
	/* The other queue lives on. */
	offer_rx(f, 2048);
	put(f, 60, 1);
	send(f);
	take_rx(f, 60);
}

/* --- Network to guest. */

static void test_receive(void **state)
{
	struct fixture *f = *state;
	uint64_t a, b;

	signals(f->wake);
	put(f, 60, 1);
	put(f, 1526, 2);
	/* The buffers come after the frames, which wait. */
	send(f);
	take_no_rx(f);
	a = offer_rx(f, 2048);
	b = offer_rx(f, 1526);
	fq_set_used_event(&f->rx, 1);
	virtio_device_kick(f->dev, NET_QUEUE_RX);
	take_rx(f, 60);
	take_rx(f, 1526);
	check_bytes(f, a, 0, 60, 1);
	check_bytes(f, b, 0, 1526, 2);
	assert_int_equal(num_buffers(f, a), 1);
	assert_int_equal(num_buffers(f, b), 1);
	assert_int_equal(*(uint8_t *)ram_at(&f->ram, a + 60), NOTHING);
	assert_int_equal(f->notified[NET_QUEUE_RX], 1);
	assert_int_equal(f->stats.rx_frames, 2);
	assert_int_equal(f->stats.rx_bytes, 48 + 1514);
	assert_true(frame_ring_drained(&f->net.out));
	/* It sleeps, and is woken again by the next frame. */
	put(f, 60, 3);
	assert_true(frame_ring_publish(&f->net.out));
}

static void test_merge(void **state)
{
	struct fixture *f = *state;
	uint64_t at[43];

	put(f, 65000, 1);
	for (unsigned int i = 0; i < ARRAY_SIZE(at) - 1; i++)
		at[i] = offer_rx(f, 1536);
	/* One too few: nothing is given back, and a kick is wanted for the next. */
	send(f);
	take_no_rx(f);
	assert_int_equal(fq_avail_event(&f->rx), ARRAY_SIZE(at) - 1);
	assert_int_equal(f->stats.rx_frames, 0);
	at[ARRAY_SIZE(at) - 1] = offer_rx(f, 4096);
	virtio_device_kick(f->dev, NET_QUEUE_RX);
	for (size_t i = 0; i < ARRAY_SIZE(at); i++) {
		size_t from = i * 1536, to = MIN(from + 1536, (size_t)65000);

		take_rx(f, (uint32_t)(to - from));
		check_bytes(f, at[i], from, to, 1);
	}
	take_no_rx(f);
	assert_int_equal(num_buffers(f, at[0]), ARRAY_SIZE(at));
	assert_int_equal(f->stats.rx_frames, 1);
}

/* The header, and in it the number of buffers, cut in every way. */
static void test_cut_header(void **state)
{
	struct fixture *f = *state;

	for (uint32_t cut = 1; cut < 40; cut++) {
		uint64_t gpa = BUFFER_GPA + cut * 256;
		struct fake_part parts[] = {
			{gpa, cut, true}, {gpa + 100, 1, true}, {gpa + 101, 47, true}};
		uint8_t *p = ram_at(&f->ram, gpa);
		uint8_t all[60];
		uint32_t head, len;

		fq_add(&f->rx, parts, 3);
		put(f, 45, 1);
		send(f);
		assert_true(fq_take_used(&f->rx, &head, &len));
		assert_int_equal(len, 45);
		memcpy(all, p, cut);
		memcpy(all + cut, p + 100, sizeof(all) - cut);
		assert_memory_equal(all, "\0\0\0\0\0\0\0\0\0\0\1\0", HEADER);
		for (size_t i = HEADER; i < 45; i++)
			assert_int_equal(all[i], byte(i, 1));
	}
}

static void test_never_fits(void **state)
{
	struct fixture *f = *state;

	/* All the buffers that there can be: the frame goes, they stay for the next. */
	put(f, 65000, 1);
	put(f, 600, 2);
	for (unsigned int i = 0; i < QUEUE_LEN; i++)
		offer_rx(f, 512);
	send(f);
	take_rx(f, 512);
	take_rx(f, 88);
	take_no_rx(f);
	assert_int_equal(f->stats.rx_frames, 1);
	assert_int_equal(f->broken, 0);
}

static void test_receive_sizes(void **state)
{
	struct fixture *f = *state;
	const size_t lengths[] = {1, 11, 12, 25, 26};

	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++)
		put(f, lengths[i], 1);
	put(f, FRAME_MAX, 2);
	offer_rx(f, 100);
	offer_rx(f, 100000);
	send(f);
	/* What is no frame does not cost a buffer. */
	take_rx(f, 26);
	take_rx(f, FRAME_MAX);
	take_no_rx(f);
}

static void test_receive_broken_driver(void **state)
{
	struct fixture *f = *state;

	/* 5.1.6.3.1: no smaller than the header. */
	offer_rx(f, 11);
	put(f, 60, 1);
	send(f);
	assert_int_equal(f->broken, 1);
	take_no_rx(f);
	offer_tx(f, 60, 60, 3);
	virtio_device_kick(f->dev, NET_QUEUE_TX);
	get(f, 60, 3);
}

/* Many frames: several turns, without anybody kicking or calling in between. */
static void test_turns(void **state)
{
	struct fixture *f = *state;
	unsigned int sent = 0, got = 0;
	uint32_t head, len;

	while (got < 1000) {
		while (sent < 1000 && sent - got < 200 && put(f, 60, (uint8_t)sent))
			sent++;
		f->next_buffer = BUFFER_GPA;
		for (unsigned int i = 0; i < QUEUE_LEN; i++)
			offer_rx(f, 64);
		send(f);
		virtio_device_kick(f->dev, NET_QUEUE_RX);
		run(f);
		for (unsigned int i = 0; i < QUEUE_LEN && fq_take_used(&f->rx, &head, &len); i++)
			got++;
	}
	assert_int_equal(f->stats.rx_frames, 1000);
}

static void test_broken_ring(void **state)
{
	struct fixture *f = *state;
	uint32_t *head = (uint32_t *)((uint8_t *)f->net.map + 256);

	offer_rx(f, 2048);
	*head = 12345;
	event_signal(f->call);
	run(f);
	take_no_rx(f);
	/* Neither the queue nor the machine is at fault; the other direction goes on. */
	assert_int_equal(f->broken, 0);
	virtio_device_kick(f->dev, NET_QUEUE_RX);
	take_no_rx(f);
	offer_tx(f, 60, 60, 3);
	virtio_device_kick(f->dev, NET_QUEUE_TX);
	get(f, 60, 3);
}

/* The driver goes and comes back: what is in the ring is for the new one. */
static void test_restart(void **state)
{
	struct fixture *f = *state;
	uint64_t gpa;

	virtio_device_stop_queue(f->dev, NET_QUEUE_RX);
	virtio_device_stop_queue(f->dev, NET_QUEUE_TX);
	put(f, 60, 1);
	send(f);
	assert_false(frame_ring_drained(&f->net.out));
	start_queue(f, NET_QUEUE_RX);
	gpa = offer_rx(f, 2048);
	virtio_device_kick(f->dev, NET_QUEUE_RX);
	take_rx(f, 60);
	check_bytes(f, gpa, 0, 60, 1);
}

/* --- A driver that accepts none of the offloads. */

static void test_one_buffer(void **state)
{
	struct fixture *f = *state;
	uint64_t gpa;

	put(f, 101, 1); /* too large for the buffer there is */
	put(f, 100, 2);
	gpa = offer_rx(f, 100);
	offer_rx(f, 100);
	send(f);
	take_rx(f, 100);
	take_no_rx(f);
	check_bytes(f, gpa, 0, 100, 2);
	assert_int_equal(num_buffers(f, gpa), 1);
}

static void test_segments(void **state)
{
	struct fixture *f = *state;
	const uint8_t types[] = {VIRTIO_NET_HDR_GSO_TCPV4, VIRTIO_NET_HDR_GSO_TCPV6,
				 VIRTIO_NET_HDR_GSO_UDP,
				 VIRTIO_NET_HDR_GSO_TCPV4 | VIRTIO_NET_HDR_GSO_ECN, 77};
	bool all = f->dev->acked & VIRTIO_BIT(VIRTIO_NET_F_GUEST_TSO4);
	uint8_t frame[60] = {};

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		frame[1] = types[i];
		put_bytes(f, frame, sizeof(frame));
	}
	for (unsigned int i = 0; i < 8; i++)
		offer_rx(f, 100);
	send(f);
	for (unsigned int i = 0; i < (all ? 3 : 0); i++)
		take_rx(f, sizeof(frame));
	take_no_rx(f);
	assert_true(frame_ring_drained(&f->net.out));
}

/* A UDP datagram to port 7, "hello", whose checksum holds only the sum of the pseudo header. */
static const uint8_t datagram[] = {
	1,    0,   0,   0,   0,  0,  34,   0,    6,  0,  0,    0,    /* header */
	2,    0,   0,   0,   1,  2,  2,    0,    0,  0,  0,    0xfe, /* Ethernet */
	8,    0,                                                     /* */
	0x45, 0,   0,   33,  0,  0,  0,    0,    64, 17, 0x62, 0xb9, /* IPv4 */
	10,   0,   2,   1,   10, 0,  2,    15,                       /* */
	0,    7,   0,   7,   0,  13, 0x18, 0x2e,                     /* UDP */
	'h',  'e', 'l', 'l', 'o'};

static void test_checksum(void **state)
{
	struct fixture *f = *state;
	const uint8_t *p;
	uint64_t gpa = offer_rx(f, 100);

	put_bytes(f, datagram, sizeof(datagram));
	send(f);
	take_rx(f, sizeof(datagram));
	p = ram_at(&f->ram, gpa);
	if (f->dev->acked & VIRTIO_BIT(VIRTIO_NET_F_GUEST_CSUM)) {
		assert_int_equal(p[0], VIRTIO_NET_HDR_F_NEEDS_CSUM);
		assert_memory_equal(p + HEADER, datagram + HEADER, sizeof(datagram) - HEADER);
		return;
	}
	/* ~(182e + 0007 + 0007 + 000d + 6865 + 6c6c + 6f00) folded */
	assert_int_equal(p[0], 0);
	assert_int_equal(p[HEADER + 40], 0xa3);
	assert_int_equal(p[HEADER + 41], 0xe4);
	/* Nothing else was changed. */
	assert_memory_equal(p + HEADER, datagram + HEADER, 40);
	assert_memory_equal(p + HEADER + 42, datagram + HEADER + 42, sizeof(datagram) - 54);
}

/* Once more after there was no buffer: the sum is not put on top of the sum. */
static void test_checksum_again(void **state)
{
	struct fixture *f = *state;
	const uint8_t *p;
	uint64_t gpa;

	put_bytes(f, datagram, sizeof(datagram));
	send(f);
	take_no_rx(f);
	gpa = offer_rx(f, 100);
	virtio_device_kick(f->dev, NET_QUEUE_RX);
	take_rx(f, sizeof(datagram));
	p = ram_at(&f->ram, gpa);
	assert_int_equal(p[HEADER + 40], 0xa3);
	assert_int_equal(p[HEADER + 41], 0xe4);
}

/* A sum that is to be put outside of the frame, or is of nothing. */
static void test_checksum_bounds(void **state)
{
	struct fixture *f = *state;
	const struct {
		uint16_t start, offset;
		bool delivered;
	} cases[] = {{34, 13, false}, {34, 65535, false}, {65535, 65535, false},
		     {46, 0, false},  {45, 0, true},      {0, 45, true}};
	uint8_t frame[sizeof(datagram)];

	assert_int_equal(sizeof(datagram), HEADER + 47);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		memcpy(frame, datagram, sizeof(frame));
		memcpy(frame + 6, &cases[i].start, 2);
		memcpy(frame + 8, &cases[i].offset, 2);
		put_bytes(f, frame, sizeof(frame));
		offer_rx(f, 100);
		send(f);
		if (cases[i].delivered)
			take_rx(f, sizeof(frame));
		take_no_rx(f);
	}
}

#define net_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
#define plain_test(f)                                       \
	{                                                   \
#f "_plain", f, setup_plain, teardown, NULL \
	}
#define no_events_test(f)                                           \
	{                                                           \
#f "_no_events", f, setup_no_events, teardown, NULL \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		net_test(test_registers),
		net_test(test_wrong_file),
		net_test(test_send),
		net_test(test_send_sizes),
		net_test(test_send_with_room),
		net_test(test_ring_full),
		no_events_test(test_ring_full),
		net_test(test_busy),
		net_test(test_kicks),
		no_events_test(test_kicks),
		net_test(test_send_broken_driver),
		net_test(test_receive),
		net_test(test_merge),
		net_test(test_cut_header),
		net_test(test_never_fits),
		net_test(test_receive_sizes),
		net_test(test_receive_broken_driver),
		net_test(test_turns),
		no_events_test(test_turns),
		net_test(test_broken_ring),
		net_test(test_restart),
		plain_test(test_one_buffer),
		net_test(test_segments),
		plain_test(test_segments),
		net_test(test_checksum),
		plain_test(test_checksum),
		plain_test(test_checksum_again),
		plain_test(test_checksum_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
