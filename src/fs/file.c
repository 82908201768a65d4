/* SPDX-License-Identifier: Apache-2.0 */
/* Requests about open files and what is in them. */
#include "fs/request.h"

#include "base/cleanup.h"
#include "fs/beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/uio.h>

/* Buffers of one read or write; the header and the arguments have one, too. */
#define PIECES_MAX (IO_PAGES_MAX + 8)

static bool same_file(int fd, const struct identity *id, struct statx *x)
{
	struct identity is;

	if (node_statx(fd, "", x) < 0)
		return false;
	identity_of(x, &is);
	return is.dev == id->dev && is.ino == id->ino && is.born_ns == id->born_ns &&
	       is.type == id->type;
}

int node_open(struct request *r, struct node *n, int flags)
{
	struct statx x;
	int dir, fd;

	/* A pipe or a device of the host is never opened. */
	if (!S_ISREG(n->id.type) && !S_ISDIR(n->id.type))
		return S_ISLNK(n->id.type) ? -ELOOP : -ENXIO;
	if ((flags & (O_ACCMODE | O_TRUNC)) != O_RDONLY && n->share->config.read_only)
		return -EROFS;
	/* A share that is a file is open already, and may not be opened by name. */
	if (n->share->config.file) {
		fd = fcntl(n->share->config.fd, F_DUPFD_CLOEXEC, 0);
		return fd < 0 ? -errno : fd;
	}
	if (n->fd >= 0)
		return beneath_reopen(n->fd, flags);
	if (!n->parent)
		return -ESTALE;
	dir = node_fd(&r->s->nodes, n->parent);
	if (dir < 0)
		return dir;
	/* Not yet with O_TRUNC, while it may be another file. */
	fd = beneath_open(dir, n->name, flags & ~O_TRUNC);
	if (fd < 0)
		return fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP ? -ESTALE : fd;
	if (!same_file(fd, &n->id, &x)) {
		close(fd);
		return -ESTALE;
	}
	return fd;
}

/* #syscalls:fs fcntl(F_DUPFD_CLOEXEC) */
int dup_path(int fd)
{
	/* Not O_PATH, but good for all that one is good for. */
	int r = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	return r < 0 ? -errno : r;
}

static int truncate_to_zero(struct share *s, int fd)
{
	int64_t size = file_size(fd);

	if (size < 0)
		return (int)size;
	if (ftruncate(fd, 0) < 0)
		return -errno;
	share_give(s, (uint64_t)size);
	return 0;
}

/*
 * The guest may keep the pages that it has of the file if it has not been changed since it was
 * opened last. (What it has written itself counts as a change, too: nothing tells the difference.)
 */
static uint32_t cache_flags(struct node *n, int fd)
{
	struct statx x;
	int64_t m, c;
	bool keep;

	if (node_statx(fd, "", &x) < 0)
		return 0;
	m = x.stx_mtime.tv_sec * 1000000000 + x.stx_mtime.tv_nsec;
	c = x.stx_ctime.tv_sec * 1000000000 + x.stx_ctime.tv_nsec;
	keep = n->cached_ns == MAX(m, c);
	n->cached_ns = MAX(m, c);
	if (S_ISDIR(n->id.type))
		return FOPEN_CACHE_DIR | (keep ? FOPEN_KEEP_CACHE : 0);
	return keep ? FOPEN_KEEP_CACHE : 0;
}

/* Opens r->node and replies with the handle. */
static int open_and_reply(struct request *r, uint32_t guest_flags)
{
	int flags = (int)guest_flags & (O_ACCMODE | O_APPEND);
	struct fuse_open_out out = {};
	struct handle *h;
	int64_t fh;
	int fd, e;

	fd = node_open(r, r->node, flags);
	if (fd < 0)
		return fd;
	e = guest_flags & O_TRUNC ? truncate_to_zero(r->node->share, fd) : 0;
	if (e < 0) {
		close(fd);
		return e;
	}
	out.open_flags = cache_flags(r->node, fd);
	fh = handle_add(r->s, r->node, fd);
	if (fh < 0)
		return (int)fh;
	h = handle_get(r->s, (uint64_t)fh, r->node);
	h->write = (flags & O_ACCMODE) != O_RDONLY;
	h->append = (flags & O_APPEND) && !r->node->share->config.file;
	out.fh = (uint64_t)fh;
	e = request_reply(r, &out, sizeof(out));
	if (e < 0)
		handle_close(r->s, h);
	return e;
}

int op_open(struct request *r)
{
	struct fuse_open_in in;
	int e = request_arg(r, &in);

	if (e < 0)
		return e;
	if (!S_ISREG(r->node->id.type))
		return S_ISDIR(r->node->id.type) ? -EISDIR : -ENXIO;
	/* O_TRUNC without write access is up to the file system (open(2)); here it is refused. */
	if ((in.flags & O_TRUNC) && (in.flags & O_ACCMODE) == O_RDONLY)
		return -EACCES;
	return open_and_reply(r, in.flags);
}

int op_opendir(struct request *r)
{
	if (!S_ISDIR(r->node->id.type))
		return -ENOTDIR;
	return open_and_reply(r, O_RDONLY);
}

static int release(struct request *r)
{
	struct fuse_release_in in;
	struct handle *h;
	int e = request_arg(r, &in);

	if (e < 0)
		return e;
	h = handle_get(r->s, in.fh, r->node);
	if (!h)
		return -EBADF;
	handle_close(r->s, h);
	return 0;
}

int op_release(struct request *r)
{
	return release(r);
}

int op_releasedir(struct request *r)
{
	return release(r);
}

/* --- Contents. */

static bool range_ok(uint64_t offset, uint64_t len)
{
	return offset <= INT64_MAX && len <= INT64_MAX - offset;
}

/* #syscalls:fs preadv */
int op_read(struct request *r)
{
	struct iovec pieces[PIECES_MAX];
	struct fuse_read_in in;
	struct handle *h;
	size_t len;
	unsigned n;
	ssize_t done;
	int e = request_arg(r, &in);

	if (e < 0)
		return e;
	h = handle_get(r->s, in.fh, r->node);
	if (!h || h->dir)
		return -EBADF;
	if (!range_ok(in.offset, in.size) || in.size > IO_MAX)
		return -EINVAL;
	n = iov_iter_take(r->out, in.size, pieces, PIECES_MAX, &len);
	done = preadv(h->fd, pieces, (int)n, (off_t)in.offset);
	if (done < 0)
		return -errno;
	r->len += (size_t)done;
	return 0;
}

/* The guest's programs may have lost the right to the s bits by this. */
static int drop_s_bits(struct request *r)
{
	struct override have, want;
	struct statx x;
	int fd, e = node_view(r, r->node, &x, &have);

	if (e < 0)
		return e;
	want = have;
	want.mode &= ~(uint32_t)S_ISUID;
	if (want.mode & S_IXGRP)
		want.mode &= ~(uint32_t)S_ISGID;
	if (want.mode == have.mode)
		return 0;
	fd = node_fd(&r->s->nodes, r->node);
	return fd < 0 ? fd : attr_set(r->node->share, fd, &x, &have, &want);
}

/*
 * How much longer the file gets by a write, which is shortened to what there is room for, and
 * counted. -ENOSPC when that is nothing.
 */
static int reserve(struct share *s, const struct handle *h, uint64_t offset, size_t *len,
		   uint64_t *ret_growth)
{
	uint64_t end = offset + *len, size, left;
	int64_t now;

	*ret_growth = 0;
	if (!share_limit(s))
		return 0;
	now = file_size(h->fd);
	if (now < 0)
		return (int)now;
	size = (uint64_t)now;
	if (h->append)
		end = size + *len;
	if (end <= size)
		return 0;
	left = share_left(s);
	if (end - size > left) {
		/* As much as fits; nothing of it may be a hole that leads to it. */
		uint64_t start = h->append ? size : offset;

		if (size + left <= start)
			return -ENOSPC;
		*len = size + left - start;
		end = size + left;
	}
	*ret_growth = end - size;
	return share_take(s, *ret_growth);
}

/* #syscalls:fs pwritev */
int op_write(struct request *r)
{
	struct iovec pieces[PIECES_MAX];
	struct fuse_write_out out = {};
	struct fuse_write_in in;
	struct handle *h;
	uint64_t growth = 0;
	size_t len;
	unsigned n;
	ssize_t done;
	int e = request_arg(r, &in);

	if (e < 0)
		return e;
	h = handle_get(r->s, in.fh, r->node);
	if (!h || !h->write)
		return -EBADF;
	if (!range_ok(in.offset, in.size) || in.size > IO_MAX || in.size != r->in->left)
		return -EINVAL;
	e = in.write_flags & FUSE_WRITE_KILL_SUIDGID ? drop_s_bits(r) : 0;
	len = in.size;
	if (e == 0)
		e = reserve(r->node->share, h, in.offset, &len, &growth);
	if (e < 0)
		return e;
	n = iov_iter_take(r->in, len, pieces, PIECES_MAX, &len);
	done = pwritev(h->fd, pieces, (int)n, (off_t)in.offset);
	e = done < 0 ? -errno : 0;
	if (growth && (size_t)MAX(done, 0) < len)
		share_give(r->node->share, MIN(growth, len - (size_t)MAX(done, 0)));
	if (e < 0)
		return e;
	out.size = (uint32_t)done;
	return request_reply(r, &out, sizeof(out));
}

/* #syscalls:fs fsync fdatasync */
int op_fsync(struct request *r)
{
	struct fuse_fsync_in in;
	struct handle *h;
	int e = request_arg(r, &in);

	if (e < 0)
		return e;
	h = handle_get(r->s, in.fh, r->node);
	if (!h)
		return -EBADF;
	e = in.fsync_flags & FUSE_FSYNC_FDATASYNC ? fdatasync(h->fd) : fsync(h->fd);
	return e < 0 ? -errno : 0;
}

/* #syscalls:fs syncfs */
int op_syncfs(struct request *r)
{
	_cleanup_close_ int fd = -1;
	struct share *s = r->node->share;

	if (!s || s->config.read_only)
		return 0;
	fd = node_open(r, s->root, s->config.file ? O_WRONLY : O_RDONLY);
	if (fd < 0)
		return fd;
	return syncfs(fd) < 0 ? -errno : 0;
}

/* #syscalls:fs fallocate */
int op_fallocate(struct request *r)
{
	const uint32_t known = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE;
	struct share *s = r->node->share;
	struct fuse_fallocate_in in;
	uint64_t growth = 0;
	struct handle *h;
	int64_t size;
	int e = request_arg(r, &in);

	if (e < 0)
		return e;
	h = handle_get(r->s, in.fh, r->node);
	if (!h || !h->write)
		return -EBADF;
	if ((in.mode & ~known) || !range_ok(in.offset, in.length))
		return in.mode & ~known ? -EOPNOTSUPP : -EFBIG;
	size = file_size(h->fd);
	if (size < 0)
		return (int)size;
	if (in.offset + in.length > (uint64_t)size && !(in.mode & FALLOC_FL_PUNCH_HOLE)) {
		/* Blocks beyond the end have no length by which they could be counted. */
		if ((in.mode & FALLOC_FL_KEEP_SIZE) && share_limit(s))
			return -EOPNOTSUPP;
		if (!(in.mode & FALLOC_FL_KEEP_SIZE))
			growth = in.offset + in.length - (uint64_t)size;
	}
	e = share_take(s, growth);
	if (e < 0)
		return e;
	if (fallocate(h->fd, (int)in.mode, (off_t)in.offset, (off_t)in.length) < 0) {
		e = -errno;
		share_give(s, growth);
	}
	return e;
}

/* #syscalls:fs lseek */
int op_lseek(struct request *r)
{
	struct fuse_lseek_out out;
	struct fuse_lseek_in in;
	struct handle *h;
	off_t pos;
	int e = request_arg(r, &in);

	if (e < 0)
		return e;
	h = handle_get(r->s, in.fh, r->node);
	if (!h || h->dir)
		return -EBADF;
	if ((in.whence != SEEK_DATA && in.whence != SEEK_HOLE) || in.offset > INT64_MAX)
		return -EINVAL;
	pos = lseek(h->fd, (off_t)in.offset, (int)in.whence);
	if (pos < 0)
		return -errno;
	out.offset = (uint64_t)pos;
	return request_reply(r, &out, sizeof(out));
}

/* #syscalls:fs copy_file_range */
int op_copy_file_range(struct request *r)
{
	struct fuse_copy_file_range_in in;
	struct fuse_write_out out = {};
	struct handle *from, *to;
	struct node *target;
	uint64_t growth = 0;
	off_t from_at, to_at;
	ssize_t done;
	size_t len;
	int e = request_arg(r, &in);

	if (e < 0)
		return e;
	target = nodes_get(&r->s->nodes, in.nodeid_out);
	from = handle_get(r->s, in.fh_in, r->node);
	to = target ? handle_get(r->s, in.fh_out, target) : NULL;
	if (!from || !to || from->dir || !to->write || to->append)
		return -EBADF;
	/* In parts, so that nothing else waits for long; the guest's kernel asks again. */
	len = (size_t)MIN(in.len, 64 * MIB);
	if (!range_ok(in.off_in, len) || !range_ok(in.off_out, len) || in.flags)
		return -EINVAL;
	e = reserve(target->share, to, in.off_out, &len, &growth);
	if (e < 0)
		return e;
	from_at = (off_t)in.off_in;
	to_at = (off_t)in.off_out;
	done = copy_file_range(from->fd, &from_at, to->fd, &to_at, len, 0);
	e = done < 0 ? -errno : 0;
	if (growth && (size_t)MAX(done, 0) < len)
		share_give(target->share, MIN(growth, len - (size_t)MAX(done, 0)));
	if (e < 0)
		return e;
	out.size = (uint32_t)done;
	return request_reply(r, &out, sizeof(out));
}
