/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * The guest's kernel calls a file by a number that it got from us and gives back when it forgets
 * the file. Between the two it may know as many files as it has memory for, so a node must not
 * cost a descriptor. It is an identity (device, inode, time of birth) and a place (parent node and
 * name) where it was last seen. From there it is opened when it is needed, relative to the
 * parent's descriptor, as a single component and without following links; and then it is looked
 * at whether it still is the same file. What the host has replaced is stale, and the guest's
 * kernel looks the name up anew.
 *
 * Directories in which something goes on, and files whose last known name goes away, have an
 * O_PATH descriptor. Descriptors of the former are closed when there are many, the longest unused
 * first; the others are pinned. The share's root is open for ever.
 *
 * Nodes go when nothing refers to them: no reference of the guest, no child, no open file.
 */
#include "fs/node.h"

#include "base/cleanup.h"
#include "fs/beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BUCKETS_FIRST 256
#define SLOTS_FIRST   64

int nodes_init(struct nodes *t, size_t max, size_t max_fds)
{
	*t = (struct nodes){.max = max, .max_fds = max_fds, .n_buckets = BUCKETS_FIRST};
	t->buckets = calloc(t->n_buckets, sizeof(struct node *));
	return t->buckets ? 0 : -ENOMEM;
}

static void free_node(struct node *n)
{
	if (n->fd >= 0)
		close(n->fd);
	free(n->name);
	free(n);
}

void nodes_release(struct nodes *t)
{
	for (size_t i = 0; i < t->n_slots; i++)
		if (t->slots[i])
			free_node(t->slots[i]);
	free(t->slots);
	free(t->vacant);
	free(t->buckets);
	*t = (struct nodes){};
}

/* --- The list of those with a descriptor. */

static void list_add(struct nodes *t, struct node *n)
{
	n->older = t->newest;
	n->newer = NULL;
	if (t->newest)
		t->newest->newer = n;
	else
		t->oldest = n;
	t->newest = n;
}

static void list_del(struct nodes *t, struct node *n)
{
	*(n->newer ? &n->newer->older : &t->newest) = n->older;
	*(n->older ? &n->older->newer : &t->oldest) = n->newer;
}

/* Out of the list, or out of the count of those that are not in it. */
static void fd_leaves(struct nodes *t, struct node *n)
{
	if (n->pinned) {
		t->n_pinned--;
		n->pinned = false;
	} else {
		list_del(t, n);
		t->n_fds--;
	}
}

static void close_node(struct nodes *t, struct node *n)
{
	if (n->fd < 0)
		return;
	fd_leaves(t, n);
	close_fd(&n->fd);
}

void node_keep_fd(struct nodes *t, struct node *n, int fd)
{
	close_node(t, n);
	n->fd = fd;
	list_add(t, n);
	t->n_fds++;
}

int node_pin(struct nodes *t, struct node *n)
{
	int fd = node_fd(t, n);

	if (fd < 0 || n->pinned)
		return MIN(fd, 0);
	if (t->n_pinned == t->max_fds)
		return -ENFILE;
	fd_leaves(t, n);
	n->pinned = true;
	t->n_pinned++;
	return 0;
}

static void unpin(struct nodes *t, struct node *n)
{
	if (!n->pinned)
		return;
	fd_leaves(t, n);
	list_add(t, n);
	t->n_fds++;
}

void nodes_trim(struct nodes *t)
{
	if (t->n_fds <= t->max_fds)
		return;
	while (t->n_fds > t->max_fds - t->max_fds / 4)
		close_node(t, t->oldest);
}

/* --- The table. */

static size_t bucket(const struct nodes *t, const struct identity *id)
{
	uint64_t h = (id->ino ^ id->dev << 32 ^ (uint64_t)id->born_ns) * 0x9e3779b97f4a7c15ULL;

	return (size_t)(h >> 20) & (t->n_buckets - 1);
}

static bool same(const struct identity *a, const struct identity *b)
{
	return a->ino == b->ino && a->dev == b->dev && a->born_ns == b->born_ns &&
	       a->type == b->type;
}

struct node *nodes_find(const struct nodes *t, const struct share *s, const struct identity *id)
{
	struct node *n = t->buckets[bucket(t, id)];

	/* Two shares may lie one within the other: the guest sees two files then. */
	while (n && (n->share != s || !same(&n->id, id)))
		n = n->next;
	return n;
}

static void hash_add(struct nodes *t, struct node *n)
{
	struct node **b = &t->buckets[bucket(t, &n->id)];

	n->next = *b;
	*b = n;
}

static void hash_del(struct nodes *t, struct node *n)
{
	struct node **p = &t->buckets[bucket(t, &n->id)];

	while (*p != n)
		p = &(*p)->next;
	*p = n->next;
}

/* Without memory it stays slow. */
static void hash_grow(struct nodes *t)
{
	struct node **old = t->buckets;
	size_t n_old = t->n_buckets;
	struct node **grown = calloc(2 * n_old, sizeof(struct node *));

	if (!grown)
		return;
	t->buckets = grown;
	t->n_buckets = 2 * n_old;
	for (size_t i = 0; i < n_old; i++)
		for (struct node *n = old[i], *next; n; n = next) {
			next = n->next;
			hash_add(t, n);
		}
	free(old);
}

struct node *nodes_get(const struct nodes *t, uint64_t number)
{
	return number >= 1 && number <= t->n_slots ? t->slots[number - 1] : NULL;
}

/* Room for one more number, also in the list of those that are free. */
static int grow_slots(struct nodes *t)
{
	size_t room = t->slots_room ? 2 * t->slots_room : SLOTS_FIRST;
	void *slots, *vacant;

	slots = reallocarray(t->slots, room, sizeof(struct node *));
	if (!slots)
		return -ENOMEM;
	t->slots = slots;
	vacant = reallocarray(t->vacant, room, sizeof(*t->vacant));
	if (!vacant)
		return -ENOMEM;
	t->vacant = vacant;
	t->slots_room = room;
	return 0;
}

struct node *nodes_add(struct nodes *t, struct share *s, const struct identity *id)
{
	struct node *n;
	size_t slot;

	if (t->n == t->max) {
		errno = ENFILE;
		return NULL;
	}
	if (!t->n_vacant && t->n_slots == t->slots_room && grow_slots(t) < 0)
		return NULL;
	n = calloc(1, sizeof(*n));
	if (!n)
		return NULL;
	slot = t->n_vacant ? t->vacant[--t->n_vacant] : t->n_slots++;
	*n = (struct node){.id = *id, .share = s, .number = slot + 1, .fd = -1};
	t->slots[slot] = n;
	if (++t->n > t->n_buckets)
		hash_grow(t);
	hash_add(t, n);
	return n;
}

/* --- Coming and going. */

/* Nothing leads to the file any more: what it took is free. */
static void give_back(struct node *n)
{
	struct stat st;

	if (n->removed && n->fd >= 0 && fstat(n->fd, &st) == 0 &&
	    (S_ISDIR(st.st_mode) || st.st_nlink == 0))
		share_give(n->share,
			   SHARE_OBJECT_COST + (S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0));
}

void nodes_drop_if_unused(struct nodes *t, struct node *n)
{
	/* A loop: a node may be all that its parent is kept for. */
	while (n && n->share && n != n->share->root && !n->lookups && !n->children && !n->handles) {
		struct node *parent = n->parent;

		give_back(n);
		hash_del(t, n);
		t->slots[n->number - 1] = NULL;
		t->vacant[t->n_vacant++] = n->number - 1;
		t->n--;
		close_node(t, n);
		free_node(n);
		if (parent)
			parent->children--;
		n = parent;
	}
}

void nodes_forget(struct nodes *t, struct node *n, uint64_t lookups)
{
	n->lookups -= MIN(lookups, n->lookups);
	nodes_drop_if_unused(t, n);
}

void node_displace(struct nodes *t, struct node *n)
{
	struct node *parent = n->parent;

	n->parent = NULL;
	free(n->name);
	n->name = NULL;
	if (parent) {
		parent->children--;
		nodes_drop_if_unused(t, parent);
	}
}

/*
 * The host may have moved a directory to below one that was below it. Then what is known of the
 * places in between is old, and the one next to it loses its.
 */
static void break_circle(struct nodes *t, struct node *n, struct node *parent)
{
	struct node *p = parent;

	if (!n->children)
		return;
	while (p && p->parent != n)
		p = p == n ? NULL : p->parent;
	if (!p)
		return;
	if (p->fd >= 0)
		node_pin(t, p);
	/* It may be that only this child kept it. */
	n->handles++;
	node_displace(t, p);
	n->handles--;
}

int node_place(struct nodes *t, struct node *n, struct node *parent, const char *name)
{
	char *copy;

	if (n->parent == parent && n->name && strcmp(n->name, name) == 0)
		return 0;
	/* The root of a share is where it is, even if the host shows it in another one again. */
	if (n == n->share->root)
		return 0;
	if (n == parent)
		return -ELOOP;
	copy = strdup(name);
	if (!copy)
		return -ENOMEM;
	parent->children++;
	break_circle(t, n, parent);
	node_displace(t, n);
	n->parent = parent;
	n->name = copy;
	unpin(t, n);
	n->removed = false;
	return 0;
}

struct node *nodes_seen(struct nodes *t, struct node *parent, const char *name,
			const struct identity *id)
{
	struct node *n = nodes_find(t, parent->share, id);
	int r;

	if (!n)
		n = nodes_add(t, parent->share, id);
	if (!n)
		return NULL;
	r = node_place(t, n, parent, name);
	if (r < 0) {
		nodes_drop_if_unused(t, n);
		errno = -r;
		return NULL;
	}
	return n;
}

/* --- Looking. */

void identity_of(const struct statx *x, struct identity *ret)
{
	bool born = x->stx_mask & STATX_BTIME;

	*ret = (struct identity){
		.dev = (uint64_t)x->stx_dev_major << 32 | x->stx_dev_minor,
		.ino = x->stx_ino,
		.born_ns = born ? x->stx_btime.tv_sec * 1000000000 + x->stx_btime.tv_nsec : 0,
		.type = x->stx_mode & S_IFMT,
	};
}

/* #syscalls:fs statx */
int node_statx(int dir, const char *name, struct statx *ret)
{
	int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | (*name ? 0 : AT_EMPTY_PATH);

	return statx(dir, name, flags, STATX_BASIC_STATS | STATX_BTIME, ret) < 0 ? -errno : 0;
}

static int open_node(struct nodes *t, struct node *n)
{
	struct identity id;
	struct statx x;
	int fd = beneath_open(n->parent->fd, n->name, O_PATH), r;

	if (fd < 0)
		return fd == -ENOENT || fd == -ENOTDIR ? -ESTALE : fd;
	r = node_statx(fd, "", &x);
	if (r == 0) {
		identity_of(&x, &id);
		if (!same(&id, &n->id))
			r = -ESTALE;
	}
	if (r < 0) {
		close(fd);
		return r;
	}
	node_keep_fd(t, n, fd);
	return 0;
}

int node_fd(struct nodes *t, struct node *n)
{
	struct node *top = n;

	/* Up to what is open, and down again; without recursion, the guest decides how deep it is.
	 */
	top->via = NULL;
	while (top->fd < 0) {
		if (!top->parent)
			return -ESTALE;
		top->parent->via = top;
		top = top->parent;
	}
	for (; top->via; top = top->via) {
		int r = open_node(t, top->via);

		if (r < 0)
			return r;
	}
	if (!n->pinned && n->newer) {
		list_del(t, n);
		list_add(t, n);
	}
	return n->fd;
}

int node_look(struct nodes *t, struct node *n, struct statx *ret)
{
	struct identity id;
	int dir, r;

	if (n->fd >= 0)
		return node_statx(n->fd, "", ret);
	if (!n->parent)
		return -ESTALE;
	dir = node_fd(t, n->parent);
	if (dir < 0)
		return dir;
	r = node_statx(dir, n->name, ret);
	if (r < 0)
		return r == -ENOENT ? -ESTALE : r;
	identity_of(ret, &id);
	return same(&id, &n->id) ? 0 : -ESTALE;
}
