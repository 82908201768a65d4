/* SPDX-License-Identifier: Apache-2.0 */
/* Layers that are small and want to become large: time, memory and disk stay bounded. */
#include "layers.h"

#include "image/blob_writer.h"
#include "image/layer_tar.h"

#include <sys/mman.h>
#include <sys/resource.h>

/* AddressSanitizer takes its time, and keeps what was freed. */
#ifdef __SANITIZE_ADDRESS__
#define MANY 100000U
#else
#define MANY 1000000U
#endif

/* Bytes on the disk of all files in a folder of the cache. */
static uint64_t disk_use(const struct fixture *f, const char *folder)
{
	_cleanup_free_ char *path = xasprintf("%s/cache/%s", f->dir, folder);
	DIR *d = opendir(path);
	uint64_t n = 0;
	struct dirent *de;

	assert_non_null(d);
	while ((de = readdir(d))) {
		struct stat st;

		if (de->d_type == DT_REG && fstatat(dirfd(d), de->d_name, &st, 0) == 0)
			n += (uint64_t)st.st_blocks * 512;
	}
	closedir(d);
	return n;
}

/* The start of an archive whose only file has `size` zeroes. */
static void start_zeroes(struct buf *tar, uint64_t size)
{
	tar_header(tar, &(struct tar_entry){.name = "zeroes"}, size);
}

typedef void append_fn(struct buf *out, const void *data, size_t n);

/*
 * Feeds a compressed archive of `size` zeroes to an ingest: the start, and one compressed mebibyte
 * again and again. Returns how many bytes the ingest took before it had enough, or 0.
 */
static uint64_t feed_zeroes(struct ingest *in, append_fn *compress, uint64_t size)
{
	_cleanup_free_ char *zeroes = xcalloc(1, MIB);
	struct buf head, body;
	uint64_t fed = 0;
	bool more;

	buf_init(&head, 2 * MIB);
	buf_init(&body, 2 * MIB);
	start_zeroes(&body, size);
	compress(&head, buf_data(&body), buf_len(&body));
	buf_consume(&body, buf_len(&body));
	compress(&body, zeroes, MIB);
	more = ingest_write(in, buf_data(&head), buf_len(&head));
	for (uint64_t i = 0; more && i <= size / MIB; i++) {
		more = ingest_write(in, buf_data(&body), buf_len(&body));
		fed += buf_len(&body);
	}
	buf_release(&head);
	buf_release(&body);
	return more ? 0 : fed;
}

static void test_bombs_beyond_the_limit(void **state)
{
	static append_fn *const formats[] = {gzip_append, zstd_append};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
		struct ingest *in = ingest_start(&f->store, 16 * MIB, &f->e);
		struct ingest_result res;

		/* The size is known from the header. What follows is more than both rings hold. */
		assert_true(feed_zeroes(in, formats[i], 4 * GIB) < 4 * MIB);
		assert_true(disk_use(f, "layers") + disk_use(f, "blobs") < 8 * MIB);
		assert_err(ingest_finish(in, "x", NULL, &res, &f->e), &f->e, ERR_INVALID,
			   "larger than the limit of 16777216 bytes");
		ingest_free(in);
		assert_int_equal(count_files(f, "layers", ""), 0);
		assert_int_equal(count_files(f, "blobs", ""), 0);
	}
}

/* A bomb whose archive ends early: all the rest is padding. */
static void test_padding_beyond_the_limit(void **state)
{
	struct fixture *f = *state;
	struct ingest *in = ingest_start(&f->store, 16 * MIB, &f->e);
	_cleanup_free_ char *zeroes = xcalloc(1, MIB);
	struct ingest_result res;
	struct buf body;
	int i = 0;

	buf_init(&body, 2 * MIB);
	gzip_append(&body, zeroes, MIB);
	while (ingest_write(in, buf_data(&body), buf_len(&body)))
		assert_true(i++ < 4096);
	assert_err(ingest_finish(in, "x", NULL, &res, &f->e), &f->e, ERR_INVALID,
		   "unpacks to more than 16777216 bytes");
	ingest_free(in);
	buf_release(&body);
}

/* What is allowed takes no space either. */
static void test_zeroes_take_no_space(void **state)
{
	struct fixture *f = *state;
	struct ingest *in = ingest_start(&f->store, GIB, &f->e);
	const uint64_t size = 256 * MIB;
	struct ingest_result res;

	assert_int_equal(feed_zeroes(in, gzip_append, size), 0);
	assert_ok(ingest_finish(in, "x", NULL, &res, &f->e), &f->e);
	assert_ok(ingest_publish(in, &f->e), &f->e);
	ingest_free(in);
	assert_int_equal(store_size(&f->store, STORE_LAYER_DATA, &res.diff_id), size);
	assert_true(disk_use(f, "layers") < 128 * KIB);
}

/* Data between zeroes is where it belongs, whatever the units of holes are. */
static void test_holes(void **state)
{
	_cleanup_close_ int fd = memfd_create("data", MFD_CLOEXEC);
	struct blob_writer *w = blob_writer_new(fd, GIB);
	_cleanup_free_ char *want = xcalloc(1, 4 * MIB), *got = xcalloc(1, 4 * MIB + 1);
	static const size_t places[] = {0,      1,      4095,    65535,   65536,  131071,
					524287, 524288, 1000000, 3000000, 4194303};
	struct err e = {0};
	uint64_t at;
	struct stat st;

	for (size_t i = 0; i < ARRAY_SIZE(places); i++)
		want[places[i]] = 'x';
	assert_ok(blob_writer_begin(w, 4 * MIB, &at, &e), &e);
	for (size_t pos = 0, n; pos < 4 * MIB; pos += n) {
		n = MIN((size_t)(1 + pos * 7 % 200000), 4 * MIB - pos);
		assert_ok(blob_writer_write(w, pos, want + pos, n, &e), &e);
	}
	assert_err(blob_writer_write(w, 0, "x", 1, &e), &e, ERR_CORRUPT, "out of order");
	assert_ok(blob_writer_finish(w, &at, &e), &e);
	assert_int_equal(at, 4 * MIB);
	assert_int_equal(pread_full(fd, got, 4 * MIB + 1, 0), 4 * MIB);
	assert_memory_equal(got, want, 4 * MIB);
	assert_int_equal(fstat(fd, &st), 0);
	assert_true((uint64_t)st.st_blocks * 512 < MIB);
	blob_writer_free(w);
}

/* Bytes that never unpack to anything fill neither memory nor disk. */
static void test_endless_nothing(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *noise = xmalloc(MIB);

	for (int kind = 0; kind < 3; kind++) {
		struct ingest *in = ingest_start(&f->store, 4 * MIB, &f->e);
		struct ingest_result res;
		struct buf body;
		int i = 0;

		buf_init(&body, 2 * MIB);
		memset(noise, 0xa5, MIB);
		if (kind == 0) /* damage */
			buf_append(&body, noise, MIB);
		for (int k = 0; kind == 1 && k < 20000; k++) /* empty members */
			gzip_append(&body, "", 0);
		if (kind == 2) { /* a skippable frame */
			buf_append(&body, "\x50\x2a\x4d\x18\xf8\xff\x0f\0", 8);
			buf_append(&body, noise, MIB - 8);
		}
		while (ingest_write(in, buf_data(&body), buf_len(&body)))
			assert_true(i++ < 20);
		assert_true(disk_use(f, "blobs") < 6 * MIB);
		assert_err(ingest_finish(in, "x", NULL, &res, &f->e), &f->e, ERR_INVALID,
			   "layer x: it is larger than 4194304 bytes");
		ingest_free(in);
		buf_release(&body);
	}
}

static void test_zstd_window(void **state)
{
	struct fixture *f = *state;
	ZSTD_CCtx *c = ZSTD_createCCtx();
	struct ingest_result res;
	size_t room = 256 * KIB;

	for (int log = 24; log <= 25; log++) {
		ZSTD_outBuffer out = {.dst = xmalloc(room), .size = room};
		ZSTD_inBuffer in = {.size = 0};
		struct buf tar;
		int r;

		buf_init(&tar, TAR_MAX);
		start_zeroes(&tar, 40 * MIB);
		memset(buf_reserve(&tar, 40 * MIB), 0, 40 * MIB);
		buf_commit(&tar, 40 * MIB);
		in.src = buf_data(&tar);
		in.size = buf_len(&tar);
		ZSTD_CCtx_setParameter(c, ZSTD_c_windowLog, log);
		ZSTD_CCtx_setParameter(c, ZSTD_c_contentSizeFlag, 0);
		assert_int_equal(ZSTD_compressStream2(c, &out, &in, ZSTD_e_end), 0);
		r = ingest_bytes(f, out.dst, out.pos, NULL, &res);
		if (log == 24)
			assert_ok(r, &f->e);
		else
			assert_err(r, &f->e, ERR_CORRUPT, "memory");
		free(out.dst);
		buf_release(&tar);
	}
	ZSTD_freeCCtx(c);
}

/* --- many files ----------------------------------------------------------------------------- */

struct many {
	uint64_t n, max;
	bool same; /* one name for all */
	uint8_t block[512];
};

static struct many *many_new(uint64_t max)
{
	struct many *m = xcalloc(1, sizeof(*m));

	m->max = max;
	return m;
}

/* The header of the next file, made in place: a thousand per directory. */
static size_t next_file(void *source, const uint8_t **ret)
{
	struct many *m = source;
	char name[40];
	struct buf b;

	*ret = m->block;
	if (m->n == m->max)
		return 0;
	if (m->n++ > 0 && m->same)
		return sizeof(m->block);
	buf_init(&b, sizeof(m->block));
	snprintf(name, sizeof(name), "d%llu/file-%llu", (unsigned long long)m->n / 1000,
		 (unsigned long long)m->n);
	tar_header(&b, &(struct tar_entry){.name = name}, 0);
	memcpy(m->block, buf_data(&b), sizeof(m->block));
	buf_release(&b);
	return sizeof(m->block);
}

static uint64_t peak_memory(void)
{
	struct rusage ru;

	getrusage(RUSAGE_SELF, &ru);
	return (uint64_t)ru.ru_maxrss * KIB;
}

static double cpu_seconds(void)
{
	struct rusage ru;

	getrusage(RUSAGE_SELF, &ru);
	return (double)ru.ru_utime.tv_sec + (double)ru.ru_utime.tv_usec / 1e6;
}

/* A million files: what it takes is printed, and the memory is bounded. */
static void test_many_files(void **state)
{
	struct fixture *f = *state;
	struct many *m = many_new(MANY);
	struct ingest *in = ingest_start(&f->store, GIB, &f->e);
	struct erofs_options o = {0};
	struct ingest_result res;
	struct layer_index ix;
	const uint8_t *block;
	struct tree t;
	double start = cpu_seconds(), taken;
	uint64_t before = peak_memory(), blocks, used;
	_cleanup_close_ int fd = memfd_create("image", MFD_CLOEXEC);

	while (next_file(m, &block))
		assert_true(ingest_write(in, block, 512));
	assert_ok(ingest_finish(in, "x", NULL, &res, &f->e), &f->e);
	assert_ok(ingest_publish(in, &f->e), &f->e);
	ingest_free(in);
	taken = cpu_seconds() - start;
	/* The index is a file that is mapped, and the ingest keeps nothing of it. */
	used = peak_memory() - before;
	print_message("%u files: taken in with %.1f s and %llu MiB\n", MANY, taken,
		      (unsigned long long)(used / MIB));
	open_index(f, &res.diff_id, &ix);
	assert_int_equal(ix.info.n_entries, MANY);
	assert_ok(tree_init(&t, &f->e), &f->e);
	assert_ok(merge_layer(&t, &ix, 0, &f->e), &f->e);
	assert_int_equal(t.n_nodes, MANY + MANY / 1000 + 2);
	assert_ok(erofs_write(&t, &o, fd, &blocks, &f->e), &f->e);
	used = peak_memory() - before;
	print_message("and an image made of it: %.1f s, %llu MiB\n", cpu_seconds() - start,
		      (unsigned long long)(used / MIB));
	assert_true(used < 640 * MIB);
	tree_release(&t);
	layer_index_release(&ix);
	free(m);
}

static void test_too_many_files(void **state)
{
	struct many *m = many_new(LAYER_ENTRIES_MAX + 1);
	_cleanup_close_ int data_fd = memfd_create("data", MFD_CLOEXEC);
	_cleanup_close_ int index_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	struct blob_writer *data = blob_writer_new(data_fd, GIB);
	struct layer_writer *index = layer_writer_new(index_fd);
	struct err e = {0};

	m->same = true;
	assert_err(layer_tar_read(next_file, m, data, index, &e), &e, ERR_INVALID,
		   "more than 4194304 entries");
	blob_writer_free(data);
	layer_writer_free(index);
	free(m);
}

/* Layers that replace the same names again and again meet a limit before memory ends. */
static void test_memory_of_a_tree(void **state)
{
	struct err e = {0};
	struct tree t;

	assert_ok(tree_init(&t, &e), &e);
	assert_non_null(tree_alloc(&t, MIB, &e));
	assert_null(tree_alloc(&t, TREE_BYTES_MAX - MIB, &e));
	assert_err(-1, &e, ERR_INVALID, "too many files and attributes");
	assert_non_null(tree_alloc(&t, MIB, &e));
	tree_release(&t);
}

/* Links that lead through thousands of names at each step. */
static void test_long_ways(void **state)
{
	struct fixture *f = *state;
	char link[4001];
	struct stack s;

	stack_init(&s, f);
	TAR(&f->tar, .name = "d/", .type = '5', .mode = 0755);
	for (int i = 0; i < 30; i++) {
		_cleanup_free_ char *name = xasprintf("l%02d", i);

		for (size_t k = 0; k + 5 < sizeof(link); k += 5)
			memcpy(link + k, "d/../", 5);
		snprintf(link + 3990, 11, "l%02d", i - 1);
		if (i == 0)
			strcpy(link, "d");
		tar_pax_text(&f->tar, "linkpath", link);
		TAR(&f->tar, .name = name, .type = '2', .link = "x");
	}
	TAR(&f->tar, .name = "l01/near", .data = "x");
	assert_ok(stack_add(&s), &f->e);
	TAR(&f->tar, .name = "l29/far", .data = "x");
	assert_err(stack_add(&s), &f->e, ERR_CORRUPT, "lead about for too long");
	stack_release(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		store_test(test_many_files), /* first: it looks at the peak of memory */
		cmocka_unit_test(test_too_many_files),
		store_test(test_bombs_beyond_the_limit),
		store_test(test_padding_beyond_the_limit),
		store_test(test_zeroes_take_no_space),
		store_test(test_holes),
		store_test(test_endless_nothing),
		store_test(test_zstd_window),
		cmocka_unit_test(test_memory_of_a_tree),
		store_test(test_long_ways),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
