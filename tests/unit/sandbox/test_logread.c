/* SPDX-License-Identifier: Apache-2.0 */
/* Reading logs: order, filters, the end of long ones, damage, and rotation under the reader. */
#include "../testing.h"

#include "base/clock.h"
#include "sandbox/logread.h"

#define ALL                                        \
	{                                          \
		true, true, true, true, true, true \
	}

struct fixture {
	char *dir;
	int dirfd;
	struct logfile log;
	struct log_filter filter;
	struct log_reader *reader;
};

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));

	*state = f;
	if (temp_setup((void **)&f->dir) < 0)
		return -1;
	f->dirfd = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	f->filter = (struct log_filter){.sources = ALL, .until = UINT64_MAX};
	f->log.fd = -1;
	return f->dirfd < 0 ? -1 : 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	void *dir = f->dir;

	log_reader_free(f->reader);
	logfile_close(&f->log);
	close(f->dirfd);
	free(f);
	return temp_teardown(&dir);
}

static void put(const struct fixture *f, const char *name, const char *text)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", f->dir, name);

	put_file(path, text);
}

static void open_reader(struct fixture *f)
{
	log_reader_free(f->reader);
	f->reader = NULL;
	assert_int_equal(log_reader_open(f->dirfd, &f->filter, &f->reader), 0);
}

/* The texts of the entries to come, each in brackets; owned. */
static char *read_texts(struct fixture *f, bool last)
{
	struct log_entry entry;
	struct buf b;
	char *text;
	int r;

	buf_init(&b, MIB);
	while ((r = log_reader_next(f->reader, last, &entry)) > 0) {
		assert_int_equal(buf_append(&b, "[", 1), 0);
		assert_int_equal(buf_append(&b, entry.text, entry.len), 0);
		assert_int_equal(buf_append(&b, "]", 1), 0);
	}
	assert_int_equal(r, 0);
	text = xstrndup(buf_len(&b) ? (const char *)buf_data(&b) : "", buf_len(&b));
	buf_release(&b);
	return text;
}

static void assert_texts(struct fixture *f, const char *expected)
{
	_cleanup_free_ char *text = NULL;

	open_reader(f);
	text = read_texts(f, true);
	assert_string_equal(text, expected);
}

static void assert_next(struct fixture *f, bool last, const char *expected)
{
	_cleanup_free_ char *text = read_texts(f, last);

	assert_string_equal(text, expected);
}

static void assert_tail(struct fixture *f, uint64_t n, const char *expected)
{
	open_reader(f);
	assert_int_equal(log_reader_tail(f->reader, n), 0);
	assert_next(f, true, expected);
}

/* --- filters ------------------------------------------------------------------------------- */

/* What stands behind the times of lines that are a second apart. */
static const char *const some[] = {
	"\"stdout\",\"id\":1,\"d\":\"a\"}",
	"\"stderr\",\"id\":1,\"d\":\"b\"}",
	"\"stdout\",\"id\":2,\"e\":\"b64\",\"d\":\"/w==\"}",
	"\"output\",\"id\":3,\"d\":\"\\u001b[1mb\\u001b[0mold\\nc\"}",
	"\"system\",\"d\":\"stopped\"}",
	NULL,
};

/* Writes entries to exec.log, after what is there. */
static void put_entries(const struct fixture *f, const char *const *rest)
{
	_cleanup_close_ int fd =
		openat(f->dirfd, "exec.log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	for (int i = 1; *rest; rest++, i++)
		assert_true(dprintf(fd,
				    "{\"t\":\"2026-01-31T12:00:0%d.000000000+00:00\",\"s\":%s\n", i,
				    *rest) > 0);
}

static void put_three(const struct fixture *f)
{
	put_entries(f, some);
	put(f, "kernel.log", "2026-01-31T12:00:01.5Z boot\r\n2026-01-31T12:00:04.5Z halt\r\n");
	put(f, "runtime.log", "undated\n2026-01-31T12:00:00Z started\nwarn: x\n");
}

static void set_sources(struct fixture *f, unsigned first, unsigned last)
{
	for (unsigned i = 0; i < LOG_SOURCE_COUNT; i++)
		f->filter.sources[i] = i >= first && i <= last;
}

static void test_order_and_filters(void **state)
{
	struct fixture *f = *state;
	uint64_t noon;
	regex_t re;

	put_three(f);
	assert_int_equal(rfc3339_parse("2026-01-31T12:00:00Z", &noon), 0);
	assert_texts(f, "[undated][started][warn: x][a][boot][b][\xff][\033[1mb\033[0mold\nc][halt]"
			"[stopped]");
	assert_tail(f, 0, "");
	assert_tail(f, 3, "[\033[1mb\033[0mold\nc][halt][stopped]");
	assert_tail(f, 9,
		    "[started][warn: x][a][boot][b][\xff][\033[1mb\033[0mold\nc][halt]"
		    "[stopped]");
	set_sources(f, LOG_STDOUT, LOG_STDERR);
	assert_texts(f, "[a][b][\xff]");
	f->filter.since = noon + 2 * NSEC_PER_SEC; /* inclusive */
	assert_texts(f, "[b][\xff]");
	f->filter.until = noon + 3 * NSEC_PER_SEC; /* exclusive */
	assert_texts(f, "[b]");
	f->filter.since = 0;
	assert_texts(f, "[a][b]");
	f->filter.until = UINT64_MAX;
	/* The text is matched without its colours, line by line; tail comes last. */
	set_sources(f, LOG_STDOUT, LOG_SOURCE_RUNTIME);
	assert_int_equal(regcomp(&re, "^(b|c$)", REG_EXTENDED | REG_NEWLINE | REG_NOSUB), 0);
	f->filter.grep = &re;
	assert_texts(f, "[boot][b][\033[1mb\033[0mold\nc]");
	assert_tail(f, 1, "[\033[1mb\033[0mold\nc]");
	regfree(&re);
}

static void test_members(void **state)
{
	struct fixture *f = *state;
	struct log_entry entry;
	static const char first[] =
		"{\"t\":\"2026-01-31T12:00:01.000000000+00:00\",\"s\":\"stdout\","
		"\"id\":1,\"d\":\"a\"}";

	put_entries(f, some);
	put(f, "kernel.log", "2026-01-31T12:00:09Z Linux\n");
	open_reader(f);
	assert_int_equal(log_reader_next(f->reader, true, &entry), 1);
	assert_int_equal(entry.source, LOG_STDOUT);
	assert_int_equal(entry.session, 1);
	assert_true(entry.time == 1769860801 * NSEC_PER_SEC);
	assert_int_equal(entry.line_len, sizeof(first) - 1);
	assert_memory_equal(entry.line, first, entry.line_len);
	for (int i = 0; i < 5; i++)
		assert_int_equal(log_reader_next(f->reader, true, &entry), 1);
	assert_int_equal(entry.source, LOG_SOURCE_KERNEL);
	assert_int_equal(entry.session, 0);
	assert_null(entry.line);
	assert_int_equal(log_reader_next(f->reader, true, &entry), 0);
}

static void test_base64(void **state)
{
	struct fixture *f = *state;
	static const char *const encoded[] = {
		"\"stdout\",\"e\":\"b64\",\"d\":\"\"}",
		"\"stdout\",\"e\":\"b64\",\"d\":\"YQ==\"}",
		"\"stdout\",\"e\":\"b64\",\"d\":\"YWI=\"}",
		"\"stdout\",\"e\":\"b64\",\"d\":\"YWJj\"}",
		"\"stdout\",\"e\":\"b64\",\"d\":\"YWJjZA==\"}",
		"\"stdout\",\"e\":\"b64\",\"d\":\"+/+/\"}",
		NULL,
	};

	put_entries(f, encoded);
	assert_texts(f, "[][a][ab][abc][abcd][\xfb\xff\xbf]");
}

/* --- damage -------------------------------------------------------------------------------- */

static void test_damage(void **state)
{
	struct fixture *f = *state;
	static const char *const entries[] = {
		"\"stdout\"}",
		"\"boot\",\"d\":\"x\"}",
		"\"stdout\",\"id\":\"one\",\"d\":\"x\"}",
		"7,\"d\":\"x\"}",
		"\"stdout\",\"id\":-5,\"d\":\"a\"}",
		"\"stdout\",\"e\":\"b64\",\"d\":\"?\"}",
		"\"stdout\",\"d\":\"b\"}",
		"\"stdout\",\"d\":\"torn",
		NULL,
	};
	static const char *const zero[] = {"\"stdout\",\"d\":\"a\\u0000b\"}", NULL};
	struct log_entry entry;
	struct stat st;

	assert_texts(f, ""); /* no file at all */
	put(f, "exec.log",
	    "garbage\n\n{}\n[1]\nnull\n{\"t\":\"\"}\n"
	    "{\"t\":\"yesterday\",\"s\":\"stdout\",\"d\":\"x\"}\n");
	put_entries(f, entries);
	assert_int_equal(fstatat(f->dirfd, "exec.log", &st, 0), 0);
	/* Without the last line's end: its writer died. */
	{
		_cleanup_free_ char *path = xasprintf("%s/exec.log", f->dir);

		assert_int_equal(truncate(path, st.st_size - 1), 0);
	}
	assert_texts(f, "[a][][b]");
	assert_tail(f, 1, "[b]");
	f->filter.sources[LOG_STDOUT] = false;
	assert_texts(f, "");
	f->filter.sources[LOG_STDOUT] = true;

	/* The next writer ends what the last one could not, and spoils nothing. */
	assert_int_equal(logfile_open(&f->log, f->dirfd, "exec.log"), 0);
	logfile_entry(&f->log, LOG_STDOUT, 1, "after", 5);
	assert_tail(f, 2, "[b][after]");

	/* What a program prints may have zeros in it. */
	put_entries(f, zero);
	open_reader(f);
	assert_int_equal(log_reader_tail(f->reader, 1), 0);
	assert_int_equal(log_reader_next(f->reader, true, &entry), 1);
	assert_int_equal(entry.len, 3);
	assert_memory_equal(entry.text, "a\0b", 3);
}

static void test_long_lines(void **state)
{
	struct fixture *f = *state;
	size_t n = 2 * LOGFILE_LINE_MAX(LOGFILE_ENTRY_MAX);
	_cleanup_free_ char *data = xmalloc(n);
	struct log_entry entry;
	size_t seen = 0;

	memset(data, 'x', n);
	assert_int_equal(logfile_open(&f->log, f->dirfd, "exec.log"), 0);
	logfile_entry(&f->log, LOG_STDOUT, 1, "a", 1);
	logfile_write(&f->log, data, n);
	logfile_write(&f->log, "\n", 1);
	/* The longest that there can be. */
	memset(data, 1, LOGFILE_ENTRY_MAX);
	logfile_entry(&f->log, LOG_STDOUT, 1, data, LOGFILE_ENTRY_MAX);
	open_reader(f);
	assert_int_equal(log_reader_next(f->reader, true, &entry), 1);
	assert_int_equal(log_reader_next(f->reader, true, &entry), 1);
	assert_int_equal(entry.len, LOGFILE_ENTRY_MAX);
	assert_int_equal(log_reader_next(f->reader, true, &entry), 0);
	logfile_close(&f->log);

	/* A console without line ends is shown in pieces. */
	assert_int_equal(unlinkat(f->dirfd, "exec.log", 0), 0);
	assert_int_equal(logfile_open(&f->log, f->dirfd, "kernel.log"), 0);
	memset(data, 'x', n);
	logfile_console(&f->log, data, n);
	open_reader(f);
	while (log_reader_next(f->reader, true, &entry) > 0)
		seen += entry.len;
	assert_int_equal(seen, n);
}

static void test_file_that_shrinks(void **state)
{
	struct fixture *f = *state;

	put_entries(f, some);
	open_reader(f);
	log_reader_follow(f->reader);
	free(read_texts(f, false));
	assert_int_equal(logfile_open(&f->log, f->dirfd, "exec.log"), 0);
	assert_int_equal(ftruncate(f->log.fd, 0), 0);
	assert_next(f, false, "");
	logfile_entry(&f->log, LOG_STDOUT, 1, "new", 3);
	assert_next(f, false, "[new]");
	assert_false(log_reader_missed(f->reader));
}

/* --- following ----------------------------------------------------------------------------- */

static void test_follow_from_nothing(void **state)
{
	struct fixture *f = *state;

	open_reader(f);
	log_reader_follow(f->reader);
	assert_next(f, false, "");
	assert_int_equal(logfile_open(&f->log, f->dirfd, "exec.log"), 0);
	logfile_entry(&f->log, LOG_STDOUT, 1, "one", 3);
	assert_next(f, false, "[one]");
	assert_next(f, false, "");
	logfile_entry(&f->log, LOG_STDOUT, 1, "two", 3);
	put(f, "kernel.log", "2026-01-31T12:00:00Z no end");
	assert_next(f, false, "[two]");
	assert_next(f, true, "[no end]");
	assert_next(f, true, "");
}

static void test_tail_then_follow(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(logfile_open(&f->log, f->dirfd, "exec.log"), 0);
	logfile_entry(&f->log, LOG_STDOUT, 1, "one", 3);
	logfile_entry(&f->log, LOG_STDOUT, 1, "two", 3);
	open_reader(f);
	assert_int_equal(log_reader_tail(f->reader, 1), 0);
	/* Written after the tail was chosen: new, so it takes no place in it. */
	logfile_entry(&f->log, LOG_STDOUT, 1, "three", 5);
	log_reader_follow(f->reader);
	assert_next(f, false, "[two][three]");
}

/* --- rotation ------------------------------------------------------------------------------ */

/* Entries are numbered by their session; a file has about 160 of them. */
static void write_entries(struct logfile *l, uint64_t first, uint64_t n)
{
	static char data[LOGFILE_ENTRY_MAX];

	memset(data, 'x', sizeof(data));
	for (uint64_t i = 0; i < n; i++)
		logfile_entry(l, LOG_STDOUT, first + i, data, sizeof(data));
}

#define PER_FILE ((uint64_t)159)

/* Reads what is there; every entry has the number after the last one, or a higher one. */
static uint64_t read_entries(struct fixture *f, uint64_t after, bool gaps)
{
	struct log_entry entry;
	int r;

	while ((r = log_reader_next(f->reader, false, &entry)) > 0) {
		if (gaps)
			assert_true(entry.session > after);
		else
			assert_int_equal(entry.session, after + 1);
		after = entry.session;
	}
	assert_int_equal(r, 0);
	return after;
}

static uint64_t bytes_read(void)
{
	char text[512] = "";
	_cleanup_close_ int fd = open("/proc/self/io", O_RDONLY | O_CLOEXEC);

	assert_true(read(fd, text, sizeof(text) - 1) > 0);
	return strtoull(text + strlen("rchar: "), NULL, 10);
}

static void test_all_files_and_their_end(void **state)
{
	struct fixture *f = *state;
	struct log_entry entry;
	uint64_t n = 6 * PER_FILE, before, last;

	assert_int_equal(logfile_open(&f->log, f->dirfd, "exec.log"), 0);
	write_entries(&f->log, 1, n);
	open_reader(f);
	assert_int_equal(log_reader_next(f->reader, true, &entry), 1);
	assert_true(entry.session > PER_FILE && entry.session < 3 * PER_FILE);
	last = read_entries(f, entry.session, false);
	assert_int_equal(last, n);

	/* The end is read from the end. */
	before = bytes_read();
	open_reader(f);
	assert_int_equal(log_reader_tail(f->reader, 10), 0);
	assert_int_equal(read_entries(f, n - 10, false), n);
	assert_true(bytes_read() - before < 8 * MIB);
	/* One that begins in another file. */
	open_reader(f);
	assert_int_equal(log_reader_tail(f->reader, 2 * PER_FILE + 7), 0);
	assert_int_equal(read_entries(f, n - 2 * PER_FILE - 7, false), n);
}

/* The snapshot stays whole, whatever the writer does. */
static void test_rotation_after_opening(void **state)
{
	struct fixture *f = *state;
	struct log_entry entry;

	assert_int_equal(logfile_open(&f->log, f->dirfd, "exec.log"), 0);
	write_entries(&f->log, 1, 2 * PER_FILE);
	open_reader(f);
	write_entries(&f->log, 2 * PER_FILE + 1, 6 * PER_FILE);
	assert_int_equal(read_entries(f, 0, false), 2 * PER_FILE);
	assert_int_equal(log_reader_next(f->reader, true, &entry), 0);
	assert_false(log_reader_missed(f->reader));
}

/* A follower that looks often enough sees everything once, wherever the rotation falls. */
static void test_rotation_while_following(void **state)
{
	static const uint64_t steps[] = {
		1, 7, PER_FILE - 1, PER_FILE, PER_FILE + 1, 2 * PER_FILE, 3 * PER_FILE};
	struct fixture *f = *state;
	uint64_t written = 0, seen = 0;

	assert_int_equal(logfile_open(&f->log, f->dirfd, "exec.log"), 0);
	open_reader(f);
	log_reader_follow(f->reader);
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		for (int times = 0; times < 2; times++) {
			write_entries(&f->log, written + 1, steps[i]);
			written += steps[i];
			seen = read_entries(f, seen, false);
			assert_int_equal(seen, written);
			assert_false(log_reader_missed(f->reader));
		}
	}
}

static void test_overtaken(void **state)
{
	struct fixture *f = *state;
	uint64_t seen;

	assert_int_equal(logfile_open(&f->log, f->dirfd, "exec.log"), 0);
	write_entries(&f->log, 1, 10);
	open_reader(f);
	log_reader_follow(f->reader);
	seen = read_entries(f, 0, false);
	write_entries(&f->log, 11, 7 * PER_FILE);
	seen = read_entries(f, seen, true);
	assert_int_equal(seen, 10 + 7 * PER_FILE);
	assert_true(log_reader_missed(f->reader));
	assert_false(log_reader_missed(f->reader)); /* said once */
	write_entries(&f->log, seen + 1, PER_FILE);
	assert_int_equal(read_entries(f, seen, false), seen + PER_FILE);
	assert_false(log_reader_missed(f->reader));
}

/* Reader and writer at the same time: nothing twice, nothing lost in silence. */
static void test_race(void **state)
{
	struct fixture *f = *state;
	uint64_t seen = 0, next, n = 8 * PER_FILE;
	bool missed = false;
	pid_t pid;

	assert_int_equal(logfile_open(&f->log, f->dirfd, "exec.log"), 0);
	open_reader(f);
	log_reader_follow(f->reader);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		write_entries(&f->log, 1, n);
		_exit(0);
	}
	while (seen < n) {
		struct log_entry entry;

		if (log_reader_next(f->reader, false, &entry) <= 0)
			continue;
		next = entry.session;
		assert_true(next > seen);
		missed = log_reader_missed(f->reader);
		assert_true(next == seen + 1 || missed);
		seen = next;
	}
	assert_int_equal(child_status(pid), 0);
	assert_int_equal(log_reader_next(f->reader, true, &(struct log_entry){0}), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_order_and_filters),
		TEST(test_members),
		TEST(test_base64),
		TEST(test_damage),
		TEST(test_long_lines),
		TEST(test_file_that_shrinks),
		TEST(test_follow_from_nothing),
		TEST(test_tail_then_follow),
		TEST(test_all_files_and_their_end),
		TEST(test_rotation_after_opening),
		TEST(test_rotation_while_following),
		TEST(test_overtaken),
		TEST(test_race),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
