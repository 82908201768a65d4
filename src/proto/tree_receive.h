/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes a tree of files that comes as the frames of fs.read and fs.write. The sender is not
 * trusted: it decides what is in the tree, but not where anything goes.
 *
 * Below the place that the user named, every name is one component, checked, and used relative to
 * the open descriptor of its directory, without following a symbolic link. A file gets a name of
 * its own in its directory and is renamed when it is complete; until then the old one stays.
 * Directories that exist already are added to and keep their attributes.
 */
#pragma once

#include "proto/fs_message.h"

/*
 * Where a tree goes. `path` is what the user named, so links in it are followed. If it is a
 * directory, the tree goes into it under `name`; if there is nothing, the tree gets its name, in a
 * directory that exists; if it is a file, a file or link replaces it. Without `name` the tree is a
 * directory whose contents go into `path`, which is made if it is missing.
 */
struct tree_place {
	const char *path;
	const char *name;   /* may be NULL */
	const char *source; /* NULL, or the tree's own path: it must not go into itself */
	bool owners;        /* keep owners as sent, and with them set-id bits; else the caller's */
	/* Told of what the sender left out; NULL: ignored. */
	void (*skipped)(const struct tree_skipped *s);
};

/* A directory on the way down. */
struct tree_level {
	int fd;
	size_t path_len; /* of its path */
	bool made;       /* by us: its attributes are set when it is complete */
	uint32_t mode, uid, gid;
	int64_t mtime_ns;
};

/* All of its size is here: nothing grows with the tree. */
struct tree_in {
	struct tree_place place; /* borrowed strings */
	bool begun, complete;
	struct tree_level levels[TREE_DEPTH_MAX];
	size_t depth;
	int base;         /* the directory that the tree's top is in; -1: not found yet */
	int file;         /* unfinished, -1: none */
	char temp[32];    /* its name until then */
	uint64_t written; /* bytes of it, holes included */
	struct tree_entry entry;
	char path[TREE_PATH_MAX + 1]; /* for messages, as far as it fits */
	size_t path_len;
};

void tree_in_init(struct tree_in *in, const struct tree_place *place);
/* Removes a file that is not complete; what was complete stays. */
void tree_in_release(struct tree_in *in);

/*
 * Acts on a frame: 1 when the tree is complete with it, 0 when there is more to come, -1 with the
 * error set: ERR_CORRUPT when the stream makes no sense. After that, and after 1, no more are
 * taken.
 */
int tree_in_frame(struct tree_in *in, const struct frame *f, struct err *e);
