/* SPDX-License-Identifier: Apache-2.0 */
#include "image/layer_tar.h"

#include "image/blob_writer.h"
#include "image/layer_index.h"

#include <stdlib.h>
#include <string.h>

#include <archive.h>
#include <archive_entry.h>

#define WHITEOUT_PREFIX ".wh."
#define WHITEOUT_META   ".wh..wh."
#define WHITEOUT_OPAQUE ".wh..wh..opq"

#define MAJOR_MAX 0xfffU
#define MINOR_MAX 0xfffffU

struct reader {
	layer_tar_read_fn *read;
	void *source;
	struct blob_writer *data;
	struct layer_writer *index;
	uint64_t n_entries;
	size_t xattrs_len;
	char path[LAYER_PATH_MAX], link[LAYER_PATH_MAX];
	uint8_t xattrs[LAYER_XATTRS_MAX];
	uint8_t tail[LAYER_TAIL_MAX];
};

static la_ssize_t read_block(struct archive *a, void *ctx, const void **ret)
{
	struct reader *r = ctx;
	const uint8_t *p = NULL;
	size_t n = r->read(r->source, &p);

	*ret = p;
	return (la_ssize_t)n;
}

static int corrupt(struct err *e, const char *path, const char *why)
{
	return err_set(e, ERR_CORRUPT, "archive entry '%.200s' %s", path ? path : "", why);
}

/*
 * libarchive warns when a name cannot be shown in the character set of the locale, which is C here
 * on purpose: names are bytes to us, and it then hands them over as they are. (In a UTF-8 locale
 * it would change them: it composes accents.) Every other warning is damage.
 */
static bool warning_is_harmless(struct archive *a)
{
	const char *s = archive_error_string(a);

	return s && strstr(s, "can't be converted from");
}

static int archive_failed(struct archive *a, struct err *e)
{
	const char *s = archive_error_string(a);

	return err_set(e, ERR_CORRUPT, "damaged tar archive: %s", s ? s : "unknown error");
}

/* Recognises ".wh." names; changes type and path. Returns 0, 1 to ignore the entry, or -1. */
static int apply_whiteout(struct layer_entry *entry, struct err *e)
{
	const char *slash = entry->path_len ? memrchr(entry->path, '/', entry->path_len) : NULL;
	const char *base = slash ? slash + 1 : entry->path;
	size_t base_len = entry->path_len - (size_t)(base - entry->path);
	size_t dir_len = slash ? (size_t)(slash - entry->path) : 0;
	const size_t prefix = strlen(WHITEOUT_PREFIX);

	if (base_len < prefix || memcmp(base, WHITEOUT_PREFIX, prefix) != 0)
		return 0;
	if (base_len == strlen(WHITEOUT_OPAQUE) && memcmp(base, WHITEOUT_OPAQUE, base_len) == 0) {
		*entry = (struct layer_entry){
			.type = LAYER_OPAQUE, .path = entry->path, .path_len = dir_len};
		return 0;
	}
	if (base_len >= strlen(WHITEOUT_META) &&
	    memcmp(base, WHITEOUT_META, strlen(WHITEOUT_META)) == 0)
		return 1;
	/* "dir/.wh.name" becomes "dir/name". */
	memmove((char *)(uintptr_t)base, base + prefix, base_len - prefix);
	entry->path_len -= prefix;
	*entry = (struct layer_entry){
		.type = LAYER_WHITEOUT, .path = entry->path, .path_len = entry->path_len};
	if (base_len == prefix || !layer_path_valid(entry->path, entry->path_len))
		return err_set(e, ERR_CORRUPT, "whiteout entry '%.*s' names nothing",
			       (int)MIN(entry->path_len, (size_t)200), entry->path);
	return 0;
}

static int read_xattrs(struct reader *r, struct archive_entry *ae, struct layer_entry *entry,
		       struct err *e)
{
	const char *path = archive_entry_pathname(ae), *name;
	const void *value;
	size_t value_len;

	r->xattrs_len = 0;
	archive_entry_xattr_reset(ae);
	while (archive_entry_xattr_next(ae, &name, &value, &value_len) == ARCHIVE_OK) {
		const struct layer_xattr x = {
			.name = name,
			.name_len = name ? strlen(name) : 0,
			.value = value,
			.value_len = value_len,
		};

		if (x.name_len == 0 || x.name_len > LAYER_NAME_MAX)
			return corrupt(e, path, "has an extended attribute with a bad name");
		if (entry->n_xattrs == LAYER_XATTR_COUNT_MAX)
			return corrupt(e, path, "has too many extended attributes");
		if (value_len > LAYER_XATTR_VALUE_MAX ||
		    layer_xattr_len(&x) > sizeof(r->xattrs) - r->xattrs_len)
			return corrupt(e, path, "has extended attributes that are too large");
		layer_xattr_put(r->xattrs + r->xattrs_len, &x);
		r->xattrs_len += layer_xattr_len(&x);
		entry->n_xattrs++;
	}
	entry->xattrs = r->xattrs;
	entry->xattrs_len = r->xattrs_len;
	return 0;
}

static int read_ids(struct archive_entry *ae, struct layer_entry *entry, struct err *e)
{
	int64_t uid = archive_entry_uid(ae), gid = archive_entry_gid(ae);
	long ns = archive_entry_mtime_nsec(ae);

	/* The highest number means "no change" to the kernel and is no owner. */
	if (uid < 0 || uid >= UINT32_MAX || gid < 0 || gid >= UINT32_MAX)
		return corrupt(e, archive_entry_pathname(ae), "has an impossible owner");
	entry->uid = (uint32_t)uid;
	entry->gid = (uint32_t)gid;
	entry->mode = (uint16_t)(archive_entry_perm(ae) & 07777);
	entry->mtime = archive_entry_mtime(ae);
	entry->mtime_ns = ns >= 0 && ns < 1000000000 ? (uint32_t)ns : 0;
	return 0;
}

static int read_type(struct reader *r, struct archive_entry *ae, struct layer_entry *entry,
		     struct err *e)
{
	const char *path = archive_entry_pathname(ae), *link = archive_entry_hardlink(ae), *why;
	dev_t major, minor;

	if (link) {
		why = layer_path_normalise(link, r->link, &entry->link_len);
		if (why || entry->link_len == 0)
			return corrupt(e, path,
				       why ? "is a hard link to outside of the image"
					   : "is a hard link to nothing");
		entry->type = LAYER_HARDLINK;
		entry->link = r->link;
		return 0;
	}
	switch (archive_entry_filetype(ae)) {
	case AE_IFREG:
		entry->type = LAYER_FILE;
		return 0;
	case AE_IFDIR:
		entry->type = LAYER_DIR;
		return 0;
	case AE_IFIFO:
		entry->type = LAYER_FIFO;
		return 0;
	case AE_IFLNK:
		entry->type = LAYER_SYMLINK;
		entry->link = archive_entry_symlink(ae);
		entry->link_len = entry->link ? strlen(entry->link) : 0;
		if (entry->link_len == 0 || entry->link_len > LAYER_PATH_MAX)
			return corrupt(e, path, "is a symbolic link with a bad target");
		return 0;
	case AE_IFCHR:
	case AE_IFBLK:
		entry->type = archive_entry_filetype(ae) == AE_IFCHR ? LAYER_CHAR : LAYER_BLOCK_DEV;
		major = archive_entry_rdevmajor(ae);
		minor = archive_entry_rdevminor(ae);
		if (major > MAJOR_MAX || minor > MINOR_MAX)
			return corrupt(e, path, "has an impossible device number");
		entry->major = (uint32_t)major;
		entry->minor = (uint32_t)minor;
		return 0;
	default:
		return corrupt(e, path, "has an unknown type");
	}
}

/* Puts a piece of a content where it belongs: the blob, and what is behind `body` the tail. */
static int write_piece(struct reader *r, uint64_t body, size_t tail_len, uint64_t pos,
		       const uint8_t *p, size_t n, struct err *e)
{
	size_t k = pos < body ? (size_t)MIN((uint64_t)n, body - pos) : 0;

	if (k && blob_writer_write(r->data, pos, p, k, e) < 0)
		return -1;
	if (k == n)
		return 0;
	pos += k;
	p += k;
	n -= k;
	if (pos - body > tail_len || n > tail_len - (pos - body))
		return err_set(e, ERR_CORRUPT, "an entry has more data than its size says");
	memcpy(r->tail + (pos - body), p, n);
	return 0;
}

static int copy_content(struct reader *r, struct archive *a, struct archive_entry *ae,
			struct layer_entry *entry, struct err *e)
{
	size_t tail_len = layer_tail_len(entry->size);
	uint64_t body = entry->size - tail_len, next = 0;

	if (blob_writer_begin(r->data, body, &entry->offset, e) < 0)
		return -1;
	/* What takes no room has no place. */
	if (body == 0)
		entry->offset = 0;
	/* The archive may leave out zeroes. */
	memset(r->tail, 0, tail_len);
	entry->tail = r->tail;
	entry->tail_len = tail_len;
	for (;;) {
		const void *p;
		size_t n;
		la_int64_t offset;
		int status = archive_read_data_block(a, &p, &n, &offset);

		if (status == ARCHIVE_EOF)
			return 0;
		if (status != ARCHIVE_OK)
			return archive_failed(a, e);
		if (offset < 0)
			return err_set(e, ERR_CORRUPT, "damaged tar archive: bad sparse map");
		/* A map that names a place twice would leave it to chance what is there. */
		if (n && (uint64_t)offset < next)
			return corrupt(e, archive_entry_pathname(ae), "has its data out of order");
		next = (uint64_t)offset + n;
		if (n && write_piece(r, body, tail_len, (uint64_t)offset, p, n, e) < 0)
			return -1;
	}
}

static int read_entry(struct reader *r, struct archive *a, struct archive_entry *ae, struct err *e)
{
	const char *path = archive_entry_pathname(ae), *why;
	struct layer_entry entry = {0};
	int64_t size = archive_entry_size(ae);
	int skip;

	if (++r->n_entries > LAYER_ENTRIES_MAX)
		return err_set(e, ERR_INVALID, "the archive has more than %u entries",
			       LAYER_ENTRIES_MAX);
	if (!path || !*path)
		return corrupt(e, path, "has an empty name");
	why = layer_path_normalise(path, r->path, &entry.path_len);
	if (why)
		return corrupt(e, path, why);
	entry.path = r->path;
	if (read_ids(ae, &entry, e) < 0 || read_type(r, ae, &entry, e) < 0 ||
	    read_xattrs(r, ae, &entry, e) < 0)
		return -1;
	if (entry.path_len == 0 && entry.type != LAYER_DIR)
		return corrupt(e, path, "replaces the root directory");
	skip = apply_whiteout(&entry, e);
	if (skip)
		return skip < 0 ? -1 : 0;
	if (entry.type == LAYER_FILE) {
		if (size < 0)
			return corrupt(e, path, "has an impossible size");
		entry.size = (uint64_t)size;
		if (copy_content(r, a, ae, &entry, e) < 0)
			return -1;
	}
	return layer_writer_add(r->index, &entry, e);
}

static struct archive *open_archive(struct reader *r, struct err *e)
{
	struct archive *a = archive_read_new();

	if (!a) {
		err_set(e, ERR_SYSTEM, "out of memory");
		return NULL;
	}
	archive_read_support_format_tar(a);
	archive_read_support_format_empty(a);
	archive_read_set_read_callback(a, read_block);
	archive_read_set_callback_data(a, r);
	if (archive_read_open1(a) == ARCHIVE_OK)
		return a;
	archive_failed(a, e);
	archive_read_free(a);
	return NULL;
}

int layer_tar_read(layer_tar_read_fn *read, void *source, struct blob_writer *data,
		   struct layer_writer *index, struct err *e)
{
	struct reader *r = xcalloc(1, sizeof(*r));
	struct archive *a;
	int ret = -1;

	r->read = read;
	r->source = source;
	r->data = data;
	r->index = index;
	a = open_archive(r, e);
	while (a) {
		struct archive_entry *ae;
		int status = archive_read_next_header(a, &ae);

		if (status == ARCHIVE_EOF) {
			ret = 0;
			break;
		}
		if (status != ARCHIVE_OK && !(status == ARCHIVE_WARN && warning_is_harmless(a))) {
			archive_failed(a, e);
			break;
		}
		if (read_entry(r, a, ae, e) < 0)
			break;
	}
	archive_read_free(a);
	free(r);
	return ret;
}
