/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nodes: the files of the host that the guest knows. The theory of operation is at the head of
 * node.c.
 */
#pragma once

#include "fs/share.h"

#include <limits.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>

#define NODE_ROOT 1 /* the id of the directory in which the shares are (FUSE_ROOT_ID) */

/* What tells one file of the host from all others, even from a later one with the same number. */
struct identity {
	uint64_t dev;
	uint64_t ino;
	int64_t born_ns; /* 0: the host's file system does not say */
	uint32_t type;   /* S_IFMT */
};

struct node {
	struct identity id;
	struct share *share; /* NULL: the root */
	/* A place where it was last seen. NULL: a share's root, the root, or no known place. */
	struct node *parent;
	char *name;
	uint64_t number;   /* what the guest calls it */
	uint64_t lookups;  /* references of the guest */
	unsigned children; /* nodes that have this one as parent */
	unsigned handles;  /* open files */
	int fd;            /* O_PATH, or -1 */
	bool pinned;       /* the descriptor is all that leads to it */
	bool removed;      /* by the guest; when nothing leads to it any more its bytes are free */
	bool setgid;       /* of a directory, as the guest sees it */
	uint32_t group;    /* the same: what is made in it gets this group */
	/* What the guest's cache was filled from. */
	uint64_t size;
	int64_t changed_ns;
	int64_t cached_ns;
	struct node *next;          /* in the hash table, or in the list of free ones */
	struct node *newer, *older; /* those with a descriptor, by use */
	struct node *via;           /* scratch of node_fd */
};

struct nodes {
	struct node **slots; /* by number - 1 */
	size_t n_slots, slots_room;
	size_t *vacant;
	size_t n_vacant;
	struct node **buckets;
	size_t n_buckets; /* a power of two */
	size_t n;         /* nodes */
	size_t max;
	struct node *newest, *oldest;
	size_t n_fds;    /* in this list */
	size_t n_pinned; /* not in it */
	size_t max_fds;  /* of each */
};

/* `max` nodes, of which `max_fds` are open for long. 0 or -ENOMEM. */
int nodes_init(struct nodes *t, size_t max, size_t max_fds);
void nodes_release(struct nodes *t);

/* The node that the guest calls `number`, or NULL. */
struct node *nodes_get(const struct nodes *t, uint64_t number);
/* A node without a place, which lives until it is dropped. NULL with errno set. */
struct node *nodes_add(struct nodes *t, struct share *s, const struct identity *id);
/* Those that the guest forgot, and that nothing else needs, are gone afterwards. */
void nodes_forget(struct nodes *t, struct node *n, uint64_t lookups);
/* To be called when something that held the node has gone: a handle, a child. */
void nodes_drop_if_unused(struct nodes *t, struct node *n);

/* The share's node with this identity, or NULL. */
struct node *nodes_find(const struct nodes *t, const struct share *s, const struct identity *id);
/*
 * The node of a file seen as `name` in `parent`: a new one if there is none. It has no reference
 * of the guest yet. NULL with errno set.
 */
struct node *nodes_seen(struct nodes *t, struct node *parent, const char *name,
			const struct identity *id);
/* The file is there now. 0 or -ENOMEM, and then it has no place. */
int node_place(struct nodes *t, struct node *n, struct node *parent, const char *name);
/*
 * Before a file loses the name by which it is known: opens it for as long as it has no other, so
 * that it can still be reached. 0 or -errno.
 */
int node_pin(struct nodes *t, struct node *n);
/* Takes its place away; if it is not pinned, it cannot be reached any more. */
void node_displace(struct nodes *t, struct node *n);
/* Takes over an open descriptor as that of the node. */
void node_keep_fd(struct nodes *t, struct node *n, int fd);

/*
 * An O_PATH descriptor of it, owned by the node and open until the end of the request. -ESTALE when
 * the host has put something else in its place.
 */
int node_fd(struct nodes *t, struct node *n);
/* Between requests: closes what has not been used for long if there is too much of it. */
void nodes_trim(struct nodes *t);

/* --- Looking. */

struct statx;

void identity_of(const struct statx *x, struct identity *ret);
/* statx of `name` in `dir`, of the descriptor itself if it is "". 0 or -errno. */
int node_statx(int dir, const char *name, struct statx *ret);
/* The same of a node, by its name if it has no descriptor. -ESTALE as above. */
int node_look(struct nodes *t, struct node *n, struct statx *ret);
