/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * The manifest of an archive may come after the layers, and a pipe cannot be read twice. So every
 * file that is not a JSON document is taken for a layer and goes straight into the store under
 * the diff_id that it turns out to have: content under its own digest is never wrong, at worst
 * it is of no use and goes with the next clean-up. A file that proves to be no layer is remembered
 * with the reason. When the archive is read, the documents tell which of it all makes an image.
 */
#include "image/load.h"

#include "base/cleanup.h"
#include "base/io.h"
#include "image/load_internal.h"
#include "image/hash.h"
#include "image/image.h"
#include "image/layer_index.h"
#include "image/manifest.h"

#include <errno.h>
#include <string.h>

#include <archive.h>
#include <archive_entry.h>

#define CHUNK_LEN (256 * KIB)
/* The smallest thing that can be a layer: a gzip or zstd stream of nothing is about this long. */
#define LAYER_MIN 9
#define LINKS_MAX 8

struct loader {
	struct load_items items;
	int fd;
	struct inflate *inflate;
	struct err read_err; /* of what lies below libarchive */
	uint8_t in[CHUNK_LEN];
	size_t in_pos, in_len;
	uint8_t plain[CHUNK_LEN]; /* what libarchive looks at */
	uint8_t chunk[CHUNK_LEN]; /* of an entry */
};

/* --- input --------------------------------------------------------------------------------- */

static ssize_t input_peek(void *source, const uint8_t **ret)
{
	struct loader *l = source;

	if (l->in_pos == l->in_len) {
		ssize_t n = read_full(l->fd, l->in, sizeof(l->in));

		if (n < 0) {
			err_sys(&l->read_err, (int)-n, "cannot read the archive");
			return -1;
		}
		l->in_pos = 0;
		l->in_len = (size_t)n;
	}
	*ret = l->in + l->in_pos;
	return (ssize_t)(l->in_len - l->in_pos);
}

static void input_consume(void *source, size_t n)
{
	struct loader *l = source;

	l->in_pos += n;
}

static la_ssize_t plain_read(struct archive *a, void *ctx, const void **ret)
{
	struct loader *l = ctx;
	struct err e = {0};
	ssize_t n = inflate_read(l->inflate, l->plain, sizeof(l->plain), &e);

	if (n < 0) {
		if (l->read_err.code == ERR_NONE)
			l->read_err = e;
		archive_set_error(a, EIO, "%s", e.msg);
		return ARCHIVE_FATAL;
	}
	*ret = l->plain;
	return n;
}

/* What libarchive reports, or rather what lies below it. */
static int read_failed(struct loader *l, struct archive *a, struct err *e)
{
	const char *s = archive_error_string(a);

	if (l->read_err.code != ERR_NONE && l->read_err.code != ERR_CORRUPT) {
		*e = l->read_err;
		return -1;
	}
	return err_set(e, ERR_CORRUPT, "the image archive is damaged: %s",
		       l->read_err.code != ERR_NONE ? l->read_err.msg
		       : s                          ? s
						    : "unknown error");
}

/* --- items --------------------------------------------------------------------------------- */

static struct load_item *add_item(struct loader *l, const char *path, struct err *e)
{
	struct load_items *a = &l->items;
	struct load_item *item;

	if (a->n == LOAD_ITEMS_MAX) {
		err_set(e, ERR_INVALID, "the archive has more than %d files", LOAD_ITEMS_MAX);
		return NULL;
	}
	if ((a->n & (a->n - 1)) == 0)
		a->v = xreallocarray(a->v, a->n ? a->n * 2 : 1, sizeof(*a->v));
	item = &a->v[a->n++];
	*item = (struct load_item){.path = xstrdup(path)};
	return item;
}

static void items_release(struct load_items *a)
{
	for (size_t i = 0; i < a->n; i++) {
		free(a->v[i].path);
		free(a->v[i].text);
		free(a->v[i].target);
		free(a->v[i].err);
	}
	free(a->v);
}

const struct load_item *load_find(const struct load_items *a, const char *path)
{
	for (int links = 0; path && links < LINKS_MAX; links++) {
		const struct load_item *found = NULL;

		/* Of duplicates the last counts, as in any tar. */
		for (size_t i = 0; i < a->n; i++)
			if (strcmp(a->v[i].path, path) == 0)
				found = &a->v[i];
		if (!found || found->type != LOAD_LINK)
			return found;
		path = found->target;
	}
	return NULL;
}

/* The path that a link at `path` refers to, owned; NULL when it leads outside. */
static char *link_target(const char *path, const char *link, bool symbolic)
{
	_cleanup_free_ char *joined = NULL;
	const char *slash = symbolic && *link != '/' ? strrchr(path, '/') : NULL;
	size_t dir_len = slash ? (size_t)(slash - path) : 0;
	char buf[LAYER_PATH_MAX];
	size_t len;

	/* docker save links "ID/layer.tar" to "../OTHER/layer.tar". */
	while (slash && str_starts_with(link, "../")) {
		const char *up = dir_len ? memrchr(path, '/', dir_len) : NULL;

		if (dir_len == 0)
			return NULL;
		link += 3;
		dir_len = up ? (size_t)(up - path) : 0;
	}
	joined = xasprintf("%.*s/%s", (int)dir_len, path, link);
	if (layer_path_normalise(joined, buf, &len))
		return NULL;
	return xstrndup(buf, len);
}

/* --- entries ------------------------------------------------------------------------------- */

static bool looks_like_json(const uint8_t *p, size_t n)
{
	size_t i = 0;

	while (i < n && (p[i] == ' ' || p[i] == '\t' || p[i] == '\r' || p[i] == '\n'))
		i++;
	return i < n && (p[i] == '{' || p[i] == '[');
}

static int take_text(struct loader *l, struct archive *a, const char *path, size_t first,
		     uint64_t size, struct err *e)
{
	struct load_item *item;
	_cleanup_free_ char *text = NULL;
	size_t len = first;

	if (size > LOAD_TEXTS_MAX - l->items.text_bytes)
		return err_set(e, ERR_INVALID, "the archive has too many documents");
	text = xmalloc((size_t)size + 1);
	memcpy(text, l->chunk, first);
	while (len < size) {
		la_ssize_t n = archive_read_data(a, text + len, (size_t)size - len);

		if (n < 0)
			return read_failed(l, a, e);
		if (n == 0)
			break;
		len += (size_t)n;
	}
	text[len] = '\0';
	item = add_item(l, path, e);
	if (!item)
		return -1;
	item->type = LOAD_TEXT;
	item->text = steal_ptr(&text);
	item->layer.blob_size = len;
	hash_bytes(item->text, len, &item->layer.blob_digest);
	l->items.text_bytes += len;
	return 0;
}

/* The digest that the path of a blob in an OCI layout promises. */
static bool promised_digest(const char *path, struct digest *ret)
{
	_cleanup_free_ char *text = NULL;

	if (!str_starts_with(path, "blobs/sha256/"))
		return false;
	text = xasprintf("sha256:%s", path + strlen("blobs/sha256/"));
	return digest_parse(text, ret) == 0;
}

static int publish_layer(struct loader *l, struct ingest *in, const struct ingest_result *result,
			 struct err *e)
{
	struct store *s = l->items.store;
	int lock = store_lock(s, STORE_LAYER_INDEX, &result->diff_id, e), r = 0;

	if (lock < 0)
		return -1;
	/* The same content may have come compressed in another way. */
	if (image_layer_present(s, &result->diff_id))
		r = ingest_publish_blob(in, e);
	else
		r = ingest_publish(in, e);
	store_unlock(s, STORE_LAYER_INDEX, &result->diff_id, lock);
	return r;
}

/* Feeds an entry to an ingest; `first` bytes of it are in the chunk already. */
static int feed_layer(struct loader *l, struct archive *a, struct ingest *in,
		      struct progress_layer *pl, bool report, size_t first, struct err *e)
{
	uint64_t done = first;
	bool useful = ingest_write(in, l->chunk, first);

	while (useful) {
		la_ssize_t n = archive_read_data(a, l->chunk, sizeof(l->chunk));

		if (n < 0)
			return read_failed(l, a, e);
		if (n == 0)
			break;
		useful = ingest_write(in, l->chunk, (size_t)n);
		done += (uint64_t)n;
		if (report)
			progress_layer(l->items.progress, pl, PROGRESS_DOWNLOADING, done);
	}
	return 0;
}

static int take_layer(struct loader *l, struct archive *a, const char *path, size_t first,
		      uint64_t size, struct err *e)
{
	struct ingest *in = ingest_start(l->items.store, l->items.o->max_size, e);
	struct progress_layer pl = {.total = size};
	bool promised = promised_digest(path, &pl.digest);
	struct ingest_result result;
	struct load_item *item;
	int r;

	if (!in)
		return -1;
	r = feed_layer(l, a, in, &pl, promised, first, e);
	if (r == 0 && promised)
		progress_layer(l->items.progress, &pl, PROGRESS_UNPACKING, size);
	if (r == 0) {
		r = ingest_finish(in, promised ? path + strlen("blobs/") : path,
				  promised ? &pl.digest : NULL, &result, e);
		if (r == 0) {
			pl.digest = result.blob_digest;
			r = publish_layer(l, in, &result, e);
			if (r == 0)
				progress_layer(l->items.progress, &pl, PROGRESS_DONE, size);
			item = r == 0 ? add_item(l, path, e) : NULL;
			if (item) {
				item->type = LOAD_LAYER;
				item->layer = result;
			}
			r = item ? 0 : -1;
		} else if (e->code == ERR_CORRUPT) {
			/* It may be something else; an image that needs it gets the error. */
			item = add_item(l, path, NULL);
			if (item) {
				item->type = LOAD_BAD;
				item->err = xmalloc(sizeof(*e));
				*item->err = *e;
				*e = (struct err){0};
				r = 0;
			}
		}
	}
	ingest_free(in);
	return r;
}

static int take_file(struct loader *l, struct archive *a, const char *path, uint64_t size,
		     struct err *e)
{
	la_ssize_t first = archive_read_data(a, l->chunk, sizeof(l->chunk));

	if (first < 0)
		return read_failed(l, a, e);
	/* The map of a sparse file may say so; libarchive does not mind. */
	if ((uint64_t)first > size)
		return err_set(
			e, ERR_CORRUPT,
			"the image archive's entry '%.200s' has more data than its size says",
			path);
	if (looks_like_json(l->chunk, (size_t)first) && size <= MANIFEST_MAX)
		return take_text(l, a, path, (size_t)first, size, e);
	if (first < LAYER_MIN)
		return 0;
	return take_layer(l, a, path, (size_t)first, size, e);
}

static int take_entry(struct loader *l, struct archive *a, struct archive_entry *ae, struct err *e)
{
	const char *raw = archive_entry_pathname(ae), *link = archive_entry_hardlink(ae), *why;
	_cleanup_free_ char *path = NULL;
	bool symbolic = !link && archive_entry_filetype(ae) == AE_IFLNK;
	char buf[LAYER_PATH_MAX];
	struct load_item *item;
	int64_t size = archive_entry_size(ae);
	size_t len;

	if (!raw || !*raw)
		return err_set(e, ERR_CORRUPT, "the image archive has an entry without a name");
	why = layer_path_normalise(raw, buf, &len);
	if (why)
		return err_set(e, ERR_CORRUPT, "the image archive's entry '%.200s' %s", raw, why);
	path = xstrndup(buf, len);
	if (symbolic)
		link = archive_entry_symlink(ae);
	if (link) {
		item = add_item(l, path, e);
		if (!item)
			return -1;
		item->type = LOAD_LINK;
		item->target = link_target(path, link, symbolic);
		return 0;
	}
	if (archive_entry_filetype(ae) != AE_IFREG)
		return 0;
	if (size < 0)
		return err_set(e, ERR_CORRUPT, "the image archive's entry '%.200s' has no size",
			       raw);
	return take_file(l, a, path, (uint64_t)size, e);
}

static int read_entries(struct loader *l, struct archive *a, struct err *e)
{
	const void *rest;

	for (;;) {
		struct archive_entry *ae;
		int status = archive_read_next_header(a, &ae);

		if (status == ARCHIVE_EOF)
			break;
		/* Names outside of ASCII draw warnings; see layer_tar.c. */
		if (status != ARCHIVE_OK && status != ARCHIVE_WARN)
			return read_failed(l, a, e);
		if (take_entry(l, a, ae, e) < 0)
			return -1;
	}
	/* To the end, so that a writer on a pipe can finish, and a cut-off archive shows. */
	for (;;) {
		la_ssize_t n = plain_read(a, l, &rest);

		if (n < 0)
			return read_failed(l, a, e);
		if (n == 0)
			return 0;
	}
}

json_t *load_archive(struct store *s, int fd, const struct load_options *o, struct progress *p,
		     struct err *e)
{
	struct loader *l = xcalloc(1, sizeof(*l));
	struct archive *a = archive_read_new();
	json_t *images = NULL;
	bool opened = false;

	l->items = (struct load_items){.store = s, .o = o, .progress = p};
	l->fd = fd;
	l->inflate = inflate_new(input_peek, input_consume, l);
	progress_stage(p, PROGRESS_DOWNLOAD);
	if (!a) {
		err_set(e, ERR_SYSTEM, "out of memory");
	} else {
		archive_read_support_format_tar(a);
		archive_read_set_read_callback(a, plain_read);
		archive_read_set_callback_data(a, l);
		/* Opening looks at the format already. */
		if (archive_read_open1(a) == ARCHIVE_OK)
			opened = true;
		else if (l->read_err.code == ERR_NONE)
			err_set(e, ERR_INVALID, "this is no image archive, nor any tar");
		else
			read_failed(l, a, e);
		if (opened && read_entries(l, a, e) == 0)
			images = load_make_images(&l->items, e);
	}
	archive_read_free(a);
	inflate_free(l->inflate);
	items_release(&l->items);
	free(l);
	return images;
}
