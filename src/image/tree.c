/* SPDX-License-Identifier: Apache-2.0 */
#include "image/tree.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define CHUNK_LEN     (256 * KIB)
#define FIRST_BUCKETS 1024

struct tree_chunk {
	struct tree_chunk *next;
	size_t used, size;
	uint8_t mem[];
};

static int no_memory(struct err *e)
{
	return err_set(e, ERR_SYSTEM, "out of memory");
}

void *tree_alloc(struct tree *t, size_t size, struct err *e)
{
	struct tree_chunk *c = t->chunks;
	void *p;

	size = ALIGN_UP(size, (size_t)8);
	if (!c || c->size - c->used < size) {
		size_t room = MAX(size, (size_t)CHUNK_LEN);

		if (room > TREE_BYTES_MAX - t->bytes) {
			err_set(e, ERR_INVALID, "the image has too many files and attributes");
			return NULL;
		}
		c = malloc(sizeof(*c) + room);
		if (!c) {
			no_memory(e);
			return NULL;
		}
		*c = (struct tree_chunk){.next = t->chunks, .size = room};
		t->chunks = c;
		t->bytes += room;
	}
	p = c->mem + c->used;
	c->used += size;
	return memset(p, 0, size);
}

char *tree_strndup(struct tree *t, const char *s, size_t n, struct err *e)
{
	char *p = tree_alloc(t, n + 1, e);

	return p ? memcpy(p, s, n) : NULL;
}

struct tree_inode *tree_inode_new(struct tree *t, uint32_t mode, struct err *e)
{
	struct tree_inode *i = tree_alloc(t, sizeof(*i), e);

	if (i)
		i->mode = (uint16_t)mode;
	return i;
}

int tree_init(struct tree *t, struct err *e)
{
	static_assert(sizeof(struct tree_inode) == 80 && sizeof(struct tree_node) == 64,
		      "no holes");
	*t = (struct tree){.n_buckets = FIRST_BUCKETS};
	t->buckets = calloc(t->n_buckets, sizeof(struct tree_node *));
	t->root = tree_alloc(t, sizeof(*t->root), e);
	if (t->root)
		t->root->inode = tree_inode_new(t, S_IFDIR | 0755, e);
	if (!t->buckets || !t->root || !t->root->inode) {
		tree_release(t);
		return no_memory(e);
	}
	t->root->parent = t->root;
	t->root->name = "";
	t->root->inode->nlink = 1;
	t->n_nodes = 1;
	return 0;
}

void tree_release(struct tree *t)
{
	while (t->chunks) {
		struct tree_chunk *c = t->chunks;

		t->chunks = c->next;
		free(c);
	}
	free(t->buckets);
	*t = (struct tree){0};
}

/*
 * FNV-1a over the name, started with the directory's address: an image cannot know that, so it
 * cannot aim for collisions.
 */
static uint32_t hash_name(const struct tree_node *dir, const char *name, size_t len)
{
	uint64_t h = 0xcbf29ce484222325ULL ^ (uintptr_t)dir * 0x9e3779b97f4a7c15ULL;

	for (size_t i = 0; i < len; i++)
		h = (h ^ (uint8_t)name[i]) * 0x100000001b3ULL;
	return (uint32_t)(h ^ h >> 32);
}

struct tree_node *tree_find(const struct tree *t, const struct tree_node *dir, const char *name,
			    size_t len)
{
	uint32_t hash = hash_name(dir, name, len);

	for (struct tree_node *n = t->buckets[hash & (t->n_buckets - 1)]; n; n = n->bucket_next)
		if (n->hash == hash && n->parent == dir && n->name_len == len &&
		    memcmp(n->name, name, len) == 0)
			return n;
	return NULL;
}

static void bucket_insert(struct tree *t, struct tree_node *n)
{
	struct tree_node **head = &t->buckets[n->hash & (t->n_buckets - 1)];

	n->bucket_next = *head;
	*head = n;
}

static int grow_buckets(struct tree *t, struct err *e)
{
	struct tree_node **old = t->buckets;
	size_t n_old = t->n_buckets;
	struct tree_node **new = calloc(n_old * 2, sizeof(struct tree_node *));

	if (!new)
		return no_memory(e);
	t->buckets = new;
	t->n_buckets = n_old * 2;
	for (size_t i = 0; i < n_old; i++) {
		while (old[i]) {
			struct tree_node *n = old[i];

			old[i] = n->bucket_next;
			bucket_insert(t, n);
		}
	}
	free(old);
	return 0;
}

struct tree_node *tree_add(struct tree *t, struct tree_node *dir, const char *name, size_t len,
			   struct tree_inode *inode, struct err *e)
{
	struct tree_node *n;

	if (t->n_nodes >= TREE_NODES_MAX) {
		err_set(e, ERR_INVALID, "the image has more than %u files", TREE_NODES_MAX);
		return NULL;
	}
	if (dir->depth >= TREE_DEPTH_MAX) {
		err_set(e, ERR_INVALID, "the image has directories deeper than %u", TREE_DEPTH_MAX);
		return NULL;
	}
	if (t->n_nodes >= t->n_buckets && grow_buckets(t, e) < 0)
		return NULL;
	n = tree_alloc(t, sizeof(*n), e);
	if (!n)
		return NULL;
	n->name = name;
	n->name_len = (uint16_t)len;
	n->hash = hash_name(dir, name, len);
	n->depth = (uint16_t)(dir->depth + 1);
	n->parent = dir;
	n->inode = inode;
	n->next = dir->children;
	if (n->next)
		n->next->prev = n;
	dir->children = n;
	inode->nlink++;
	bucket_insert(t, n);
	t->n_nodes++;
	return n;
}

static void drop_inode(struct tree *t, struct tree_node *n)
{
	n->inode->nlink--;
	/* Paths do not lead through anything else. */
	if (S_ISDIR(n->inode->mode) || S_ISLNK(n->inode->mode))
		t->generation++;
}

/* Takes a node without children out. */
static void unlink_node(struct tree *t, struct tree_node *n)
{
	struct tree_node **p = &t->buckets[n->hash & (t->n_buckets - 1)];

	while (*p != n)
		p = &(*p)->bucket_next;
	*p = n->bucket_next;
	if (n->prev)
		n->prev->next = n->next;
	else
		n->parent->children = n->next;
	if (n->next)
		n->next->prev = n->prev;
	drop_inode(t, n);
	t->n_nodes--;
}

void tree_set_inode(struct tree *t, struct tree_node *n, struct tree_inode *inode)
{
	drop_inode(t, n);
	n->inode = inode;
	inode->nlink++;
}

void tree_remove_children(struct tree *t, struct tree_node *dir)
{
	struct tree_node *n = dir;

	/* Leaf by leaf: down to a first child, up again when a directory is empty. */
	for (;;) {
		struct tree_node *parent;

		while (n->children)
			n = n->children;
		if (n == dir)
			return;
		parent = n->parent;
		unlink_node(t, n);
		n = parent;
	}
}

void tree_remove(struct tree *t, struct tree_node *n)
{
	assert(n != t->root);
	tree_remove_children(t, n);
	unlink_node(t, n);
}

char *tree_path(const struct tree_node *n)
{
	char *path = NULL;

	while (n->parent != n) {
		char *longer = xasprintf("%.*s%s%s", n->name_len, n->name, path ? "/" : "",
					 path ? path : "");

		free(path);
		path = longer;
		n = n->parent;
	}
	return path ? path : xstrdup(".");
}

uint32_t tree_rdev(uint32_t major, uint32_t minor)
{
	return (minor & 0xff) | major << 8 | (minor & ~0xffU) << 12;
}
