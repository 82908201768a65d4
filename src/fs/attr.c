/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/attr.h"

#include "base/cleanup.h"
#include "fs/beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#define VERSION   1
#define MODE_BITS 07777u
/* What the owner can do on the host in any case, so that we can. */
#define FILE_FLOOR 0600u
#define DIR_FLOOR  0700u

static void put_le32(uint8_t *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> 8 * i);
}

static uint32_t get_le32(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

void override_encode(const struct override *o, uint8_t ret[OVERRIDE_SIZE])
{
	const uint32_t fields[] = {VERSION, o->uid, o->gid, o->mode, o->rdev};

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
		put_le32(ret + 4 * i, fields[i]);
}

bool override_decode(const void *data, size_t len, struct override *ret)
{
	const uint8_t *p = data;

	if (len != OVERRIDE_SIZE || get_le32(p) != VERSION)
		return false;
	*ret = (struct override){
		.uid = get_le32(p + 4),
		.gid = get_le32(p + 8),
		.mode = get_le32(p + 12),
		.rdev = get_le32(p + 16),
	};
	switch (ret->mode & S_IFMT) {
	case S_IFREG:
	case S_IFDIR:
	case S_IFCHR:
	case S_IFBLK:
	case S_IFIFO:
	case S_IFSOCK:
		return (ret->mode & ~(S_IFMT | MODE_BITS)) == 0;
	default:
		return false;
	}
}

/* #syscalls:fs lgetxattr getxattr */
static bool read_override(int dir, const char *name, struct override *ret)
{
	uint8_t data[OVERRIDE_SIZE + 1];
	char path[BENEATH_PATH_MAX];
	ssize_t n;

	beneath_path(dir, name, path, sizeof(path));
	n = name ? lgetxattr(path, ATTR_OVERRIDE, data, sizeof(data))
		 : getxattr(path, ATTR_OVERRIDE, data, sizeof(data));
	return n > 0 && override_decode(data, (size_t)n, ret);
}

static bool can_override(const struct share *s, uint32_t mode)
{
	return s->config.virt != SHARE_VIRT_OFF && s->keeps_xattrs &&
	       (S_ISREG(mode) || S_ISDIR(mode));
}

void attr_view(struct share *s, int dir, const char *name, const struct statx *x,
	       struct override *ret)
{
	/* A directory stays one, and only a file can stand for something else. */
	if (can_override(s, x->stx_mode) && read_override(dir, name, ret) &&
	    S_ISDIR(ret->mode) == S_ISDIR(x->stx_mode))
		return;
	*ret = (struct override){
		.uid = x->stx_uid,
		.gid = x->stx_gid,
		.mode = x->stx_mode,
		.rdev = (uint32_t)makedev(x->stx_rdev_major, x->stx_rdev_minor),
	};
	if (s->config.virt == SHARE_VIRT_OFF)
		return;
	if (x->stx_uid == s->host_uid) {
		ret->uid = s->config.uid;
		ret->gid = s->config.gid;
	}
	/* The host's s bits are about the host's users. */
	if (!S_ISDIR(x->stx_mode))
		ret->mode &= ~(uint32_t)(S_ISUID | S_ISGID);
}

void attr_fill(const struct statx *x, const struct override *o, struct fuse_attr *ret)
{
	*ret = (struct fuse_attr){
		.ino = x->stx_ino,
		.size = x->stx_size,
		.blocks = x->stx_blocks,
		.atime = (uint64_t)x->stx_atime.tv_sec,
		.atimensec = x->stx_atime.tv_nsec,
		.mtime = (uint64_t)x->stx_mtime.tv_sec,
		.mtimensec = x->stx_mtime.tv_nsec,
		.ctime = (uint64_t)x->stx_ctime.tv_sec,
		.ctimensec = x->stx_ctime.tv_nsec,
		.mode = o->mode,
		.nlink = x->stx_nlink,
		.uid = o->uid,
		.gid = o->gid,
		.rdev = o->rdev,
		.blksize = x->stx_blksize,
	};
	if (!S_ISREG(o->mode) && !S_ISDIR(o->mode) && !S_ISLNK(o->mode))
		ret->size = 0;
}

uint32_t attr_host_mode(const struct share *s, uint32_t mode)
{
	uint32_t bits = mode & (s->config.mirror ? 0777 : 0700);

	if (s->config.virt == SHARE_VIRT_OFF)
		return mode & MODE_BITS;
	/* What stands for a device or a pipe is nothing to be opened by anyone. */
	if (!S_ISREG(mode) && !S_ISDIR(mode))
		return FILE_FLOOR;
	return bits | (S_ISDIR(mode) ? DIR_FLOOR : FILE_FLOOR);
}

/* #syscalls:fs fsetxattr */
static int write_override(int fd, const struct override *o)
{
	uint8_t data[OVERRIDE_SIZE];

	override_encode(o, data);
	return fsetxattr(fd, ATTR_OVERRIDE, data, sizeof(data), 0) < 0 ? -errno : 0;
}

int attr_open(const struct share *s, int fd, uint32_t type)
{
	int r;

	if (type != S_IFREG && type != S_IFDIR)
		return -EPERM;
	if (!s->config.file)
		return beneath_reopen(fd, O_RDONLY);
	/* Open already, and not to be opened by name. */
	r = fcntl(s->config.fd, F_DUPFD_CLOEXEC, 0);
	return r < 0 ? -errno : r;
}

/* #syscalls:fs fchmod */
static int change_mode(int fd, uint32_t mode)
{
	return fchmod(fd, mode) < 0 ? -errno : 0;
}

/* #syscalls:fs fchown */
static int set_real(int fd, const struct statx *x, const struct override *want)
{
	if ((want->uid != x->stx_uid || want->gid != x->stx_gid) &&
	    fchown(fd, want->uid, want->gid) < 0)
		return -errno;
	/* After a change of the owner, because that takes the s bits away. */
	return change_mode(fd, want->mode & MODE_BITS);
}

static bool equal(const struct override *a, const struct override *b)
{
	return a->uid == b->uid && a->gid == b->gid && a->mode == b->mode && a->rdev == b->rdev;
}

/* It cannot be kept: is that an error? */
static int cannot_keep(const struct share *s, const struct override *have,
		       const struct override *want)
{
	if (s->config.virt == SHARE_VIRT_STRICT && !equal(have, want))
		return -EPERM;
	return 0;
}

int attr_set(struct share *s, int fd, const struct statx *x, const struct override *have,
	     const struct override *want)
{
	uint32_t host = attr_host_mode(s, want->mode);
	_cleanup_close_ int opened = -1;
	int r = 0;

	if (equal(have, want))
		return 0;
	if (S_ISLNK(x->stx_mode))
		return s->config.virt == SHARE_VIRT_OFF ? -EPERM : cannot_keep(s, have, want);
	opened = attr_open(s, fd, x->stx_mode & S_IFMT);
	if (opened < 0)
		return opened;
	if (s->config.virt == SHARE_VIRT_OFF)
		return set_real(opened, x, want);
	/* Before the attribute, which needs a file that can be written. */
	if ((have->mode != want->mode || !s->keeps_xattrs) && (x->stx_mode & MODE_BITS) != host)
		r = change_mode(opened, host);
	if (r < 0)
		return r;
	return s->keeps_xattrs ? write_override(opened, want) : cannot_keep(s, have, want);
}

int attr_set_new(struct share *s, int fd, const struct override *want)
{
	struct override have = {
		.uid = s->config.uid,
		.gid = s->config.gid,
		.mode = (want->mode & S_IFMT) | attr_host_mode(s, want->mode),
	};

	/* Only root can do this; anyone else's files are his own. */
	if (s->config.virt == SHARE_VIRT_OFF)
		return fchown(fd, want->uid, want->gid) < 0 && errno != EPERM ? -errno : 0;
	if (equal(&have, want))
		return 0;
	if (s->keeps_xattrs)
		return write_override(fd, want);
	/* What stands for something else is nothing without the attribute. */
	if (!S_ISREG(want->mode) && !S_ISDIR(want->mode))
		return -EPERM;
	return cannot_keep(s, &have, want);
}

bool attr_supported(int fd)
{
	char path[BENEATH_PATH_MAX];
	uint8_t data[OVERRIDE_SIZE];

	beneath_path(fd, NULL, path, sizeof(path));
	return getxattr(path, ATTR_OVERRIDE, data, sizeof(data)) >= 0 || errno != EOPNOTSUPP;
}
