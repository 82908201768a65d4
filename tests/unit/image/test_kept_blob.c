/* SPDX-License-Identifier: Apache-2.0 */
/* Layers as they came: what was taken in can be read back byte for byte, or is called damaged. */
#include "fixture.h"

#include "image/kept_blob.h"

static int read_back(struct fixture *f, const struct digest *d, struct buf *out)
{
	struct kept_reader *r = kept_reader_open(&f->store, d, &f->e);
	ssize_t n = -1;

	buf_consume(out, buf_len(out));
	while (r && (n = kept_read(r, buf_reserve(out, 10000), 10000, &f->e)) > 0)
		buf_commit(out, (size_t)n);
	kept_reader_free(r);
	return n < 0 ? -1 : 0;
}

static void fill_tar(struct fixture *f)
{
	char name[32];

	for (int i = 0; i < 300; i++) {
		snprintf(name, sizeof(name), "file-%d", i);
		TAR(&f->tar, .name = name, .data = "the same text in every file");
	}
	tar_end(&f->tar);
}

/* Takes the bytes in as a layer and reads them back; returns the kept file's path. */
static char *round_trip(struct fixture *f, const struct buf *in, const char *suffix)
{
	struct ingest_result res;
	char hex[2 * DIGEST_LEN + 1];
	struct buf out;
	char *path;

	assert_ok(ingest_bytes(f, buf_data(in), buf_len(in), NULL, &res), &f->e);
	buf_init(&out, TAR_MAX);
	assert_ok(read_back(f, &res.blob_digest, &out), &f->e);
	assert_int_equal(buf_len(&out), buf_len(in));
	assert_memory_equal(buf_data(&out), buf_data(in), buf_len(in));
	digest_format_hex(&res.blob_digest, hex);
	path = xasprintf("%s/cache/blobs/sha256_%s%s", f->dir, hex, suffix);
	assert_true(path_exists(path));
	/* A flipped bit. */
	assert_int_equal(chmod(path, 0600), 0);
	{
		_cleanup_close_ int fd = open(path, O_RDWR | O_CLOEXEC);
		uint8_t b;

		assert_int_equal(pread(fd, &b, 1, 30), 1);
		b ^= 1;
		assert_int_equal(pwrite(fd, &b, 1, 30), 1);
	}
	assert_err(read_back(f, &res.blob_digest, &out), &f->e, ERR_CORRUPT, "");
	buf_release(&out);
	return path;
}

static void test_compressed(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *path = NULL;
	struct buf packed;
	struct stat st;

	fill_tar(f);
	buf_init(&packed, TAR_MAX);
	gzip_append(&packed, buf_data(&f->tar), buf_len(&f->tar));
	path = round_trip(f, &packed, "");
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, buf_len(&packed));
	buf_release(&packed);
}

/* A plain archive takes little room. */
static void test_plain(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *path = NULL;
	struct stat st;

	fill_tar(f);
	path = round_trip(f, &f->tar, ".zst");
	assert_int_equal(stat(path, &st), 0);
	assert_true((size_t)st.st_size < buf_len(&f->tar) / 4);
}

static void test_absent(void **state)
{
	struct fixture *f = *state;
	struct digest d;

	hash_bytes("x", 1, &d);
	assert_null(kept_reader_open(&f->store, &d, &f->e));
	assert_int_equal(f->e.code, ERR_NOT_FOUND);
}

/* Fewer bytes than tell a format. */
static void test_short(void **state)
{
	struct fixture *f = *state;
	struct kept_writer *w;
	struct digest d;
	struct buf out;

	buf_init(&out, TAR_MAX);
	for (size_t n = 0; n < 6; n++) {
		w = kept_writer_new(&f->store, &f->e);
		assert_non_null(w);
		for (size_t i = 0; i < n; i++)
			assert_ok(kept_writer_add(w, "abcdef" + i, 1, &f->e), &f->e);
		assert_ok(kept_writer_finish(w, &f->e), &f->e);
		hash_bytes("abcdef", n, &d);
		assert_ok(kept_writer_publish(w, &d, &f->e), &f->e);
		kept_writer_free(w);
		assert_ok(read_back(f, &d, &out), &f->e);
		assert_int_equal(buf_len(&out), n);
	}
	buf_release(&out);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		store_test(test_compressed),
		store_test(test_plain),
		store_test(test_absent),
		store_test(test_short),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
