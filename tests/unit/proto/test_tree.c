/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Trees of files: what is sent from one directory and received in another is the same, and a stream
 * that somebody made up writes nothing where it should not.
 */
#include "../testing.h"

#include "proto/tree_receive.h"
#include "proto/tree_send.h"

#include <dirent.h>
#include <sys/socket.h>

#define FILE_ENTRY(name, more) \
	"{\"event\":\"entry\",\"type\":\"file\",\"mode\":420,\"mtime_ns\":0" name more "}"
#define DIR_ENTRY(name) "{\"event\":\"entry\",\"type\":\"dir\",\"mode\":493,\"mtime_ns\":0" name "}"
#define LINK_ENTRY(name, target)                                                  \
	"{\"event\":\"entry\",\"type\":\"link\",\"mode\":511,\"mtime_ns\":0" name \
	",\"target\":\"" target "\"}"
#define NAME(n) ",\"name\":\"" n "\""
#define TOP_DIR DIR_ENTRY("")
#define LEAVE   "{\"event\":\"leave\"}"

/* In a temporary directory, with an empty one `to` in it. */
struct fixture {
	char *dir;
	char *to;
	struct tree_in in;
	struct err e;
	size_t skipped;
};

static size_t skipped; /* of the test that runs */

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));
	void *dir;

	if (temp_setup(&dir) < 0)
		return -1;
	f->dir = dir;
	f->to = xasprintf("%s/to", f->dir);
	*state = f;
	skipped = 0;
	return mkdir(f->to, 0755);
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	void *dir = f->dir;

	free(f->to);
	free(f);
	return temp_teardown(&dir);
}

static char *path(const struct fixture *f, const char *name)
{
	return xasprintf("%s/%s", f->dir, name);
}

static bool there(const struct fixture *f, const char *name)
{
	_cleanup_free_ char *p = path(f, name);

	return path_exists(p);
}

static void expect_text(const struct fixture *f, const char *name, const char *text)
{
	_cleanup_free_ char *p = path(f, name), *got = get_file(p);

	assert_string_equal(got, text);
}

static size_t entries(const char *dir)
{
	DIR *d = opendir(dir);
	size_t n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n - 2;
}

/* --- made-up streams ----------------------------------------------------------------------- */

static void begin(struct fixture *f, const char *to, const char *name)
{
	const struct tree_place place = {.path = to, .name = name};

	tree_in_init(&f->in, &place);
}

static int event(struct fixture *f, const char *json)
{
	const struct frame frame = {.type = FRAME_EVENT,
				    .len = (uint32_t)strlen(json),
				    .payload = (const uint8_t *)json};

	f->e = (struct err){0};
	return tree_in_frame(&f->in, &frame, &f->e);
}

static int data(struct fixture *f, const char *bytes, uint8_t flags)
{
	const struct frame frame = {.type = FRAME_DATA,
				    .flags = flags,
				    .len = (uint32_t)strlen(bytes),
				    .payload = (const uint8_t *)bytes};

	f->e = (struct err){0};
	return tree_in_frame(&f->in, &frame, &f->e);
}

static void expect_corrupt(struct fixture *f, int r)
{
	assert_int_equal(r, -1);
	assert_int_equal(f->e.code, ERR_CORRUPT);
	tree_in_release(&f->in);
}

static void expect_refused(struct fixture *f, int r, const char *saying)
{
	assert_int_equal(r, -1);
	assert_int_not_equal(f->e.code, ERR_CORRUPT);
	assert_non_null(strstr(f->e.msg, saying));
	tree_in_release(&f->in);
}

static void test_file(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *p = path(f, "to/new");
	struct stat st;

	begin(f, p, "unused");
	assert_int_equal(event(f, "{\"event\":\"entry\",\"type\":\"file\",\"mode\":2464,"
				  "\"mtime_ns\":1500000001,\"uid\":7,\"gid\":7,\"size\":6}"),
			 0);
	assert_false(path_exists(p));
	assert_int_equal(data(f, "abc", 0), 0);
	assert_false(path_exists(p));
	assert_int_equal(data(f, "def", FRAME_EOF), 1);
	expect_text(f, "to/new", "abcdef");
	assert_int_equal(stat(p, &st), 0);
	assert_int_equal(st.st_mode, S_IFREG | 0640); /* without set-user-ID */
	assert_int_equal(st.st_uid, geteuid());
	assert_int_equal(st.st_mtim.tv_sec, 1);
	assert_int_equal(st.st_mtim.tv_nsec, 500000001);
	expect_corrupt(f, data(f, "more", 0));
}

static void test_names_that_lead_elsewhere(void **state)
{
	static const char *const names[] = {
		NAME(""),
		NAME("."),
		NAME(".."),
		NAME("../x"),
		NAME("/x"),
		NAME("a/b"),
		NAME("a/"),
		",\"name_b64\":\"Li4=\"",
		",\"name_b64\":\"Li4veA==\"",
		",\"name_b64\":\"YQBi\"",
		",\"name\":null",
		"",
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		_cleanup_free_ char *json = xasprintf(FILE_ENTRY("%s", ""), names[i]);

		begin(f, f->to, NULL);
		assert_int_equal(event(f, TOP_DIR), 0);
		expect_corrupt(f, event(f, json));
	}
	assert_int_equal(entries(f->to), 0);
	assert_int_equal(entries(f->dir), 1);
}

/* Where the top goes the receiver decides. */
static void test_top_with_a_name(void **state)
{
	struct fixture *f = *state;

	begin(f, f->to, "x");
	expect_corrupt(f, event(f, FILE_ENTRY(NAME("profile"), "")));
	assert_int_equal(entries(f->to), 0);
}

static void test_link_is_not_gone_through(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *victim = path(f, "victim");

	assert_int_equal(mkdir(victim, 0755), 0);
	begin(f, f->to, NULL);
	assert_int_equal(event(f, TOP_DIR), 0);
	assert_int_equal(event(f, LINK_ENTRY(NAME("l"), "../victim")), 0);
	expect_refused(f, event(f, DIR_ENTRY(NAME("l"))), "/to/l'");
	assert_int_equal(entries(victim), 0);
}

/* Nor written through: the file takes its place. */
static void test_file_in_place_of_a_link(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *victim = path(f, "victim");

	put_file(victim, "untouched");
	begin(f, f->to, NULL);
	assert_int_equal(event(f, TOP_DIR), 0);
	assert_int_equal(event(f, LINK_ENTRY(NAME("l"), "../victim")), 0);
	assert_int_equal(event(f, FILE_ENTRY(NAME("l"), "")), 0);
	assert_int_equal(data(f, "mine", FRAME_EOF), 0);
	assert_int_equal(event(f, LEAVE), 1);
	tree_in_release(&f->in);
	expect_text(f, "victim", "untouched");
	expect_text(f, "to/l", "mine");
}

static void test_same_name_twice(void **state)
{
	struct fixture *f = *state;

	begin(f, f->to, NULL);
	assert_int_equal(event(f, TOP_DIR), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(event(f, FILE_ENTRY(NAME("a"), "")), 0);
		assert_int_equal(data(f, i ? "second" : "first", FRAME_EOF), 0);
		assert_int_equal(event(f, DIR_ENTRY(NAME("d"))), 0);
		assert_int_equal(event(f, LEAVE), 0);
	}
	expect_text(f, "to/a", "second");
	expect_refused(f, event(f, FILE_ENTRY(NAME("d"), "")), "cannot replace directory");
	assert_int_equal(entries(f->to), 2);
}

static void test_too_much_data(void **state)
{
	struct fixture *f = *state;

	begin(f, f->to, "x");
	assert_int_equal(event(f, FILE_ENTRY("", ",\"size\":3")), 0);
	expect_corrupt(f, data(f, "abcd", FRAME_EOF));
	begin(f, f->to, "x");
	assert_int_equal(event(f, FILE_ENTRY("", ",\"size\":3")), 0);
	expect_corrupt(f, event(f, "{\"event\":\"hole\",\"length\":4}"));
	begin(f, f->to, "x");
	assert_int_equal(event(f, FILE_ENTRY("", "")), 0);
	assert_int_equal(data(f, "x", 0), 0);
	expect_corrupt(f, event(f, "{\"event\":\"hole\",\"length\":9223372036854775807}"));
	assert_int_equal(entries(f->to), 0);
}

/* An unfinished file leaves nothing; what was there stays. */
static void test_too_little_data(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *p = path(f, "to/x");

	put_file(p, "old");
	begin(f, f->to, "x");
	assert_int_equal(event(f, FILE_ENTRY("", ",\"size\":100")), 0);
	assert_int_equal(data(f, "new", 0), 0);
	assert_int_equal(entries(f->to), 2);
	tree_in_release(&f->in);
	assert_int_equal(entries(f->to), 1);
	expect_text(f, "to/x", "old");
	begin(f, f->to, "x");
	assert_int_equal(event(f, FILE_ENTRY("", ",\"size\":100")), 0);
	expect_corrupt(f, event(f, "{\"event\":\"end\"}"));
	assert_int_equal(entries(f->to), 1);
}

static void test_out_of_order(void **state)
{
	static const char *const second[] = {FILE_ENTRY(NAME("b"), ""),
					     DIR_ENTRY(NAME("b")),
					     LEAVE,
					     "{\"event\":\"hole\",\"length\":0}",
					     "{",
					     "[]"};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(second); i++) {
		begin(f, f->to, NULL);
		assert_int_equal(event(f, TOP_DIR), 0);
		assert_int_equal(event(f, FILE_ENTRY(NAME("a"), "")), 0);
		expect_corrupt(f, event(f, second[i]));
	}
	begin(f, f->to, NULL);
	expect_corrupt(f, data(f, "x", 0));
	begin(f, f->to, NULL);
	expect_corrupt(f, event(f, LEAVE));
	begin(f, f->to, NULL);
	expect_corrupt(f, event(f, FILE_ENTRY("", "")));
	begin(f, f->to, NULL);
	assert_int_equal(event(f, "{\"event\":\"later\"}"), 0);
	assert_int_equal(event(f, TOP_DIR), 0);
	expect_corrupt(f, event(f, TOP_DIR));
	assert_int_equal(entries(f->to), 0);
}

static void test_frames_of_other_kinds(void **state)
{
	struct fixture *f = *state;

	for (int type = FRAME_REQUEST; type < FRAME_DATA; type++) {
		const struct frame frame = {.type = (uint8_t)type, .payload = (const uint8_t *)""};

		if (type == FRAME_EVENT)
			continue;
		begin(f, f->to, NULL);
		expect_corrupt(f, tree_in_frame(&f->in, &frame, &f->e));
	}
}

static void test_too_deep(void **state)
{
	struct fixture *f = *state;
	int r, depth = 0;

	begin(f, f->to, NULL);
	r = event(f, TOP_DIR);
	for (; r == 0 && depth < 2 * TREE_DEPTH_MAX; depth++)
		r = event(f, DIR_ENTRY(NAME("d")));
	assert_int_equal(depth, TREE_DEPTH_MAX);
	expect_corrupt(f, r);
}

/* --- places -------------------------------------------------------------------------------- */

static int copy_file_to(struct fixture *f, const char *to)
{
	int r;

	begin(f, to, "name");
	r = event(f, FILE_ENTRY("", ""));
	if (r == 0)
		r = data(f, "text", FRAME_EOF);
	tree_in_release(&f->in);
	return r;
}

static void test_places_of_a_file(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *file = path(f, "file"), *slash = path(f, "to/"), *new = path(f, "new"),
			    *missing = path(f, "nowhere/new"), *new_slash = path(f, "absent/"),
			    *below = path(f, "file/x"), *link = path(f, "link"),
			    *dangling = path(f, "dangling"), *fifo = path(f, "fifo");

	assert_int_equal(copy_file_to(f, slash), 1);
	expect_text(f, "to/name", "text");
	assert_int_equal(copy_file_to(f, new), 1);
	expect_text(f, "new", "text");
	put_file(file, "old");
	assert_int_equal(symlink("file", link), 0);
	assert_int_equal(copy_file_to(f, link), 1);
	expect_text(f, "file", "text");
	assert_int_equal(readlink(link, (char[8]){0}, 8), 4); /* it still is a link */
	assert_int_equal(copy_file_to(f, missing), -1);
	assert_int_equal(f->e.code, ERR_NOT_FOUND);
	assert_int_equal(copy_file_to(f, new_slash), -1);
	assert_int_equal(f->e.code, ERR_NOT_FOUND);
	assert_int_equal(copy_file_to(f, below), -1);
	assert_int_equal(symlink("nothing", dangling), 0);
	assert_int_equal(copy_file_to(f, dangling), -1);
	assert_false(there(f, "nothing"));
	assert_int_equal(mkfifo(fifo, 0600), 0);
	assert_int_equal(copy_file_to(f, fifo), -1);
	assert_non_null(strstr(f->e.msg, "neither file nor link"));
}

static int copy_dir_to(struct fixture *f, const char *to, const char *name)
{
	int r;

	begin(f, to, name);
	r = event(f, "{\"event\":\"entry\",\"type\":\"dir\",\"mode\":448,\"mtime_ns\":1000000000}");
	if (r == 0)
		r = event(f, LINK_ENTRY(NAME("in"), "x"));
	if (r == 0)
		r = event(f, LEAVE);
	tree_in_release(&f->in);
	return r;
}

static void test_places_of_a_directory(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *file = path(f, "file"), *new = path(f, "new/"),
			    *made = path(f, "made");
	struct stat st;

	assert_int_equal(chmod(f->to, 0755), 0);
	assert_int_equal(copy_dir_to(f, f->to, "name"), 1);
	assert_true(there(f, "to/name/in"));
	/* One that exists is added to, and stays what it is. */
	assert_int_equal(copy_dir_to(f, f->to, NULL), 1);
	assert_true(there(f, "to/in"));
	assert_int_equal(stat(f->to, &st), 0);
	assert_int_equal(st.st_mode, S_IFDIR | 0755);
	assert_int_equal(copy_dir_to(f, new, "name"), 1);
	assert_true(there(f, "new/in"));
	assert_int_equal(copy_dir_to(f, made, NULL), 1);
	assert_int_equal(stat(made, &st), 0);
	assert_int_equal(st.st_mode, S_IFDIR | 0700);
	assert_int_equal(st.st_mtim.tv_sec, 1);
	put_file(file, "old");
	assert_int_equal(copy_dir_to(f, file, "name"), -1);
	assert_int_equal(copy_dir_to(f, file, NULL), -1);
	expect_text(f, "file", "old");
}

/* --- both sides ---------------------------------------------------------------------------- */

static void count_skipped(struct tree_out *out, const char *where, const char *kind)
{
	assert_int_equal(tree_out_event(out, FRAME_EVENT, tree_skipped_to_json(where, kind)), 0);
}

static void take_skipped(const struct tree_skipped *s)
{
	assert_string_equal(s->path, "d/pipe");
	assert_string_equal(s->kind, "a named pipe");
	skipped++;
}

/* By way of a file, which takes any amount. */
static void copy(struct fixture *f, const char *from, const char *to, const char *name)
{
	const struct tree_place place = {.path = to, .name = name, .skipped = take_skipped};
	_cleanup_free_ char *stream = path(f, "stream");
	_cleanup_close_ int fd = open(stream, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	struct tree_out out;
	struct frame frame;
	struct buf in;
	int r = 0;

	assert_true(fd >= 0);
	tree_out_init(&out, fd);
	out.skipped = count_skipped;
	assert_int_equal(tree_send(&out, from, false, &f->e), 0);
	tree_out_release(&out);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	buf_init(&in, FRAME_HEADER_LEN + FRAME_PAYLOAD_MAX);
	tree_in_init(&f->in, &place);
	while (r == 0) {
		assert_int_equal(frame_read(fd, &in, &frame), 1);
		r = tree_in_frame(&f->in, &frame, &f->e);
	}
	assert_int_equal(r, 1);
	assert_int_equal(frame_read(fd, &in, &frame), 0); /* nothing follows */
	tree_in_release(&f->in);
	buf_release(&in);
}

static void test_tree(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *from = path(f, "from"), *d = path(f, "from/d"),
			    *text = path(f, "from/d/te\xff\nxt"), *link = path(f, "from/d/link"),
			    *pipe = path(f, "from/d/pipe"), *empty = path(f, "from/empty");
	char target[8] = "";
	struct stat st;

	assert_int_equal(mkdir(from, 0750), 0);
	assert_int_equal(mkdir(d, 0700), 0);
	put_file(text, "text");
	put_file(empty, "");
	assert_int_equal(symlink("../x", link), 0);
	assert_int_equal(mkfifo(pipe, 0600), 0);
	assert_int_equal(chmod(d, 0500), 0);
	copy(f, from, f->to, "copy");
	assert_int_equal(skipped, 1);
	expect_text(f, "to/copy/d/te\xff\nxt", "text");
	expect_text(f, "to/copy/empty", "");
	assert_false(there(f, "to/copy/d/pipe"));
	free(link);
	link = path(f, "to/copy/d/link");
	assert_int_equal(readlink(link, target, sizeof(target)), 4);
	assert_string_equal(target, "../x");
	free(d);
	d = path(f, "to/copy/d");
	assert_int_equal(stat(d, &st), 0);
	assert_int_equal(st.st_mode, S_IFDIR | 0500);
}

/* Data at odd places with holes before, between and behind them. */
static void test_sparse(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *from = path(f, "sparse"), *to = path(f, "to/sparse");
	_cleanup_close_ int fd = open(from, O_RDWR | O_CREAT | O_CLOEXEC, 0600), copied = -1;
	struct stat st;
	char byte;

	for (uint64_t i = 1; i < 4; i++)
		assert_int_equal(pwrite_full(fd, "x", 1, i * 100 * MIB + 5), 0);
	assert_int_equal(ftruncate(fd, (off_t)(500 * MIB + 1)), 0);
	copy(f, from, f->to, "sparse");
	copied = open(to, O_RDONLY | O_CLOEXEC);
	assert_int_equal(fstat(copied, &st), 0);
	assert_int_equal(st.st_size, 500 * MIB + 1);
	assert_true(st.st_blocks * 512 < (blkcnt_t)MIB);
	for (uint64_t i = 1; i < 4; i++) {
		assert_int_equal(pread_full(copied, &byte, 1, i * 100 * MIB + 5), 1);
		assert_int_equal(byte, 'x');
		assert_int_equal(pread_full(copied, &byte, 1, i * 100 * MIB + 6), 1);
		assert_int_equal(byte, 0);
	}
}

static void test_long_file(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *from = path(f, "long"), *to = path(f, "to/long"), *a = NULL, *b = NULL;
	size_t n = 3 * FRAME_DATA_CHUNK, got;

	a = xmalloc(n + 1);
	for (size_t i = 0; i < n; i++)
		a[i] = (char)(i % 251);
	for (size_t cut = 0; cut < 2; cut++) {
		assert_int_equal(write_file_atomic(AT_FDCWD, from, a, n - cut, 0600), 0);
		copy(f, from, to, "unused");
		assert_int_equal(read_file(AT_FDCWD, to, n, &b, &got), 0);
		assert_int_equal(got, n - cut);
		assert_memory_equal(a, b, got);
		free(b);
		b = NULL;
	}
}

/* A size of zero says nothing about it. */
static void test_file_of_the_kernel(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *p = path(f, "to/version"), *text = NULL;

	copy(f, "/proc/version", f->to, "version");
	text = get_file(p);
	assert_non_null(strstr(text, "Linux"));
}

/* What a peer says before the end stops the sender. */
static void test_refused(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *from = path(f, "from");
	struct tree_out out;
	int s[2];

	put_file(from, "text");
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s), 0);
	assert_int_equal(write_full(s[1], "no", 2), 0);
	tree_out_init(&out, s[0]);
	out.answers = true;
	assert_int_equal(tree_send(&out, from, false, &f->e), -1);
	assert_true(out.broken);
	tree_out_release(&out);
	close(s[0]);
	close(s[1]);
}

/* Frames of others may be longer than ours. */
static void test_passing_on(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *stream = path(f, "stream");
	_cleanup_free_ uint8_t *bytes = xcalloc(1, FRAME_PAYLOAD_MAX);
	_cleanup_close_ int fd = open(stream, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	struct frame frame = {
		.type = FRAME_DATA, .flags = FRAME_EOF, .len = FRAME_PAYLOAD_MAX, .payload = bytes};
	struct tree_out out;
	struct buf in;
	size_t got = 0;

	tree_out_init(&out, fd);
	assert_int_equal(tree_out_pass(&out, &frame), 0);
	frame.len = 0;
	assert_int_equal(tree_out_pass(&out, &frame), 0);
	assert_int_equal(tree_out_flush(&out), 0);
	frame = (struct frame){.type = FRAME_EVENT, .len = FRAME_PAYLOAD_MAX, .payload = bytes};
	assert_int_equal(tree_out_pass(&out, &frame), -1);
	assert_true(out.broken);
	tree_out_release(&out);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	buf_init(&in, FRAME_HEADER_LEN + FRAME_PAYLOAD_MAX);
	do {
		assert_int_equal(frame_read(fd, &in, &frame), 1);
		got += frame.len;
	} while (!frame.flags);
	assert_int_equal(got, FRAME_PAYLOAD_MAX);
	assert_int_equal(frame_read(fd, &in, &frame), 1);
	assert_int_equal(frame.len, 0);
	buf_release(&in);
}

#define tree_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		tree_test(test_file),
		tree_test(test_names_that_lead_elsewhere),
		tree_test(test_top_with_a_name),
		tree_test(test_link_is_not_gone_through),
		tree_test(test_file_in_place_of_a_link),
		tree_test(test_same_name_twice),
		tree_test(test_too_much_data),
		tree_test(test_too_little_data),
		tree_test(test_out_of_order),
		tree_test(test_frames_of_other_kinds),
		tree_test(test_too_deep),
		tree_test(test_places_of_a_file),
		tree_test(test_places_of_a_directory),
		tree_test(test_tree),
		tree_test(test_sparse),
		tree_test(test_long_file),
		tree_test(test_file_of_the_kernel),
		tree_test(test_refused),
		tree_test(test_passing_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
