/* SPDX-License-Identifier: Apache-2.0 */
/* A store in a directory of the test's own, and tar archives made byte by byte. */
#pragma once

#include "../testing.h"

#include "image/hash.h"
#include "image/ingest.h"
#include "image/layer_index.h"
#include "image/store.h"

#include <dirent.h>

#include <zlib.h>
#include <zstd.h>

#define TAR_MAX (64 * MIB)

struct fixture {
	char *dir;
	struct store store;
	struct buf tar;
	struct err e;
};

static inline int fixture_setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));

	*state = f;
	buf_init(&f->tar, TAR_MAX);
	return temp_setup((void **)&f->dir) < 0 ? -1 : store_open(&f->store, f->dir, &f->e);
}

static inline int fixture_teardown(void **state)
{
	struct fixture *f = *state;
	void *dir = f->dir;

	store_close(&f->store);
	buf_release(&f->tar);
	free(f);
	return temp_teardown(&dir);
}

#define store_test(f) cmocka_unit_test_setup_teardown(f, fixture_setup, fixture_teardown)

static inline void assert_ok(int r, const struct err *e)
{
	if (r < 0)
		fail_msg("%s: %s", err_code_name(e->code), e->msg);
}

/* A failure with that code whose message holds the text. */
static inline void assert_err(int r, struct err *e, enum err_code code, const char *text)
{
	assert_int_equal(r, -1);
	assert_string_equal(err_code_name(e->code), err_code_name(code));
	if (!strstr(e->msg, text))
		fail_msg("'%s' is not in '%s'", text, e->msg);
	*e = (struct err){0};
}

/* --- tar ----------------------------------------------------------------------------------- */

struct tar_entry {
	const char *name;
	char type; /* '0' when left out */
	const char *link;
	unsigned int mode, uid, gid; /* mode 0644 when left out */
	long long mtime;
	const char *data; /* text */
	size_t len;       /* of data that are no text */
	const char *size; /* raw size field, for lies */
	unsigned int major, minor;
};

static inline void put_octal(char *to, int digits, uint64_t v)
{
	while (digits-- > 0) {
		to[digits] = (char)('0' + (v & 7));
		v >>= 3;
	}
}

static inline void tar_header(struct buf *b, const struct tar_entry *t, size_t size)
{
	uint8_t *h = buf_reserve(b, 512);
	unsigned int sum = 0;
	char *c = (char *)h;

	memset(h, 0, 512);
	memcpy(c, t->name, MIN(strlen(t->name), (size_t)100));
	put_octal(c + 100, 7, (uint64_t)(t->mode ? t->mode : 0644));
	put_octal(c + 108, 7, (uint64_t)(t->uid));
	put_octal(c + 116, 7, (uint64_t)(t->gid));
	put_octal(c + 124, 11, (uint64_t)(size));
	if (t->size)
		memcpy(c + 124, t->size, 11);
	put_octal(c + 136, 11, (uint64_t)(t->mtime));
	c[156] = t->type ? t->type : '0';
	if (t->link)
		memcpy(c + 157, t->link, MIN(strlen(t->link), (size_t)100));
	memcpy(c + 257, "ustar\00000", 8);
	put_octal(c + 329, 7, (uint64_t)(t->major));
	put_octal(c + 337, 7, (uint64_t)(t->minor));
	memset(c + 148, ' ', 8);
	for (int i = 0; i < 512; i++)
		sum += h[i];
	put_octal(c + 148, 6, sum);
	c[154] = '\0';
	buf_commit(b, 512);
}

static inline void tar_pad(struct buf *b, size_t n)
{
	static const uint8_t zero[512];

	assert_int_equal(buf_append(b, zero, (512 - n % 512) % 512), 0);
}

static inline void tar_add(struct buf *b, struct tar_entry t)
{
	size_t len = t.data && !t.len ? strlen(t.data) : t.len;

	tar_header(b, &t, len);
	if (len)
		assert_int_equal(buf_append(b, t.data, len), 0);
	tar_pad(b, len);
}

#define TAR(b, ...) tar_add(b, (struct tar_entry){__VA_ARGS__})

/* One record of an extended header. */
static inline void pax_record(struct buf *rec, const char *key, const void *value, size_t n)
{
	size_t fixed = strlen(key) + n + 3, len = fixed + 1;
	char digits[24];

	while (len != fixed + (size_t)snprintf(digits, sizeof(digits), "%zu", len))
		len++;
	buf_printf(rec, "%zu %s=", len, key);
	buf_append(rec, value, n);
	buf_append(rec, "\n", 1);
}

/* The extended header of the next entry; there can be just one. */
static inline void tar_pax_records(struct buf *b, const struct buf *rec)
{
	tar_header(b, &(struct tar_entry){.name = "pax", .type = 'x'}, buf_len(rec));
	assert_int_equal(buf_append(b, buf_data(rec), buf_len(rec)), 0);
	tar_pad(b, buf_len(rec));
}

static inline void tar_pax(struct buf *b, const char *key, const void *value, size_t n)
{
	struct buf rec;

	buf_init(&rec, TAR_MAX);
	pax_record(&rec, key, value, n);
	tar_pax_records(b, &rec);
	buf_release(&rec);
}

static inline void tar_pax_text(struct buf *b, const char *key, const char *value)
{
	tar_pax(b, key, value, strlen(value));
}

static inline void tar_end(struct buf *b)
{
	static const uint8_t zero[1024];

	assert_int_equal(buf_append(b, zero, sizeof(zero)), 0);
}

/* A text of that length which repeats nowhere near a block's size, owned. */
static inline char *text_of(size_t n, unsigned int seed)
{
	char *text = xcalloc(1, n + 1);
	uint32_t x = seed * 2654435761U + 1;

	for (size_t i = 0; i < n; i++) {
		x = x * 1664525 + 1013904223;
		text[i] = (char)('a' + (x >> 24) % 26);
	}
	return text;
}

/* --- compression --------------------------------------------------------------------------- */

static inline void gzip_append(struct buf *out, const void *data, size_t n)
{
	z_stream z = {.next_in = (Bytef *)(uintptr_t)data, .avail_in = (uInt)n};
	size_t room;

	assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
	room = deflateBound(&z, n);
	z.next_out = buf_reserve(out, room);
	z.avail_out = (uInt)room;
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	buf_commit(out, room - z.avail_out);
	deflateEnd(&z);
}

static inline void zstd_append(struct buf *out, const void *data, size_t n)
{
	size_t room = ZSTD_compressBound(n);
	size_t got = ZSTD_compress(buf_reserve(out, room), room, data, n, 3);

	assert_false(ZSTD_isError(got));
	buf_commit(out, got);
}

/* --- layers -------------------------------------------------------------------------------- */

/* Takes bytes in as a layer and publishes it. */
static inline int ingest_bytes(struct fixture *f, const void *data, size_t n,
			       const struct digest *want, struct ingest_result *ret)
{
	struct ingest *in = ingest_start(&f->store, GIB, &f->e);
	const uint8_t *p = data;
	int r;

	assert_non_null(in);
	/* In odd pieces, so that every boundary comes up. */
	for (size_t k; n > 0; p += k, n -= k) {
		k = MIN(n, (size_t)1 + (n * 7919) % 3000);
		if (!ingest_write(in, p, k))
			break;
	}
	r = ingest_finish(in, "sha256:test", want, ret, &f->e);
	if (r == 0)
		r = ingest_publish(in, &f->e);
	ingest_free(in);
	return r;
}

/* Ends the fixture's archive, takes it in, and starts a new one. */
static inline int ingest_tar(struct fixture *f, struct ingest_result *ret)
{
	int r;

	tar_end(&f->tar);
	r = ingest_bytes(f, buf_data(&f->tar), buf_len(&f->tar), NULL, ret);
	buf_consume(&f->tar, buf_len(&f->tar));
	return r;
}

static inline void open_index(struct fixture *f, const struct digest *diff_id,
			      struct layer_index *ix)
{
	int fd = store_open_file(&f->store, STORE_LAYER_INDEX, diff_id, &f->e);

	assert_true(fd >= 0);
	assert_ok(layer_index_open(ix, fd, &f->e), &f->e);
	close(fd);
}

/* How many files of a folder of the cache have the text in their name. */
static inline int count_files(const struct fixture *f, const char *folder, const char *text)
{
	_cleanup_free_ char *path = xasprintf("%s/cache/%s", f->dir, folder);
	DIR *d = opendir(path);
	struct dirent *de;
	int n = 0;

	assert_non_null(d);
	while ((de = readdir(d)))
		n += de->d_name[0] && strcmp(de->d_name, ".") != 0 &&
		     strcmp(de->d_name, "..") != 0 && strstr(de->d_name, text) != NULL;
	closedir(d);
	return n;
}
