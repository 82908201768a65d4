/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listing directories. The positions that the guest gets are those of the host's file system, which
 * stay valid when files come and go.
 */
#include "fs/request.h"

#include "base/util.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct listing {
	struct request *r;
	struct handle *h;
	bool plus;
	size_t room; /* that the guest has left */
	size_t used; /* of the server's reply */
};

/* Adds an entry. False when there is no room for it. */
static bool add_entry(struct listing *l, const struct dirent64 *d)
{
	struct server *s = l->r->s;
	size_t name_len = strlen(d->d_name);
	size_t head = l->plus ? offsetof(struct fuse_direntplus, dirent) : 0;
	size_t len = head + FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + name_len);
	struct fuse_dirent e = {
		.ino = d->d_ino,
		.off = (uint64_t)d->d_off,
		.namelen = (uint32_t)name_len,
		.type = d->d_type,
	};
	char *p = s->reply + l->used;

	if (l->used + len > MIN(l->room, sizeof(s->reply)))
		return false;
	memset(p, 0, len);
	if (l->plus && strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0) {
		struct fuse_entry_out entry = {};

		/* What vanished meanwhile is listed without a node, and looked up if need be. */
		if (entry_fill(l->r, l->r->node, d->d_name, &entry) == 0) {
			memcpy(p, &entry, sizeof(entry));
			e.type = (entry.attr.mode & S_IFMT) >> 12;
		}
	}
	memcpy(p + head, &e, FUSE_NAME_OFFSET);
	memcpy(p + head + FUSE_NAME_OFFSET, d->d_name, name_len);
	l->used += len;
	return true;
}

/*
 * Entries from the host until the guest's buffer is full, or to the end. 0 or -errno. The guest's
 * buffers are small: what the host has said beyond one is kept for the next request, as long as
 * nobody else lists another directory meanwhile.
 */
static int fill(struct listing *l)
{
	struct dirents *c = &l->r->s->dirents;
	ssize_t n;

	for (;;) {
		while (c->at < c->end) {
			const struct dirent64 *d = (const void *)(c->data + c->at);

			if (!add_entry(l, d))
				return 0;
			c->at += d->d_reclen;
			c->next = d->d_off;
		}
		n = getdents64(l->h->fd, c->data, sizeof(c->data));
		if (n <= 0) {
			c->owner = NULL;
			return n < 0 ? -errno : 0;
		}
		c->at = 0;
		c->end = (size_t)n;
	}
}

/* Makes what is kept be that of this directory from `offset` on. */
static int go_to(struct listing *l, off_t offset)
{
	struct dirents *c = &l->r->s->dirents;

	if (c->owner == l->r->node && c->fd == l->h->fd && c->next == offset && offset != 0)
		return 0;
	if (lseek(l->h->fd, offset, SEEK_SET) < 0)
		return -errno;
	c->owner = l->r->node;
	c->fd = l->h->fd;
	c->next = offset;
	c->at = c->end = 0;
	return 0;
}

static int list(struct request *r, bool plus)
{
	struct fuse_read_in in;
	struct listing l = {.r = r, .plus = plus};
	int e = request_arg(r, &in);

	if (e < 0)
		return e;
	l.h = handle_get(r->s, in.fh, r->node);
	if (!l.h || !l.h->dir)
		return -EBADF;
	l.room = MIN(in.size, r->out->left);
	e = go_to(&l, (off_t)in.offset);
	if (e == 0)
		e = fill(&l);
	if (e < 0 && l.used == 0)
		return e;
	return request_reply(r, r->s->reply, l.used);
}

int op_readdir(struct request *r)
{
	return list(r, false);
}

int op_readdirplus(struct request *r)
{
	return list(r, true);
}
