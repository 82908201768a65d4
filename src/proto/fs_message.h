/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The messages of the operations on files (fs.read, fs.write), as structs: their requests and the
 * events that a tree of files consists of. docs/protocol.md is the description.
 *
 * Names of files are bytes. One that is UTF-8 is a string member; any other one stands in a member
 * with "_b64" behind its name instead.
 */
#pragma once

#include "proto/message.h"

#define TREE_NAME_MAX 255  /* bytes of a name */
#define TREE_PATH_MAX 4095 /* of a path in a request, and of a link's target */
/* Directories within directories: each one that is open on the way costs a descriptor. */
#define TREE_DEPTH_MAX 256

struct fs_read_request {
	char *path;  /* absolute */
	bool follow; /* if it is a symbolic link, what it points to */
};

struct fs_write_request {
	char *path;   /* absolute; where to, by the rules of struct tree_place */
	char *name;   /* NULL: the tree's contents go into `path` */
	char *source; /* NULL, or where in the same guest the tree comes from */
	bool owners;  /* entries have owners to be kept; else all belong to root */
};

void fs_read_request_release(struct fs_read_request *r);
json_t *fs_read_request_to_json(const struct fs_read_request *r);
/* 0, or -1 with the error set and nothing to release. */
int fs_read_request_from_json(json_t *j, struct fs_read_request *ret, struct err *e);

void fs_write_request_release(struct fs_write_request *r);
json_t *fs_write_request_to_json(const struct fs_write_request *r);
int fs_write_request_from_json(json_t *j, struct fs_write_request *ret, struct err *e);

enum tree_type { TREE_FILE, TREE_DIR, TREE_LINK, TREE_TYPE_COUNT };

/* A file, directory or symbolic link; what belongs to it follows in frames of its own. */
struct tree_entry {
	enum tree_type type;
	char name[TREE_NAME_MAX + 1];   /* "": the top of the tree, which has none */
	char target[TREE_PATH_MAX + 1]; /* of a link */
	uint32_t mode;                  /* permissions, 07777 */
	int64_t mtime_ns;               /* since 1970 */
	bool has_owner;
	uint32_t uid, gid;
	bool has_size; /* of a file: its content is not longer than `size` */
	uint64_t size;
};

enum tree_event {
	TREE_ENTRY,
	TREE_LEAVE,   /* the directory is complete */
	TREE_HOLE,    /* zeroes in a file */
	TREE_END,     /* nothing follows: it is complete, or never will be */
	TREE_SKIPPED, /* something that cannot be sent */
	TREE_UNKNOWN, /* of a later version; to be ignored */
};

/* What can be said of what was left out. */
struct tree_skipped {
	char *path; /* from the top */
	char *kind; /* "a socket" */
};

json_t *tree_entry_to_json(const struct tree_entry *entry);
json_t *tree_leave_to_json(void);
json_t *tree_hole_to_json(uint64_t length);
json_t *tree_end_to_json(void);
json_t *tree_skipped_to_json(const char *path, const char *kind);

/* Which event it is. */
enum tree_event tree_event_of(json_t *j);
/*
 * What is in the event. Everything is checked: a name is one component and neither "." nor "..",
 * numbers are in their range. 0, or -1 with ERR_CORRUPT.
 */
int tree_entry_from_json(json_t *j, struct tree_entry *ret, struct err *e);
int tree_hole_from_json(json_t *j, uint64_t *ret, struct err *e);
/* The strings are owned; see tree_skipped_release. */
int tree_skipped_from_json(json_t *j, struct tree_skipped *ret, struct err *e);
void tree_skipped_release(struct tree_skipped *s);

/* Whether it can be the name of a file in a directory. */
bool tree_name_ok(const char *name);
