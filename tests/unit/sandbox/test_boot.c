/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent's call home. The rest of the monitor is stubs; msb-vmm and the agent are the other
 * ends of sockets, and all that they send is there before the loop runs.
 */
#include "../testing.h"
#include "rounds.h"

#include "sandbox/monitor_boot.c"

#include <poll.h>

#define HELLO "{\"op\":\"hello\",\"protocol\":1}"

static struct {
	unsigned ready;
	unsigned failed;
	char why[128];
} seen;

void monitor_ready(struct monitor *m)
{
	seen.ready++;
}

void monitor_boot_failed(struct monitor *m, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(seen.why, sizeof(seen.why), fmt, ap);
	va_end(ap);
	seen.failed++;
}

struct fixture {
	struct monitor m;
	int offers; /* msb-vmm's end */
};

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));
	struct err e;

	memset(&seen, 0, sizeof(seen));
	*state = f;
	f->m.boot.fd = -1;
	f->m.loop = loop_new();
	f->m.spec.boot.hostname = xstrdup("box");
	f->offers = boot_await_call(&f->m, &e);
	return f->offers < 0 ? -1 : 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	boot_release(&f->m);
	boot_config_release(&f->m.spec.boot);
	close_fd(&f->offers);
	loop_free(f->m.loop);
	free(f);
	return 0;
}

static void run(struct fixture *f)
{
	run_rounds(f->m.loop, 12);
}

/* Sends a message of `len` bytes that begins with `port`, with the descriptors, which it closes. */
static void send_offer(struct fixture *f, uint32_t port, size_t len, const int *fds, size_t n)
{
	uint32_t data[4] = {port};
	struct iovec iov = {data, len};
	union {
		char data[CMSG_SPACE(4 * sizeof(int))];
		struct cmsghdr align;
	} control = {};
	struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};

	if (n) {
		mh.msg_control = control.data;
		mh.msg_controllen = CMSG_SPACE(n * sizeof(int));
		CMSG_FIRSTHDR(&mh)->cmsg_level = SOL_SOCKET;
		CMSG_FIRSTHDR(&mh)->cmsg_type = SCM_RIGHTS;
		CMSG_FIRSTHDR(&mh)->cmsg_len = CMSG_LEN(n * sizeof(int));
		memcpy(CMSG_DATA(CMSG_FIRSTHDR(&mh)), fds, n * sizeof(int));
	}
	assert_int_equal(sendmsg(f->offers, &mh, MSG_NOSIGNAL), len);
	for (size_t i = 0; i < n; i++)
		close(fds[i]);
}

/* A connection of the guest, offered; the other end of it. */
static int offer(struct fixture *f, uint32_t port)
{
	int sv[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	send_offer(f, port, sizeof(port), &sv[0], 1);
	return sv[1];
}

static void assert_closed(int fd)
{
	char c;

	assert_int_equal(recv(fd, &c, 1, MSG_DONTWAIT), 0);
	close(fd);
}

static int count_fds(void)
{
	int n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void say(int fd, uint8_t type, const char *json)
{
	assert_int_equal(frame_write(fd, type, 0, json, strlen(json)), 0);
}

static void test_call(void **state)
{
	struct fixture *f = *state;
	int fd = offer(f, 1024), late;
	struct frame frame;
	struct buf b;

	say(fd, FRAME_REQUEST, HELLO);
	run(f);
	assert_int_equal(fcntl(f->m.boot.fd, F_GETFD), FD_CLOEXEC);
	buf_init(&b, MIB);
	assert_int_equal(frame_read(fd, &b, &frame), 1);
	assert_int_equal(frame.type, FRAME_EVENT);
	assert_non_null(memmem(frame.payload, frame.len, "\"box\"", 5));
	buf_release(&b);
	say(fd, FRAME_RESULT, "{\"ok\":true,\"timing\":{\"setup_ns\":7}}");
	run(f);
	assert_int_equal(seen.ready, 1);
	assert_int_equal(seen.failed, 0);
	assert_int_equal(f->m.times.agent_setup_ns, 7);
	assert_closed(fd);
	/* Only once. */
	late = offer(f, 1024);
	run(f);
	assert_closed(late);
	assert_int_equal(seen.ready, 1);
}

/* More than a socket holds goes out as the agent takes it. */
static void test_large_configuration(void **state)
{
	struct fixture *f = *state;
	struct pollfd p = {.events = POLLIN};
	char *value = xcalloc(1, 60001), got[4096];
	size_t total = 0;

	memset(value, 'x', 60000);
	memcpy(value, "V=", 2);
	for (int i = 0; i < 10; i++)
		strv_add(&f->m.spec.boot.env, value);
	free(value);
	p.fd = offer(f, 1024);
	say(p.fd, FRAME_REQUEST, HELLO);
	do {
		run(f);
		while (poll(&p, 1, 0) == 1) {
			ssize_t n = read(p.fd, got, sizeof(got));

			assert_true(n > 0);
			total += (size_t)n;
		}
	} while (buf_len(&f->m.boot.out));
	assert_true(total > 600000);
	assert_int_equal(seen.failed, 0);
	close(p.fd);
}

/* Closed at once, and a later call is still taken. */
static void test_refused_offers(void **state)
{
	struct fixture *f = *state;
	int other = offer(f, 1025), before, sv[4], nul = open("/dev/null", O_RDWR | O_CLOEXEC);

	run(f);
	assert_closed(other);
	before = count_fds();
	/* No descriptor, too short, too long, two descriptors. */
	send_offer(f, 1024, 4, NULL, 0);
	for (size_t len = 1; len <= 16; len += len == 3 ? 2 : 1) {
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
		send_offer(f, 1024, len, &sv[0], 1);
		run(f);
		assert_closed(sv[1]);
	}
	for (size_t n = 2; n <= 4; n++) {
		for (size_t i = 0; i < n; i++)
			sv[i] = dup(nul);
		send_offer(f, 1024, 4, sv, n);
		run(f);
	}
	assert_int_equal(count_fds(), before);
	assert_false(f->m.boot.called);
	close(nul);
	other = offer(f, 1024);
	run(f);
	assert_true(f->m.boot.called);
	assert_int_equal(seen.failed, 0);
	close(other);
}

/* What cannot be a connection ends the boot; it must not make us wait. */
static void test_odd_descriptors(void **state)
{
	/* Files cannot be watched; a pipe can, and has something to read. */
	int pipes[2], files[3];

	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	assert_int_equal(write_full(pipes[1], "x", 1), 0);
	files[0] = pipes[0];
	files[1] = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	files[2] = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (unsigned i = 0; i < ARRAY_SIZE(files); i++) {
		struct fixture *f = *state;

		send_offer(f, 1024, 4, &files[i], 1);
		run(f);
		assert_int_equal(seen.failed, 1);
		assert_int_equal(f->m.boot.fd, -1);
		teardown(state);
		setup(state);
	}
	close(pipes[1]);
}

static void test_bad_calls(void **state)
{
	static const char *const hellos[] = {"{\"op\":\"hello\",\"protocol\":2}",
					     "{\"op\":\"hi\",\"protocol\":1}", "{}", "["};

	for (unsigned i = 0; i < ARRAY_SIZE(hellos); i++) {
		struct fixture *f = *state;
		int fd = offer(f, 1024);

		say(fd, FRAME_REQUEST, hellos[i]);
		run(f);
		assert_int_equal(seen.failed, 1);
		assert_closed(fd);
		teardown(state);
		setup(state);
	}
}

static void test_end_of_offers(void **state)
{
	struct fixture *f = *state;

	close_fd(&f->offers);
	run(f);
	assert_int_equal(f->m.boot.offers_fd, -1);
	assert_int_equal(seen.failed, 0);
}

#define boot_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		boot_test(test_call),           boot_test(test_large_configuration),
		boot_test(test_refused_offers), boot_test(test_odd_descriptors),
		boot_test(test_bad_calls),      boot_test(test_end_of_offers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
