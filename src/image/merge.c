/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * A layer is applied in rounds. The first two take away what lower layers had: links and files
 * that become directories, then what whiteouts and opaque marks hide. By the OCI layer rules marks
 * concern lower layers only, and the tree holds nothing else yet. The last round adds the entries
 * in the order of the archive, so that of duplicates the last wins and a hard link refers to what
 * its target is at that point.
 *
 * A directory on a directory changes its attributes and keeps its content; any other combination
 * replaces. Missing parents are made, owned by root with mode 0755. A parent that is a symbolic
 * link is followed inside the image (a layer may say "lib/x" where a lower one has lib ->
 * usr/lib); its root is the tree's root and ".." stops there, so there is no outside to escape
 * to. A parent that is any other kind of file, a loop of links or a hard link to a missing
 * file means that the layer does not belong there.
 *
 * The tree is data, no file system: a hostile layer can at worst make an odd image.
 */
#include "image/merge.h"

#include "base/cleanup.h"

#include <string.h>
#include <sys/stat.h>

#define SYMLINKS_MAX 40
/* Names on the way to one directory: any path, and some more for links. */
#define WALK_STEPS_MAX 4096U

static int does_not_fit(struct err *e, const struct layer_entry *entry, const char *why)
{
	return err_set(e, ERR_CORRUPT, "entry '%.*s' %s", (int)MIN(entry->path_len, (size_t)200),
		       entry->path, why);
}

static bool is_dir(const struct tree_node *n)
{
	return S_ISDIR(n->inode->mode);
}

/* What is left to walk: the path itself and the targets of links met on the way, innermost last. */
struct walk {
	struct {
		const char *p;
		size_t len;
	} stack[SYMLINKS_MAX + 1];
	size_t depth;
	unsigned int n_links, n_steps;
};

/* The next part of the path, or 0 at the end. */
static size_t walk_next(struct walk *w, const char **ret)
{
	while (w->depth) {
		const char **p = &w->stack[w->depth - 1].p;
		size_t *len = &w->stack[w->depth - 1].len, n;
		const char *slash;

		while (*len && **p == '/') {
			(*p)++;
			(*len)--;
		}
		if (*len == 0) {
			w->depth--;
			continue;
		}
		slash = memchr(*p, '/', *len);
		n = slash ? (size_t)(slash - *p) : *len;
		*ret = *p;
		*p += n;
		*len -= n;
		return n;
	}
	return 0;
}

enum walk_result { WALK_FOUND, WALK_MISSING, WALK_BAD, WALK_FAILED };

/*
 * Finds the directory that a path of `len` bytes names, following links, making it when `make`.
 * WALK_BAD sets *why.
 */
static enum walk_result walk_dir(struct tree *t, const char *path, size_t len, bool make,
				 struct tree_node **ret, const char **why, struct err *e)
{
	struct walk w = {.depth = 1};
	struct tree_node *dir = t->root;
	const char *name;
	size_t n;

	w.stack[0].p = path;
	w.stack[0].len = len;
	while ((n = walk_next(&w, &name)) > 0) {
		struct tree_node *child;

		if (++w.n_steps > WALK_STEPS_MAX) {
			*why = "is below links that lead about for too long";
			return WALK_BAD;
		}
		if (n == 1 && name[0] == '.')
			continue;
		if (n == 2 && name[0] == '.' && name[1] == '.') {
			dir = dir->parent;
			continue;
		}
		child = n <= LAYER_NAME_MAX ? tree_find(t, dir, name, n) : NULL;
		if (!child) {
			struct tree_inode *inode;

			if (!make || n > LAYER_NAME_MAX) {
				*why = "is below a link to nothing";
				return make ? WALK_BAD : WALK_MISSING;
			}
			inode = tree_inode_new(t, S_IFDIR | 0755, e);
			dir = inode ? tree_add(t, dir, name, n, inode, e) : NULL;
			if (!dir)
				return WALK_FAILED;
		} else if (S_ISLNK(child->inode->mode)) {
			if (++w.n_links > SYMLINKS_MAX) {
				*why = "is below a loop of symbolic links";
				return WALK_BAD;
			}
			w.stack[w.depth].p = child->inode->body;
			w.stack[w.depth].len = (size_t)child->inode->size;
			if (w.stack[w.depth].p[0] == '/')
				dir = t->root;
			w.depth++;
		} else if (!is_dir(child)) {
			*why = "is below something that is not a directory";
			return WALK_BAD;
		} else {
			dir = child;
		}
	}
	*ret = dir;
	return WALK_FOUND;
}

/* Splits a path into directory and name. */
static const char *base_name(const char *path, size_t len, size_t *ret_dir_len, size_t *ret_len)
{
	const char *slash = len ? memrchr(path, '/', len) : NULL;

	*ret_dir_len = slash ? (size_t)(slash - path) : 0;
	*ret_len = slash ? len - *ret_dir_len - 1 : len;
	return slash ? slash + 1 : path;
}

/* --- whiteouts ----------------------------------------------------------------------------- */

static int hide(struct tree *t, const struct layer_entry *entry, struct err *e)
{
	struct tree_node *dir, *n;
	const char *why, *name = entry->path;
	size_t dir_len = entry->path_len, name_len = 0;

	if (entry->type == LAYER_WHITEOUT)
		name = base_name(entry->path, entry->path_len, &dir_len, &name_len);
	switch (walk_dir(t, entry->path, dir_len, false, &dir, &why, e)) {
	case WALK_FOUND:
		break;
	case WALK_MISSING:
	case WALK_BAD:
		return 0; /* nothing there to hide */
	case WALK_FAILED:
		return -1;
	}
	if (entry->type == LAYER_OPAQUE) {
		tree_remove_children(t, dir);
		return 0;
	}
	n = tree_find(t, dir, name, name_len);
	if (n)
		tree_remove(t, n);
	return 0;
}

/*
 * A directory of the layer where a lower one has a link or file replaces that, whatever the order
 * of entries. It has to be seen before whiteouts below it are, lest they follow the link.
 */
static int replace_by_dir(struct tree *t, const struct layer_entry *entry, struct err *e)
{
	size_t dir_len, name_len;
	const char *name = base_name(entry->path, entry->path_len, &dir_len, &name_len), *why;
	struct tree_inode *inode;
	struct tree_node *dir, *old;

	if (walk_dir(t, entry->path, dir_len, false, &dir, &why, e) != WALK_FOUND)
		return 0;
	old = tree_find(t, dir, name, name_len);
	if (!old || is_dir(old))
		return 0;
	tree_remove(t, old);
	inode = tree_inode_new(t, S_IFDIR | 0755, e);
	return inode && tree_add(t, dir, name, name_len, inode, e) ? 0 : -1;
}

/* --- entries ------------------------------------------------------------------------------- */

static uint16_t mode_of(const struct layer_entry *entry)
{
	switch (entry->type) {
	case LAYER_DIR:
		return (uint16_t)(S_IFDIR | entry->mode);
	case LAYER_SYMLINK:
		return (uint16_t)(S_IFLNK | 0777);
	case LAYER_CHAR:
		return (uint16_t)(S_IFCHR | entry->mode);
	case LAYER_BLOCK_DEV:
		return (uint16_t)(S_IFBLK | entry->mode);
	case LAYER_FIFO:
		return (uint16_t)(S_IFIFO | entry->mode);
	case LAYER_FILE:
	case LAYER_HARDLINK:
	case LAYER_WHITEOUT:
	case LAYER_OPAQUE:
		break;
	}
	return (uint16_t)(S_IFREG | entry->mode);
}

/* Makes an inode what the entry says; only its count of names stays. */
static void fill_inode(struct tree_inode *inode, const struct layer_entry *entry, uint32_t part)
{
	*inode = (struct tree_inode){
		.mode = mode_of(entry),
		.uid = entry->uid,
		.gid = entry->gid,
		.nlink = inode->nlink,
		.mtime = entry->mtime,
		.mtime_ns = entry->mtime_ns,
		.xattrs = entry->xattrs,
		.xattrs_len = (uint32_t)entry->xattrs_len,
	};
	if (entry->type == LAYER_CHAR || entry->type == LAYER_BLOCK_DEV) {
		inode->rdev = tree_rdev(entry->major, entry->minor);
	} else if (entry->type == LAYER_SYMLINK) {
		inode->body = entry->link;
		inode->size = entry->link_len;
	} else if (entry->type == LAYER_FILE) {
		inode->size = entry->size;
		inode->block = (uint32_t)(entry->offset / LAYER_BLOCK);
		inode->part = part;
		inode->body = entry->tail;
		inode->tail_len = (uint16_t)entry->tail_len;
	}
}

/* The inode that a hard link refers to. */
static int find_link_target(struct tree *t, const struct layer_entry *entry,
			    struct tree_inode **ret, struct err *e)
{
	size_t dir_len, name_len;
	const char *name = base_name(entry->link, entry->link_len, &dir_len, &name_len), *why;
	struct tree_node *dir, *n = NULL;

	if (walk_dir(t, entry->link, dir_len, false, &dir, &why, e) == WALK_FOUND)
		n = tree_find(t, dir, name, name_len);
	if (!n)
		return does_not_fit(e, entry, "is a hard link to a file that is not there");
	if (is_dir(n))
		return does_not_fit(e, entry, "is a hard link to a directory");
	*ret = n->inode;
	return 0;
}

/* Where the entry before was put: the next one mostly goes there too. */
struct last_dir {
	const char *path;
	size_t len;
	struct tree_node *dir;
	uint32_t generation;
};

static int find_parent(struct tree *t, struct last_dir *last, const struct layer_entry *entry,
		       size_t dir_len, struct err *e)
{
	const char *why = "";

	if (last->dir && last->generation == t->generation && last->len == dir_len &&
	    memcmp(last->path, entry->path, dir_len) == 0)
		return 0;
	*last = (struct last_dir){.path = entry->path, .len = dir_len};
	switch (walk_dir(t, entry->path, dir_len, true, &last->dir, &why, e)) {
	case WALK_FOUND:
		last->generation = t->generation;
		return 0;
	case WALK_MISSING:
	case WALK_BAD:
		return does_not_fit(e, entry, why);
	case WALK_FAILED:
		break;
	}
	return -1;
}

static int add_link(struct tree *t, struct tree_node *dir, struct tree_node *old, const char *name,
		    size_t name_len, const struct layer_entry *entry, struct err *e)
{
	struct tree_inode *inode = NULL;

	if (find_link_target(t, entry, &inode, e) < 0 || !inode)
		return -1;
	if (old && old->inode == inode)
		return 0;
	if (old && !is_dir(old)) {
		tree_set_inode(t, old, inode);
		return 0;
	}
	if (old) {
		/* Replacing a directory may take the link's only other name with it. */
		inode->nlink++;
		tree_remove(t, old);
		inode->nlink--;
		if (inode->nlink == 0)
			return does_not_fit(e, entry, "is a hard link to a file below itself");
	}
	return tree_add(t, dir, name, name_len, inode, e) ? 0 : -1;
}

static int add_entry(struct tree *t, struct last_dir *last, const struct layer_entry *entry,
		     uint32_t part, struct err *e)
{
	size_t dir_len, name_len;
	const char *name = base_name(entry->path, entry->path_len, &dir_len, &name_len);
	struct tree_inode *inode;
	struct tree_node *old;

	if (entry->path_len == 0) {
		fill_inode(t->root->inode, entry, part);
		return 0;
	}
	if (find_parent(t, last, entry, dir_len, e) < 0)
		return -1;
	old = tree_find(t, last->dir, name, name_len);
	if (entry->type == LAYER_HARDLINK)
		return add_link(t, last->dir, old, name, name_len, entry, e);
	if (old && is_dir(old) && entry->type == LAYER_DIR) {
		fill_inode(old->inode, entry, part);
		return 0;
	}
	/* A layer that changes owners replaces every file: it should not need new memory. */
	inode = old && !is_dir(old) && old->inode->nlink == 1 ? old->inode
							      : tree_inode_new(t, 0, e);
	if (!inode)
		return -1;
	if (old && !is_dir(old) && entry->type != LAYER_DIR) {
		tree_set_inode(t, old, inode);
		fill_inode(inode, entry, part);
		return 0;
	}
	if (old)
		tree_remove(t, old);
	fill_inode(inode, entry, part);
	return tree_add(t, last->dir, name, name_len, inode, e) ? 0 : -1;
}

static bool is_mark(const struct layer_entry *entry)
{
	return entry->type == LAYER_WHITEOUT || entry->type == LAYER_OPAQUE;
}

/* Returns whether the layer has marks, or -1. */
static int replace_by_dirs(struct tree *t, const struct layer_index *ix, struct err *e)
{
	struct layer_entry entry;
	bool marks = false;
	size_t pos = 0;
	int r;

	while ((r = layer_index_next(ix, &pos, &entry, e)) > 0) {
		marks |= is_mark(&entry);
		if (entry.type == LAYER_DIR && entry.path_len > 0 &&
		    replace_by_dir(t, &entry, e) < 0)
			return -1;
	}
	return r < 0 ? -1 : marks;
}

static int hide_all(struct tree *t, const struct layer_index *ix, struct err *e)
{
	struct layer_entry entry;
	size_t pos = 0;
	int r;

	while ((r = layer_index_next(ix, &pos, &entry, e)) > 0)
		if (is_mark(&entry) && hide(t, &entry, e) < 0)
			return -1;
	return r;
}

int merge_layer(struct tree *t, const struct layer_index *ix, uint32_t part, struct err *e)
{
	struct last_dir last = {0};
	struct layer_entry entry;
	size_t pos = 0;
	int r = 0;

	if (t->root->children)
		r = replace_by_dirs(t, ix, e);
	if (r > 0)
		r = hide_all(t, ix, e);
	if (r < 0)
		return -1;
	while ((r = layer_index_next(ix, &pos, &entry, e)) > 0)
		if (!is_mark(&entry) && add_entry(t, &last, &entry, part, e) < 0)
			return -1;
	return r;
}
