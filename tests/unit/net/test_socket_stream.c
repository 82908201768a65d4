/* SPDX-License-Identifier: Apache-2.0 */
/* A kernel socket as a stream: what is told, when, and what is not touched afterwards. */
#include "turns.h"

#include "net/socket_stream.h"

static struct loop *loop;
static int listener, peer;
static uint16_t port;

/* The stream's user, who may close it at any moment. */
static struct user {
	struct stream *s;
	unsigned int opened, readable, writable, failed;
	int error;
	enum moment { NEVER, AT_OPENED, AT_READABLE, AT_WRITABLE, AT_FAILED } close_at;
} user;

static void at(enum moment m)
{
	if (user.close_at == m && user.s) {
		stream_close(user.s, false);
		user.s = NULL;
	}
}

static void on_opened(void *ctx, int error)
{
	user.opened++;
	user.error = error;
	at(AT_OPENED);
}

static void on_readable(void *ctx)
{
	assert_non_null(user.s);
	assert_int_equal(user.opened, 1);
	user.readable++;
	at(AT_READABLE);
}

static void on_writable(void *ctx)
{
	assert_non_null(user.s);
	user.writable++;
	at(AT_WRITABLE);
}

static void on_failed(void *ctx, int error)
{
	assert_non_null(user.s);
	user.failed++;
	user.error = error;
	at(AT_FAILED);
}

static const struct stream_user_ops user_ops = {on_opened, on_readable, on_writable, on_failed};

static void use(struct stream *s, enum moment close_at)
{
	assert_non_null(s);
	user = (struct user){.s = s, .close_at = close_at};
	s->user = &user_ops;
	s->ctx = &user;
}

static int setup(void **state)
{
	port = 0;
	peer = -1;
	loop = loop_new();
	listener = socket_on(SOCK_STREAM, &port);
	return loop ? listen(listener, 4) : -1;
}

static int teardown(void **state)
{
	if (user.s)
		stream_close(user.s, false);
	user.s = NULL;
	close_fd(&peer);
	close_fd(&listener);
	loop = loop_free(loop);
	return 0;
}

static void connect_stream(enum moment close_at)
{
	struct addr a = loopback();

	use(socket_stream_connect(loop, &a, port), close_at);
	assert_int_equal(user.opened, 0);
	peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	assert_true(peer >= 0);
}

static ssize_t write_text(const char *text)
{
	struct iovec iov = {(void *)text, strlen(text)};

	return stream_write(user.s, &iov, 1);
}

static ssize_t read_some(char *p, size_t n)
{
	struct iovec iov[2] = {{p, n / 2}, {p + n / 2, n - n / 2}};

	return stream_read(user.s, iov, 2);
}

static void test_talk(void **state)
{
	char p[16];

	connect_stream(NEVER);
	turn_until(loop, user.opened);
	assert_int_equal(user.error, 0);
	assert_int_equal(read_some(p, 8), -EAGAIN);
	assert_int_equal(write_text("hello"), 5);
	assert_int_equal(recv(peer, p, sizeof(p), 0), 5);
	assert_memory_equal(p, "hello", 5);
	user.readable = 0;
	assert_int_equal(send(peer, "world", 5, 0), 5);
	turn_until(loop, user.readable);
	assert_int_equal(read_some(p, 4), 4);
	assert_int_equal(read_some(p + 4, 4), 1);
	assert_memory_equal(p, "world", 5);
	stream_shut(user.s);
	assert_int_equal(recv(peer, p, sizeof(p), 0), 0);
	user.readable = 0;
	shutdown(peer, SHUT_WR);
	turn_until(loop, user.readable);
	assert_int_equal(read_some(p, 4), 0);
	assert_int_equal(user.opened, 1);
	assert_int_equal(user.failed, 0);
}

/* The server speaks first, and its words are there when the connection is noticed. */
static void test_words_with_the_connection(void **state)
{
	char p[16];

	connect_stream(NEVER);
	assert_int_equal(send(peer, "220 ready", 9, 0), 9);
	turn_until(loop, user.opened);
	turn(loop);
	assert_int_equal(user.opened, 1);
	assert_true(user.readable > 0);
	assert_int_equal(read_some(p, sizeof(p)), 9);
}

static void test_end_with_the_connection(void **state)
{
	char p[16];

	connect_stream(NEVER);
	close_fd(&peer);
	turn_until(loop, user.opened);
	turn(loop);
	assert_true(user.readable > 0);
	assert_int_equal(read_some(p, sizeof(p)), 0);
}

static void test_refused(void **state)
{
	struct addr a = loopback();
	struct stream *s;

	close_fd(&listener);
	s = socket_stream_connect(loop, &a, port);
	/* The kernel may know at once. */
	if (!s) {
		assert_int_equal(errno, ECONNREFUSED);
		return;
	}
	use(s, NEVER);
	turn_until(loop, user.opened);
	assert_int_equal(user.error, -ECONNREFUSED);
	turn(loop);
	assert_int_equal(user.opened, 1);
	assert_int_equal(user.readable + user.writable, 0);
}

static void test_accepted(void **state)
{
	int fds[2];
	char p[4];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds),
			 0);
	peer = fds[1];
	use(socket_stream_accepted(loop, fds[0]), NEVER);
	assert_int_equal(user.opened, 0);
	turn_until(loop, user.opened);
	assert_int_equal(user.error, 0);
	assert_int_equal(send(peer, "x", 1, 0), 1);
	turn_until(loop, user.readable);
	assert_int_equal(read_some(p, 4), 1);
	/* What is no socket is closed all the same. */
	assert_null(socket_stream_accepted(loop, open("/dev/null", O_RDONLY | O_CLOEXEC)));
	assert_int_equal(errno, EPERM);
}

static void test_full(void **state)
{
	static char many[64 << 10];
	ssize_t n;

	connect_stream(NEVER);
	turn_until(loop, user.opened);
	for (;;) {
		struct iovec iov = {many, sizeof(many)};

		n = stream_write(user.s, &iov, 1);
		if (n <= 0)
			break;
	}
	assert_int_equal(n, 0);
	/* Whatever was told before belongs to the beginning. */
	turn(loop);
	user.writable = 0;
	turn(loop);
	assert_int_equal(user.writable, 0);
	while (recv(peer, many, sizeof(many), 0) > 0 || !user.writable)
		turn(loop);
	assert_true(write_text("more") > 0);
}

static void test_reset(void **state)
{
	const struct linger linger = {.l_onoff = 1};
	char p[4];

	connect_stream(NEVER);
	turn_until(loop, user.opened);
	setsockopt(peer, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	close_fd(&peer);
	turn_until(loop, user.failed);
	assert_int_equal(user.error, -ECONNRESET);
	assert_true(write_text("x") < 0);

	/* The other way around. */
	stream_close(user.s, false);
	connect_stream(NEVER);
	turn_until(loop, user.opened);
	stream_close(user.s, true);
	user.s = NULL;
	assert_int_equal(recv(peer, p, sizeof(p), 0), -1);
	assert_int_equal(errno, ECONNRESET);
}

/* The user closes it when it is told of something: nothing of it is touched again. */
static void test_closed_on_the_way(void **state)
{
	const struct linger linger = {.l_onoff = 1};

	for (int m = AT_OPENED; m <= AT_FAILED; m++) {
		connect_stream((enum moment)m);
		if (m == AT_READABLE || m == AT_OPENED)
			assert_int_equal(send(peer, "x", 1, 0), 1);
		turn_until(loop, user.opened);
		if (m == AT_FAILED) {
			setsockopt(peer, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
			close_fd(&peer);
		} else if (m == AT_WRITABLE) {
			/* Both at once. */
			assert_int_equal(send(peer, "x", 1, 0), 1);
		}
		turn_until(loop, !user.s);
		turn(loop);
		assert_int_equal(user.opened, 1);
		close_fd(&peer);
	}
	/* Before it was told of anything. */
	connect_stream(NEVER);
	stream_close(user.s, false);
	user.s = NULL;
	turn(loop);
	assert_int_equal(user.opened, 0);
}

#define stream_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		stream_test(test_talk),
		stream_test(test_words_with_the_connection),
		stream_test(test_end_with_the_connection),
		stream_test(test_refused),
		stream_test(test_accepted),
		stream_test(test_full),
		stream_test(test_reset),
		stream_test(test_closed_on_the_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
