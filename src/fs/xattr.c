/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Extended attributes. Those of programs (user.) are those of the host's files. Those that have a
 * meaning to a kernel must have it for the guest's only: on the host they are kept under a name of
 * ours. Access lists are not offered.
 */
#include "fs/request.h"

#include "base/cleanup.h"
#include "fs/beneath.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>

#define OF_GUEST ATTR_PRIVATE "guest."

struct host_name {
	int fd;
	char path[BENEATH_PATH_MAX];
	char name[XATTR_NAME_MAX + 1];
};

/* What an attribute of the guest is called on the host. 0 or -errno. */
static int translate(const struct share *s, const char *name, char *ret, size_t size)
{
	const char *prefix = "";

	if (str_starts_with(name, ATTR_PRIVATE))
		return -EPERM;
	if (str_starts_with(name, "security.") || str_starts_with(name, "trusted."))
		prefix = OF_GUEST;
	else if (!str_starts_with(name, "user."))
		return -EOPNOTSUPP;
	if (*prefix && s->config.virt == SHARE_VIRT_OFF)
		return -EOPNOTSUPP;
	return (size_t)snprintf(ret, size, "%s%s", prefix, name) < size ? 0 : -ERANGE;
}

static int host_name(struct request *r, const char *name, struct host_name *ret)
{
	int e = translate(r->node->share, name, ret->name, sizeof(ret->name)), fd;

	if (e < 0)
		return e;
	fd = node_fd(&r->s->nodes, r->node);
	if (fd < 0)
		return fd;
	/* Attributes of links and the like: the host has none for users. */
	if (!S_ISREG(r->node->id.type) && !S_ISDIR(r->node->id.type))
		return -EOPNOTSUPP;
	ret->fd = fd;
	beneath_path(fd, NULL, ret->path, sizeof(ret->path));
	return 0;
}

/* Opens what is to be changed. */
static int open_again(struct request *r, const struct host_name *h)
{
	return attr_open(r->node->share, h->fd, r->node->id.type);
}

/* The length of the value that is there now; 0 if there is none. */
static uint64_t old_length(const struct host_name *h)
{
	ssize_t n = getxattr(h->path, h->name, NULL, 0);

	return n < 0 ? 0 : (uint64_t)n;
}

int op_setxattr(struct request *r)
{
	_cleanup_close_ int fd = -1;
	struct fuse_setxattr_in in = {};
	struct host_name h = {};
	const char *name = "", *value;
	uint64_t old;
	int e = request_take(r, &in, FUSE_COMPAT_SETXATTR_IN_SIZE);
	size_t len = r->in->left;

	if (e == 0)
		e = request_strings(r, &name, 1);
	if (e == 0)
		e = host_name(r, name, &h);
	if (e < 0)
		return e;
	value = name + strlen(name) + 1;
	if (in.size > XATTR_SIZE_MAX || len - (size_t)(value - name) != in.size)
		return in.size > XATTR_SIZE_MAX ? -E2BIG : -EINVAL;
	if (in.flags & ~(uint32_t)(XATTR_CREATE | XATTR_REPLACE))
		return -EINVAL;
	fd = open_again(r, &h);
	if (fd < 0)
		return fd;
	old = old_length(&h);
	e = in.size > old ? share_take(r->node->share, in.size - old) : 0;
	if (e < 0)
		return e;
	if (fsetxattr(fd, h.name, value, in.size, (int)in.flags) < 0) {
		e = -errno;
		if (in.size > old)
			share_give(r->node->share, in.size - old);
		return e;
	}
	if (in.size < old)
		share_give(r->node->share, old - in.size);
	return 0;
}

/* The size alone if that is all that is asked for. */
static int value_reply(struct request *r, uint32_t asked, size_t len)
{
	struct fuse_getxattr_out out = {.size = (uint32_t)len};

	if (asked == 0)
		return request_reply(r, &out, sizeof(out));
	return asked < len ? -ERANGE : request_reply(r, r->s->reply, len);
}

int op_getxattr(struct request *r)
{
	struct fuse_getxattr_in in;
	struct host_name h = {};
	const char *name = "";
	ssize_t n;
	int e = request_arg(r, &in);

	if (e == 0)
		e = request_strings(r, &name, 1);
	if (e == 0)
		e = host_name(r, name, &h);
	/* The kernel asks for these of every file; there are none. */
	if (e == -EPERM)
		return -ENODATA;
	if (e < 0)
		return e;
	n = getxattr(h.path, h.name, r->s->reply, sizeof(r->s->reply));
	return n < 0 ? -errno : value_reply(r, in.size, (size_t)n);
}

/* Puts the guest's names in place of the host's; returns the new length. */
static size_t guest_names(const struct share *s, char *list, size_t len)
{
	size_t out = 0, next;

	for (size_t at = 0; at < len; at = next) {
		const char *name = list + at;
		size_t n = strnlen(name, len - at) + 1;

		next = at + n;
		if (next > len)
			break;
		if (s->config.virt != SHARE_VIRT_OFF && str_starts_with(name, OF_GUEST)) {
			name += strlen(OF_GUEST);
			n -= strlen(OF_GUEST);
		} else if (!str_starts_with(name, "user.") || str_starts_with(name, ATTR_PRIVATE)) {
			continue;
		}
		memmove(list + out, name, n);
		out += n;
	}
	return out;
}

/* #syscalls:fs listxattr */
int op_listxattr(struct request *r)
{
	char path[BENEATH_PATH_MAX];
	struct fuse_getxattr_in in;
	ssize_t n = 0;
	int fd, e = request_arg(r, &in);

	if (e < 0)
		return e;
	fd = node_fd(&r->s->nodes, r->node);
	if (fd < 0)
		return fd;
	if (S_ISREG(r->node->id.type) || S_ISDIR(r->node->id.type)) {
		beneath_path(fd, NULL, path, sizeof(path));
		n = listxattr(path, r->s->reply, sizeof(r->s->reply));
		/* A file system without them has none to list. */
		if (n < 0 && errno == EOPNOTSUPP)
			n = 0;
	}
	if (n < 0)
		return -errno;
	return value_reply(r, in.size, guest_names(r->node->share, r->s->reply, (size_t)n));
}

/* #syscalls:fs fremovexattr */
int op_removexattr(struct request *r)
{
	_cleanup_close_ int fd = -1;
	struct host_name h = {};
	const char *name = "";
	uint64_t old;
	int e = request_strings(r, &name, 1);

	if (e == 0)
		e = host_name(r, name, &h);
	if (e < 0)
		return e;
	fd = open_again(r, &h);
	if (fd < 0)
		return fd;
	old = old_length(&h);
	if (fremovexattr(fd, h.name) < 0)
		return -errno;
	share_give(r->node->share, old);
	return 0;
}
