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

/* Bytes that an inode's attributes take, 0 for none; -1 when they are too large. */
int64_t erofs_xattr_len(const struct tree_inode *inode);
/* Encodes them to exactly that many bytes. */
void erofs_xattr_encode(const struct tree_inode *inode, uint8_t *out);

/* A place in a directory's list of names, which has "." and ".." among them; zeroed at the start.
 */
struct erofs_dir_pos {
	const struct tree_node *last; /* child that was passed last */
	unsigned int dots;            /* how many of the two special names were passed */
};

/*
 * Sorts the children of a directory, using `scratch`, which has room for a pointer to each, and
 * leaves them there; returns how many there are.
 */
uint32_t erofs_dir_sort(struct tree_node *dir, struct tree_node **scratch);
/* The size of a sorted directory. */
uint64_t erofs_dir_size(const struct tree_node *dir);
/*
 * Encodes the block of a directory that starts at *pos and moves *pos on. The block must be zeroed;
 * with NULL nothing is encoded. Returns how many bytes of it are used, 0 at the end.
 */
uint32_t erofs_dir_encode(const struct tree_node *dir, struct erofs_dir_pos *pos, uint8_t *block);
