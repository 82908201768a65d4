/* SPDX-License-Identifier: Apache-2.0 */
/* Writes an EROFS image of a file tree; the layout is drawn in erofs.c. */
#pragma once

#include "image/tree.h"

#define EROFS_BLOCK 4096U

struct erofs_options {
	/* Sizes in blocks of the parts that follow the metadata on the disk, in order. */
	const uint64_t *parts;
	size_t n_parts;
	uint8_t uuid[16];
};

/*
 * Where in the file a file's tail goes that was not there when its image was written (its `body`
 * was NULL): the caller writes it.
 */
uint64_t erofs_tail_offset(const struct tree_inode *i);

/*
 * Writes the metadata to `fd`, an empty file, and brings it to a multiple of the block size;
 * *ret_blocks is how many. The bytes depend on the tree and the options alone. Nodes get
 * sorted; a tree can be written once.
 */
int erofs_write(struct tree *t, const struct erofs_options *o, int fd, uint64_t *ret_blocks,
		struct err *e);

/* Checks the superblock of an image and that the disk it was made for has `blocks` blocks. */
int erofs_check(int fd, uint64_t blocks, struct err *e);
