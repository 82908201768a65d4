/* SPDX-License-Identifier: Apache-2.0 */
/* Requests about a file as such: looking it up, its attributes, and the file system's. */
#include "fs/request.h"

#include "base/cleanup.h"
#include "fs/beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/statfs.h>
#include <sys/time.h>

#define NSEC 1000000000

/* --- What a file looks like. */

static int64_t nanoseconds(const struct statx_timestamp *t)
{
	return (int64_t)((uint64_t)t->tv_sec * NSEC + t->tv_nsec);
}

/* Keeps of a look what later requests need. */
static void remember(struct node *n, const struct statx *x, const struct override *o)
{
	n->size = x->stx_size;
	n->changed_ns = MAX(nanoseconds(&x->stx_mtime), nanoseconds(&x->stx_ctime));
	n->setgid = S_ISDIR(o->mode) && (o->mode & S_ISGID);
	n->group = o->gid;
}

int node_view(struct request *r, struct node *n, struct statx *x, struct override *o)
{
	int e = node_look(&r->s->nodes, n, x);

	if (e < 0)
		return e;
	if (n->fd >= 0)
		attr_view(n->share, n->fd, NULL, x, o);
	else
		attr_view(n->share, n->parent->fd, n->name, x, o);
	remember(n, x, o);
	return 0;
}

int request_dir(struct request *r)
{
	return S_ISDIR(r->node->id.type) ? node_fd(&r->s->nodes, r->node) : -ENOTDIR;
}

static void entry_set(struct node *n, const struct statx *x, const struct override *o,
		      struct fuse_entry_out *ret)
{
	*ret = (struct fuse_entry_out){
		.nodeid = n->number,
		.entry_valid = VALID_SECONDS,
		.attr_valid = VALID_SECONDS,
	};
	attr_fill(x, o, &ret->attr);
	/* What the host has mounted there has numbers of its own. */
	if (S_ISDIR(n->id.type) && (!n->parent || n->parent->id.dev != n->id.dev))
		ret->attr.flags = FUSE_ATTR_SUBMOUNT;
	n->lookups++;
}

/* An entry of the root. */
static int share_entry(struct request *r, const char *name, struct fuse_entry_out *ret)
{
	struct override o;
	struct statx x;
	char number[16];

	for (unsigned i = 0; i < r->s->n_shares; i++) {
		struct node *n = r->s->shares[i].root;
		int e;

		snprintf(number, sizeof(number), "%u", i);
		if (strcmp(number, name) != 0)
			continue;
		e = node_view(r, n, &x, &o);
		if (e == 0)
			entry_set(n, &x, &o, ret);
		return e;
	}
	return -ENOENT;
}

int entry_fill(struct request *r, struct node *dir, const char *name, struct fuse_entry_out *ret)
{
	struct identity id;
	struct override o;
	struct node *n;
	struct statx x;
	int fd, e;

	if (!dir->share)
		return share_entry(r, name, ret);
	fd = node_fd(&r->s->nodes, dir);
	if (fd < 0)
		return fd;
	e = node_statx(fd, name, &x);
	if (e < 0)
		return e;
	identity_of(&x, &id);
	n = nodes_seen(&r->s->nodes, dir, name, &id);
	if (!n)
		return -errno;
	attr_view(dir->share, fd, name, &x, &o);
	remember(n, &x, &o);
	entry_set(n, &x, &o, ret);
	return 0;
}

int entry_reply(struct request *r, struct node *dir, const char *name)
{
	struct fuse_entry_out out = {};
	int e = entry_fill(r, dir, name, &out);

	if (e < 0)
		return e;
	e = request_reply(r, &out, sizeof(out));
	if (e < 0)
		nodes_forget(&r->s->nodes, nodes_get(&r->s->nodes, out.nodeid), 1);
	return e;
}

int op_lookup(struct request *r)
{
	/* An entry without a file: that there is none may be believed for as long. */
	const struct fuse_entry_out none = {.entry_valid = VALID_SECONDS};
	const char *name = "";
	int e = request_name(r, &name);

	if (e < 0)
		return e;
	if (!S_ISDIR(r->node->id.type))
		return -ENOTDIR;
	e = entry_reply(r, r->node, name);
	return e == -ENOENT ? request_reply(r, &none, sizeof(none)) : e;
}

/* --- Attributes. */

static int attr_reply(struct request *r, const struct statx *x, const struct override *o)
{
	struct fuse_attr_out out = {.attr_valid = VALID_SECONDS};

	attr_fill(x, o, &out.attr);
	return request_reply(r, &out, sizeof(out));
}

int op_getattr(struct request *r)
{
	struct fuse_attr_out root = {
		.attr_valid = VALID_SECONDS,
		.attr = {.ino = NODE_ROOT, .mode = S_IFDIR | 0755, .nlink = 2, .blksize = 4096},
	};
	struct override o;
	struct statx x;
	int e;

	if (!r->node->share)
		return request_reply(r, &root, sizeof(root));
	e = node_view(r, r->node, &x, &o);
	return e < 0 ? e : attr_reply(r, &x, &o);
}

int64_t file_size(int fd)
{
	struct stat st;

	return fstat(fd, &st) < 0 ? -errno : st.st_size;
}

/* #syscalls:fs ftruncate */
static int set_size(struct request *r, const struct fuse_setattr_in *in)
{
	struct handle *h = in->valid & FATTR_FH ? handle_get(r->s, in->fh, r->node) : NULL;
	_cleanup_close_ int opened = -1;
	struct share *s = r->node->share;
	uint64_t old;
	int64_t size;
	int fd, e;

	if (in->size > INT64_MAX)
		return -EFBIG;
	if (!S_ISREG(r->node->id.type))
		return S_ISDIR(r->node->id.type) ? -EISDIR : -EINVAL;
	if (h && h->write) {
		fd = h->fd;
	} else {
		opened = node_open(r, r->node, O_WRONLY);
		if (opened < 0)
			return opened;
		fd = opened;
	}
	size = file_size(fd);
	if (size < 0)
		return (int)size;
	old = (uint64_t)size;
	e = in->size > old ? share_take(s, in->size - old) : 0;
	if (e < 0)
		return e;
	if (ftruncate(fd, (off_t)in->size) < 0) {
		e = -errno;
		if (in->size > old)
			share_give(s, in->size - old);
		return e;
	}
	if (in->size < old)
		share_give(s, old - in->size);
	return 0;
}

/* #syscalls:fs utimensat */
static int set_times(int fd, const struct fuse_setattr_in *in)
{
	struct timespec t[2] = {
		{.tv_sec = (time_t)in->atime, .tv_nsec = in->atimensec},
		{.tv_sec = (time_t)in->mtime, .tv_nsec = in->mtimensec},
	};
	char number[16];

	if (in->valid & FATTR_ATIME_NOW)
		t[0].tv_nsec = UTIME_NOW;
	else if (!(in->valid & FATTR_ATIME))
		t[0].tv_nsec = UTIME_OMIT;
	else if (in->atimensec >= NSEC)
		return -EINVAL;
	if (in->valid & FATTR_MTIME_NOW)
		t[1].tv_nsec = UTIME_NOW;
	else if (!(in->valid & FATTR_MTIME))
		t[1].tv_nsec = UTIME_OMIT;
	else if (in->mtimensec >= NSEC)
		return -EINVAL;
	beneath_number(fd, number, sizeof(number));
	return utimensat(beneath_self(), number, t, 0) < 0 ? -errno : 0;
}

/* What must go from a mode when a file changes hands or contents. */
static uint32_t without_s_bits(uint32_t mode)
{
	mode &= ~(uint32_t)S_ISUID;
	/* Without group execution it means something else. */
	return mode & S_IXGRP ? mode & ~(uint32_t)S_ISGID : mode;
}

static void wanted(const struct fuse_setattr_in *in, struct override *o)
{
	if (in->valid & FATTR_MODE)
		o->mode = (o->mode & S_IFMT) | (in->mode & 07777);
	if (in->valid & FATTR_UID)
		o->uid = in->uid;
	if (in->valid & FATTR_GID)
		o->gid = in->gid;
	if ((in->valid & FATTR_KILL_SUIDGID) && !S_ISDIR(o->mode))
		o->mode = without_s_bits(o->mode);
}

int op_setattr(struct request *r)
{
	const uint32_t of_owner = FATTR_MODE | FATTR_UID | FATTR_GID | FATTR_KILL_SUIDGID;
	const uint32_t of_times = FATTR_ATIME | FATTR_MTIME | FATTR_ATIME_NOW | FATTR_MTIME_NOW;
	struct fuse_setattr_in in;
	struct override have, want;
	struct statx x;
	int fd, e = request_arg(r, &in);

	if (e < 0)
		return e;
	fd = node_fd(&r->s->nodes, r->node);
	if (fd < 0)
		return fd;
	e = in.valid & FATTR_SIZE ? set_size(r, &in) : 0;
	if (e == 0 && in.valid & of_owner) {
		e = node_view(r, r->node, &x, &have);
		want = have;
		wanted(&in, &want);
		if (e == 0)
			e = attr_set(r->node->share, fd, &x, &have, &want);
	}
	if (e == 0 && in.valid & of_times)
		e = set_times(fd, &in);
	if (e == 0)
		e = node_view(r, r->node, &x, &have);
	return e < 0 ? e : attr_reply(r, &x, &have);
}

/* #syscalls:fs readlinkat */
int op_readlink(struct request *r)
{
	int fd = node_fd(&r->s->nodes, r->node);
	ssize_t n;

	if (fd < 0)
		return fd;
	if (!S_ISLNK(r->node->id.type))
		return -EINVAL;
	n = readlinkat(fd, "", r->s->reply, PATH_MAX);
	return n < 0 ? -errno : request_reply(r, r->s->reply, (size_t)n);
}

/* --- The file system. */

static void limit_space(struct share *s, struct fuse_kstatfs *st)
{
	uint64_t limit = share_limit(s), left = share_left(s);
	uint64_t unit = st->frsize ? st->frsize : 1, free_blocks;

	if (!limit)
		return;
	free_blocks = MIN(left / unit, st->bavail);
	st->blocks = s->config.size ? limit / unit : free_blocks + (limit - left) / unit;
	st->bfree = st->bavail = free_blocks;
}

/* #syscalls:fs fstatfs */
int op_statfs(struct request *r)
{
	struct fuse_statfs_out out = {.st = {.bsize = 4096, .frsize = 4096, .namelen = NAME_MAX}};
	struct statfs st;

	if (!r->node->share)
		return request_reply(r, &out, sizeof(out));
	if (fstatfs(r->node->share->config.fd, &st) < 0)
		return -errno;
	out.st = (struct fuse_kstatfs){
		.blocks = st.f_blocks,
		.bfree = st.f_bfree,
		.bavail = st.f_bavail,
		.files = st.f_files,
		.ffree = st.f_ffree,
		.bsize = (uint32_t)st.f_bsize,
		.frsize = (uint32_t)st.f_frsize,
		.namelen = (uint32_t)MIN(st.f_namelen, NAME_MAX),
	};
	limit_space(r->node->share, &out.st);
	return request_reply(r, &out, sizeof(out));
}
