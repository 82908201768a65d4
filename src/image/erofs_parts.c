/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The variable parts of an EROFS inode: directories and attributes.
 *
 * A directory is a sequence of 4 KiB blocks, the last one possibly shorter. Each block is
 *
 *	entries, 12 bytes each: u64 nid, u16 offset of the name, u8 type, u8 zero
 *	names, one after the other, not terminated
 *
 * The first entry's name offset tells how many entries there are; a name ends where the next one
 * starts, the last one at a zero byte or at the end. Names are sorted bytewise over the whole
 * directory, "." and ".." among them.
 *
 * Attributes are a 12-byte header (all zero here: nothing is shared) and entries of
 * u8 name length, u8 name prefix, u16 value size, name without prefix, value, padded to 4 bytes.
 */
#include "image/erofs_layout.h"

#include "image/layer_index.h"
#include "image/le.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define DIRENT_LEN       12U
#define XATTR_HEADER_LEN 12U
#define XATTR_ENTRY_LEN  4U

static const struct {
	const char *prefix;
	uint8_t index;
	bool whole; /* the name is just that */
} xattr_prefixes[] = {
	{"user.", 1, false},
	{"system.posix_acl_access", 2, true},
	{"system.posix_acl_default", 3, true},
	{"trusted.", 4, false},
	{"security.", 6, false},
};

static bool xattr_starts_with(const struct layer_xattr *x, const char *prefix)
{
	size_t n = strlen(prefix);

	return x->name_len >= n && memcmp(x->name, prefix, n) == 0;
}

/*
 * Which prefix an attribute has, or -1 for one that is left out: EROFS cannot keep it, or it is
 * an overlay mark that would change what the guest's root overlay makes of the image.
 */
static int xattr_prefix(const struct layer_xattr *x)
{
	if (xattr_starts_with(x, "trusted.overlay.") || xattr_starts_with(x, "user.overlay."))
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(xattr_prefixes); i++) {
		size_t n = strlen(xattr_prefixes[i].prefix);

		if (xattr_starts_with(x, xattr_prefixes[i].prefix) &&
		    (xattr_prefixes[i].whole ? x->name_len == n : x->name_len > n))
			return (int)i;
	}
	return -1;
}

/* Whether an attribute with the same name comes behind `pos`. */
static bool xattr_is_overridden(const struct tree_inode *inode, const struct layer_xattr *x,
				size_t pos)
{
	struct layer_xattr y;

	while (layer_xattr_next(inode->xattrs, inode->xattrs_len, &pos, &y))
		if (y.name_len == x->name_len && memcmp(y.name, x->name, x->name_len) == 0)
			return true;
	return false;
}

/* The next attribute that is not left out, and its prefix. */
static bool xattr_next(const struct tree_inode *inode, size_t *pos, struct layer_xattr *x,
		       int *ret_prefix)
{
	while (layer_xattr_next(inode->xattrs, inode->xattrs_len, pos, x)) {
		*ret_prefix = xattr_prefix(x);
		if (*ret_prefix >= 0 && !xattr_is_overridden(inode, x, *pos))
			return true;
	}
	return false;
}

/* The encoded size of an attribute without its padding. */
static uint32_t xattr_entry_len(const struct layer_xattr *x, int prefix)
{
	return XATTR_ENTRY_LEN +
	       (uint32_t)(x->name_len - strlen(xattr_prefixes[prefix].prefix) + x->value_len);
}

int64_t erofs_xattr_len(const struct tree_inode *inode)
{
	struct layer_xattr x;
	uint64_t len = 0;
	size_t pos = 0;
	int prefix;

	while (xattr_next(inode, &pos, &x, &prefix))
		len += ALIGN_UP(xattr_entry_len(&x, prefix), 4U);
	if (len == 0)
		return 0;
	len += XATTR_HEADER_LEN;
	return len > EROFS_XATTR_MAX ? -1 : (int64_t)len;
}

void erofs_xattr_encode(const struct tree_inode *inode, uint8_t *out)
{
	struct layer_xattr x;
	size_t pos = 0;
	int prefix;

	memset(out, 0, XATTR_HEADER_LEN);
	out += XATTR_HEADER_LEN;
	while (xattr_next(inode, &pos, &x, &prefix)) {
		size_t skip = strlen(xattr_prefixes[prefix].prefix);
		uint32_t len = xattr_entry_len(&x, prefix);
		uint8_t *p;

		out[0] = (uint8_t)(x.name_len - skip);
		out[1] = xattr_prefixes[prefix].index;
		put_le16(out + 2, (uint16_t)x.value_len);
		p = mempcpy(out + XATTR_ENTRY_LEN, x.name + skip, x.name_len - skip);
		p = mempcpy(p, x.value, x.value_len);
		memset(p, 0, ALIGN_UP(len, 4U) - len);
		out += ALIGN_UP(len, 4U);
	}
}

/* --- directories --------------------------------------------------------------------------- */

static int compare_bytes(const char *a, size_t an, const char *b, size_t bn)
{
	int r = memcmp(a, b, MIN(an, bn));

	return r ? r : (an > bn) - (an < bn);
}

static int compare_nodes(const void *a, const void *b)
{
	const struct tree_node *x = *(struct tree_node *const *)a;
	const struct tree_node *y = *(struct tree_node *const *)b;

	return compare_bytes(x->name, x->name_len, y->name, y->name_len);
}

uint32_t erofs_dir_sort(struct tree_node *dir, struct tree_node **scratch)
{
	struct tree_node **link = &dir->children;
	uint32_t n = 0;

	for (struct tree_node *c = dir->children; c; c = c->next)
		scratch[n++] = c;
	qsort(scratch, n, sizeof(struct tree_node *), compare_nodes);
	for (uint32_t i = 0; i < n; i++) {
		*link = scratch[i];
		scratch[i]->prev = i ? scratch[i - 1] : NULL;
		link = &scratch[i]->next;
	}
	*link = NULL;
	return n;
}

struct dir_entry {
	const char *name;
	uint32_t len;
	const struct tree_inode *inode;
};

/* The entry at *pos, and moves on. Names like ".-" come between "." and "..". */
static bool dir_next(const struct tree_node *dir, struct erofs_dir_pos *pos, struct dir_entry *ret)
{
	static const char dots[] = "..";
	const struct tree_node *c = pos->last ? pos->last->next : dir->children;
	uint32_t n_dots = pos->dots + 1;

	if (pos->dots < 2 && (!c || compare_bytes(c->name, c->name_len, dots, n_dots) > 0)) {
		*ret = (struct dir_entry){dots, n_dots,
					  n_dots == 1 ? dir->inode : dir->parent->inode};
		pos->dots++;
		return true;
	}
	if (!c)
		return false;
	*ret = (struct dir_entry){c->name, c->name_len, c->inode};
	pos->last = c;
	return true;
}

/* Moves on behind the last entry that fits in a block; returns how many do. */
static uint32_t dir_block(const struct tree_node *dir, struct erofs_dir_pos *pos,
			  uint32_t *ret_used)
{
	struct erofs_dir_pos next = *pos;
	struct dir_entry entry;
	uint32_t n = 0, used = 0;

	while (dir_next(dir, &next, &entry) && used + DIRENT_LEN + entry.len <= EROFS_BLOCK) {
		used += DIRENT_LEN + entry.len;
		*pos = next;
		n++;
	}
	*ret_used = used;
	return n;
}

uint64_t erofs_dir_size(const struct tree_node *dir)
{
	struct erofs_dir_pos pos = {0};
	uint32_t used, last = 0;
	uint64_t blocks = 0;

	for (; dir_block(dir, &pos, &used) > 0; blocks++)
		last = used;
	return (blocks - 1) * EROFS_BLOCK + last;
}

static uint8_t file_type(uint32_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
		return 1;
	case S_IFDIR:
		return 2;
	case S_IFCHR:
		return 3;
	case S_IFBLK:
		return 4;
	case S_IFIFO:
		return 5;
	case S_IFSOCK:
		return 6;
	default:
		return 7;
	}
}

uint32_t erofs_dir_encode(const struct tree_node *dir, struct erofs_dir_pos *pos, uint8_t *block)
{
	struct erofs_dir_pos from = *pos;
	uint32_t used, n = dir_block(dir, pos, &used), name_off = n * DIRENT_LEN;
	struct dir_entry entry;

	if (!block)
		return used;
	for (uint8_t *p = block; n > 0 && dir_next(dir, &from, &entry); n--, p += DIRENT_LEN) {
		put_le64(p, entry.inode->nid);
		put_le16(p + 8, (uint16_t)name_off);
		p[10] = file_type(entry.inode->mode);
		memcpy(block + name_off, entry.name, entry.len);
		name_off += entry.len;
	}
	return used;
}
