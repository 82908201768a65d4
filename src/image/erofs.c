/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * The disk that a guest sees is the metadata, which this file writes, and then the parts, which
 * hold the contents of files and are written by others:
 *
 *	block 0              zeroes, superblock at byte 1024
 *	block 1 …            inodes, at multiples of 32 bytes, each with its attributes and, if it
 *	                     does not cross a block boundary, the last piece of its body
 *	                     (body: the entries of a directory, the target of a link)
 *	then                 the other blocks of bodies
 *	metadata end         part 0, part 1, …
 *
 *	superblock, 128 bytes (what is not listed is zero)
 *	   0 4 magic         4 4 crc32c of bytes 1024..4095 with this field zero
 *	   8 4 compatible features (1 checksum, 2 times are mtimes)
 *	  12 1 log2 of block size       14 2 number of the root inode
 *	  16 8 inodes       24 8 time of compact inodes, s    32 4 the same, ns
 *	  36 4 blocks       48 16 UUID
 *
 *	compact inode, 32 bytes               extended inode, 64 bytes
 *	   0 2 bit 0 = 0, bits 1-3 layout        0 2 bit 0 = 1, bits 1-3 layout
 *	   2 2 attribute units + 1, or 0         2 2 attribute units + 1, or 0
 *	   4 2 mode          6 2 links           4 2 mode
 *	   8 4 size                              8 8 size
 *	  16 4 block or device number           16 4 block or device number
 *	  20 4 serial number                    20 4 serial number
 *	  24 2 uid          26 2 gid            24 4 uid     28 4 gid
 *	                                        32 8 mtime, s    40 4 ns    44 4 links
 *
 * A nid is an inode's byte offset / 32. Layout 0 (plain): the body is a run of whole blocks at
 * the block number; layout 2 (inline): all but the last piece are there, and the piece follows
 * inode and attributes. Compact inodes all have the superblock's time, so that is chosen to be
 * the one that most inodes have.
 *
 * Directories are laid out breadth first: what a lookup needs lies close together. Everything
 * depends on the tree alone, so the same image gives the same bytes on every host.
 */
#include "image/erofs.h"

#include "base/io.h"
#include "base/crc32c.h"
#include "image/erofs_layout.h"
#include "image/le.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC            0xe0f5e1e2U
#define SUPER_OFFSET     1024U
#define SUPER_LEN        128U
#define FEATURE_CHECKSUM 1U
#define FEATURE_MTIME    2U
#define FIRST_INODE      EROFS_BLOCK
#define BUFFER_LEN       (256 * KIB)
/* A longer tail gets a block of its own: room lost in front of it would be as large. */
#define INLINE_MAX 2048U

struct writer {
	struct tree *tree;
	const struct erofs_options *o;
	struct erofs_item *items;
	uint32_t n_items;
	int64_t time; /* of compact inodes */
	uint32_t time_ns;
	uint64_t inodes_end;  /* bytes */
	uint64_t meta_blocks; /* all of the metadata */
	uint64_t disk_blocks; /* with the parts */
	uint64_t *part_start; /* absolute, in blocks */

	int fd;
	uint64_t pos; /* of the buffer in the file */
	size_t used;
	uint8_t buffer[BUFFER_LEN];
};

/* --- planning ------------------------------------------------------------------------------ */

static int add_item(struct writer *w, struct tree_node *n, struct err *e)
{
	struct erofs_item *item = &w->items[w->n_items];
	struct tree_inode *inode = n->inode;
	int64_t xattr_len = erofs_xattr_len(inode);

	*item = (struct erofs_item){.inode = inode, .nlink = inode->nlink};
	inode->number = ++w->n_items;
	if (xattr_len < 0)
		return err_set(e, ERR_INVALID, "a file has extended attributes that are too large");
	item->xattr_len = (uint32_t)xattr_len;
	if (S_ISLNK(inode->mode)) {
		item->body_len = inode->target_len;
	} else if (S_ISDIR(inode->mode)) {
		inode->node = n;
		item->nlink = 2;
		for (const struct tree_node *c = n->children; c; c = c->next)
			item->nlink += S_ISDIR(c->inode->mode);
		return erofs_dir_plan(w->tree, item, n, e);
	}
	return 0;
}

/* Lists every inode once, breadth first. The list itself is the queue. */
static int collect(struct writer *w, struct err *e)
{
	w->items = calloc(w->tree->n_nodes, sizeof(*w->items));
	if (!w->items)
		return err_set(e, ERR_SYSTEM, "out of memory");
	if (add_item(w, w->tree->root, e) < 0)
		return -1;
	for (uint32_t i = 0; i < w->n_items; i++) {
		struct erofs_item *dir = &w->items[i];

		for (uint32_t k = 0; k < dir->n_children; k++)
			if (dir->children[k] && dir->children[k]->inode->number == 0 &&
			    add_item(w, dir->children[k], e) < 0)
				return -1;
	}
	return 0;
}

struct stamp {
	int64_t s;
	uint32_t ns;
};

static int compare_stamps(const void *a, const void *b)
{
	const struct stamp *x = a, *y = b;

	if (x->s != y->s)
		return x->s < y->s ? -1 : 1;
	return (x->ns > y->ns) - (x->ns < y->ns);
}

/* Finds the most frequent modification time; the earliest of several. */
static int choose_time(struct writer *w, struct err *e)
{
	/* The root is always there. */
	struct stamp *all = calloc(MAX(w->n_items, 1U), sizeof(*all));
	uint32_t best = 0, run = 0;

	if (!all)
		return err_set(e, ERR_SYSTEM, "out of memory");
	for (uint32_t i = 0; i < w->n_items; i++)
		all[i] = (struct stamp){w->items[i].inode->mtime, w->items[i].inode->mtime_ns};
	qsort(all, w->n_items, sizeof(*all), compare_stamps);
	for (uint32_t i = 0; i < w->n_items; i++) {
		run = i > 0 && compare_stamps(&all[i], &all[i - 1]) == 0 ? run + 1 : 1;
		if (run > best) {
			best = run;
			w->time = all[i].s;
			w->time_ns = all[i].ns;
		}
	}
	free(all);
	return 0;
}

static bool needs_extended(const struct writer *w, const struct erofs_item *item)
{
	const struct tree_inode *i = item->inode;

	return i->uid > UINT16_MAX || i->gid > UINT16_MAX || item->nlink > UINT16_MAX ||
	       i->size > UINT32_MAX || i->mtime != w->time || i->mtime_ns != w->time_ns;
}

/* Gives an inode its place at or after `pos`; returns the end of it. */
static uint64_t place_inode(struct erofs_item *item, uint64_t pos)
{
	uint32_t head = (item->extended ? EROFS_EXTENDED_LEN : EROFS_COMPACT_LEN) + item->xattr_len;
	uint32_t tail = (uint32_t)(item->body_len % EROFS_BLOCK);

	pos = ALIGN_UP(pos, (uint64_t)EROFS_SLOT);
	item->layout = EROFS_LAYOUT_PLAIN;
	if (tail > 0 && tail <= INLINE_MAX) {
		uint64_t start = pos + head;

		/* Only the tail must not cross into the next block. */
		if (start % EROFS_BLOCK + tail > EROFS_BLOCK) {
			pos = ALIGN_UP(start, (uint64_t)EROFS_BLOCK) - head;
			pos = ALIGN_UP(pos, (uint64_t)EROFS_SLOT);
		}
		item->layout = EROFS_LAYOUT_INLINE;
		item->tail_len = tail;
	}
	item->offset = pos;
	item->inode->nid = pos / EROFS_SLOT;
	return pos + head + item->tail_len;
}

static int plan(struct writer *w, struct err *e)
{
	uint64_t pos = FIRST_INODE, block;

	if (collect(w, e) < 0 || choose_time(w, e) < 0)
		return -1;
	for (uint32_t i = 0; i < w->n_items; i++) {
		w->items[i].extended = needs_extended(w, &w->items[i]);
		pos = place_inode(&w->items[i], pos);
	}
	w->inodes_end = pos;
	block = ALIGN_UP(pos, (uint64_t)EROFS_BLOCK) / EROFS_BLOCK;
	for (uint32_t i = 0; i < w->n_items; i++) {
		struct erofs_item *item = &w->items[i];

		item->block = block;
		block += ALIGN_UP(item->body_len - item->tail_len, (uint64_t)EROFS_BLOCK) /
			 EROFS_BLOCK;
	}
	w->meta_blocks = block;
	w->part_start = calloc(w->o->n_parts + 1, sizeof(*w->part_start));
	if (!w->part_start)
		return err_set(e, ERR_SYSTEM, "out of memory");
	for (size_t i = 0; i < w->o->n_parts; i++) {
		w->part_start[i] = block;
		block += w->o->parts[i];
	}
	w->disk_blocks = block;
	if (block > UINT32_MAX)
		return err_set(e, ERR_INVALID, "the image is larger than 16 TiB");
	return 0;
}

/* --- writing ------------------------------------------------------------------------------- */

static int flush(struct writer *w, struct err *e)
{
	int r = pwrite_full(w->fd, w->buffer, w->used, w->pos);

	if (r < 0)
		return err_sys(e, -r, "cannot write a file system image");
	w->pos += w->used;
	w->used = 0;
	return 0;
}

/* Gives `n` zeroed bytes of the file at `pos`, which never goes backwards. */
static uint8_t *put(struct writer *w, uint64_t pos, size_t n, struct err *e)
{
	size_t gap = (size_t)(pos - (w->pos + w->used));
	uint8_t *p;

	/* A gap is less than two blocks, a piece mostly attributes. */
	static_assert(EROFS_XATTR_MAX + 4 * EROFS_BLOCK < BUFFER_LEN, "every piece fits");
	if (BUFFER_LEN - w->used < gap + n) {
		if (flush(w, e) < 0)
			return NULL;
	}
	memset(w->buffer + w->used, 0, gap + n);
	p = w->buffer + w->used + gap;
	w->used += gap + n;
	return p;
}

static void encode_inode(const struct writer *w, const struct erofs_item *item, uint8_t *p)
{
	const struct tree_inode *i = item->inode;
	uint64_t size = S_ISREG(i->mode) ? i->size : item->body_len;
	uint32_t where = (uint32_t)item->block;

	if (S_ISREG(i->mode))
		where = i->size ? (uint32_t)(w->part_start[i->part] + i->block) : 0;
	else if (!S_ISDIR(i->mode) && !S_ISLNK(i->mode))
		where = i->rdev;
	put_le16(p, (uint16_t)(item->layout << 1 | item->extended));
	put_le16(p + 2, (uint16_t)(item->xattr_len ? (item->xattr_len - 12) / 4 + 1 : 0));
	put_le16(p + 4, (uint16_t)i->mode);
	put_le32(p + 16, where);
	put_le32(p + 20, i->number);
	if (!item->extended) {
		put_le16(p + 6, (uint16_t)item->nlink);
		put_le32(p + 8, (uint32_t)size);
		put_le16(p + 24, (uint16_t)i->uid);
		put_le16(p + 26, (uint16_t)i->gid);
		return;
	}
	put_le64(p + 8, size);
	put_le32(p + 24, i->uid);
	put_le32(p + 28, i->gid);
	put_le64(p + 32, (uint64_t)i->mtime);
	put_le32(p + 40, i->mtime_ns);
	put_le32(p + 44, item->nlink);
}

static int write_inodes(struct writer *w, struct err *e)
{
	uint8_t block[EROFS_BLOCK];

	for (uint32_t i = 0; i < w->n_items; i++) {
		const struct erofs_item *item = &w->items[i];
		uint32_t head = item->extended ? EROFS_EXTENDED_LEN : EROFS_COMPACT_LEN;
		size_t len = head + item->xattr_len + item->tail_len;
		uint32_t child = 0;
		uint8_t *p = put(w, item->offset, len, e);

		if (!p)
			return -1;
		encode_inode(w, item, p);
		if (item->xattr_len)
			erofs_xattr_encode(item->inode, p + head);
		p += head + item->xattr_len;
		if (item->tail_len && S_ISLNK(item->inode->mode)) {
			memcpy(p, item->inode->target, item->tail_len);
		} else if (item->tail_len) {
			while (child < item->n_children) {
				memset(block, 0, sizeof(block));
				erofs_dir_encode(item, &child, block);
			}
			memcpy(p, block, item->tail_len);
		}
	}
	return 0;
}

static int write_bodies(struct writer *w, struct err *e)
{
	for (uint32_t i = 0; i < w->n_items; i++) {
		const struct erofs_item *item = &w->items[i];
		uint64_t rest = item->body_len - item->tail_len, at = item->block * EROFS_BLOCK;
		uint32_t child = 0;

		for (; rest > 0; rest -= MIN(rest, (uint64_t)EROFS_BLOCK), at += EROFS_BLOCK) {
			uint8_t *p = put(w, at, EROFS_BLOCK, e);

			if (!p)
				return -1;
			if (S_ISLNK(item->inode->mode))
				memcpy(p, item->inode->target, item->body_len);
			else
				erofs_dir_encode(item, &child, p);
		}
	}
	return flush(w, e);
}

static int write_super(struct writer *w, struct err *e)
{
	uint8_t block[EROFS_BLOCK] = {0}, *sb = block + SUPER_OFFSET;
	int r;

	put_le32(sb, MAGIC);
	put_le32(sb + 8, FEATURE_CHECKSUM | FEATURE_MTIME);
	sb[12] = 12;
	put_le16(sb + 14, (uint16_t)w->tree->root->inode->nid);
	put_le64(sb + 16, w->n_items);
	put_le64(sb + 24, (uint64_t)w->time);
	put_le32(sb + 32, w->time_ns);
	put_le32(sb + 36, (uint32_t)w->disk_blocks);
	memcpy(sb + 48, w->o->uuid, sizeof(w->o->uuid));
	put_le32(sb + 4, crc32c(~0U, sb, EROFS_BLOCK - SUPER_OFFSET));
	r = pwrite_full(w->fd, block, sizeof(block), 0);
	if (r < 0 || ftruncate(w->fd, (off_t)(w->meta_blocks * EROFS_BLOCK)) < 0)
		return err_sys(e, r < 0 ? -r : errno, "cannot write a file system image");
	return 0;
}

int erofs_write(struct tree *t, const struct erofs_options *o, int fd, uint64_t *ret_blocks,
		struct err *e)
{
	struct writer *w = xcalloc(1, sizeof(*w));
	int r = -1;

	w->tree = t;
	w->o = o;
	w->fd = fd;
	w->pos = FIRST_INODE;
	if (plan(w, e) == 0 && write_inodes(w, e) == 0 && write_bodies(w, e) == 0 &&
	    write_super(w, e) == 0) {
		*ret_blocks = w->meta_blocks;
		r = 0;
	}
	free(w->items);
	free(w->part_start);
	free(w);
	return r;
}

int erofs_check(int fd, uint64_t blocks, struct err *e)
{
	uint8_t block[EROFS_BLOCK], *sb = block + SUPER_OFFSET;
	ssize_t r = pread_full(fd, block, sizeof(block), 0);
	uint32_t sum;

	if (r < 0)
		return err_sys(e, (int)-r, "cannot read a file system image");
	if (r != sizeof(block) || get_le32(sb) != MAGIC)
		return err_set(e, ERR_CORRUPT, "damaged file system image: bad magic");
	sum = get_le32(sb + 4);
	put_le32(sb + 4, 0);
	if (sum != crc32c(~0U, sb, EROFS_BLOCK - SUPER_OFFSET))
		return err_set(e, ERR_CORRUPT, "damaged file system image: bad checksum");
	if (get_le32(sb + 36) != blocks)
		return err_set(e, ERR_CORRUPT, "damaged file system image: wrong size");
	return 0;
}
