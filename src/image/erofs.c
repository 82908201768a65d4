/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * The disk that a guest sees is the metadata, which this file writes, and then the parts, which
 * hold the contents of files and are written by others:
 *
 *	block 0              zeroes, superblock at byte 1024
 *	block 1 …            inodes, at multiples of 32 bytes, each with its attributes and mostly
 *	                     its tail, the last piece of its body, which crosses no block boundary
 *	                     (body: content of a file, entries of a directory, target of a link)
 *	then                 the other blocks of directories and link targets
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
 * the block number; layout 2 (inline): all but the tail are there, and that follows inode and
 * attributes. Compact inodes all have the superblock's time, so that is chosen to be
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
/*
 * A longer tail of a directory or link target gets a block of its own: room lost in front of it
 * would be as large. For files whoever keeps their contents decides.
 */
#define INLINE_MAX 2048U

struct writer {
	struct tree *tree;
	const struct erofs_options *o;
	struct tree_node **order; /* a node of each inode, in the order of inodes */
	uint32_t n_inodes;
	int64_t time; /* of compact inodes */
	uint32_t time_ns;
	uint64_t meta_blocks; /* all of the metadata */
	uint64_t disk_blocks; /* with the parts */
	uint64_t *part_start; /* absolute, in blocks */

	int fd;
	uint64_t pos; /* of the buffer in the file */
	size_t used;
	uint8_t buffer[BUFFER_LEN];
};

/* --- planning ------------------------------------------------------------------------------ */

/* The part of a directory or link target that is kept behind the inode. */
static uint16_t inline_len(uint64_t size)
{
	uint64_t tail = size % EROFS_BLOCK;

	return tail <= INLINE_MAX ? (uint16_t)tail : 0;
}

/* Works a directory out, and lists the inodes in it that are not listed yet. */
static void collect_dir(struct writer *w, struct tree_node *dir)
{
	/* There is room: children have not been listed, links among them apart. */
	struct tree_node **children = w->order + w->n_inodes;
	uint32_t n = erofs_dir_sort(dir, children);

	dir->inode->size = erofs_dir_size(dir);
	dir->inode->tail_len = inline_len(dir->inode->size);
	dir->inode->nlink = 2;
	for (uint32_t i = 0; i < n; i++) {
		struct tree_inode *inode = children[i]->inode;

		dir->inode->nlink += S_ISDIR(inode->mode);
		if (inode->number)
			continue;
		w->order[w->n_inodes] = children[i];
		inode->number = ++w->n_inodes;
		if (S_ISLNK(inode->mode))
			inode->tail_len = inline_len(inode->size);
	}
}

/* Lists every inode once, breadth first. The list itself is the queue. */
static int collect(struct writer *w, struct err *e)
{
	w->order = calloc(w->tree->n_nodes, sizeof(struct tree_node *));
	if (!w->order)
		return err_set(e, ERR_SYSTEM, "out of memory");
	w->order[0] = w->tree->root;
	w->tree->root->inode->number = w->n_inodes = 1;
	for (uint32_t i = 0; i < w->n_inodes; i++)
		if (S_ISDIR(w->order[i]->inode->mode))
			collect_dir(w, w->order[i]);
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
	struct stamp *all = calloc(MAX(w->n_inodes, 1U), sizeof(*all));
	uint32_t best = 0, run = 0;

	if (!all)
		return err_set(e, ERR_SYSTEM, "out of memory");
	for (uint32_t i = 0; i < w->n_inodes; i++)
		all[i] = (struct stamp){w->order[i]->inode->mtime, w->order[i]->inode->mtime_ns};
	qsort(all, w->n_inodes, sizeof(*all), compare_stamps);
	for (uint32_t i = 0; i < w->n_inodes; i++) {
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

static bool needs_extended(const struct writer *w, const struct tree_inode *i)
{
	return i->uid > UINT16_MAX || i->gid > UINT16_MAX || i->nlink > UINT16_MAX ||
	       i->size > UINT32_MAX || i->mtime != w->time || i->mtime_ns != w->time_ns;
}

/* Bytes of an inode with its attributes. */
static uint32_t head_len(const struct tree_inode *i)
{
	return (i->extended ? EROFS_EXTENDED_LEN : EROFS_COMPACT_LEN) + i->xattr_size;
}

uint64_t erofs_tail_offset(const struct tree_inode *i)
{
	return i->nid * EROFS_SLOT + head_len(i);
}

/* Gives an inode its place at or after `pos`; returns the end of it. */
static uint64_t place_inode(struct tree_inode *i, uint64_t pos)
{
	uint32_t head = head_len(i);

	pos = ALIGN_UP(pos, (uint64_t)EROFS_SLOT);
	/* Only the tail must not cross into the next block. */
	if (i->tail_len && (pos + head) % EROFS_BLOCK + i->tail_len > EROFS_BLOCK) {
		pos = ALIGN_UP(pos + head, (uint64_t)EROFS_BLOCK) - head;
		pos = ALIGN_UP(pos, (uint64_t)EROFS_SLOT);
	}
	i->nid = pos / EROFS_SLOT;
	return pos + head + i->tail_len;
}

/* Blocks of a directory or link target. */
static uint64_t body_blocks(const struct tree_inode *i)
{
	if (!S_ISDIR(i->mode) && !S_ISLNK(i->mode))
		return 0;
	return ALIGN_UP(i->size - i->tail_len, (uint64_t)EROFS_BLOCK) / EROFS_BLOCK;
}

static int plan(struct writer *w, struct err *e)
{
	uint64_t pos = FIRST_INODE, block;

	if (collect(w, e) < 0 || choose_time(w, e) < 0)
		return -1;
	for (uint32_t i = 0; i < w->n_inodes; i++) {
		struct tree_inode *inode = w->order[i]->inode;

		int64_t len = erofs_xattr_len(inode);

		if (len < 0)
			return err_set(e, ERR_INVALID,
				       "a file has extended attributes that are too large");
		inode->xattr_size = len & INT32_MAX;
		inode->extended = needs_extended(w, inode);
		pos = place_inode(inode, pos);
	}
	block = ALIGN_UP(pos, (uint64_t)EROFS_BLOCK) / EROFS_BLOCK;
	for (uint32_t i = 0; i < w->n_inodes; i++) {
		struct tree_inode *inode = w->order[i]->inode;
		uint64_t n = body_blocks(inode);

		/* Should the number be cut off here, the image is refused below. */
		if (n > 0)
			inode->block = (uint32_t)block;
		block += n;
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

static void encode_inode(const struct writer *w, const struct tree_inode *i, uint8_t *p)
{
	uint32_t where = i->block, layout = i->tail_len ? EROFS_LAYOUT_INLINE : EROFS_LAYOUT_PLAIN;

	if (S_ISREG(i->mode))
		where = i->size > i->tail_len ? (uint32_t)(w->part_start[i->part] + i->block) : 0;
	else if (!S_ISDIR(i->mode) && !S_ISLNK(i->mode))
		where = i->rdev;
	put_le16(p, (uint16_t)(layout << 1 | i->extended));
	put_le16(p + 2, (uint16_t)(i->xattr_size ? (i->xattr_size - 12) / 4 + 1 : 0));
	put_le16(p + 4, i->mode);
	put_le32(p + 16, where);
	put_le32(p + 20, i->number);
	if (!i->extended) {
		put_le16(p + 6, (uint16_t)i->nlink);
		put_le32(p + 8, (uint32_t)i->size);
		put_le16(p + 24, (uint16_t)i->uid);
		put_le16(p + 26, (uint16_t)i->gid);
		return;
	}
	put_le64(p + 8, i->size);
	put_le32(p + 24, i->uid);
	put_le32(p + 28, i->gid);
	put_le64(p + 32, (uint64_t)i->mtime);
	put_le32(p + 40, i->mtime_ns);
	put_le32(p + 44, i->nlink);
}

static void encode_dir_tail(const struct tree_node *dir, uint8_t *out)
{
	uint8_t block[EROFS_BLOCK] = {0};
	struct erofs_dir_pos pos = {0};

	for (uint64_t n = body_blocks(dir->inode); n > 0; n--)
		erofs_dir_encode(dir, &pos, NULL);
	erofs_dir_encode(dir, &pos, block);
	memcpy(out, block, dir->inode->tail_len);
}

static int write_inodes(struct writer *w, struct err *e)
{
	for (uint32_t k = 0; k < w->n_inodes; k++) {
		const struct tree_inode *i = w->order[k]->inode;
		uint32_t head = head_len(i);
		uint8_t *p = put(w, i->nid * EROFS_SLOT, head + i->tail_len, e);

		if (!p)
			return -1;
		encode_inode(w, i, p);
		if (i->xattr_size)
			erofs_xattr_encode(i, p + head - i->xattr_size);
		if (S_ISDIR(i->mode) && i->tail_len)
			encode_dir_tail(w->order[k], p + head);
		else if (i->tail_len && i->body)
			memcpy(p + head, i->body, i->tail_len);
	}
	return 0;
}

static int write_bodies(struct writer *w, struct err *e)
{
	for (uint32_t k = 0; k < w->n_inodes; k++) {
		const struct tree_inode *i = w->order[k]->inode;
		struct erofs_dir_pos pos = {0};
		uint64_t n = body_blocks(i);

		for (uint64_t b = 0; b < n; b++) {
			uint8_t *p = put(w, (i->block + b) * EROFS_BLOCK, EROFS_BLOCK, e);

			if (!p)
				return -1;
			/* A target that is not inline has one block. */
			if (S_ISLNK(i->mode))
				memcpy(p, i->body, i->size);
			else
				erofs_dir_encode(w->order[k], &pos, p);
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
	put_le64(sb + 16, w->n_inodes);
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
	free(w->order);
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
