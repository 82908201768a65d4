/* SPDX-License-Identifier: Apache-2.0 */
/* The test is the front-end; the device is the real entropy device on its own thread. */
#include "fake_driver.h"

#include "virtio/rng.h"
#include "virtio/vhost_user.h"
#include "virtio/vhost_user_msg.h"
#include "virtio/vsock.h"

#include <dirent.h>
#include <linux/virtio_vsock.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#define USER_ADDR 0x7f0000000000ULL
#define QUEUE_GPA RAM_GPA
#define DATA_GPA  (RAM_GPA + MIB)
#define WAIT_MS   5000

struct fixture {
	int fd;
	struct vhost_user *vu;
	struct fake_ram ram;
	struct fake_queue q;
	int kick;
	int call;
};

static void start_device(struct fixture *f, struct virtio_device *dev)
{
	int sv[2];

	assert_non_null(dev);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	f->fd = sv[0];
	f->vu = vhost_user_new(dev, sv[1]);
	assert_non_null(f->vu);
	assert_int_equal(vhost_user_start(f->vu), 0);
	f->kick = eventfd(0, EFD_CLOEXEC);
	f->call = eventfd(0, EFD_CLOEXEC);
	ram_init(&f->ram);
	fq_init(&f->q, &f->ram, QUEUE_GPA, 16);
}

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));

	*state = f;
	start_device(f, rng_new());
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	vhost_user_free(f->vu);
	close_fd(&f->fd);
	close(f->kick);
	close(f->call);
	ram_release(&f->ram);
	free(f);
	return 0;
}

static void send_raw(struct fixture *f, const void *data, size_t n, const int *fds, size_t n_fds)
{
	union {
		char data[CMSG_SPACE(sizeof(int) * 32)];
		struct cmsghdr align;
	} control = {};
	struct iovec iov = {(void *)data, n};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};

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
	assert_int_equal(sendmsg(f->fd, &m, MSG_NOSIGNAL), n);
}

static void send_msg(struct fixture *f, uint32_t request, uint32_t flags, const void *payload,
		     uint32_t size, const int *fds, size_t n_fds)
{
	struct vhost_user_header h = {request, VHOST_USER_VERSION | flags, size};
	char data[sizeof(h) + sizeof(union vhost_user_payload) + 8];

	memcpy(data, &h, sizeof(h));
	if (size)
		memcpy(data + sizeof(h), payload, size);
	send_raw(f, data, sizeof(h) + size, fds, n_fds);
}

static void send_u64(struct fixture *f, uint32_t request, uint64_t v)
{
	send_msg(f, request, 0, &v, sizeof(v), NULL, 0);
}

static void send_state(struct fixture *f, uint32_t request, uint32_t index, uint32_t num)
{
	struct vhost_user_vring_state s = {index, num};

	send_msg(f, request, 0, &s, sizeof(s), NULL, 0);
}

static void send_fd(struct fixture *f, uint32_t request, uint64_t v, int fd)
{
	send_msg(f, request, 0, &v, sizeof(v), &fd, 1);
}

static void wait_readable(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	assert_int_equal(poll(&p, 1, WAIT_MS), 1);
}

static void get_reply(struct fixture *f, uint32_t request, void *payload, uint32_t size)
{
	struct vhost_user_header h;

	wait_readable(f->fd);
	assert_int_equal(read_full(f->fd, &h, sizeof(h)), sizeof(h));
	assert_int_equal(h.request, request);
	assert_int_equal(h.flags, VHOST_USER_VERSION | VHOST_USER_FLAG_REPLY);
	assert_int_equal(h.size, size);
	assert_int_equal(read_full(f->fd, payload, size), size);
}

static uint64_t get_u64(struct fixture *f, uint32_t request)
{
	uint64_t v;

	send_msg(f, request, 0, NULL, 0, NULL, 0);
	get_reply(f, request, &v, sizeof(v));
	return v;
}

static void expect_closed(struct fixture *f)
{
	char c;

	wait_readable(f->fd);
	/* A reset when something of ours was left unread. */
	assert_true(recv(f->fd, &c, 1, 0) <= 0);
}

static void test_negotiation(void **state)
{
	struct fixture *f = *state;
	uint64_t features = get_u64(f, VHOST_USER_GET_FEATURES), v;

	assert_int_equal(features,
			 VIRTIO_RING_FEATURES | VIRTIO_BIT(VHOST_USER_F_PROTOCOL_FEATURES));
	v = get_u64(f, VHOST_USER_GET_PROTOCOL_FEATURES);
	assert_true(v & VIRTIO_BIT(VHOST_USER_PROTOCOL_F_REPLY_ACK));
	/* There is no configuration space, so it is not offered. */
	assert_false(v & VIRTIO_BIT(VHOST_USER_PROTOCOL_F_CONFIG));
	assert_int_equal(get_u64(f, VHOST_USER_GET_QUEUE_NUM), 1);
	send_u64(f, VHOST_USER_SET_PROTOCOL_FEATURES, v);
	send_msg(f, VHOST_USER_SET_FEATURES, VHOST_USER_FLAG_NEED_REPLY, &features,
		 sizeof(features), NULL, 0);
	get_reply(f, VHOST_USER_SET_FEATURES, &v, sizeof(v));
	assert_int_equal(v, 0);
	/* A feature that was never offered is refused, in words when words were agreed on. */
	features |= VIRTIO_BIT(60);
	send_msg(f, VHOST_USER_SET_FEATURES, VHOST_USER_FLAG_NEED_REPLY, &features,
		 sizeof(features), NULL, 0);
	get_reply(f, VHOST_USER_SET_FEATURES, &v, sizeof(v));
	assert_int_equal(v, 1);
}

static void send_memory(struct fixture *f)
{
	struct vhost_user_memory t = {
		.n = 1,
		.regions[0] = {RAM_GPA, RAM_SIZE, USER_ADDR, 0},
	};

	send_msg(f, VHOST_USER_SET_MEM_TABLE, 0, &t,
		 offsetof(struct vhost_user_memory, regions) + sizeof(t.regions[0]), &f->ram.fd, 1);
}

static void start_ring(struct fixture *f, uint32_t base)
{
	struct vhost_user_vring_addr a = {
		.desc = f->q.cfg.desc - RAM_GPA + USER_ADDR,
		.avail = f->q.cfg.avail - RAM_GPA + USER_ADDR,
		.used = f->q.cfg.used - RAM_GPA + USER_ADDR,
	};

	send_state(f, VHOST_USER_SET_VRING_NUM, 0, f->q.cfg.size);
	send_state(f, VHOST_USER_SET_VRING_BASE, 0, base);
	send_msg(f, VHOST_USER_SET_VRING_ADDR, 0, &a, sizeof(a), NULL, 0);
	send_fd(f, VHOST_USER_SET_VRING_KICK, 0, f->kick);
	send_fd(f, VHOST_USER_SET_VRING_CALL, 0, f->call);
	send_state(f, VHOST_USER_SET_VRING_ENABLE, 0, 1);
}

static void expect_random(struct fixture *f)
{
	static const uint8_t zero[256];
	const struct fake_part part = {DATA_GPA, 256, true};
	uint8_t *data = ram_at(&f->ram, DATA_GPA);
	uint32_t head, len;
	uint64_t n = 1;

	memset(data, 0, 256);
	fq_add(&f->q, &part, 1);
	fq_set_used_event(&f->q, f->q.used_seen);
	assert_int_equal(write(f->kick, &n, sizeof(n)), sizeof(n));
	while (!fq_take_used(&f->q, &head, &len)) {
		wait_readable(f->call);
		assert_int_equal(read(f->call, &n, sizeof(n)), sizeof(n));
	}
	assert_int_equal(len, 256);
	assert_memory_not_equal(data, zero, 256);
}

static void bring_up(struct fixture *f)
{
	send_msg(f, VHOST_USER_SET_OWNER, 0, NULL, 0, NULL, 0);
	send_u64(f, VHOST_USER_SET_FEATURES,
		 VIRTIO_RING_FEATURES | VIRTIO_BIT(VHOST_USER_F_PROTOCOL_FEATURES));
	send_memory(f);
	start_ring(f, 0);
}

static void test_queue(void **state)
{
	struct fixture *f = *state;
	struct vhost_user_vring_state s;

	bring_up(f);
	for (int i = 0; i < 40; i++)
		expect_random(f);
	/* A new table, while the ring runs. */
	send_memory(f);
	expect_random(f);
	send_state(f, VHOST_USER_GET_VRING_BASE, 0, 0);
	get_reply(f, VHOST_USER_GET_VRING_BASE, &s, sizeof(s));
	assert_int_equal(s.num, 41);
	assert_int_equal(vhost_user_running_queues(f->vu), 0);
	start_ring(f, s.num);
	expect_random(f);
	assert_int_equal(vhost_user_running_queues(f->vu), 1);
	assert_false(vhost_user_idle(f->vu));
	close_fd(&f->fd);
	while (!vhost_user_idle(f->vu))
		usleep(1000);
	assert_int_equal(vhost_user_running_queues(f->vu), 0);
}

static void test_broken_ring(void **state)
{
	struct fixture *f = *state;
	int err = eventfd(0, EFD_CLOEXEC);
	uint64_t n = 1;

	bring_up(f);
	send_fd(f, VHOST_USER_SET_VRING_ERR, 0, err);
	get_u64(f, VHOST_USER_GET_FEATURES);
	fq_offer(&f->q, 99);
	assert_int_equal(write(f->kick, &n, sizeof(n)), sizeof(n));
	wait_readable(err);
	assert_true(vhost_user_broken(f->vu));
	/* The connection goes on, for a reset of the device. */
	get_u64(f, VHOST_USER_GET_FEATURES);
	close(err);
}

static void test_config(void **state)
{
	struct vsock_config vc = {.guest_cid = 77, .listen_fd = -1, .offers_fd = -1};
	struct fixture f = {};
	struct vhost_user_config c = {.offset = 0, .size = 8}, got;

	start_device(&f, vsock_new(&vc));
	send_msg(&f, VHOST_USER_GET_CONFIG, 0, &c, 20, NULL, 0);
	get_reply(&f, VHOST_USER_GET_CONFIG, &got, 20);
	assert_int_equal(got.data[0], 77);
	/* Reads past what the device has give zeroes, writes are ignored. */
	c.offset = 4;
	c.size = 16;
	send_msg(&f, VHOST_USER_SET_CONFIG, 0, &c, 28, NULL, 0);
	send_msg(&f, VHOST_USER_GET_CONFIG, 0, &c, 28, NULL, 0);
	get_reply(&f, VHOST_USER_GET_CONFIG, &got, 28);
	assert_int_equal(got.data[4], 0);
	/* More than fits. */
	c.offset = 250;
	send_msg(&f, VHOST_USER_GET_CONFIG, 0, &c, 28, NULL, 0);
	expect_closed(&f);
	vhost_user_free(f.vu);
	close(f.fd);
	close(f.kick);
	close(f.call);
	ram_release(&f.ram);
}

/* A message that ends the connection. */
struct bad {
	uint32_t request;
	uint32_t size;
	uint64_t payload[2];
	unsigned int n_fds;
};

static void test_bad_messages(void **state)
{
	static const struct bad bad[] = {
		{0, 0, {0}, 0},
		{99, 0, {0}, 0},
		{UINT32_MAX, 0, {0}, 0},
		{VHOST_USER_GET_FEATURES, 8, {0}, 0},
		{VHOST_USER_GET_FEATURES, 0, {0}, 1},
		{VHOST_USER_SET_FEATURES, 4, {0}, 0},
		{VHOST_USER_SET_FEATURES, UINT32_MAX, {0}, 0},
		{VHOST_USER_SET_FEATURES, sizeof(union vhost_user_payload) + 1, {0}, 0},
		{VHOST_USER_SET_MEM_TABLE, 8, {1}, 1}, /* a region is missing */
		{VHOST_USER_SET_MEM_TABLE, 8, {1}, 0}, /* so is its descriptor */
		{VHOST_USER_SET_MEM_TABLE, 8, {9}, 0}, /* too many */
		{VHOST_USER_SET_MEM_TABLE, 8, {0}, 1}, /* one descriptor too many */
		{VHOST_USER_SET_MEM_TABLE, 4, {0}, 0},
		{VHOST_USER_SET_VRING_NUM, 8, {1}, 0}, /* queue 1 of 1 */
		{VHOST_USER_SET_VRING_NUM, 8, {0x80000000ULL << 32}, 0},
		{VHOST_USER_SET_VRING_BASE, 8, {0x10000ULL << 32}, 0},
		{VHOST_USER_SET_VRING_BASE, 8, {UINT32_MAX}, 0},
		{VHOST_USER_GET_VRING_BASE, 8, {8}, 0},
		{VHOST_USER_SET_VRING_ENABLE, 8, {2ULL << 32}, 0},
		{VHOST_USER_SET_VRING_KICK, 8, {0}, 0},     /* no descriptor */
		{VHOST_USER_SET_VRING_KICK, 8, {0x100}, 1}, /* one, but said to be none */
		{VHOST_USER_SET_VRING_KICK, 8, {0}, 2},
		{VHOST_USER_SET_VRING_CALL, 8, {1}, 1},
		{VHOST_USER_SET_VRING_CALL, 8, {0x10000}, 1},
		{VHOST_USER_SET_VRING_ERR, 8, {0xff}, 1},
		{VHOST_USER_SET_VRING_ADDR, 16, {0}, 0},
		{VHOST_USER_GET_CONFIG, 8, {0}, 0},
		{VHOST_USER_GET_CONFIG, 12, {UINT64_MAX, 0}, 0},
		{VHOST_USER_SET_CONFIG, 12, {0xffffffffULL << 32, 0}, 0},
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		void *own = NULL;
		struct fixture *f;
		struct vhost_user_header h = {bad[i].request, VHOST_USER_VERSION, bad[i].size};
		char data[sizeof(h) + 16];
		int fds[2] = {STDIN_FILENO, STDIN_FILENO};

		setup(&own);
		f = own;
		memcpy(data, &h, sizeof(h));
		memcpy(data + sizeof(h), bad[i].payload, 16);
		send_raw(f, data, sizeof(h) + MIN(bad[i].size, 16u), fds, bad[i].n_fds);
		expect_closed(f);
		teardown(&own);
	}
}

static void test_bad_version(void **state)
{
	struct vhost_user_header h = {VHOST_USER_GET_FEATURES, 2, 0};

	send_raw(*state, &h, sizeof(h), NULL, 0);
	expect_closed(*state);
}

/* Addresses that are not even in the table are the front-end's fault ... */
static void test_bad_ring_address(void **state)
{
	struct fixture *f = *state;

	send_memory(f);
	f->q.cfg.used = RAM_GPA + RAM_SIZE;
	start_ring(f, 0);
	expect_closed(f);
}

/* ... others that make no ring are the driver's, which can reset the device and do better. */
static void test_bad_ring(void **state)
{
	struct fixture *f = *state;
	const struct virtq_config good = f->q.cfg;
	const struct virtq_config bad[] = {
		{.size = 3, .desc = good.desc, .avail = good.avail, .used = good.used},
		{.size = 0, .desc = good.desc, .avail = good.avail, .used = good.used},
		{.size = 16, .desc = good.desc + 8, .avail = good.avail, .used = good.used},
		{.size = 16, .desc = good.desc, .avail = good.avail + 1, .used = good.used},
		{.size = 16,
		 .desc = good.desc,
		 .avail = good.avail,
		 .used = RAM_GPA + RAM_SIZE - 64},
	};

	bring_up(f);
	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		int err = eventfd(0, EFD_CLOEXEC);
		struct vhost_user_vring_state s;

		send_state(f, VHOST_USER_GET_VRING_BASE, 0, 0);
		get_reply(f, VHOST_USER_GET_VRING_BASE, &s, sizeof(s));
		send_fd(f, VHOST_USER_SET_VRING_ERR, 0, err);
		f->q.cfg = bad[i];
		start_ring(f, 0);
		/* Once or twice: each message that makes the ring complete tries to start it. */
		wait_readable(err);
		assert_int_equal(vhost_user_running_queues(f->vu), 0);
		close(err);
	}
	send_state(f, VHOST_USER_GET_VRING_BASE, 0, 0);
	fq_init(&f->q, &f->ram, QUEUE_GPA, 16);
	start_ring(f, 0);
	get_reply(f, VHOST_USER_GET_VRING_BASE, &(struct vhost_user_vring_state){},
		  sizeof(struct vhost_user_vring_state));
	expect_random(f);
}

/* A kick descriptor that will never say anything again. */
static void test_dead_kick(void **state)
{
	struct fixture *f = *state;
	int err = eventfd(0, EFD_CLOEXEC), pipes[2];

	assert_int_equal(pipe(pipes), 0);
	close(f->kick);
	f->kick = pipes[0];
	send_fd(f, VHOST_USER_SET_VRING_ERR, 0, err);
	bring_up(f);
	get_u64(f, VHOST_USER_GET_FEATURES);
	assert_false(vhost_user_broken(f->vu));
	close(pipes[1]);
	wait_readable(err);
	assert_true(vhost_user_broken(f->vu));
	close(err);
}

#define RX_GPA  RAM_GPA
#define TX_GPA  (RAM_GPA + 64 * KIB)
#define RX_BUF  (RAM_GPA + MIB)
#define TX_BUF  (RAM_GPA + 2 * MIB)
#define HDR     sizeof(struct virtio_vsock_hdr)
#define RX_BUFS 16

/* The guest's end of a connection, over two rings that vhost-user started. */
struct guest {
	struct fixture f;
	struct fake_queue rx;
	struct fake_queue tx;
	struct virtio_vsock_hdr h; /* the packet received last */
};

static void start_ring_of(struct fixture *f, unsigned int i, const struct fake_queue *q, int kick)
{
	struct vhost_user_vring_addr a = {
		.index = i,
		.desc = q->cfg.desc - RAM_GPA + USER_ADDR,
		.avail = q->cfg.avail - RAM_GPA + USER_ADDR,
		.used = q->cfg.used - RAM_GPA + USER_ADDR,
	};

	send_state(f, VHOST_USER_SET_VRING_NUM, i, q->cfg.size);
	send_msg(f, VHOST_USER_SET_VRING_ADDR, 0, &a, sizeof(a), NULL, 0);
	send_fd(f, VHOST_USER_SET_VRING_CALL, i, f->call);
	send_fd(f, VHOST_USER_SET_VRING_KICK, i, kick);
	send_state(f, VHOST_USER_SET_VRING_ENABLE, i, 1);
}

static void guest_put(struct guest *g, uint16_t op, const char *data)
{
	uint32_t n = (uint32_t)strlen(data);
	const struct fake_part part = {TX_BUF, (uint32_t)HDR + n, false};
	struct virtio_vsock_hdr h = {
		.src_cid = 3,
		.dst_cid = 2,
		.src_port = g->h.dst_port,
		.dst_port = g->h.src_port,
		.len = n,
		.type = VIRTIO_VSOCK_TYPE_STREAM,
		.op = op,
		.buf_alloc = 65536,
	};

	memcpy(ram_at(&g->f.ram, TX_BUF), &h, HDR);
	memcpy(ram_at(&g->f.ram, TX_BUF + HDR), data, n);
	fq_add(&g->tx, &part, 1);
}

static void guest_get(struct guest *g)
{
	uint32_t head, len;
	uint64_t n;

	for (;;) {
		fq_set_used_event(&g->rx, g->rx.used_seen);
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		if (fq_take_used(&g->rx, &head, &len))
			break;
		wait_readable(g->f.call);
		assert_int_equal(read(g->f.call, &n, sizeof(n)), sizeof(n));
	}
	memcpy(&g->h, ram_at(&g->f.ram, RX_BUF + head * 4096ULL), HDR);
}

/*
 * What the guest had put into one queue is delivered although another queue is stopped first, as
 * when the guest reboots right after a program's last output.
 */
static void test_last_words(void **state)
{
	struct vsock_config vc = {.guest_cid = 3, .offers_fd = -1};
	int dir = open(*state, O_RDONLY | O_DIRECTORY | O_CLOEXEC), client;
	int idle_kick = eventfd(0, EFD_CLOEXEC);
	struct vhost_user_vring_state s;
	struct guest g = {};
	uint64_t one = 1;
	char got[32] = {};

	vc.listen_fd = unix_listen_at(dir, "v", 1);
	start_device(&g.f, vsock_new(&vc));
	fq_init(&g.rx, &g.f.ram, RX_GPA, RX_BUFS);
	fq_init(&g.tx, &g.f.ram, TX_GPA, 16);
	for (uint64_t i = 0; i < RX_BUFS; i++)
		fq_add(&g.rx, &(struct fake_part){RX_BUF + i * 4096, 4096, true}, 1);
	send_u64(&g.f, VHOST_USER_SET_FEATURES,
		 VIRTIO_RING_FEATURES | VIRTIO_BIT(VHOST_USER_F_PROTOCOL_FEATURES));
	send_memory(&g.f);
	start_ring_of(&g.f, 0, &g.rx, idle_kick);
	start_ring_of(&g.f, 1, &g.tx, g.f.kick);

	client = unix_connect_at(dir, "v");
	assert_true(client >= 0);
	assert_int_equal(write_full(client, "CONNECT 52\n", 11), 0);
	guest_get(&g);
	assert_int_equal(g.h.op, VIRTIO_VSOCK_OP_REQUEST);
	guest_put(&g, VIRTIO_VSOCK_OP_RESPONSE, "");
	assert_int_equal(write(g.f.kick, &one, sizeof(one)), sizeof(one));
	wait_readable(client);
	assert_true(read(client, got, sizeof(got)) > 0);
	assert_true(str_starts_with(got, "OK "));

	guest_put(&g, VIRTIO_VSOCK_OP_RW, "bye");
	for (uint32_t i = 0; i < 2; i++) {
		send_state(&g.f, VHOST_USER_GET_VRING_BASE, i, 0);
		get_reply(&g.f, VHOST_USER_GET_VRING_BASE, &s, sizeof(s));
	}
	wait_readable(client);
	assert_int_equal(read(client, got, sizeof(got)), 3);
	assert_memory_equal(got, "bye", 3);
	wait_readable(client);
	assert_int_equal(read(client, got, sizeof(got)), 0);

	close(client);
	close(dir);
	vhost_user_free(g.f.vu);
	close(g.f.fd);
	close(g.f.kick);
	close(g.f.call);
	close(idle_kick);
	ram_release(&g.f.ram);
}

static unsigned int count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned int n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* However many descriptors come with whatever message, none of them stays. */
static void test_no_leak(void **state)
{
	unsigned int before = count_fds();

	for (unsigned int n = 1; n <= 20; n++) {
		uint64_t v = 0;
		void *own = NULL;
		struct fixture *f;
		int fds[20] = {};

		setup(&own);
		f = own;
		send_fd(f, VHOST_USER_SET_VRING_CALL, 0, f->call);
		send_fd(f, VHOST_USER_SET_VRING_CALL, 0, f->call);
		send_fd(f, VHOST_USER_SET_VRING_KICK, 0, f->kick);
		send_msg(f, n % 2 ? VHOST_USER_SET_VRING_ERR : VHOST_USER_SET_FEATURES, 0, &v,
			 sizeof(v), fds, n);
		if (n > 1)
			expect_closed(f);
		teardown(&own);
	}
	assert_int_equal(count_fds(), before);
}

/* A message may come in any number of pieces. */
static void test_pieces(void **state)
{
	struct fixture *f = *state;
	struct vhost_user_header h = {VHOST_USER_SET_FEATURES, VHOST_USER_VERSION, 8};
	char data[sizeof(h) + 8] = {};

	memcpy(data, &h, sizeof(h));
	for (size_t i = 0; i < sizeof(data); i++) {
		send_raw(f, data + i, 1, NULL, 0);
		usleep(200);
	}
	get_u64(f, VHOST_USER_GET_FEATURES);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_negotiation),
		CASE(test_queue),
		CASE(test_broken_ring),
		cmocka_unit_test(test_config),
		cmocka_unit_test(test_bad_messages),
		CASE(test_bad_version),
		CASE(test_bad_ring_address),
		CASE(test_bad_ring),
		CASE(test_dead_kick),
		temp_test(test_last_words),
		cmocka_unit_test(test_no_leak),
		CASE(test_pieces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
