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

#include "image/le.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define DIRENT_LEN       12U
#define XATTR_HEADER_LEN 12U
#define XATTR_ENTRY_LEN  4U
/* The inode's 16-bit count of 4-byte units would allow for a little more. */
#define XATTR_LEN_MAX EROFS_XATTR_MAX

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

/*
 * Which prefix an attribute has, or -1 for one that is left out: EROFS cannot keep it, or it is
 * an overlay mark that would change what the guest's root overlay makes of the image.
 */
static int xattr_prefix(const struct tree_xattr *x)
{
	static const char *const left_out[] = {"trusted.overlay.", "user.overlay."};

	for (size_t i = 0; i < ARRAY_SIZE(left_out); i++) {
		size_t n = strlen(left_out[i]);

		if (x->name_len >= n && memcmp(x->name, left_out[i], n) == 0)
			return -1;
	}
	for (size_t i = 0; i < ARRAY_SIZE(xattr_prefixes); i++) {
		size_t n = strlen(xattr_prefixes[i].prefix);

		if (x->name_len < n || memcmp(x->name, xattr_prefixes[i].prefix, n) != 0)
			continue;
		if (xattr_prefixes[i].whole ? x->name_len == n : x->name_len > n)
			return (int)i;
	}
	return -1;
}

/* Of attributes with the same name the last counts. */
static bool xattr_is_overridden(const struct tree_inode *inode, uint32_t i)
{
	const struct tree_xattr *x = &inode->xattrs[i];

	for (uint32_t k = i + 1; k < inode->n_xattrs; k++)
		if (inode->xattrs[k].name_len == x->name_len &&
		    memcmp(inode->xattrs[k].name, x->name, x->name_len) == 0)
			return true;
	return false;
}

/* The encoded size of an attribute without its padding, or 0 when it is left out. */
static uint32_t xattr_entry_len(const struct tree_inode *inode, uint32_t i, int *ret_prefix)
{
	const struct tree_xattr *x = &inode->xattrs[i];
	int p = xattr_prefix(x);

	if (p < 0 || xattr_is_overridden(inode, i))
		return 0;
	*ret_prefix = p;
	return XATTR_ENTRY_LEN + x->name_len - (uint32_t)strlen(xattr_prefixes[p].prefix) +
	       x->value_len;
}

int64_t erofs_xattr_len(const struct tree_inode *inode)
{
	uint64_t len = 0;
	int prefix;

	for (uint32_t i = 0; i < inode->n_xattrs; i++)
		len += ALIGN_UP(xattr_entry_len(inode, i, &prefix), 4U);
	if (len == 0)
		return 0;
	len += XATTR_HEADER_LEN;
	return len > XATTR_LEN_MAX ? -1 : (int64_t)len;
}

void erofs_xattr_encode(const struct tree_inode *inode, uint8_t *out)
{
	memset(out, 0, XATTR_HEADER_LEN);
	out += XATTR_HEADER_LEN;
	for (uint32_t i = 0; i < inode->n_xattrs; i++) {
		const struct tree_xattr *x = &inode->xattrs[i];
		uint32_t len, skip;
		int prefix;
		uint8_t *p;

		len = xattr_entry_len(inode, i, &prefix);
		if (len == 0)
			continue;
		skip = (uint32_t)strlen(xattr_prefixes[prefix].prefix);
		out[0] = (uint8_t)(x->name_len - skip);
		out[1] = xattr_prefixes[prefix].index;
		put_le16(out + 2, (uint16_t)x->value_len);
		p = mempcpy(out + XATTR_ENTRY_LEN, x->name + skip, x->name_len - skip);
		p = mempcpy(p, x->value, x->value_len);
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

/* The two special names are NULL pointers in the list. */
static const char *child_name(const struct erofs_item *item, uint32_t i, uint32_t *ret_len)
{
	const struct tree_node *n = item->children[i];

	if (n) {
		*ret_len = n->name_len;
		return n->name;
	}
	*ret_len = i == item->dotdot ? 2 : 1;
	return i == item->dotdot ? ".." : ".";
}

/* How many nodes of a sorted list come before the name. */
static uint32_t count_before(struct tree_node *const *list, uint32_t n, const char *name)
{
	uint32_t i = 0;

	while (i < n && compare_bytes(list[i]->name, list[i]->name_len, name, strlen(name)) < 0)
		i++;
	return i;
}

int erofs_dir_plan(struct tree *t, struct erofs_item *item, const struct tree_node *dir,
		   struct err *e)
{
	uint32_t n = dir->n_children, dot, dotdot, used = 0;
	struct tree_node **list;

	list = tree_alloc(t, ((size_t)n + 2) * sizeof(struct tree_node *), e);
	if (!list)
		return -1;
	n = 0;
	for (struct tree_node *c = dir->children; c; c = c->next)
		list[n++] = c;
	qsort(list, n, sizeof(struct tree_node *), compare_nodes);
	/* Names such as ".-x" sort between the two. */
	dot = count_before(list, n, ".");
	dotdot = count_before(list, n, "..");
	memmove(list + dotdot + 2, list + dotdot, (n - dotdot) * sizeof(struct tree_node *));
	memmove(list + dot + 1, list + dot, (dotdot - dot) * sizeof(struct tree_node *));
	list[dot] = list[dotdot + 1] = NULL;
	item->children = list;
	item->dotdot = dotdot + 1;
	item->n_children = n + 2;
	item->body_len = 0;
	for (uint32_t i = 0; i < item->n_children; i++) {
		uint32_t len;

		child_name(item, i, &len);
		if (used + DIRENT_LEN + len > EROFS_BLOCK) {
			item->body_len += EROFS_BLOCK;
			used = 0;
		}
		used += DIRENT_LEN + len;
	}
	item->body_len += used;
	return 0;
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

uint32_t erofs_dir_encode(const struct erofs_item *item, uint32_t *pos, uint8_t *block)
{
	uint32_t first = *pos, end = first, used = 0, name_off, len;

	while (end < item->n_children) {
		child_name(item, end, &len);
		if (used + DIRENT_LEN + len > EROFS_BLOCK)
			break;
		used += DIRENT_LEN + len;
		end++;
	}
	name_off = (end - first) * DIRENT_LEN;
	for (uint32_t i = first; i < end; i++) {
		const char *name = child_name(item, i, &len);
		const struct tree_inode *inode = item->inode;
		uint8_t *p = block + (size_t)(i - first) * DIRENT_LEN;

		if (item->children[i])
			inode = item->children[i]->inode;
		else if (len == 2)
			inode = item->inode->node->parent->inode;
		put_le64(p, inode->nid);
		put_le16(p + 8, (uint16_t)name_off);
		p[10] = file_type(inode->mode);
		memcpy(block + name_off, name, len);
		name_off += len;
	}
	*pos = end;
	return used;
}
