/* SPDX-License-Identifier: Apache-2.0 */
/* Private to the EROFS writer: sizes of things, and the directory encoder. */
#pragma once

#include "image/erofs.h"

#define EROFS_SLOT         32U
#define EROFS_COMPACT_LEN  32U
#define EROFS_EXTENDED_LEN 64U
#define EROFS_XATTR_MAX    196608U

/* What an inode's `layout` is; see erofs.c. */
#define EROFS_LAYOUT_PLAIN  0
#define EROFS_LAYOUT_INLINE 2

/* An inode in its place. */
struct erofs_item {
	struct tree_inode *inode;
	struct tree_node **children; /* of a directory: sorted, with NULL for "." and ".." */
	uint32_t n_children;         /* both included */
	uint32_t dotdot;             /* index of ".." among them */
	uint64_t body_len;           /* of a directory or link target */
	uint64_t offset;             /* of the inode in the file */
	uint64_t block;              /* of the body's part that is not inline, absolute */
	uint32_t xattr_len;
	uint32_t tail_len; /* inline bytes behind inode and xattrs */
	uint32_t nlink;
	uint8_t extended;
	uint8_t layout;
};

/* Bytes that the attributes take, 0 for none; -1 when they are too large. */
int64_t erofs_xattr_len(const struct tree_inode *inode);
/* Encodes them to exactly that many bytes. */
void erofs_xattr_encode(const struct tree_inode *inode, uint8_t *out);

/* Sorts the children of a directory into item->children and works out body_len. */
int erofs_dir_plan(struct tree *t, struct erofs_item *item, const struct tree_node *dir,
		   struct err *e);
/*
 * Encodes the block of a directory that starts with child *pos and moves *pos on. The block must
 * be zeroed; returns how many bytes of it are used.
 */
uint32_t erofs_dir_encode(const struct erofs_item *item, uint32_t *pos, uint8_t *block);
