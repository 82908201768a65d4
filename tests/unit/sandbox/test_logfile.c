/* SPDX-License-Identifier: Apache-2.0 */
#include "../testing.h"

#include "sandbox/logfile.c"

#include <jansson.h>

struct fixture {
	char *dir;
	int dirfd;
	struct logfile log;
};

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));

	*state = f;
	if (temp_setup((void **)&f->dir) < 0)
		return -1;
	f->dirfd = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return logfile_open(&f->log, f->dirfd, "exec.log");
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	void *dir = f->dir;

	logfile_close(&f->log);
	close(f->dirfd);
	free(f);
	return temp_teardown(&dir);
}

/* --- files --------------------------------------------------------------------------------- */

static uint64_t size_of(const struct fixture *f, const char *name)
{
	struct stat st;

	return fstatat(f->dirfd, name, &st, 0) == 0 ? (uint64_t)st.st_size : 0;
}

static void test_append_after_reopen(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *text = NULL;

	logfile_write(&f->log, "one\n", 4);
	logfile_close(&f->log);
	logfile_write(&f->log, "lost\n", 5); /* closed: nothing happens */
	assert_int_equal(logfile_open(&f->log, f->dirfd, "exec.log"), 0);
	assert_int_equal(f->log.size, 4);
	logfile_write(&f->log, "two\n", 4);
	assert_int_equal(read_file(f->dirfd, "exec.log", 100, &text, NULL), 0);
	assert_string_equal(text, "one\ntwo\n");
	assert_int_equal(logfile_open(&f->log, -1, "exec.log"), -EBADF);
}

/* Each line of a console has a time, in whatever pieces it comes. */
static void test_console(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *text = NULL, *wide = xmalloc(10000);
	static const char *const parts[] = {"on", "e\r\ntwo\n\nthr", "ee", "\n"};
	static const char *const lines[] = {"one\r", "two", "", "three", NULL};
	char *line, *end;
	size_t n;

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		logfile_console(&f->log, parts[i], strlen(parts[i]));
	memset(wide, 'x', 10000);
	wide[9999] = '\n';
	logfile_console(&f->log, wide, 10000);
	assert_int_equal(read_file(f->dirfd, "exec.log", 20000, &text, &n), 0);
	line = text;
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++, line = end + 1) {
		char *space = strchr(line, ' ');
		uint64_t when;

		end = strchr(line, '\n');
		assert_non_null(space);
		assert_non_null(end);
		*space = *end = '\0';
		assert_int_equal(rfc3339_parse(line, &when), 0);
		if (lines[i])
			assert_string_equal(space + 1, lines[i]);
		else
			assert_memory_equal(space + 1, wide, 9999);
	}
	assert_int_equal(line - text, n);
}

/* A line that was not finished is ended before the next one is written. */
static void test_torn_line(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *text = NULL;

	logfile_write(&f->log, "tor", 3);
	logfile_close(&f->log);
	assert_int_equal(logfile_open(&f->log, f->dirfd, "exec.log"), 0);
	logfile_write(&f->log, "whole\n", 6);
	logfile_write(&f->log, "more\n", 5);
	assert_int_equal(read_file(f->dirfd, "exec.log", 100, &text, NULL), 0);
	assert_string_equal(text, "tor\nwhole\nmore\n");
	assert_int_equal(f->log.size, strlen(text));
}

/* However much is written, there are never more than KEEP full files and the current one. */
static void test_rotation_bound(void **state)
{
	struct fixture *f = *state;
	static const char *const names[] = {"exec.log", "exec.log.1", "exec.log.2", "exec.log.3",
					    "exec.log.4"};
	_cleanup_free_ char *piece = xmalloc(MIB);

	for (unsigned i = 0; i < 55; i++) {
		memset(piece, 'a' + (int)(i / 10), MIB);
		logfile_write(&f->log, piece, MIB);
	}
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		char c = 0;
		_cleanup_close_ int fd = openat(f->dirfd, names[i], O_RDONLY | O_CLOEXEC);

		if (i == LOGFILE_KEEP + 1) {
			assert_int_equal(fd, -1);
			continue;
		}
		assert_int_equal(size_of(f, names[i]), i ? LOGFILE_SIZE_MAX : 5 * MIB);
		/* The newest is in the current file, the oldest in the one with the highest number.
		 */
		assert_int_equal(pread_full(fd, &c, 1, 0), 1);
		assert_int_equal(c, 'f' - (int)i);
	}
}

static void test_rotation_between_entries(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *piece = xcalloc(1, LOGFILE_SIZE_MAX);

	logfile_write(&f->log, piece, LOGFILE_SIZE_MAX - 3);
	logfile_write(&f->log, "abc", 3); /* fits exactly */
	assert_int_equal(size_of(f, "exec.log"), LOGFILE_SIZE_MAX);
	logfile_write(&f->log, "def", 3); /* is not torn in two */
	assert_int_equal(size_of(f, "exec.log"), 3);
	assert_int_equal(size_of(f, "exec.log.1"), LOGFILE_SIZE_MAX);
	/* What exceeds the bound alone still gets a file of its own. */
	logfile_write(&f->log, piece, LOGFILE_SIZE_MAX);
	assert_int_equal(size_of(f, "exec.log.1"), 3);
}

/* --- entries ------------------------------------------------------------------------------- */

static size_t decode_base64(const char *in, uint8_t *out)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t n = 0;

	assert_int_equal(strlen(in) % 4, 0);
	for (; *in; in += 4) {
		uint32_t v = 0;
		int have = 0;

		for (; have < 4 && in[have] != '='; have++)
			v = v << 6 | (uint32_t)(strchr(digits, in[have]) - digits);
		v <<= 6 * (4 - have);
		for (int i = 0; i < have - 1; i++)
			out[n++] = (uint8_t)(v >> (16 - 8 * i));
	}
	return n;
}

/* Puts the data of all entries one behind the other; counts the entries that are base64. */
static void read_back(struct fixture *f, struct buf *ret, size_t *ret_entries, size_t *ret_base64)
{
	_cleanup_free_ char *text = NULL;
	char *line, *nl;

	buf_init(ret, 64 * MIB);
	*ret_entries = *ret_base64 = 0;
	assert_int_equal(read_file(f->dirfd, "exec.log", 64 * MIB, &text, NULL), 0);
	for (line = text; (nl = strchr(line, '\n')); line = nl + 1) {
		json_t *j = json_loadb(line, (size_t)(nl - line),
				       JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
		json_t *d = json_object_get(j, "d");

		assert_true(json_is_string(d));
		++*ret_entries;
		if (json_object_get(j, "e")) {
			_cleanup_free_ uint8_t *raw = xmalloc(json_string_length(d));
			size_t n = decode_base64(json_string_value(d), raw);

			assert_string_equal(json_string_value(json_object_get(j, "e")), "b64");
			buf_append(ret, raw, n);
			++*ret_base64;
		} else {
			buf_append(ret, json_string_value(d), json_string_length(d));
		}
		json_decref(j);
	}
	assert_int_equal(*line, '\0');
}

static void assert_kept(struct fixture *f, const void *data, size_t n, bool as_text)
{
	size_t entries, base64;
	struct buf b;

	assert_int_equal(ftruncate(f->log.fd, 0), 0);
	logfile_entry(&f->log, LOG_STDOUT, 1, data, n);
	read_back(f, &b, &entries, &base64);
	assert_int_equal(entries, (n + LOGFILE_ENTRY_MAX - 1) / LOGFILE_ENTRY_MAX);
	assert_int_equal(buf_len(&b), n);
	if (n)
		assert_memory_equal(buf_data(&b), data, n);
	assert_int_equal(base64 == 0, as_text || n == 0);
	buf_release(&b);
}

static void test_entry_fields(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *text = NULL;

	logfile_entry(&f->log, LOG_STDERR, 12, "hi\n", 3);
	logfile_entry(&f->log, LOG_SYSTEM, 0, "x", 1);
	assert_int_equal(read_file(f->dirfd, "exec.log", 1000, &text, NULL), 0);
	assert_int_equal(strncmp(text, "{\"t\":\"20", 8), 0);
	assert_non_null(strstr(text, "+00:00\",\"s\":\"stderr\",\"id\":12,\"d\":\"hi\\n\"}\n"));
	assert_non_null(strstr(text, "+00:00\",\"s\":\"system\",\"d\":\"x\"}\n"));
	assert_int_equal(f->log.size, strlen(text));
}

static void test_stream_names(void **state)
{
	assert_string_equal(log_stream_name(LOG_STDOUT), "stdout");
	assert_string_equal(log_stream_name(LOG_STDERR), "stderr");
	assert_string_equal(log_stream_name(LOG_OUTPUT), "output");
	assert_string_equal(log_stream_name(LOG_SYSTEM), "system");
}

static void test_every_byte_survives(void **state)
{
	struct fixture *f = *state;

	for (unsigned c = 0; c < 256; c++) {
		uint8_t alone = (uint8_t)c, between[] = {'a', (uint8_t)c, 'b'};

		assert_kept(f, &alone, 1, c < 0x80);
		assert_kept(f, between, 3, c < 0x80);
	}
}

static void test_utf8(void **state)
{
	static const struct {
		const char *bytes;
		bool valid;
	} cases[] = {
		{"\xc3\xa4\xe2\x82\xac\xf0\x9d\x84\x9e", true},
		{"\xc2\x80", true},
		{"\xdf\xbf", true},
		{"\xe0\xa0\x80", true},
		{"\xed\x9f\xbf", true},
		{"\xee\x80\x80", true},
		{"\xef\xbf\xbf", true},
		{"\xf0\x90\x80\x80", true},
		{"\xf4\x8f\xbf\xbf", true},
		{"\x80", false},
		{"a\xbf", false},
		{"\xc3", false},
		{"\xe2\x82", false},
		{"\xf0\x9d\x84", false},
		{"\xc3(", false},
		{"\xe2\x82(", false},
		{"\xf0\x9d\x84(", false},
		{"\xc0\xaf", false}, /* longer than needed */
		{"\xc1\xbf", false},
		{"\xe0\x9f\xbf", false},
		{"\xf0\x8f\xbf\xbf", false},
		{"\xed\xa0\x80", false}, /* surrogates */
		{"\xed\xbf\xbf", false},
		{"\xf4\x90\x80\x80", false}, /* past U+10FFFF */
		{"\xf8\x88\x80\x80\x80", false},
		{"\xfe", false},
		{"\xff", false},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_kept(f, cases[i].bytes, strlen(cases[i].bytes), cases[i].valid);
}

static void test_escaping(void **state)
{
	static const char data[] = "\"\\/\b\f\n\r\t\x01\x1f\x7f</script>";
	struct fixture *f = *state;
	_cleanup_free_ char *text = NULL;

	assert_kept(f, data, sizeof(data) - 1, true);
	assert_int_equal(read_file(f->dirfd, "exec.log", 1000, &text, NULL), 0);
	/* One entry is one line, whatever it says. */
	assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
}

static void test_base64_lengths(void **state)
{
	struct fixture *f = *state;
	uint8_t data[64];

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(0xff - i * 5);
	for (size_t n = 0; n <= sizeof(data); n++)
		assert_kept(f, data, n, false);
}

/* Long data become several entries, none of which is larger than the bound. */
static void test_split(void **state)
{
	enum { SIZE = 3 * (64 << 10) + 17 };
	struct fixture *f = *state;
	_cleanup_free_ uint8_t *data = xmalloc(SIZE);

	memset(data, 'x', SIZE);
	assert_kept(f, data, LOGFILE_ENTRY_MAX, true);
	assert_kept(f, data, LOGFILE_ENTRY_MAX + 1, true);
	assert_kept(f, data, SIZE, true);
	memset(data, 1, SIZE); /* the longest escape, which is for short entries */
	assert_kept(f, data, 200, true);
	assert_kept(f, data, LOGFILE_ENTRY_MAX, false);
	memset(data, 0xff, SIZE);
	assert_kept(f, data, SIZE, false);
	/* A character that the split tears apart is not lost. */
	memset(data, 'x', SIZE);
	data[LOGFILE_ENTRY_MAX - 1] = 0xc3;
	data[LOGFILE_ENTRY_MAX] = 0xa4;
	assert_kept(f, data, SIZE, false);
}

#define log_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		log_test(test_append_after_reopen),
		log_test(test_console),
		log_test(test_torn_line),
		log_test(test_rotation_bound),
		log_test(test_rotation_between_entries),
		log_test(test_entry_fields),
		cmocka_unit_test(test_stream_names),
		log_test(test_every_byte_survives),
		log_test(test_utf8),
		log_test(test_escaping),
		log_test(test_base64_lengths),
		log_test(test_split),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
