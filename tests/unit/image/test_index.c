/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include "base/crc32c.h"
#include "image/le.h"

/* An index of three entries; returns a descriptor on it. */
static int make_index(struct fixture *f)
{
	_cleanup_free_ char *path = xasprintf("%s/index", f->dir);
	struct layer_writer *w;
	static const uint8_t xattrs[] = {6,   0,   0,   0,   2,   0,   0,   0,
					 'u', 's', 'e', 'r', '.', 'x', 'h', 'i'};
	static const char tail[905] = "the tail";
	const struct layer_entry entries[] = {
		{.type = LAYER_DIR, .mode = 0755, .path = "", .path_len = 0},
		{.type = LAYER_FILE,
		 .mode = 0644,
		 .path = "a/b",
		 .path_len = 3,
		 .size = 5000,
		 .tail = (const uint8_t *)tail,
		 .tail_len = 904,
		 .offset = 4096,
		 .uid = 1,
		 .gid = 2,
		 .mtime = -7,
		 .mtime_ns = 9,
		 .xattrs = xattrs,
		 .xattrs_len = sizeof(xattrs),
		 .n_xattrs = 1},
		{.type = LAYER_SYMLINK, .path = "l", .path_len = 1, .link = "../x", .link_len = 4},
	};
	const struct digest id = {{1}};
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	w = layer_writer_new(fd);
	for (size_t i = 0; i < ARRAY_SIZE(entries); i++)
		assert_ok(layer_writer_add(w, &entries[i], &f->e), &f->e);
	assert_ok(layer_writer_finish(w, &id, 12288, &f->e), &f->e);
	layer_writer_free(w);
	return fd;
}

/* Opens and reads everything. */
static int read_index(int fd, struct err *e)
{
	struct layer_index ix;
	struct layer_entry en;
	size_t pos = 0;
	int r;

	if (layer_index_open(&ix, fd, e) < 0)
		return -1;
	while ((r = layer_index_next(&ix, &pos, &en, e)) > 0)
		;
	layer_index_release(&ix);
	return r;
}

static void test_round_trip(void **state)
{
	struct fixture *f = *state;
	_cleanup_close_ int fd = make_index(f);
	struct layer_index ix;
	struct layer_entry en;
	struct layer_xattr x;
	size_t pos = 0, xpos = 0;

	assert_ok(layer_index_open(&ix, fd, &f->e), &f->e);
	assert_int_equal(ix.info.n_entries, 3);
	assert_int_equal(ix.info.data_size, 12288);
	assert_int_equal(ix.info.diff_id.b[0], 1);
	assert_int_equal(layer_index_next(&ix, &pos, &en, &f->e), 1);
	assert_int_equal(en.path_len, 0);
	assert_int_equal(layer_index_next(&ix, &pos, &en, &f->e), 1);
	assert_int_equal(en.size, 5000);
	assert_int_equal(en.offset, 4096);
	assert_int_equal(en.uid, 1);
	assert_int_equal(en.gid, 2);
	assert_int_equal(en.mtime, -7);
	assert_int_equal(en.mtime_ns, 9);
	assert_memory_equal(en.path, "a/b", 3);
	assert_true(layer_xattr_next(en.xattrs, en.xattrs_len, &xpos, &x));
	assert_memory_equal(x.name, "user.x", 6);
	assert_memory_equal(x.value, "hi", 2);
	assert_int_equal(en.tail_len, 904);
	assert_memory_equal(en.tail, "the tail\0", 10);
	assert_int_equal(layer_index_next(&ix, &pos, &en, &f->e), 1);
	assert_memory_equal(en.link, "../x", 4);
	assert_int_equal(layer_index_next(&ix, &pos, &en, &f->e), 0);
	layer_index_release(&ix);
}

/* Any changed byte is noticed. */
static void test_damage(void **state)
{
	struct fixture *f = *state;
	_cleanup_close_ int fd = make_index(f);
	off_t size = lseek(fd, 0, SEEK_END);

	for (off_t i = 0; i < size; i++) {
		uint8_t byte, bad;

		assert_int_equal(pread(fd, &byte, 1, i), 1);
		bad = byte ^ 0x10;
		assert_int_equal(pwrite(fd, &bad, 1, i), 1);
		assert_err(read_index(fd, &f->e), &f->e, ERR_CORRUPT, "damaged layer index");
		assert_int_equal(pwrite(fd, &byte, 1, i), 1);
	}
	assert_ok(read_index(fd, &f->e), &f->e);
	assert_int_equal(ftruncate(fd, size - 1), 0);
	assert_err(read_index(fd, &f->e), &f->e, ERR_CORRUPT, "size");
	assert_int_equal(ftruncate(fd, 50), 0);
	assert_err(read_index(fd, &f->e), &f->e, ERR_CORRUPT, "short");
}

/* Makes the checksums fit again, so that the parser itself is met. */
static void sign(int fd)
{
	_cleanup_free_ uint8_t *all = NULL;
	off_t size = lseek(fd, 0, SEEK_END);
	struct digest d;

	all = xmalloc((size_t)size);
	assert_int_equal(pread(fd, all, (size_t)size, 0), size);
	hash_bytes(all + LAYER_INDEX_HEADER_LEN, (size_t)size - LAYER_INDEX_HEADER_LEN, &d);
	memcpy(all + 72, d.b, DIGEST_LEN);
	put_le32(all + 124, crc32c(~0U, all, 124));
	assert_int_equal(pwrite(fd, all, LAYER_INDEX_HEADER_LEN, 0), LAYER_INDEX_HEADER_LEN);
}

/* An index of another version is no index, however intact. */
static void test_other_version(void **state)
{
	struct fixture *f = *state;
	_cleanup_close_ int fd = make_index(f);
	struct layer_info info;

	assert_ok(layer_info_read(fd, &info, &f->e), &f->e);
	assert_int_equal(pwrite(fd, "\1", 1, 8), 1);
	sign(fd);
	assert_err(layer_info_read(fd, &info, &f->e), &f->e, ERR_CORRUPT, "unknown version");
}

/* Every byte of the body takes every value: no crash, no entry out of bounds. */
static void test_forged(void **state)
{
	struct fixture *f = *state;
	_cleanup_close_ int fd = make_index(f);
	off_t size = lseek(fd, 0, SEEK_END);

	for (off_t i = LAYER_INDEX_HEADER_LEN; i < size; i++) {
		uint8_t byte;

		assert_int_equal(pread(fd, &byte, 1, i), 1);
		for (int v = 0; v < 256; v += 5) {
			uint8_t bad = (uint8_t)(byte + v);

			assert_int_equal(pwrite(fd, &bad, 1, i), 1);
			sign(fd);
			if (read_index(fd, &f->e) < 0)
				assert_int_equal(f->e.code, ERR_CORRUPT);
		}
		assert_int_equal(pwrite(fd, &byte, 1, i), 1);
	}
	sign(fd);
	assert_ok(read_index(fd, &f->e), &f->e);
}

static void test_paths(void **state)
{
	static const char *const good[] = {"", "a", "a/b", "...", "a/..b", ".a", "-", " "};
	static const char *const bad[] = {"/",   "/a",   "a/",  "a//b", ".",    "..",
					  "a/.", "a/..", "./a", "../a", "a/./b"};
	static const struct {
		const char *in, *out;
	} norm[] = {
		{"a", "a"}, {"./a", "a"}, {"/a", "a"},      {"///a//b/", "a/b"}, {"./././a/.", "a"},
		{".", ""},  {"/", ""},    {"a/./b", "a/b"}, {"...", "..."},
	};
	char out[LAYER_PATH_MAX], name[300];
	size_t len;

	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_true(layer_path_valid(good[i], strlen(good[i])));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (layer_path_valid(bad[i], strlen(bad[i])))
			fail_msg("'%s' is valid", bad[i]);
	assert_false(layer_path_valid("a\0b", 3));
	memset(name, 'n', sizeof(name));
	assert_true(layer_path_valid(name, 255));
	assert_false(layer_path_valid(name, 256));
	for (size_t i = 0; i < ARRAY_SIZE(norm); i++) {
		assert_null(layer_path_normalise(norm[i].in, out, &len));
		assert_int_equal(len, strlen(norm[i].out));
		assert_memory_equal(out, norm[i].out, len);
		assert_true(layer_path_valid(out, len));
	}
	assert_non_null(layer_path_normalise("a/../b", out, &len));
	assert_non_null(layer_path_normalise("..", out, &len));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		store_test(test_round_trip),    store_test(test_damage),
		store_test(test_other_version), store_test(test_forged),
		cmocka_unit_test(test_paths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
