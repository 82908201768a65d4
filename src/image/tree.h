/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file tree in memory: what an image's root will look like. Directory entries (nodes) point to
 * inodes; several nodes may share one. All memory comes from one arena that goes with the tree;
 * removed nodes are not reused. Nothing here recurses: depth is the image's choice.
 *
 * Names, link targets and attribute values are not copied; they must outlive the tree.
 */
#pragma once

#include "base/err.h"

#include <sys/types.h>

#define TREE_NODES_MAX (4U * 1024 * 1024)
#define TREE_DEPTH_MAX 2048
/* Layers may replace the same names again and again. */
#define TREE_BYTES_MAX (2 * GIB)

struct tree_xattr {
	const char *name; /* full name, not terminated */
	const uint8_t *value;
	uint32_t name_len, value_len;
};

struct tree_inode {
	uint32_t mode; /* with the type */
	uint32_t uid, gid;
	uint32_t nlink; /* names of a file; of a directory it is worked out when writing */
	int64_t mtime;
	uint32_t mtime_ns;
	uint32_t rdev;  /* as in `struct stat` of 32-bit Linux: new_encode_dev */
	uint64_t size;  /* of a regular file */
	uint64_t block; /* where its content starts within its part, in blocks */
	uint32_t part;
	uint32_t target_len;
	const char *target; /* of a symbolic link */
	struct tree_xattr *xattrs;
	uint32_t n_xattrs;

	/* For the writer. */
	uint32_t number;
	uint64_t nid;           /* 0 while it has no place */
	struct tree_node *node; /* a name of it */
};

struct tree_node {
	const char *name; /* not terminated */
	uint32_t hash;
	uint16_t name_len;
	uint16_t depth;
	uint32_t n_children;
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
/* Removes a node and everything below it; not the root. */
void tree_remove(struct tree *t, struct tree_node *n);
void tree_remove_children(struct tree *t, struct tree_node *dir);

/* The path from the root, owned, for messages. */
char *tree_path(const struct tree_node *n);
uint32_t tree_rdev(uint32_t major, uint32_t minor);
