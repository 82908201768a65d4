/* SPDX-License-Identifier: Apache-2.0 */
#include "../testing.h"

#include "proto/frame.h"

#include <sys/socket.h>

static void test_header_layout(void **state)
{
	uint8_t h[FRAME_HEADER_LEN];
	static const uint8_t want[] = {0x04, 0x03, 0x02, 0x00, FRAME_STDIN, FRAME_EOF, 0, 0};

	memset(h, 0xff, sizeof(h));
	frame_header_encode(h, FRAME_STDIN, FRAME_EOF, 0x020304);
	assert_memory_equal(h, want, sizeof(want));
}

/* Each single field of a good header, with every value it can have. */
static void test_header_values(void **state)
{
	for (unsigned at = 4; at < FRAME_HEADER_LEN; at++) {
		for (unsigned v = 0; v < 256; v++) {
			uint8_t h[FRAME_HEADER_LEN] = {0, 0, 0, 0, FRAME_STDIN, 0, 0, 0};
			struct frame f;
			bool good;

			h[at] = (uint8_t)v;
			good = at == 4   ? v >= 1 && v < FRAME_TYPE_COUNT
			       : at == 5 ? v <= FRAME_EOF
					 : v == 0;
			assert_int_equal(frame_header_decode(h, &f), good ? 0 : -EBADMSG);
			if (good) {
				assert_int_equal(f.type, h[4]);
				assert_int_equal(f.flags, h[5]);
				assert_int_equal(f.len, 0);
			}
		}
	}
}

static void test_header_length(void **state)
{
	static const uint32_t good[] = {0, 1, 255, 256, 65536, FRAME_PAYLOAD_MAX};
	static const uint32_t bad[] = {FRAME_PAYLOAD_MAX + 1, 0x01000000, 0x80000000, UINT32_MAX};
	uint8_t h[FRAME_HEADER_LEN];
	struct frame f;

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		frame_header_encode(h, FRAME_DATA, 0, good[i]);
		assert_int_equal(frame_header_decode(h, &f), 0);
		assert_int_equal(f.len, good[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		frame_header_encode(h, FRAME_DATA, 0, bad[i]);
		assert_int_equal(frame_header_decode(h, &f), -EBADMSG);
	}
}

static void test_type_names(void **state)
{
	assert_string_equal(frame_type_name(FRAME_REQUEST), "request");
	assert_string_equal(frame_type_name(FRAME_DATA), "data");
	assert_string_equal(frame_type_name(0), "?");
	assert_string_equal(frame_type_name(FRAME_TYPE_COUNT), "?");
	assert_string_equal(frame_type_name(255), "?");
}

static void test_peek_byte_by_byte(void **state)
{
	static const uint8_t wire[] = "\x03\x00\x00\x00\x05\x00\x00\x00"
				      "abc"
				      "\x00\x00\x00\x00\x02\x00\x00\x00";
	struct buf b;
	struct frame f;

	buf_init(&b, 64);
	for (size_t i = 0; i < 10; i++) {
		assert_int_equal(frame_peek(&b, &f), 0);
		assert_int_equal(buf_append(&b, wire + i, 1), 0);
	}
	assert_int_equal(frame_peek(&b, &f), 0);
	assert_int_equal(buf_append(&b, wire + 10, 9), 0);
	assert_int_equal(frame_peek(&b, &f), 1);
	assert_int_equal(f.type, FRAME_STDOUT);
	assert_int_equal(f.len, 3);
	assert_memory_equal(f.payload, "abc", 3);
	frame_consume(&b, &f);
	assert_int_equal(frame_peek(&b, &f), 1);
	assert_int_equal(f.type, FRAME_RESULT);
	assert_int_equal(f.len, 0);
	frame_consume(&b, &f);
	assert_int_equal(frame_peek(&b, &f), 0);
	assert_int_equal(buf_len(&b), 0);
	buf_release(&b);
}

/* A bad header is refused at once, not when its payload would have come. */
static void test_peek_malformed(void **state)
{
	struct buf b;
	struct frame f;

	buf_init(&b, 64);
	assert_int_equal(buf_append(&b, "\xff\xff\xff\xff\x05\x00\x00\x00", 8), 0);
	assert_int_equal(frame_peek(&b, &f), -EBADMSG);
	buf_release(&b);
}

static void test_append(void **state)
{
	_cleanup_free_ uint8_t *big = xcalloc(1, FRAME_PAYLOAD_MAX + 1);
	struct buf b;
	struct frame f;

	buf_init(&b, FRAME_HEADER_LEN + FRAME_PAYLOAD_MAX);
	assert_int_equal(frame_append(&b, FRAME_DATA, 0, big, FRAME_PAYLOAD_MAX + 1), -EMSGSIZE);
	assert_int_equal(frame_append(&b, FRAME_DATA, 0, big, SIZE_MAX), -EMSGSIZE);
	assert_int_equal(buf_len(&b), 0);
	big[FRAME_PAYLOAD_MAX - 1] = 'z';
	assert_int_equal(frame_append(&b, FRAME_DATA, FRAME_EOF, big, FRAME_PAYLOAD_MAX), 0);
	assert_int_equal(frame_append(&b, FRAME_DATA, 0, NULL, 0), -ENOBUFS);
	assert_int_equal(frame_peek(&b, &f), 1);
	assert_int_equal(f.len, FRAME_PAYLOAD_MAX);
	assert_int_equal(f.flags, FRAME_EOF);
	assert_int_equal(f.payload[f.len - 1], 'z');
	frame_consume(&b, &f);
	assert_int_equal(frame_append(&b, FRAME_STDIN, FRAME_EOF, NULL, 0), 0);
	assert_int_equal(buf_len(&b), FRAME_HEADER_LEN);
	buf_release(&b);
}

/* --- over a socket ------------------------------------------------------------------------- */

static void test_write_and_read(void **state)
{
	struct frame f;
	struct buf b;
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	buf_init(&b, FRAME_HEADER_LEN + 10);
	assert_int_equal(frame_write(fds[0], FRAME_STDOUT, 0, "hello", 5), 0);
	assert_int_equal(frame_write(fds[0], FRAME_STDIN, FRAME_EOF, NULL, 0), 0);
	assert_int_equal(frame_write(fds[0], FRAME_DATA, 0, "0123456789", 10), 0);
	assert_int_equal(frame_write(fds[0], FRAME_DATA, 0, "0123456789+", 11), 0);
	assert_int_equal(frame_read(fds[1], &b, &f), 1);
	assert_int_equal(f.type, FRAME_STDOUT);
	assert_memory_equal(f.payload, "hello", 5);
	assert_int_equal(frame_read(fds[1], &b, &f), 1);
	assert_int_equal(f.flags, FRAME_EOF);
	assert_int_equal(f.len, 0);
	assert_int_equal(frame_read(fds[1], &b, &f), 1);
	assert_int_equal(f.len, 10);
	/* Longer than what the reader has room for. */
	assert_int_equal(frame_read(fds[1], &b, &f), -EMSGSIZE);
	buf_release(&b);
	close(fds[0]);
	close(fds[1]);
}

/* Sends `n` bytes and closes; then reads frames until something else than a frame comes. */
static int read_all(const char *bytes, size_t n, int *ret_frames)
{
	struct frame f;
	struct buf b;
	int fds[2], r;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	assert_int_equal(write_full(fds[0], bytes, n), 0);
	close(fds[0]);
	buf_init(&b, FRAME_HEADER_LEN + FRAME_PAYLOAD_MAX);
	*ret_frames = 0;
	while ((r = frame_read(fds[1], &b, &f)) > 0)
		++*ret_frames;
	buf_release(&b);
	close(fds[1]);
	return r;
}

static void test_read_ends(void **state)
{
	static const char two[] = "\x01\x00\x00\x00\x05\x00\x00\x00x"
				  "\x02\x00\x00\x00\x05\x00\x00\x00yz";
	int frames;

	assert_int_equal(read_all(two, 0, &frames), 0);
	assert_int_equal(read_all(two, 9, &frames), 0);
	assert_int_equal(frames, 1);
	assert_int_equal(read_all(two, 19, &frames), 0);
	assert_int_equal(frames, 2);
	/* The end is only fine between frames. */
	for (size_t n = 1; n < 9; n++)
		assert_int_equal(read_all(two, n, &frames), -EBADMSG);
	for (size_t n = 10; n < 19; n++) {
		assert_int_equal(read_all(two, n, &frames), -EBADMSG);
		assert_int_equal(frames, 1);
	}
	assert_int_equal(read_all("\0\0\0\0\0\0\0\0", 8, &frames), -EBADMSG);
}

/* Both sides do with less than they asked for: the largest frame is more than a socket holds. */
static void test_large_frames_in_short_pieces(void **state)
{
	_cleanup_free_ uint8_t *data = xcalloc(1, FRAME_PAYLOAD_MAX);
	const int small = 4096;
	struct frame f;
	struct buf b;
	int fds[2];
	pid_t pid;

	for (size_t i = 0; i < FRAME_PAYLOAD_MAX; i++)
		data[i] = (uint8_t)(i * 31 >> 3);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	pid = fork();
	if (pid == 0) {
		int r = 0;

		close(fds[1]);
		for (size_t n = FRAME_PAYLOAD_MAX; n && r == 0; n /= 3)
			r = frame_write(fds[0], FRAME_DATA, 0, data, n);
		_exit(r != 0);
	}
	close(fds[0]);
	buf_init(&b, FRAME_HEADER_LEN + FRAME_PAYLOAD_MAX);
	for (size_t n = FRAME_PAYLOAD_MAX; n; n /= 3) {
		assert_int_equal(frame_read(fds[1], &b, &f), 1);
		assert_int_equal(f.len, n);
		assert_memory_equal(f.payload, data, n);
	}
	assert_int_equal(frame_read(fds[1], &b, &f), 0);
	buf_release(&b);
	close(fds[1]);
	assert_int_equal(child_status(pid), 0);
}

static void test_write_errors(void **state)
{
	char c = 0;

	assert_int_equal(frame_write(-1, FRAME_DATA, 0, &c, 1), -EBADF);
	assert_int_equal(frame_write(-1, FRAME_DATA, 0, &c, FRAME_PAYLOAD_MAX + 1), -EMSGSIZE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_header_layout),
		cmocka_unit_test(test_header_values),
		cmocka_unit_test(test_header_length),
		cmocka_unit_test(test_type_names),
		cmocka_unit_test(test_peek_byte_by_byte),
		cmocka_unit_test(test_peek_malformed),
		cmocka_unit_test(test_append),
		cmocka_unit_test(test_write_and_read),
		cmocka_unit_test(test_read_ends),
		cmocka_unit_test(test_large_frames_in_short_pieces),
		cmocka_unit_test(test_write_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
