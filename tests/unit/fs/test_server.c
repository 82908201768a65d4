/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests that no kernel makes, because its own checks come first; and places that the host
 * changes between two requests.
 */
#include "../testing.h"

#include "fs/request.h"

struct fixture {
	char *dir;
	int fd; /* of the folder that is shared for writing; beside it is one that is not */
	int read_only;
	struct server *server;
	uint64_t root, root_ro; /* nodes */
	uint8_t reply[4096];    /* what came after the header */
	size_t len;
};

/* The error of a request, 0 for success; 1 if there was no reply. */
static int ask(struct fixture *f, uint32_t opcode, uint64_t node, const void *arg, size_t arg_len,
	       const void *text, size_t text_len)
{
	struct fuse_in_header header = {.opcode = opcode, .nodeid = node, .unique = 7};
	struct fuse_out_header out;
	struct iovec from[] = {
		{&header, sizeof(header)}, {(void *)arg, arg_len}, {(void *)text, text_len}};
	struct iovec to[] = {{&out, sizeof(out)}, {f->reply, sizeof(f->reply)}};
	struct iov_iter in, reply;
	size_t n;

	iov_iter_init(&in, from, 3, sizeof(header) + arg_len + text_len);
	iov_iter_init(&reply, to, 2, sizeof(out) + sizeof(f->reply));
	n = server_handle(f->server, &in, &reply);
	if (n == 0)
		return 1;
	assert_true(n >= sizeof(out) && out.len == n && out.unique == 7);
	f->len = n - sizeof(out);
	return out.error;
}

static int lookup(struct fixture *f, uint64_t dir, const char *name, uint64_t *ret)
{
	int r = ask(f, FUSE_LOOKUP, dir, NULL, 0, name, strlen(name) + 1);

	if (r == 0)
		*ret = ((struct fuse_entry_out *)f->reply)->nodeid;
	return r;
}

static int open_file(struct fixture *f, uint64_t node, uint32_t flags, uint64_t *fh)
{
	struct fuse_open_in in = {.flags = flags};
	int r = ask(f, FUSE_OPEN, node, &in, sizeof(in), NULL, 0);

	if (r == 0)
		*fh = ((struct fuse_open_out *)f->reply)->fh;
	return r;
}

static int write_file(struct fixture *f, uint64_t node, uint64_t fh, uint64_t offset, uint32_t size,
		      const char *data)
{
	struct fuse_write_in in = {.fh = fh, .offset = offset, .size = size};

	return ask(f, FUSE_WRITE, node, &in, sizeof(in), data, strlen(data));
}

static void put_at(int dir, const char *name, const char *text)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_int_equal(write_full(fd, text, strlen(text)), 0);
	close(fd);
}

static int setup(void **state)
{
	struct fuse_init_in init = {.major = FUSE_KERNEL_VERSION,
				    .minor = FUSE_KERNEL_MINOR_VERSION};
	struct fixture *f = xcalloc(1, sizeof(*f));
	struct share_config shares[2] = {{.quota = 1 * MIB}, {.read_only = true}};
	char path[PATH_MAX];
	unsigned bad;

	assert_int_equal(temp_setup((void **)&f->dir), 0);
	*state = f;
	snprintf(path, sizeof(path), "%s/rw", f->dir);
	assert_int_equal(mkdir(path, 0755), 0);
	f->fd = open(path, O_PATH | O_CLOEXEC);
	shares[0].fd = open(path, O_PATH | O_CLOEXEC);
	snprintf(path, sizeof(path), "%s/ro", f->dir);
	assert_int_equal(mkdir(path, 0755), 0);
	f->read_only = open(path, O_PATH | O_CLOEXEC);
	shares[1].fd = open(path, O_PATH | O_CLOEXEC);
	put_at(f->read_only, "f", "text");
	f->server = server_new(shares, 2, 100, &bad);
	assert_non_null(f->server);
	/* Nothing before this. */
	assert_int_equal(lookup(f, NODE_ROOT, "0", &f->root), -EPROTO);
	assert_int_equal(ask(f, FUSE_INIT, 0, &init, sizeof(init), NULL, 0), 0);
	assert_int_equal(lookup(f, NODE_ROOT, "0", &f->root), 0);
	assert_int_equal(lookup(f, NODE_ROOT, "1", &f->root_ro), 0);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	server_free(f->server);
	close(f->fd);
	close(f->read_only);
	temp_teardown((void **)&f->dir);
	free(f);
	return 0;
}

static void test_names(void **state)
{
	struct fixture *f = *state;
	char longest[NAME_MAX + 2];
	uint64_t n = 0;

	put_at(f->fd, "f", "x");
	for (const char *const *name = (const char *const[]){"", ".", "..", "/", "f/", "/etc",
							     "../ro", "a/../f", NULL};
	     *name; name++)
		assert_int_equal(lookup(f, f->root, *name, &n), -EINVAL);
	memset(longest, 'x', sizeof(longest));
	longest[NAME_MAX + 1] = '\0';
	assert_int_equal(lookup(f, f->root, longest, &n), -ENAMETOOLONG);
	/* Without an end. */
	assert_int_equal(ask(f, FUSE_LOOKUP, f->root, NULL, 0, "f", 1), -EINVAL);
	assert_int_equal(ask(f, FUSE_UNLINK, f->root, NULL, 0, "../rw/f", 8), -EINVAL);
	assert_int_equal(ask(f, FUSE_SYMLINK, f->root, NULL, 0, "../l\0x", 7), -EINVAL);
	assert_int_equal(lookup(f, f->root, "f", &n), 0);
	/* It is no directory. */
	assert_int_equal(lookup(f, n, "f", &n), -ENOTDIR);
}

static void test_numbers(void **state)
{
	struct fixture *f = *state;
	uint64_t n = 0, fh = 0, other = 0, other_fh = 0;

	put_at(f->fd, "f", "x");
	put_at(f->fd, "g", "y");
	assert_int_equal(lookup(f, f->root, "f", &n), 0);
	assert_int_equal(lookup(f, f->root, "g", &other), 0);
	assert_int_equal(open_file(f, n, O_RDWR, &fh), 0);
	assert_int_equal(open_file(f, other, O_RDONLY, &other_fh), 0);
	assert_int_equal(lookup(f, 1000, "f", &n), -ESTALE);
	assert_int_equal(lookup(f, UINT64_MAX, "f", &n), -ESTALE);
	/* An open file of another node, one that is not open, and one that is not open for this. */
	assert_int_equal(write_file(f, other, fh, 0, 1, "z"), -EBADF);
	assert_int_equal(write_file(f, n, 99, 0, 1, "z"), -EBADF);
	assert_int_equal(write_file(f, n, UINT64_MAX, 0, 1, "z"), -EBADF);
	assert_int_equal(write_file(f, other, other_fh, 0, 1, "z"), -EBADF);
	/* Sizes that are none. */
	assert_int_equal(write_file(f, n, fh, 0, 2, "z"), -EINVAL);
	assert_int_equal(write_file(f, n, fh, UINT64_MAX, 1, "z"), -EINVAL);
	assert_int_equal(write_file(f, n, fh, INT64_MAX, 1, "z"), -EINVAL);
	assert_int_equal(write_file(f, n, fh, 0, 1, "z"), 0);
	assert_int_equal(ask(f, 4242, f->root, NULL, 0, NULL, 0), -ENOSYS);
	assert_int_equal(ask(f, FUSE_WRITE, n, "short", 5, NULL, 0), -EINVAL);
	/* The root is ours. */
	assert_int_equal(ask(f, FUSE_UNLINK, NODE_ROOT, NULL, 0, "0", 2), -EPERM);
}

static void test_between_shares(void **state)
{
	struct fixture *f = *state;
	struct fuse_rename_in to_ro = {.newdir = f->root_ro}, to_root = {.newdir = NODE_ROOT};
	struct fuse_link_in link = {0};
	uint64_t n = 0, fh = 0;

	put_at(f->fd, "f", "x");
	assert_int_equal(ask(f, FUSE_RENAME, f->root, &to_ro, sizeof(to_ro), "f\0g", 4), -EXDEV);
	assert_int_equal(ask(f, FUSE_RENAME, f->root, &to_root, sizeof(to_root), "f\0g", 4),
			 -EXDEV);
	assert_int_equal(lookup(f, f->root_ro, "f", &n), 0);
	assert_int_equal(open_file(f, n, O_RDWR, &fh), -EROFS);
	assert_int_equal(open_file(f, n, O_RDONLY, &fh), 0);
	assert_int_equal(write_file(f, n, fh, 0, 1, "z"), -EROFS);
	/* Under the name of a node that may be written. */
	assert_int_equal(write_file(f, f->root, fh, 0, 1, "z"), -EBADF);
	link.oldnodeid = n;
	assert_int_equal(ask(f, FUSE_LINK, f->root, &link, sizeof(link), "l", 2), -EXDEV);
	assert_int_equal(ask(f, FUSE_UNLINK, f->root_ro, NULL, 0, "f", 2), -EROFS);
}

/* What the host has put elsewhere, or replaced, is not what the guest had. */
static void test_stale(void **state)
{
	struct fixture *f = *state;
	uint64_t dir = 0, n = 0, fh = 0;

	assert_int_equal(mkdirat(f->fd, "d", 0755), 0);
	put_at(f->fd, "x", "new");
	assert_int_equal(lookup(f, f->root, "d", &dir), 0);
	put_at(f->fd, "d/f", "old");
	assert_int_equal(lookup(f, dir, "f", &n), 0);
	assert_int_equal(renameat(f->fd, "x", f->fd, "d/f"), 0);
	assert_int_equal(open_file(f, n, O_RDONLY, &fh), -ESTALE);
	assert_int_equal(ask(f, FUSE_GETATTR, n, NULL, 0, NULL, 0), -ESTALE);
	/* Found again under its new name. */
	assert_int_equal(lookup(f, dir, "f", &n), 0);
	assert_int_equal(open_file(f, n, O_RDONLY, &fh), 0);
	/* A link to elsewhere in its place. */
	assert_int_equal(unlinkat(f->fd, "d/f", 0), 0);
	assert_int_equal(symlinkat("/etc/passwd", f->fd, "d/f"), 0);
	assert_int_equal(open_file(f, n, O_RDONLY, &fh), -ESTALE);
}

/* Directories that the host moves one into the other make no circle. */
static void test_circle(void **state)
{
	struct fixture *f = *state;
	uint64_t a = 0, b = 0, again = 0;

	assert_int_equal(mkdirat(f->fd, "a", 0755), 0);
	assert_int_equal(mkdirat(f->fd, "a/b", 0755), 0);
	assert_int_equal(lookup(f, f->root, "a", &a), 0);
	assert_int_equal(lookup(f, a, "b", &b), 0);
	assert_int_equal(ask(f, FUSE_GETATTR, b, NULL, 0, NULL, 0), 0);
	assert_int_equal(renameat(f->fd, "a/b", f->fd, "b"), 0);
	assert_int_equal(renameat(f->fd, "a", f->fd, "b/a"), 0);
	assert_int_equal(lookup(f, f->root, "b", &again), 0);
	assert_int_equal(again, b);
	assert_int_equal(lookup(f, b, "a", &again), 0);
	assert_int_equal(again, a);
	assert_int_equal(lookup(f, a, "b", &again), 0);
	assert_int_equal(again, 0);
	assert_int_equal(ask(f, FUSE_GETATTR, a, NULL, 0, NULL, 0), 0);
}

/* A hundred nodes may be known, and those that are forgotten make room. */
static void test_too_many(void **state)
{
	struct fixture *f = *state;
	struct fuse_forget_in forget = {.nlookup = 1};
	uint64_t first = 0, n = 0;
	char name[16];
	int r = 0, i;

	for (i = 0; i < 200; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		put_at(f->fd, name, "x");
		r = lookup(f, f->root, name, &n);
		if (r < 0)
			break;
		if (i == 0)
			first = n;
	}
	assert_int_equal(r, -ENFILE);
	assert_true(i >= 90 && i <= 140);
	assert_int_equal(ask(f, FUSE_FORGET, first, &forget, sizeof(forget), NULL, 0), 1);
	assert_int_equal(lookup(f, f->root, name, &n), 0);
	assert_int_equal(ask(f, FUSE_GETATTR, first, NULL, 0, NULL, 0), 0);
	assert_int_equal(n, first);
}

static void test_limit(void **state)
{
	struct fixture *f = *state;
	struct fuse_setattr_in size = {.valid = FATTR_SIZE};
	struct fuse_statfs_out st;
	uint64_t n = 0, fh = 0;

	put_at(f->fd, "f", "before");
	assert_int_equal(lookup(f, f->root, "f", &n), 0);
	assert_int_equal(open_file(f, n, O_RDWR, &fh), 0);
	assert_int_equal(write_file(f, n, fh, 2 * MIB, 1, "z"), -ENOSPC);
	size.size = 2 * MIB;
	assert_int_equal(ask(f, FUSE_SETATTR, n, &size, sizeof(size), NULL, 0), -ENOSPC);
	size.size = MIB;
	assert_int_equal(ask(f, FUSE_SETATTR, n, &size, sizeof(size), NULL, 0), 0);
	/* As much as is left, and no more. */
	assert_int_equal(write_file(f, n, fh, MIB, 10, "0123456789"), 0);
	assert_int_equal(((struct fuse_write_out *)f->reply)->size, strlen("before"));
	assert_int_equal(write_file(f, n, fh, MIB + 6, 4, "6789"), -ENOSPC);
	assert_int_equal(ask(f, FUSE_STATFS, f->root, NULL, 0, NULL, 0), 0);
	memcpy(&st, f->reply, sizeof(st));
	assert_int_equal(st.st.bavail, 0);
	size.size = 0;
	assert_int_equal(ask(f, FUSE_SETATTR, n, &size, sizeof(size), NULL, 0), 0);
	assert_int_equal(ask(f, FUSE_STATFS, f->root, NULL, 0, NULL, 0), 0);
	memcpy(&st, f->reply, sizeof(st));
	assert_int_equal(st.st.bavail * st.st.frsize, MIB);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_names),  TEST(test_numbers),  TEST(test_between_shares), TEST(test_stale),
		TEST(test_circle), TEST(test_too_many), TEST(test_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
