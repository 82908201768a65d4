/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

static void next_entry(const struct layer_index *ix, size_t *pos, struct layer_entry *ret)
{
	struct err e = {0};

	if (layer_index_next(ix, pos, ret, &e) != 1)
		fail_msg("no entry: %s", e.msg);
}

static void assert_path(const struct layer_entry *entry, const char *path)
{
	_cleanup_free_ char *got = xstrndup(entry->path, entry->path_len);

	assert_string_equal(got, path);
}

static void assert_link(const struct layer_entry *entry, const char *link)
{
	_cleanup_free_ char *got = xstrndup(entry->link, entry->link_len);

	assert_string_equal(got, link);
}

static void test_types(void **state)
{
	struct fixture *f = *state;
	struct ingest_result res;
	struct layer_index ix;
	struct layer_entry en;
	struct digest want;
	/* With a whole block and a tail, a long last block, and a tail alone. */
	_cleanup_free_ char *text = text_of(5000, 1);
	char data[4096];
	size_t pos = 0;
	int fd;

	TAR(&f->tar, .name = "./", .type = '5', .mode = 01777, .mtime = 5);
	TAR(&f->tar, .name = "./a//b/./", .type = '5', .mode = 0750, .uid = 7, .gid = 8);
	TAR(&f->tar, .name = "/a/b/file", .data = text, .mode = 04755, .mtime = 1700000000);
	TAR(&f->tar, .name = "empty");
	TAR(&f->tar, .name = "sym", .type = '2', .link = "../../etc/passwd");
	TAR(&f->tar, .name = "hard", .type = '1', .link = "./a/b/file");
	TAR(&f->tar, .name = "chr", .type = '3', .major = 1, .minor = 300);
	TAR(&f->tar, .name = "blk", .type = '4', .major = 259, .minor = 1);
	TAR(&f->tar, .name = "fifo", .type = '6');
	TAR(&f->tar, .name = "second", .data = text + 2000);
	TAR(&f->tar, .name = "third", .data = text + 4500);
	hash_bytes(buf_data(&f->tar), buf_len(&f->tar), &want);
	assert_ok(ingest_tar(f, &res), &f->e);
	assert_int_equal(res.data_size, 8192);
	assert_int_equal(res.format, INFLATE_NONE);
	assert_true(digest_eq(&res.diff_id, &res.blob_digest));
	open_index(f, &res.diff_id, &ix);
	assert_int_equal(ix.info.n_entries, 11);
	next_entry(&ix, &pos, &en);
	assert_path(&en, "");
	assert_int_equal(en.type, LAYER_DIR);
	assert_int_equal(en.mode, 01777);
	assert_int_equal(en.mtime, 5);
	next_entry(&ix, &pos, &en);
	assert_path(&en, "a/b");
	assert_int_equal(en.uid, 7);
	assert_int_equal(en.gid, 8);
	next_entry(&ix, &pos, &en);
	assert_path(&en, "a/b/file");
	assert_int_equal(en.type, LAYER_FILE);
	assert_int_equal(en.mode, 04755);
	assert_int_equal(en.size, 5000);
	assert_int_equal(en.offset, 0);
	assert_int_equal(en.tail_len, 904);
	assert_memory_equal(en.tail, text + 4096, 904);
	assert_int_equal(en.mtime, 1700000000);
	next_entry(&ix, &pos, &en);
	assert_int_equal(en.size, 0);
	next_entry(&ix, &pos, &en);
	assert_int_equal(en.type, LAYER_SYMLINK);
	assert_link(&en, "../../etc/passwd");
	next_entry(&ix, &pos, &en);
	assert_int_equal(en.type, LAYER_HARDLINK);
	assert_link(&en, "a/b/file");
	next_entry(&ix, &pos, &en);
	assert_int_equal(en.type, LAYER_CHAR);
	assert_int_equal(en.major, 1);
	assert_int_equal(en.minor, 300);
	next_entry(&ix, &pos, &en);
	assert_int_equal(en.type, LAYER_BLOCK_DEV);
	next_entry(&ix, &pos, &en);
	assert_int_equal(en.type, LAYER_FIFO);
	next_entry(&ix, &pos, &en);
	assert_int_equal(en.offset, 4096);
	assert_int_equal(en.size, 3000);
	assert_int_equal(en.tail_len, 0);
	next_entry(&ix, &pos, &en);
	assert_int_equal(en.offset, 0);
	assert_int_equal(en.size, 500);
	assert_int_equal(en.tail_len, 500);
	assert_memory_equal(en.tail, text + 4500, 500);
	assert_int_equal(layer_index_next(&ix, &pos, &en, &f->e), 0);
	layer_index_release(&ix);
	fd = store_open_file(&f->store, STORE_LAYER_DATA, &res.diff_id, &f->e);
	assert_int_equal(pread(fd, data, 4096, 0), 4096);
	assert_memory_equal(data, text, 4096);
	assert_int_equal(pread(fd, data, 3000, 4096), 3000);
	assert_memory_equal(data, text + 2000, 3000);
	close(fd);
	assert_int_equal(store_size(&f->store, STORE_LAYER_DATA, &res.diff_id), 8192);
}

static void test_whiteouts(void **state)
{
	struct fixture *f = *state;
	struct ingest_result res;
	struct layer_index ix;
	struct layer_entry en;
	size_t pos = 0;

	TAR(&f->tar, .name = "a/.wh.gone");
	TAR(&f->tar, .name = ".wh.top", .data = "ignored");
	TAR(&f->tar, .name = "a/.wh..wh..opq");
	TAR(&f->tar, .name = ".wh..wh..opq");
	TAR(&f->tar, .name = ".wh..wh.plnk/", .type = '5');
	assert_ok(ingest_tar(f, &res), &f->e);
	assert_int_equal(res.data_size, 0);
	assert_int_equal(count_files(f, "layers", ".data2"), 0);
	open_index(f, &res.diff_id, &ix);
	next_entry(&ix, &pos, &en);
	assert_int_equal(en.type, LAYER_WHITEOUT);
	assert_path(&en, "a/gone");
	next_entry(&ix, &pos, &en);
	assert_int_equal(en.type, LAYER_WHITEOUT);
	assert_path(&en, "top");
	next_entry(&ix, &pos, &en);
	assert_int_equal(en.type, LAYER_OPAQUE);
	assert_path(&en, "a");
	next_entry(&ix, &pos, &en);
	assert_int_equal(en.type, LAYER_OPAQUE);
	assert_path(&en, "");
	assert_int_equal(layer_index_next(&ix, &pos, &en, &f->e), 0);
	layer_index_release(&ix);
}

/* Names are bytes: neither accents nor bad UTF-8 may be touched. */
static void test_pax(void **state)
{
	static const char *const names[] = {"nfd-e\xcc\x81", "bad-\xff\xfe", "nfc-\xc3\xa9"};
	struct fixture *f = *state;
	struct ingest_result res;
	struct layer_index ix;
	struct layer_entry en;
	struct layer_xattr x;
	char longname[1200];
	size_t pos = 0, xpos = 0;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		tar_pax_text(&f->tar, "path", names[i]);
		TAR(&f->tar, .name = "short");
	}
	for (size_t i = 0; i < sizeof(longname); i++)
		longname[i] = i % 100 == 99 ? '/' : 'n';
	longname[sizeof(longname) - 2] = 'x';
	longname[sizeof(longname) - 1] = '\0';
	tar_pax_text(&f->tar, "path", longname);
	TAR(&f->tar, .name = "short");
	tar_pax_text(&f->tar, "linkpath", longname);
	TAR(&f->tar, .name = "link", .type = '2', .link = "short");
	tar_pax(&f->tar, "SCHILY.xattr.security.capability", "\1\0\0\2\0", 5);
	TAR(&f->tar, .name = "caps");
	tar_pax_text(&f->tar, "uid", "4000000000");
	TAR(&f->tar, .name = "big-uid");
	tar_pax_text(&f->tar, "mtime", "1700000000.123456789");
	TAR(&f->tar, .name = "time");
	assert_ok(ingest_tar(f, &res), &f->e);
	open_index(f, &res.diff_id, &ix);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		next_entry(&ix, &pos, &en);
		assert_path(&en, names[i]);
	}
	next_entry(&ix, &pos, &en);
	assert_path(&en, longname);
	next_entry(&ix, &pos, &en);
	assert_link(&en, longname);
	next_entry(&ix, &pos, &en);
	assert_int_equal(en.n_xattrs, 1);
	assert_true(layer_xattr_next(en.xattrs, en.xattrs_len, &xpos, &x));
	assert_int_equal(x.name_len, strlen("security.capability"));
	assert_memory_equal(x.name, "security.capability", x.name_len);
	assert_int_equal(x.value_len, 5);
	assert_memory_equal(x.value, "\1\0\0\2\0", 5);
	assert_false(layer_xattr_next(en.xattrs, en.xattrs_len, &xpos, &x));
	next_entry(&ix, &pos, &en);
	assert_int_equal(en.uid, 4000000000U);
	next_entry(&ix, &pos, &en);
	assert_int_equal(en.mtime_ns, 123456789);
	layer_index_release(&ix);
}

/* More attributes than any file has: names would be compared for ever. */
static void many_xattrs(struct buf *tar)
{
	struct buf rec;

	buf_init(&rec, MIB);
	for (unsigned int i = 0; i <= LAYER_XATTR_COUNT_MAX; i++) {
		_cleanup_free_ char *key = xasprintf("SCHILY.xattr.user.%u", i);

		pax_record(&rec, key, "v", 1);
	}
	tar_pax_records(tar, &rec);
	buf_release(&rec);
}

static void add_hostile(struct buf *tar, int which)
{
	static char big[70000], path[5000];

	memset(big, 'v', sizeof(big));
	memset(path, 'p', sizeof(path));
	switch (which) {
	case 0:
		TAR(tar, .name = "../evil", .data = "x");
		break;
	case 1:
		TAR(tar, .name = "a/../../evil", .data = "x");
		break;
	case 2:
		TAR(tar, .name = "", .data = "x");
		break;
	case 3:
		TAR(tar, .name = "h", .type = '1', .link = "../../etc/passwd");
		break;
	case 4:
		TAR(tar, .name = "h", .type = '1', .link = ".");
		break;
	case 5:
		TAR(tar, .name = "s", .type = '2', .link = "");
		break;
	case 6:
		TAR(tar, .name = "f", .size = "77777777777", .data = "x");
		break;
	case 7:
		tar_pax(tar, "path", path, 300);
		TAR(tar, .name = "x");
		break;
	case 8:
		for (size_t i = 100; i < sizeof(path); i += 100)
			path[i] = '/';
		tar_pax(tar, "path", path, sizeof(path));
		TAR(tar, .name = "x");
		break;
	case 9:
		tar_pax(tar, "SCHILY.xattr.user.big", big, sizeof(big));
		TAR(tar, .name = "x");
		break;
	case 10:
		TAR(tar, .name = "d", .type = '3', .major = 0xffff, .minor = 0);
		break;
	case 11:
		TAR(tar, .name = ".wh.", .data = "");
		break;
	case 12:
		TAR(tar, .name = "a/.wh...", .data = "");
		break;
	case 13:
		TAR(tar, .name = "x", .data = "1");
		buf_append(tar, big, 512); /* a header without a right checksum */
		break;
	case 14:
		tar_pax_text(tar, "size", "-5");
		TAR(tar, .name = "x");
		break;
	case 15:
		tar_pax_text(tar, "uid", "99999999999999");
		TAR(tar, .name = "x");
		break;
	case 16:
		TAR(tar, .name = "./", .type = '2', .link = "x");
		break;
	case 17:
		tar_pax_text(tar, "size", "9223372036854775807");
		TAR(tar, .name = "x");
		break;
	case 18:
		memcpy(path, "9999 path=x\n", 12);
		tar_header(tar, &(struct tar_entry){.name = "pax", .type = 'x'}, 12);
		buf_append(tar, path, 12);
		tar_pad(tar, 12);
		TAR(tar, .name = "x");
		break;
	case 19: /* a bomb of attributes */
		tar_header(tar, &(struct tar_entry){.name = "pax", .type = 'x'}, 40 * MIB);
		for (int i = 0; i < 600; i++)
			buf_append(tar, big, sizeof(big));
		break;
	case 20:
		many_xattrs(tar);
		TAR(tar, .name = "x");
		break;
	default:
		fail();
	}
}

static void test_hostile(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 21; i++) {
		struct ingest_result res;

		TAR(&f->tar, .name = "fine", .data = "x");
		add_hostile(&f->tar, i);
		if (ingest_tar(f, &res) == 0)
			fail_msg("case %d was accepted", i);
		if (f->e.code != ERR_CORRUPT && f->e.code != ERR_INVALID)
			fail_msg("case %d: %s", i, f->e.msg);
		assert_non_null(strstr(f->e.msg, "layer sha256:test"));
		assert_int_equal(count_files(f, "layers", ""), 0);
		f->e = (struct err){0};
	}
}

static void test_compression(void **state)
{
	struct fixture *f = *state;
	struct buf gz, zs;
	struct ingest_result plain, res;
	size_t half;

	for (int i = 0; i < 500; i++) {
		_cleanup_free_ char *name = xasprintf("file-%d", i);

		TAR(&f->tar, .name = name, .data = name);
	}
	tar_end(&f->tar);
	buf_init(&gz, MIB);
	buf_init(&zs, MIB);
	half = buf_len(&f->tar) / 2;
	/* Several members, several frames, and a frame to skip. */
	gzip_append(&gz, buf_data(&f->tar), half);
	gzip_append(&gz, buf_data(&f->tar) + half, buf_len(&f->tar) - half);
	zstd_append(&zs, buf_data(&f->tar), half);
	buf_append(&zs, "\x53\x2a\x4d\x18\x04\0\0\0abcd", 12);
	zstd_append(&zs, buf_data(&f->tar) + half, buf_len(&f->tar) - half);
	assert_ok(ingest_bytes(f, buf_data(&f->tar), buf_len(&f->tar), NULL, &plain), &f->e);
	assert_ok(ingest_bytes(f, buf_data(&gz), buf_len(&gz), NULL, &res), &f->e);
	assert_int_equal(res.format, INFLATE_GZIP);
	assert_true(digest_eq(&res.diff_id, &plain.diff_id));
	assert_int_equal(res.blob_size, buf_len(&gz));
	assert_ok(ingest_bytes(f, buf_data(&zs), buf_len(&zs), NULL, &res), &f->e);
	assert_int_equal(res.format, INFLATE_ZSTD);
	assert_true(digest_eq(&res.diff_id, &plain.diff_id));
	/* Cut off, damaged, or with something behind. */
	for (size_t cut = 1; cut < buf_len(&gz); cut += 997)
		assert_err(ingest_bytes(f, buf_data(&gz), buf_len(&gz) - cut, NULL, &res), &f->e,
			   ERR_CORRUPT, "is corrupt");
	for (size_t cut = 1; cut < buf_len(&zs); cut += 397)
		assert_err(ingest_bytes(f, buf_data(&zs), buf_len(&zs) - cut, NULL, &res), &f->e,
			   ERR_CORRUPT, "is corrupt");
	gz.mem[gz.start + 1000] ^= 0x55;
	assert_err(ingest_bytes(f, buf_data(&gz), buf_len(&gz), NULL, &res), &f->e, ERR_CORRUPT,
		   "gzip");
	gz.mem[gz.start + 1000] ^= 0x55;
	buf_append(&gz, "garbage", 7);
	assert_err(ingest_bytes(f, buf_data(&gz), buf_len(&gz), NULL, &res), &f->e, ERR_CORRUPT,
		   "is corrupt");
	buf_release(&gz);
	buf_release(&zs);
}

static void test_digests(void **state)
{
	struct fixture *f = *state;
	struct ingest_result res;
	struct digest d, wrong = {{1, 2, 3}};
	_cleanup_free_ char *text = NULL;

	text = text_of(2000, 1);
	TAR(&f->tar, .name = "a", .data = text);
	tar_end(&f->tar);
	hash_bytes(buf_data(&f->tar), buf_len(&f->tar), &d);
	assert_err(ingest_bytes(f, buf_data(&f->tar), buf_len(&f->tar), &wrong, &res), &f->e,
		   ERR_CORRUPT, "layer sha256:test does not match its digest");
	assert_int_equal(count_files(f, "layers", ""), 0);
	/* The digest is what is named even when the archive is nonsense as well. */
	assert_err(ingest_bytes(f, "\x1f\x8bnonsense", 10, &wrong, &res), &f->e, ERR_CORRUPT,
		   "does not match its digest");
	assert_ok(ingest_bytes(f, buf_data(&f->tar), buf_len(&f->tar), &d, &res), &f->e);
	assert_int_equal(count_files(f, "layers", ""), 2);
}

static void test_limits(void **state)
{
	struct fixture *f = *state;
	struct ingest *in;
	struct ingest_result res;
	char *big = xcalloc(1, 2 * MIB);

	TAR(&f->tar, .name = "a", .data = big, .len = 2 * MIB);
	tar_end(&f->tar);
	in = ingest_start(&f->store, MIB, &f->e);
	ingest_write(in, buf_data(&f->tar), buf_len(&f->tar));
	assert_err(ingest_finish(in, "x", NULL, &res, &f->e), &f->e, ERR_INVALID, "limit");
	ingest_free(in);
	/* Given up half-way. */
	in = ingest_start(&f->store, GIB, &f->e);
	assert_true(ingest_write(in, buf_data(&f->tar), buf_len(&f->tar) / 2));
	ingest_free(in);
	assert_int_equal(count_files(f, "layers", ""), 0);
	free(big);
}

static void test_empty_and_cut(void **state)
{
	struct fixture *f = *state;
	struct ingest_result res;

	assert_ok(ingest_tar(f, &res), &f->e);
	assert_int_equal(res.data_size, 0);
	assert_ok(ingest_bytes(f, "", 0, NULL, &res), &f->e);
	TAR(&f->tar, .name = "a", .data = "0123456789");
	assert_err(ingest_bytes(f, buf_data(&f->tar), 515, NULL, &res), &f->e, ERR_CORRUPT,
		   "Truncated");
	assert_err(ingest_bytes(f, buf_data(&f->tar), 400, NULL, &res), &f->e, ERR_CORRUPT,
		   "layer sha256:test is corrupt");
	assert_err(ingest_bytes(f, "this is no archive at all, is it", 32, NULL, &res), &f->e,
		   ERR_CORRUPT, "layer sha256:test is corrupt");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		store_test(test_types),   store_test(test_whiteouts),     store_test(test_pax),
		store_test(test_hostile), store_test(test_compression),   store_test(test_digests),
		store_test(test_limits),  store_test(test_empty_and_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
