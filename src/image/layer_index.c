/* SPDX-License-Identifier: Apache-2.0 */
#include "image/layer_index.h"

#include "base/cleanup.h"
#include "base/io.h"
#include "base/crc32c.h"
#include "image/hash.h"
#include "image/le.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define MAGIC         "MSBLAYER"
#define VERSION       2
#define ENTRY_LEN     64
#define XATTR_LEN     8
#define BUFFER_LEN    (256 * KIB)
#define ENTRY_MAX_LEN (ENTRY_LEN + 2 * LAYER_PATH_MAX + LAYER_XATTRS_MAX + LAYER_TAIL_MAX + 8)

struct layer_writer {
	int fd;
	struct hash *hash;
	uint64_t n_entries, body_len;
	uint64_t flushed; /* of the body */
	size_t used;
	uint8_t buffer[BUFFER_LEN];
};

bool layer_path_valid(const char *path, size_t len)
{
	if (len > LAYER_PATH_MAX || memchr(path, '\0', len))
		return false;
	for (size_t i = 0; i < len; i++) {
		const char *part = path + i;
		const char *slash = memchr(part, '/', len - i);
		size_t n = slash ? (size_t)(slash - part) : len - i;

		if (n == 0 || n > LAYER_NAME_MAX || (n == 1 && part[0] == '.') ||
		    (n == 2 && part[0] == '.' && part[1] == '.'))
			return false;
		i += n;
		if (i + 1 == len)
			return false; /* ends with a slash */
	}
	return true;
}

const char *layer_path_normalise(const char *s, char out[LAYER_PATH_MAX], size_t *ret_len)
{
	size_t len = 0;

	while (*s) {
		size_t n = strcspn(s, "/");

		if (n == 2 && s[0] == '.' && s[1] == '.')
			return "has '..' in its path";
		if (n > LAYER_NAME_MAX)
			return "has a name that is too long";
		if (n > 0 && !(n == 1 && s[0] == '.')) {
			if (len + n + 1 > LAYER_PATH_MAX)
				return "has a path that is too long";
			if (len)
				out[len++] = '/';
			memcpy(out + len, s, n);
			len += n;
		}
		s += n;
		s += strspn(s, "/");
	}
	*ret_len = len;
	return NULL;
}

size_t layer_tail_len(uint64_t size)
{
	size_t tail = (size_t)(size % LAYER_BLOCK);

	return tail <= LAYER_TAIL_MAX ? tail : 0;
}

/* --- writing ------------------------------------------------------------------------------- */

struct layer_writer *layer_writer_new(int fd)
{
	struct layer_writer *w = xmalloc(sizeof(*w));

	w->fd = fd;
	w->hash = hash_new();
	w->n_entries = w->body_len = w->flushed = 0;
	w->used = 0;
	return w;
}

struct layer_writer *layer_writer_free(struct layer_writer *w)
{
	if (w)
		hash_free(w->hash);
	free(w);
	return NULL;
}

static int writer_flush(struct layer_writer *w, struct err *e)
{
	int r = pwrite_full(w->fd, w->buffer, w->used, LAYER_INDEX_HEADER_LEN + w->flushed);

	if (r < 0)
		return err_sys(e, -r, "cannot write to the image cache");
	hash_update(w->hash, w->buffer, w->used);
	w->flushed += w->used;
	w->used = 0;
	return 0;
}

int layer_writer_add(struct layer_writer *w, const struct layer_entry *entry, struct err *e)
{
	size_t len =
		ENTRY_LEN + entry->path_len + entry->link_len + entry->xattrs_len + entry->tail_len;
	size_t padded = ALIGN_UP(len, (size_t)8);
	uint8_t *p;

	static_assert(ENTRY_MAX_LEN < BUFFER_LEN, "an entry fits the buffer");
	if (entry->path_len > LAYER_PATH_MAX || entry->link_len > LAYER_PATH_MAX ||
	    entry->xattrs_len > LAYER_XATTRS_MAX || entry->n_xattrs > LAYER_XATTR_COUNT_MAX ||
	    entry->tail_len > LAYER_TAIL_MAX)
		return err_set(e, ERR_INTERNAL, "layer entry too large");
	if (BUFFER_LEN - w->used < padded && writer_flush(w, e) < 0)
		return -1;
	p = w->buffer + w->used;
	memset(p, 0, ENTRY_LEN);
	put_le32(p, (uint32_t)padded);
	p[4] = (uint8_t)entry->type;
	put_le16(p + 6, entry->mode);
	put_le32(p + 8, entry->uid);
	put_le32(p + 12, entry->gid);
	put_le32(p + 16, entry->major);
	put_le32(p + 20, entry->minor);
	put_le64(p + 24, (uint64_t)entry->mtime);
	put_le32(p + 32, entry->mtime_ns);
	put_le32(p + 36, (uint32_t)entry->xattrs_len);
	put_le64(p + 40, entry->size);
	put_le64(p + 48, entry->offset);
	put_le16(p + 56, (uint16_t)entry->path_len);
	put_le16(p + 58, (uint16_t)entry->link_len);
	put_le16(p + 60, (uint16_t)entry->n_xattrs);
	put_le16(p + 62, (uint16_t)entry->tail_len);
	p += ENTRY_LEN;
	p = mempcpy(p, entry->path, entry->path_len);
	if (entry->link_len)
		p = mempcpy(p, entry->link, entry->link_len);
	if (entry->xattrs_len)
		p = mempcpy(p, entry->xattrs, entry->xattrs_len);
	if (entry->tail_len)
		p = mempcpy(p, entry->tail, entry->tail_len);
	memset(p, 0, padded - len);
	w->used += padded;
	w->body_len += padded;
	w->n_entries++;
	return 0;
}

size_t layer_xattr_len(const struct layer_xattr *x)
{
	return XATTR_LEN + x->name_len + x->value_len;
}

uint8_t *layer_xattr_put(uint8_t *out, const struct layer_xattr *x)
{
	put_le16(out, (uint16_t)x->name_len);
	put_le16(out + 2, 0);
	put_le32(out + 4, (uint32_t)x->value_len);
	out = mempcpy(out + XATTR_LEN, x->name, x->name_len);
	return x->value_len ? mempcpy(out, x->value, x->value_len) : out;
}

int layer_writer_finish(struct layer_writer *w, const struct digest *diff_id, uint64_t data_size,
			struct err *e)
{
	uint8_t h[LAYER_INDEX_HEADER_LEN] = {0};
	struct digest body;
	int r;

	if (writer_flush(w, e) < 0)
		return -1;
	hash_finish(w->hash, &body);
	memcpy(h, MAGIC, 8);
	put_le32(h + 8, VERSION);
	put_le32(h + 12, LAYER_INDEX_HEADER_LEN);
	memcpy(h + 16, diff_id->b, DIGEST_LEN);
	put_le64(h + 48, data_size);
	put_le64(h + 56, w->n_entries);
	put_le64(h + 64, w->body_len);
	memcpy(h + 72, body.b, DIGEST_LEN);
	put_le32(h + 124, crc32c(~0U, h, 124));
	r = pwrite_full(w->fd, h, sizeof(h), 0);
	return r < 0 ? err_sys(e, -r, "cannot write to the image cache") : 0;
}

/* --- reading ------------------------------------------------------------------------------- */

static int damaged(struct err *e, const char *what)
{
	return err_set(e, ERR_CORRUPT, "damaged layer index: %s", what);
}

static int parse_header(const uint8_t *h, struct layer_info *ret, struct err *e)
{
	static const uint8_t zero[20];

	if (memcmp(h, MAGIC, 8) != 0)
		return damaged(e, "bad magic");
	if (get_le32(h + 124) != crc32c(~0U, h, 124))
		return damaged(e, "bad checksum");
	if (get_le32(h + 8) != VERSION || get_le32(h + 12) != LAYER_INDEX_HEADER_LEN)
		return damaged(e, "unknown version");
	memcpy(ret->diff_id.b, h + 16, DIGEST_LEN);
	ret->data_size = get_le64(h + 48);
	ret->n_entries = get_le64(h + 56);
	ret->body_len = get_le64(h + 64);
	memcpy(ret->body_digest.b, h + 72, DIGEST_LEN);
	if (memcmp(h + 104, zero, sizeof(zero)) != 0)
		return damaged(e, "unknown fields");
	if (ret->n_entries > LAYER_ENTRIES_MAX || ret->data_size % LAYER_BLOCK != 0 ||
	    ret->data_size / LAYER_BLOCK > UINT32_MAX || ret->body_len % 8 != 0 ||
	    ret->body_len > ret->n_entries * ENTRY_MAX_LEN)
		return damaged(e, "impossible sizes");
	return 0;
}

int layer_info_read(int fd, struct layer_info *ret, struct err *e)
{
	uint8_t h[LAYER_INDEX_HEADER_LEN];
	ssize_t r = pread_full(fd, h, sizeof(h), 0);
	struct layer_info info = {0};
	struct stat st;

	if (r < 0 || fstat(fd, &st) < 0)
		return err_sys(e, r < 0 ? (int)-r : errno, "cannot read a layer index");
	if (r != sizeof(h))
		return damaged(e, "too short");
	if (parse_header(h, &info, e) < 0)
		return -1;
	if ((uint64_t)st.st_size != LAYER_INDEX_HEADER_LEN + info.body_len)
		return damaged(e, "wrong size");
	*ret = info;
	return 0;
}

int layer_index_open(struct layer_index *ix, int fd, struct err *e)
{
	struct digest body;
	void *map;

	*ix = (struct layer_index){0};
	if (layer_info_read(fd, &ix->info, e) < 0)
		return -1;
	ix->map_len = LAYER_INDEX_HEADER_LEN + (size_t)ix->info.body_len;
	map = mmap(NULL, ix->map_len, PROT_READ, MAP_PRIVATE, fd, 0);
	if (map == MAP_FAILED)
		return err_sys(e, errno, "cannot read a layer index");
	ix->map = map;
	hash_bytes(ix->map + LAYER_INDEX_HEADER_LEN, (size_t)ix->info.body_len, &body);
	if (!digest_eq(&body, &ix->info.body_digest)) {
		layer_index_release(ix);
		return damaged(e, "wrong digest");
	}
	return 0;
}

void layer_index_release(struct layer_index *ix)
{
	if (ix->map)
		munmap((void *)(uintptr_t)ix->map, ix->map_len);
	ix->map = NULL;
}

/* Walks over the encoded attributes; false unless they fill the space exactly. */
static bool xattrs_valid(const struct layer_entry *entry)
{
	struct layer_xattr x;
	size_t pos = 0;
	uint32_t n = 0;

	if (entry->n_xattrs > LAYER_XATTR_COUNT_MAX)
		return false;
	while (layer_xattr_next(entry->xattrs, entry->xattrs_len, &pos, &x)) {
		if (x.name_len == 0 || x.name_len > LAYER_NAME_MAX ||
		    x.value_len > LAYER_XATTR_VALUE_MAX || memchr(x.name, '\0', x.name_len))
			return false;
		n++;
	}
	return pos == entry->xattrs_len && n == entry->n_xattrs;
}

static bool content_valid(const struct layer_index *ix, const struct layer_entry *entry)
{
	if (entry->type != LAYER_FILE)
		return entry->size == 0 && entry->offset == 0 && entry->tail_len == 0;
	if (entry->tail_len != layer_tail_len(entry->size))
		return false;
	return entry->offset % LAYER_BLOCK == 0 && entry->offset <= ix->info.data_size &&
	       entry->size - entry->tail_len <= ix->info.data_size - entry->offset;
}

static bool link_valid(const struct layer_entry *entry)
{
	if (entry->type == LAYER_HARDLINK)
		return entry->link_len > 0 && layer_path_valid(entry->link, entry->link_len);
	if (entry->type == LAYER_SYMLINK)
		return entry->link_len > 0 && entry->link_len <= LAYER_PATH_MAX &&
		       !memchr(entry->link, '\0', entry->link_len);
	return entry->link_len == 0;
}

int layer_index_next(const struct layer_index *ix, size_t *pos, struct layer_entry *ret,
		     struct err *e)
{
	const uint8_t *p = ix->map + LAYER_INDEX_HEADER_LEN + *pos;
	size_t left = (size_t)ix->info.body_len - *pos, len, rest;
	struct layer_entry entry = {0};

	if (left == 0)
		return 0;
	if (left < ENTRY_LEN)
		return damaged(e, "entry cut off");
	len = get_le32(p);
	entry.type = (enum layer_entry_type)p[4];
	entry.mode = get_le16(p + 6);
	entry.uid = get_le32(p + 8);
	entry.gid = get_le32(p + 12);
	entry.major = get_le32(p + 16);
	entry.minor = get_le32(p + 20);
	entry.mtime = (int64_t)get_le64(p + 24);
	entry.mtime_ns = get_le32(p + 32);
	entry.xattrs_len = get_le32(p + 36);
	entry.size = get_le64(p + 40);
	entry.offset = get_le64(p + 48);
	entry.path_len = get_le16(p + 56);
	entry.link_len = get_le16(p + 58);
	entry.n_xattrs = get_le16(p + 60);
	entry.tail_len = get_le16(p + 62);
	rest = entry.path_len + entry.link_len + entry.xattrs_len + entry.tail_len;
	if (len < ENTRY_LEN || len > left || entry.xattrs_len > LAYER_XATTRS_MAX ||
	    ALIGN_UP(ENTRY_LEN + rest, (size_t)8) != len)
		return damaged(e, "bad entry size");
	entry.path = (const char *)p + ENTRY_LEN;
	entry.link = entry.path + entry.path_len;
	entry.xattrs = (const uint8_t *)entry.link + entry.link_len;
	entry.tail = entry.xattrs + entry.xattrs_len;
	if (p[4] < LAYER_FILE || p[4] > LAYER_OPAQUE || p[5] != 0 || entry.mode > 07777 ||
	    entry.mtime_ns >= 1000000000)
		return damaged(e, "bad entry");
	if (!layer_path_valid(entry.path, entry.path_len) || !link_valid(&entry))
		return damaged(e, "bad path");
	if (entry.path_len == 0 && entry.type != LAYER_DIR && entry.type != LAYER_OPAQUE)
		return damaged(e, "root is not a directory");
	if (!content_valid(ix, &entry) || !xattrs_valid(&entry))
		return damaged(e, "bad entry content");
	*ret = entry;
	*pos += len;
	return 1;
}

bool layer_xattr_next(const uint8_t *xattrs, size_t len, size_t *pos, struct layer_xattr *ret)
{
	size_t left = len - *pos;
	const uint8_t *p;

	if (left < XATTR_LEN)
		return false;
	p = xattrs + *pos;
	ret->name_len = get_le16(p);
	ret->value_len = get_le32(p + 4);
	if (get_le16(p + 2) != 0 || ret->name_len + ret->value_len > left - XATTR_LEN)
		return false;
	ret->name = (const char *)p + XATTR_LEN;
	ret->value = p + XATTR_LEN + ret->name_len;
	*pos += XATTR_LEN + ret->name_len + ret->value_len;
	return true;
}
