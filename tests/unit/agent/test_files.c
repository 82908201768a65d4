/* SPDX-License-Identifier: Apache-2.0 */
/* The operations on files as the host meets them: over a connection, served by a child. */
#include "../testing.h"

#include "agent/files.h"
#include "proto/fs_message.h"

#include <signal.h>
#include <sys/socket.h>

struct fixture {
	char *dir;
	char *path; /* "file" in it */
	int fd;     /* the host's end */
	struct buf in;
};

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));
	void *dir;

	if (temp_setup(&dir) < 0)
		return -1;
	f->dir = dir;
	f->path = xasprintf("%s/file", f->dir);
	f->fd = -1;
	buf_init(&f->in, FRAME_HEADER_LEN + FRAME_PAYLOAD_MAX);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	void *dir = f->dir;

	close_fd(&f->fd);
	buf_release(&f->in);
	free(f->path);
	free(f);
	return temp_teardown(&dir);
}

/* As the agent does: some of what follows the request may have been read with it, or NULL. */
static void start(struct fixture *f, json_t *request, struct buf *read_already)
{
	struct buf nothing;
	struct err e;
	int s[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, s), 0);
	buf_init(&nothing, FRAME_HEADER_LEN + FRAME_PAYLOAD_MAX);
	assert_int_equal(files_start(s[1], read_already ? read_already : &nothing, request, &e), 0);
	json_decref(request);
	close(s[1]);
	f->fd = s[0];
	assert_int_equal(fd_set_nonblock(f->fd, false), 0);
}

static json_t *write_request(const struct fixture *f)
{
	const struct fs_write_request r = {.path = f->path, .name = f->path};
	json_t *j = fs_write_request_to_json(&r);

	json_object_set_new(j, "name", json_string("name"));
	return j;
}

static void event(struct fixture *f, const char *json)
{
	assert_int_equal(frame_write(f->fd, FRAME_EVENT, 0, json, strlen(json)), 0);
}

static void expect_frame(struct fixture *f, uint8_t type, struct frame *ret)
{
	assert_int_equal(frame_read(f->fd, &f->in, ret), 1);
	assert_int_equal(ret->type, type);
}

/* The result's error code; ERR_NONE for ok. */
static enum err_code result(struct fixture *f)
{
	struct err e = {0};
	struct frame frame;
	json_t *j;

	expect_frame(f, FRAME_RESULT, &frame);
	j = message_parse(frame.payload, frame.len, &e);
	assert_non_null(j);
	message_check(j, &e);
	json_decref(j);
	assert_int_equal(frame_read(f->fd, &f->in, &frame), 0); /* half-closed */
	return e.code;
}

/* The child ends as soon as the client has closed. */
static void expect_end(struct fixture *f)
{
	int status;

	close_fd(&f->fd);
	assert_true(waitpid(-1, &status, 0) > 0);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void test_read(void **state)
{
	struct fixture *f = *state;
	const struct fs_read_request r = {.path = f->path};
	struct tree_entry entry;
	struct frame frame;
	struct err e;
	json_t *j;

	put_file(f->path, "text");
	start(f, fs_read_request_to_json(&r), NULL);
	expect_frame(f, FRAME_EVENT, &frame);
	j = message_parse(frame.payload, frame.len, &e);
	assert_int_equal(tree_entry_from_json(j, &entry, &e), 0);
	json_decref(j);
	assert_int_equal(entry.type, TREE_FILE);
	assert_int_equal(entry.size, 4);
	assert_true(entry.has_owner);
	assert_int_equal(entry.uid, geteuid());
	expect_frame(f, FRAME_DATA, &frame);
	assert_int_equal(frame.flags, FRAME_EOF);
	assert_memory_equal(frame.payload, "text", 4);
	assert_int_equal(result(f), ERR_NONE);
	expect_end(f);
}

static void test_read_nothing(void **state)
{
	struct fixture *f = *state;
	const struct fs_read_request r = {.path = f->path};

	start(f, fs_read_request_to_json(&r), NULL);
	assert_int_equal(result(f), ERR_NOT_FOUND);
	expect_end(f);
}

#define ENTRY "{\"event\":\"entry\",\"type\":\"file\",\"mode\":420,\"mtime_ns\":0}"

static void test_write(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *text = NULL;
	struct buf early;

	/* The entry and half of a frame came along with the request. */
	buf_init(&early, 4096);
	assert_int_equal(frame_append(&early, FRAME_EVENT, 0, ENTRY, strlen(ENTRY)), 0);
	assert_int_equal(frame_append(&early, FRAME_DATA, FRAME_EOF, "text", 4), 0);
	early.end -= 2;
	start(f, write_request(f), &early);
	buf_release(&early);
	assert_int_equal(write_full(f->fd, "xt", 2), 0);
	assert_int_equal(result(f), ERR_NONE);
	expect_end(f);
	text = get_file(f->path);
	assert_string_equal(text, "text");
}

/* A client that goes on sending gets the reason all the same. */
static void test_write_refused(void **state)
{
	static const char chunk[FRAME_DATA_CHUNK];
	struct fixture *f = *state;

	start(f, write_request(f), NULL);
	for (int i = 0; i < 100; i++)
		assert_int_equal(frame_write(f->fd, FRAME_DATA, 0, chunk, sizeof(chunk)), 0);
	assert_int_equal(result(f), ERR_CORRUPT);
	expect_end(f);
}

static void test_client_leaves(void **state)
{
	struct fixture *f = *state;

	start(f, write_request(f), NULL);
	event(f, ENTRY);
	assert_int_equal(frame_write(f->fd, FRAME_DATA, 0, "te", 2), 0);
	expect_end(f);
	assert_int_equal(rmdir(f->dir), 0); /* nothing is in it */
	assert_int_equal(mkdir(f->dir, 0700), 0);
}

/* At a shutdown every process gets SIGTERM; this one waits for a reader that does not read. */
static void test_terminated(void **state)
{
	struct fixture *f = *state;
	const struct fs_read_request r = {.path = f->path};
	_cleanup_free_ char *bytes = xcalloc(1, 8 * MIB);
	struct frame frame;
	int status;

	assert_int_equal(write_file_atomic(AT_FDCWD, f->path, bytes, 8 * MIB, 0600), 0);
	start(f, fs_read_request_to_json(&r), NULL);
	expect_frame(f, FRAME_EVENT, &frame);
	/* The tests have a process group of their own, and ignore it themselves. */
	assert_int_equal(kill(0, SIGTERM), 0);
	assert_true(waitpid(-1, &status, 0) > 0);
	assert_true(WIFEXITED(status));
}

static void test_bad_request(void **state)
{
	json_t *j = json_pack("{s:s, s:s}", "op", "fs.read", "path", "relative");
	struct err e = {0};

	assert_int_equal(files_start(-1, &(struct buf){0}, j, &e), -1);
	assert_int_equal(e.code, ERR_INVALID);
	json_decref(j);
}

#define files_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		files_test(test_read),
		files_test(test_read_nothing),
		files_test(test_write),
		files_test(test_write_refused),
		files_test(test_client_leaves),
		files_test(test_terminated),
		cmocka_unit_test(test_bad_request),
	};

	setpgid(0, 0);
	sigaction(SIGTERM, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
