/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the server have in common: a request, open files, and the operations. */
#pragma once

#include "base/util.h"
#include "fs/attr.h"
#include "fs/node.h"
#include "fs/server.h"

/* The largest read or write: what the guest's kernel is told, and what its pages can hold. */
#define IO_MAX       (1U << 20)
#define IO_PAGES_MAX 256
/* What may come in one request besides the data of a write. */
#define TEXT_MAX (64 * KIB + 512)

/* How long the guest may believe what it was told: then a change by the host shows. */
#define VALID_SECONDS 1

struct handle {
	int fd;            /* -1: this one is free */
	struct node *node; /* holds it */
	bool dir, write, append;
	off_t pos; /* of a directory: where the descriptor is */
	size_t next_free;
};

struct handles {
	struct handle *v;
	size_t n, room, max;
	size_t first_free; /* index + 1; 0: none */
};

/* What the host has said of a directory, and the guest has not been told yet. */
struct dirents {
	const struct node *owner; /* whose, by descriptor `fd`; NULL: nobody's */
	int fd;
	off_t next; /* the position of what is at `at` */
	size_t at, end;
	char data[32 * KIB];
};

struct server {
	struct share shares[SHARES_MAX];
	unsigned n_shares;
	struct nodes nodes;
	struct handles handles;
	struct node *root;
	bool ready;                /* INIT was seen */
	uint32_t minor;            /* of the protocol */
	char text[TEXT_MAX];       /* of the request */
	char reply[64 * KIB + 64]; /* of readdir, readlink, getxattr, listxattr */
	struct dirents dirents;
};

struct request {
	struct server *s;
	struct fuse_in_header
		header;       /* a copy, as is everything that is looked at more than once */
	struct node *node;    /* that of header.nodeid */
	struct iov_iter *in;  /* what comes after the header */
	struct iov_iter *out; /* room for what comes after the reply's header */
	size_t len;           /* of the reply so far, without its header */
};

/* Takes a structure from the request. 0, or -EINVAL when it is too short. */
int request_take(struct request *r, void *ret, size_t len);
#define request_arg(r, p) request_take(r, p, sizeof(*(p)))
/*
 * Takes the rest of the request, which is `n` strings each with its NUL, into the server's text.
 * 0 or -EINVAL; -ENAMETOOLONG.
 */
int request_strings(struct request *r, const char **ret, unsigned n);
/* The same for one file name, or for two. -EINVAL also for what is no name. */
int request_name(struct request *r, const char **ret);
/* Adds to the reply. 0, or -EIO when the guest left no room for it. */
int request_reply(struct request *r, const void *data, size_t len);

/* --- Files of the guest. */

/*
 * Fills what FUSE calls an entry for the file `name` in the directory `dir`, which the guest knows
 * from then on (until it forgets it). 0 or -errno.
 */
int entry_fill(struct request *r, struct node *dir, const char *name, struct fuse_entry_out *ret);
/* Replies with it. */
int entry_reply(struct request *r, struct node *dir, const char *name);
/* How the file looks, here and there. 0 or -errno. */
int node_view(struct request *r, struct node *n, struct statx *x, struct override *o);
/* The directory of a request with a name: its descriptor, or -errno. */
int request_dir(struct request *r);
/* What the guest sees as the length of a file; it is remembered in the node. */
int64_t file_size(int fd);

/* --- Open files. */

/* Takes the descriptor over, also when it fails. The number that the guest uses, or -errno. */
int64_t handle_add(struct server *s, struct node *n, int fd);
/* The open file `fh` of `n`, or NULL. */
struct handle *handle_get(struct server *s, uint64_t fh, const struct node *n);
void handle_close(struct server *s, struct handle *h);

/* Another descriptor for what `fd` is open for, or -errno. */
int dup_path(int fd);
/* Opens a node for reading or writing. A descriptor or -errno. */
int node_open(struct request *r, struct node *n, int flags);

/* --- Operations: 0 or -errno. */

typedef int operation(struct request *r);

operation op_lookup, op_getattr, op_setattr, op_readlink, op_statfs;
operation op_symlink, op_mknod, op_mkdir, op_unlink, op_rmdir, op_rename, op_rename2, op_link;
operation op_create, op_tmpfile;
operation op_open, op_read, op_write, op_release, op_fsync, op_fallocate, op_lseek,
	op_copy_file_range, op_syncfs;
operation op_opendir, op_readdir, op_readdirplus, op_releasedir;
operation op_setxattr, op_getxattr, op_listxattr, op_removexattr;
