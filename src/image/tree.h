/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file tree in memory: what an image's root will look like. Directory entries (nodes) point to
 * inodes; several nodes may share one. All memory comes from one arena that goes with the tree;
 * removed nodes are not reused. Nothing here recurses: depth is the image's choice.
 *
 * Names, link targets, tails and attributes are not copied; they must outlive the tree.
 */
#pragma once

#include "base/err.h"

#include <sys/types.h>

#define TREE_NODES_MAX (4U * 1024 * 1024)
#define TREE_DEPTH_MAX 2048
/* Layers may replace the same names again and again. */
#define TREE_BYTES_MAX (2 * GIB)

/* There may be millions of the next two: fields are in an order that leaves no holes. */
struct tree_inode {
	uint16_t mode;     /* with the type */
	uint16_t tail_len; /* of what is kept behind the inode: of a file its tail */
	uint32_t uid, gid;
	uint32_t nlink; /* names of a file; of a directory it is worked out when writing */
	int64_t mtime;
	uint64_t size; /* of a regular file or link target */
	uint32_t mtime_ns;
	uint32_t block; /* where a file's content starts within its part, in blocks */
	union {
		uint32_t part; /* of a regular file */
		uint32_t rdev; /* as in `struct stat` of 32-bit Linux: new_encode_dev */
	};
	uint32_t xattrs_len;
	const uint8_t *xattrs; /* encoded as in a layer's index */
	const void *body;      /* a link's target or a file's tail; NULL when there is none yet */

	/* For the writer. */
	uint64_t nid; /* 0 while it has no place */
	uint32_t number;
	uint32_t xattr_size : 31; /* as encoded in the image */
	uint32_t extended : 1;
};

struct tree_node {
	const char *name; /* not terminated */
	uint32_t hash;
	uint16_t name_len;
	uint16_t depth;
	struct tree_node *parent; /* the root's is itself */
	struct tree_inode *inode;
	struct tree_node *children, *next, *prev;
	struct tree_node *bucket_next;
};

struct tree {
	struct tree_node *root;
	uint32_t n_nodes; /* the root included */
	struct tree_node **buckets;
	size_t n_buckets; /* a power of two */
	/* Changes when a path may lead elsewhere than before: a directory or link is gone. */
	uint32_t generation;
	struct tree_chunk *chunks;
	uint64_t bytes; /* of all chunks */
};

/* Makes a tree with an empty root directory, mode 0755 and time 0. */
int tree_init(struct tree *t, struct err *e);
void tree_release(struct tree *t);

/* Zeroed memory that lives as long as the tree; NULL with the error set. */
void *tree_alloc(struct tree *t, size_t size, struct err *e);
/* A copy of a string for use as a name or target. */
char *tree_strndup(struct tree *t, const char *s, size_t n, struct err *e);

struct tree_inode *tree_inode_new(struct tree *t, uint32_t mode, struct err *e);

/* NULL when there is none. */
struct tree_node *tree_find(const struct tree *t, const struct tree_node *dir, const char *name,
			    size_t len);
/* Adds a name, which must not be there, for an inode. NULL with the error set. */
struct tree_node *tree_add(struct tree *t, struct tree_node *dir, const char *name, size_t len,
			   struct tree_inode *inode, struct err *e);
/* Gives a node that is no directory another inode, which is none either. */
void tree_set_inode(struct tree *t, struct tree_node *n, struct tree_inode *inode);
/* Removes a node and everything below it; not the root. */
void tree_remove(struct tree *t, struct tree_node *n);
void tree_remove_children(struct tree *t, struct tree_node *dir);

/* The path from the root, owned, for messages. */
char *tree_path(const struct tree_node *n);
uint32_t tree_rdev(uint32_t major, uint32_t minor);
