/* SPDX-License-Identifier: Apache-2.0 */
#include "image/kept_blob.h"

#include "base/cleanup.h"
#include "base/io.h"
#include "image/hash.h"
#include "image/inflate.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <zstd.h>

#define BUFFER_LEN (128 * KIB)
/* The fastest: it has to keep up with the network. */
#define LEVEL 1

/* --- writing ------------------------------------------------------------------------------- */

struct kept_writer {
	struct store *store;
	struct store_temp file;
	enum store_kind kind;
	uint8_t head[INFLATE_MAGIC_LEN]; /* the first bytes, until there are enough to tell */
	size_t head_len;
	bool told;
	ZSTD_CCtx *zstd; /* of a plain archive */
	uint8_t buffer[BUFFER_LEN];
};

struct kept_writer *kept_writer_new(struct store *s, struct err *e)
{
	struct kept_writer *w = xcalloc(1, sizeof(*w));

	w->store = s;
	w->file = (struct store_temp)STORE_TEMP_INIT;
	w->kind = STORE_BLOB;
	return store_temp_open(s, STORE_BLOB, &w->file, e) < 0 ? kept_writer_free(w) : w;
}

struct kept_writer *kept_writer_free(struct kept_writer *w)
{
	if (!w)
		return NULL;
	store_temp_drop(w->store, &w->file);
	ZSTD_freeCCtx(w->zstd);
	free(w);
	return NULL;
}

static int put(struct kept_writer *w, const void *data, size_t n, struct err *e)
{
	int r = write_full(w->file.fd, data, n);

	return r < 0 ? err_sys(e, -r, "cannot write to the image cache") : 0;
}

static int compress(struct kept_writer *w, const void *data, size_t n, ZSTD_EndDirective how,
		    struct err *e)
{
	ZSTD_inBuffer in = {.src = data, .size = n};
	size_t left;

	do {
		ZSTD_outBuffer out = {.dst = w->buffer, .size = BUFFER_LEN};

		left = ZSTD_compressStream2(w->zstd, &out, &in, how);
		if (ZSTD_isError(left))
			return err_set(e, ERR_SYSTEM, "cannot compress: %s",
				       ZSTD_getErrorName(left));
		if (put(w, w->buffer, out.pos, e) < 0)
			return -1;
	} while (how == ZSTD_e_end ? left > 0 : in.pos < in.size);
	return 0;
}

static int add(struct kept_writer *w, const void *data, size_t n, struct err *e)
{
	return w->zstd ? compress(w, data, n, ZSTD_e_continue, e) : put(w, data, n, e);
}

/* Once the first bytes are there, or there are no more: decides how the rest is kept. */
static int tell(struct kept_writer *w, struct err *e)
{
	w->told = true;
	if (inflate_sniff(w->head, w->head_len) == INFLATE_NONE) {
		w->kind = STORE_BLOB_ZSTD;
		w->zstd = ZSTD_createCCtx();
		if (!w->zstd)
			return err_set(e, ERR_SYSTEM, "out of memory");
		ZSTD_CCtx_setParameter(w->zstd, ZSTD_c_compressionLevel, LEVEL);
	}
	return add(w, w->head, w->head_len, e);
}

int kept_writer_add(struct kept_writer *w, const void *data, size_t n, struct err *e)
{
	const uint8_t *p = data;

	if (!w->told) {
		size_t k = MIN(n, sizeof(w->head) - w->head_len);

		memcpy(w->head + w->head_len, p, k);
		w->head_len += k;
		p += k;
		n -= k;
		if (w->head_len < sizeof(w->head))
			return 0;
		if (tell(w, e) < 0)
			return -1;
	}
	return n ? add(w, p, n, e) : 0;
}

int kept_writer_finish(struct kept_writer *w, struct err *e)
{
	if (!w->told && tell(w, e) < 0)
		return -1;
	return w->zstd ? compress(w, NULL, 0, ZSTD_e_end, e) : 0;
}

int kept_writer_publish(struct kept_writer *w, const struct digest *d, struct err *e)
{
	return store_temp_publish(w->store, &w->file, w->kind, d, STORE_SYNC_NONE, e);
}

/* --- reading ------------------------------------------------------------------------------- */

struct kept_reader {
	int fd;
	struct digest want;
	struct hash *hash;
	struct inflate *inflate; /* of what we have compressed ourselves */
	size_t pos, len;         /* of the buffer, which feeds it */
	uint8_t buffer[BUFFER_LEN];
};

static ssize_t file_peek(void *source, const uint8_t **ret)
{
	struct kept_reader *r = source;

	if (r->pos == r->len) {
		ssize_t n = read_full(r->fd, r->buffer, BUFFER_LEN);

		if (n < 0)
			return -1;
		r->pos = 0;
		r->len = (size_t)n;
	}
	*ret = r->buffer + r->pos;
	return (ssize_t)(r->len - r->pos);
}

static void file_consume(void *source, size_t n)
{
	struct kept_reader *r = source;

	r->pos += n;
}

bool kept_present(struct store *s, const struct digest *d)
{
	return store_size(s, STORE_BLOB, d) >= 0 || store_size(s, STORE_BLOB_ZSTD, d) >= 0;
}

struct kept_reader *kept_reader_open(struct store *s, const struct digest *d, struct err *e)
{
	bool packed = store_size(s, STORE_BLOB, d) < 0 && store_size(s, STORE_BLOB_ZSTD, d) >= 0;
	int fd = store_open_file(s, packed ? STORE_BLOB_ZSTD : STORE_BLOB, d, e);
	struct kept_reader *r;

	if (fd < 0)
		return NULL;
	r = xcalloc(1, sizeof(*r));
	r->fd = fd;
	r->want = *d;
	r->hash = hash_new();
	if (packed)
		r->inflate = inflate_new(file_peek, file_consume, r);
	return r;
}

struct kept_reader *kept_reader_free(struct kept_reader *r)
{
	if (!r)
		return NULL;
	close_fd(&r->fd);
	hash_free(r->hash);
	inflate_free(r->inflate);
	free(r);
	return NULL;
}

static ssize_t read_bytes(struct kept_reader *r, void *to, size_t n, struct err *e)
{
	ssize_t got;

	if (r->inflate)
		return inflate_read(r->inflate, to, n, e);
	got = read_full(r->fd, to, n);
	return got < 0 ? err_sys(e, (int)-got, "cannot read a layer in the image cache") : got;
}

ssize_t kept_read(struct kept_reader *r, void *to, size_t n, struct err *e)
{
	ssize_t got = read_bytes(r, to, n, e);
	char text[DIGEST_TEXT_LEN];
	struct digest found;

	if (got > 0)
		hash_update(r->hash, to, (size_t)got);
	if (got != 0)
		return got;
	hash_finish(r->hash, &found);
	if (digest_eq(&found, &r->want))
		return 0;
	digest_format(&r->want, text);
	return err_set(e, ERR_CORRUPT, "layer %s is damaged in the image cache", text);
}
