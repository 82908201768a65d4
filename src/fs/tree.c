/* SPDX-License-Identifier: Apache-2.0 */
/* Requests that make, name and remove files. */
#include "fs/request.h"

#include "base/cleanup.h"
#include "fs/beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>

/* --- Making. */

/* What the guest wants a file to be that is made in r->node. */
static struct override wanted(const struct request *r, uint32_t mode, uint32_t rdev)
{
	struct override o = {
		.uid = r->header.uid,
		.gid = r->header.gid,
		.mode = mode,
		.rdev = rdev,
	};

	/* As on every file system of the System V kind; what the host would do is for its users. */
	if (r->node->setgid) {
		o.gid = r->node->group;
		if (S_ISDIR(mode))
			o.mode |= S_ISGID;
	}
	return o;
}

/* A file that could not be made as it should be must not stay. */
static void take_back(struct request *r, int dir, const char *name, int flags)
{
	unlinkat(dir, name, flags);
	share_give(r->node->share, SHARE_OBJECT_COST);
}

/* Makes a file `name` in r->node. A descriptor of it, open with `flags`, or -errno. */
static int make_file(struct request *r, const char *name, const struct override *want, int flags)
{
	struct share *s = r->node->share;
	int dir = request_dir(r), fd, e;

	if (dir < 0)
		return dir;
	e = share_take(s, SHARE_OBJECT_COST);
	if (e < 0)
		return e;
	/* Not with the permissions that it will have: an attribute needs write access. */
	fd = beneath_create(dir, name, flags | O_CREAT | O_EXCL, attr_host_mode(s, want->mode));
	if (fd < 0) {
		share_give(s, SHARE_OBJECT_COST);
		return fd;
	}
	e = attr_set_new(s, fd, want);
	if (e == 0)
		return fd;
	close(fd);
	take_back(r, dir, name, 0);
	return e;
}

int op_mknod(struct request *r)
{
	_cleanup_close_ int fd = -1;
	struct fuse_mknod_in in;
	struct override want;
	const char *name = "";
	int e = request_arg(r, &in);

	if (e == 0)
		e = request_name(r, &name);
	if (e < 0)
		return e;
	if (!(in.mode & S_IFMT))
		in.mode |= S_IFREG;
	want = wanted(r, in.mode, in.rdev);
	if (S_ISDIR(in.mode) || S_ISLNK(in.mode))
		return -EINVAL;
	/* Not even where the host would let us: a pipe or device of the host is nobody's here. */
	if (!S_ISREG(in.mode) && r->node->share->config.virt == SHARE_VIRT_OFF)
		return -EPERM;
	fd = make_file(r, name, &want, O_WRONLY);
	return fd < 0 ? fd : entry_reply(r, r->node, name);
}

/* #syscalls:fs mkdirat */
int op_mkdir(struct request *r)
{
	_cleanup_close_ int fd = -1;
	struct share *s = r->node->share;
	struct fuse_mkdir_in in;
	struct override want;
	const char *name = "";
	int dir, e = request_arg(r, &in);

	if (e == 0)
		e = request_name(r, &name);
	if (e < 0)
		return e;
	dir = request_dir(r);
	if (dir < 0)
		return dir;
	want = wanted(r, S_IFDIR | (in.mode & 07777), 0);
	e = share_take(s, SHARE_OBJECT_COST);
	if (e < 0)
		return e;
	if (mkdirat(dir, name, attr_host_mode(s, want.mode)) < 0) {
		e = -errno;
		share_give(s, SHARE_OBJECT_COST);
		return e;
	}
	fd = beneath_open(dir, name, O_RDONLY | O_DIRECTORY);
	e = fd < 0 ? fd : attr_set_new(s, fd, &want);
	if (e < 0) {
		take_back(r, dir, name, AT_REMOVEDIR);
		return e;
	}
	return entry_reply(r, r->node, name);
}

/* #syscalls:fs symlinkat */
int op_symlink(struct request *r)
{
	struct share *s = r->node->share;
	const char *text[2] = {"", ""}; /* the name, and to where */
	uint64_t cost;
	int dir, e = request_strings(r, text, 2);

	if (e < 0)
		return e;
	if (strlen(text[0]) > NAME_MAX || strlen(text[1]) >= PATH_MAX)
		return -ENAMETOOLONG;
	if (!beneath_name_ok(text[0]) || !*text[1])
		return -EINVAL;
	dir = request_dir(r);
	if (dir < 0)
		return dir;
	cost = SHARE_OBJECT_COST;
	e = share_take(s, cost);
	if (e < 0)
		return e;
	if (symlinkat(text[1], dir, text[0]) < 0) {
		e = -errno;
		share_give(s, cost);
		return e;
	}
	return entry_reply(r, r->node, text[0]);
}

static int open_reply(struct request *r, const struct fuse_entry_out *entry, int fd, uint32_t flags)
{
	struct fuse_open_out out = {};
	struct node *n = nodes_get(&r->s->nodes, entry->nodeid);
	int64_t fh = handle_add(r->s, n, fd);
	struct handle *h;
	int e = fh < 0 ? (int)fh : 0;

	if (e == 0) {
		h = handle_get(r->s, (uint64_t)fh, n);
		h->write = (flags & O_ACCMODE) != O_RDONLY;
		h->append = flags & O_APPEND;
		out.fh = (uint64_t)fh;
		e = request_reply(r, entry, sizeof(*entry));
		if (e == 0)
			e = request_reply(r, &out, sizeof(out));
		if (e < 0)
			handle_close(r->s, h);
	}
	if (e < 0)
		nodes_forget(&r->s->nodes, n, 1);
	return e;
}

#define OPEN_FLAGS (O_ACCMODE | O_APPEND | O_TRUNC)

int op_create(struct request *r)
{
	struct fuse_create_in in;
	struct fuse_entry_out entry;
	struct override want;
	const char *name = "";
	int fd, flags, e = request_arg(r, &in);

	if (e == 0)
		e = request_name(r, &name);
	if (e < 0)
		return e;
	flags = (int)in.flags & OPEN_FLAGS;
	want = wanted(r, S_IFREG | (in.mode & 07777), 0);
	/* We must be able to read what the guest is to write part by part. */
	fd = make_file(r, name, &want, flags);
	if (fd == -EEXIST && !(in.flags & O_EXCL)) {
		/* The host was faster. Then it is opened like any other. */
		e = entry_fill(r, r->node, name, &entry);
		if (e < 0)
			return e;
		fd = node_open(r, nodes_get(&r->s->nodes, entry.nodeid), flags);
		if (fd < 0) {
			nodes_forget(&r->s->nodes, nodes_get(&r->s->nodes, entry.nodeid), 1);
			return fd;
		}
		return open_reply(r, &entry, fd, in.flags);
	}
	if (fd < 0)
		return fd;
	e = entry_fill(r, r->node, name, &entry);
	if (e < 0) {
		close(fd);
		return e;
	}
	return open_reply(r, &entry, fd, in.flags);
}

/* A file without a name, which may get one by a link. */
int op_tmpfile(struct request *r)
{
	struct share *s = r->node->share;
	struct fuse_entry_out entry = {.entry_valid = VALID_SECONDS, .attr_valid = VALID_SECONDS};
	struct fuse_create_in in;
	struct override want, o;
	struct identity id;
	struct statx x;
	struct node *n;
	int dir = request_dir(r), fd, e = request_arg(r, &in);

	if (e < 0 || dir < 0)
		return e < 0 ? e : dir;
	want = wanted(r, S_IFREG | (in.mode & 07777), 0);
	e = share_take(s, SHARE_OBJECT_COST);
	if (e < 0)
		return e;
	fd = beneath_create(dir, ".", O_TMPFILE | O_RDWR | ((int)in.flags & O_EXCL),
			    attr_host_mode(s, want.mode));
	e = fd < 0 ? fd : attr_set_new(s, fd, &want);
	if (e == 0)
		e = node_statx(fd, "", &x);
	if (e < 0)
		goto fail;
	identity_of(&x, &id);
	n = nodes_add(&r->s->nodes, s, &id);
	if (!n) {
		e = -errno;
		goto fail;
	}
	e = dup_path(fd);
	if (e >= 0) {
		node_keep_fd(&r->s->nodes, n, e);
		e = node_pin(&r->s->nodes, n);
	}
	if (e < 0) {
		nodes_drop_if_unused(&r->s->nodes, n);
		goto fail;
	}
	n->removed = true;
	attr_view(s, fd, NULL, &x, &o);
	attr_fill(&x, &o, &entry.attr);
	entry.nodeid = n->number;
	n->lookups++;
	return open_reply(r, &entry, fd, in.flags);
fail:
	if (fd >= 0)
		close(fd);
	share_give(s, SHARE_OBJECT_COST);
	return e;
}

/* --- Removing. */

/*
 * Before the guest takes the name away: whoever has the file still open must find it. What has no
 * node is known to nobody; *ret_free is what its end gives back, if it is the end.
 */
static struct node *before_removal(struct request *r, struct node *dir, int fd, const char *name,
				   uint64_t *ret_free)
{
	struct identity id;
	struct statx x;
	struct node *n;

	*ret_free = 0;
	if (node_statx(fd, name, &x) < 0)
		return NULL;
	identity_of(&x, &id);
	n = nodes_find(&r->s->nodes, dir->share, &id);
	if (!n) {
		if (S_ISDIR(id.type) || x.stx_nlink == 1)
			*ret_free = SHARE_OBJECT_COST + (S_ISREG(id.type) ? x.stx_size : 0);
		return NULL;
	}
	/* Known by another name: this one leads nowhere from here on. */
	if (n->parent != dir || strcmp(n->name, name) != 0)
		return NULL;
	node_pin(&r->s->nodes, n);
	return n;
}

static void after_removal(struct request *r, struct node *n, uint64_t bytes)
{
	share_give(r->node->share, bytes);
	if (!n)
		return;
	n->removed = true;
	node_displace(&r->s->nodes, n);
	nodes_drop_if_unused(&r->s->nodes, n);
}

/* #syscalls:fs unlinkat */
static int remove_name(struct request *r, int flags)
{
	uint64_t bytes;
	const char *name = "";
	struct node *n;
	int dir, e = request_name(r, &name);

	if (e < 0)
		return e;
	dir = request_dir(r);
	if (dir < 0)
		return dir;
	n = before_removal(r, r->node, dir, name, &bytes);
	if (unlinkat(dir, name, flags) < 0)
		return -errno;
	after_removal(r, n, bytes);
	return 0;
}

int op_unlink(struct request *r)
{
	return remove_name(r, 0);
}

int op_rmdir(struct request *r)
{
	return remove_name(r, AT_REMOVEDIR);
}

/* --- Renaming and linking. */

/* The file known by this name, or NULL. */
static struct node *known(struct request *r, struct node *dir, int fd, const char *name)
{
	struct identity id;
	struct statx x;
	struct node *n;

	if (node_statx(fd, name, &x) < 0)
		return NULL;
	identity_of(&x, &id);
	n = nodes_find(&r->s->nodes, dir->share, &id);
	return n && n->parent == dir && strcmp(n->name, name) == 0 ? n : NULL;
}

/* #syscalls:fs renameat renameat2 */
static int move(struct request *r, struct node *to, const char *names[2], unsigned flags)
{
	int from_fd = request_dir(r), to_fd;
	struct node *moved, *replaced = NULL, *exchanged = NULL;
	uint64_t bytes = 0;

	if (from_fd < 0)
		return from_fd;
	to_fd = S_ISDIR(to->id.type) ? node_fd(&r->s->nodes, to) : -ENOTDIR;
	if (to_fd < 0)
		return to_fd;
	moved = known(r, r->node, from_fd, names[0]);
	if (flags & RENAME_EXCHANGE)
		exchanged = known(r, to, to_fd, names[1]);
	else if (!(flags & RENAME_NOREPLACE))
		replaced = before_removal(r, to, to_fd, names[1], &bytes);
	/* Two names of the same file: nothing happens, by POSIX. */
	if (replaced && replaced == moved)
		replaced = NULL;
	if (renameat2(from_fd, names[0], to_fd, names[1], flags) < 0)
		return -errno;
	if (moved)
		node_place(&r->s->nodes, moved, to, names[1]);
	if (exchanged)
		node_place(&r->s->nodes, exchanged, r->node, names[0]);
	after_removal(r, replaced, bytes);
	return 0;
}

static int rename_to(struct request *r, uint64_t number, uint32_t flags)
{
	struct node *to = nodes_get(&r->s->nodes, number);
	const char *names[2] = {"", ""};
	int e = request_strings(r, names, 2);

	if (e < 0)
		return e;
	if (!to)
		return -ESTALE;
	if (to->share != r->node->share)
		return -EXDEV;
	if (flags & ~(uint32_t)(RENAME_NOREPLACE | RENAME_EXCHANGE))
		return -EINVAL;
	for (int i = 0; i < 2; i++) {
		if (strlen(names[i]) > NAME_MAX)
			return -ENAMETOOLONG;
		if (!beneath_name_ok(names[i]))
			return -EINVAL;
	}
	/* It may be that only what is replaced in it kept it. */
	to->handles++;
	e = move(r, to, names, flags);
	to->handles--;
	nodes_drop_if_unused(&r->s->nodes, to);
	return e;
}

int op_rename(struct request *r)
{
	struct fuse_rename_in in;
	int e = request_arg(r, &in);

	return e < 0 ? e : rename_to(r, in.newdir, 0);
}

int op_rename2(struct request *r)
{
	struct fuse_rename2_in in;
	int e = request_arg(r, &in);

	return e < 0 ? e : rename_to(r, in.newdir, in.flags);
}

/* #syscalls:fs linkat */
int op_link(struct request *r)
{
	struct fuse_link_in in;
	struct node *n;
	const char *name = "";
	char number[16];
	int dir, fd, e = request_arg(r, &in);

	if (e == 0)
		e = request_name(r, &name);
	if (e < 0)
		return e;
	n = nodes_get(&r->s->nodes, in.oldnodeid);
	if (!n)
		return -ESTALE;
	if (n->share != r->node->share)
		return -EXDEV;
	dir = request_dir(r);
	fd = dir < 0 ? dir : node_fd(&r->s->nodes, n);
	if (fd < 0)
		return fd;
	beneath_number(fd, number, sizeof(number));
	if (linkat(beneath_self(), number, dir, name, AT_SYMLINK_FOLLOW) < 0)
		return -errno;
	return entry_reply(r, r->node, name);
}
