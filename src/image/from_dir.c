/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * The tree is scanned breadth first into memory, every step with openat and O_NOFOLLOW from the
 * directory's own descriptor, so that links and renames cannot lead out of it. A file's place in
 * the image follows from its size in the scan: the metadata are written first, then the contents
 * are copied behind them, and a file whose size has changed since is an error.
 *
 * Descriptors are not kept: a directory is opened again by its path below the root, part by part,
 * and files in it from there. That costs a few system calls and needs no more than four
 * descriptors.
 */
#include "image/from_dir.h"

#include "base/cleanup.h"
#include "base/io.h"
#include "image/blob_writer.h"
#include "image/erofs.h"
#include "image/layer_index.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#define COPY_LEN (1 * MIB)
/* Here a tail is kept once, and costs the room that is lost in front of it. */
#define TAIL_MAX 2560U

/* A file with several names that has been met once. */
struct linked {
	dev_t dev;
	ino_t ino;
	struct tree_inode *inode;
	struct linked *next;
};

#define LINKED_BUCKETS 4096

struct scan {
	const struct from_dir_options *o;
	int root; /* descriptor */
	/* The directory in which something was opened last. */
	const struct tree_node *parent;
	int parent_fd;
	struct tree tree;
	uint64_t bytes;  /* of contents so far */
	uint64_t blocks; /* of them that are not tails */
	struct linked *linked[LINKED_BUCKETS];
	/* Directories to read and files to copy, in order. */
	struct tree_node **dirs, **files;
	size_t n_dirs, n_files, dirs_cap, files_cap;
};

static int failed(struct err *e, int errnum, const struct tree_node *n, const char *what)
{
	_cleanup_free_ char *path = tree_path(n);

	return err_sys(e, errnum, "cannot %s '%.500s'", what, path);
}

static void push(struct tree_node ***list, size_t *n, size_t *cap, struct tree_node *node)
{
	if (*n == *cap) {
		*cap = *cap ? *cap * 2 : 256;
		*list = xreallocarray(*list, *cap, sizeof(struct tree_node *));
	}
	(*list)[(*n)++] = node;
}

static int open_name(int dirfd, const struct tree_node *n, int flags)
{
	char name[NAME_MAX + 1];

	memcpy(name, n->name, n->name_len);
	name[n->name_len] = '\0';
	return openat(dirfd, name, flags | O_NOFOLLOW | O_CLOEXEC);
}

/* Opens the directory that holds a node, part by part from the root. */
static int open_parent(const struct scan *s, const struct tree_node *n)
{
	_cleanup_free_ const struct tree_node **chain = NULL;
	size_t depth = n->depth - 1U;
	int fd = dup(s->root);

	chain = xcalloc(depth + 1, sizeof(struct tree_node *));
	for (size_t i = depth; i-- > 0; chain[i] = n)
		n = n->parent;
	for (size_t i = 0; fd >= 0 && i < depth; i++) {
		int next = open_name(fd, chain[i], O_PATH | O_DIRECTORY), saved = errno;

		close(fd);
		errno = saved;
		fd = next;
	}
	return fd;
}

/* Opens a node below its directory, which stays open for the next one. */
static int open_node(struct scan *s, const struct tree_node *n, int flags)
{
	if (n->depth == 0)
		return openat(s->root, ".", flags | O_CLOEXEC);
	if (n->parent != s->parent || s->parent_fd < 0) {
		close_fd(&s->parent_fd);
		s->parent = n->parent;
		s->parent_fd = open_parent(s, n);
	}
	return s->parent_fd < 0 ? -1 : open_name(s->parent_fd, n, flags);
}

static void map_owner(const struct scan *s, struct tree_inode *i, const struct stat *st)
{
	i->uid = s->o->owner_root && st->st_uid == getuid() ? 0 : st->st_uid;
	i->gid = s->o->owner_root && st->st_gid == getgid() ? 0 : st->st_gid;
}

/* --- attributes ---------------------------------------------------------------------------- */

/*
 * Reads the attributes through /proc, since a link or a device cannot be opened for it. Attributes
 * that the caller may not see are left out, as any copying tool does.
 */
static int read_xattrs(struct scan *s, int dirfd, const char *name, struct tree_inode *inode,
		       struct err *e)
{
	char path[NAME_MAX + 64], list[16384], *copy;
	uint8_t value[LAYER_XATTR_VALUE_MAX];
	_cleanup_free_ uint8_t *all = NULL;
	uint8_t *end;
	ssize_t len;

	snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", dirfd, name);
	len = llistxattr(path, list, sizeof(list));
	if (len <= 0)
		return 0;
	end = all = xmalloc(LAYER_XATTRS_MAX);
	for (const char *p = list; p < list + len; p += strlen(p) + 1) {
		ssize_t size = lgetxattr(path, p, value, sizeof(value));
		const struct layer_xattr x = {p, strlen(p), value, (size_t)MAX(size, 0)};

		if (size < 0)
			continue;
		if (layer_xattr_len(&x) > LAYER_XATTRS_MAX - (size_t)(end - all))
			return err_set(e, ERR_INVALID,
				       "the extended attributes of '%s' are too large", name);
		end = layer_xattr_put(end, &x);
	}
	inode->xattrs_len = (uint32_t)(end - all);
	copy = tree_strndup(&s->tree, (const char *)all, inode->xattrs_len, e);
	inode->xattrs = (const uint8_t *)copy;
	return copy ? 0 : -1;
}

/* --- scanning ------------------------------------------------------------------------------ */

static struct linked **linked_slot(struct scan *s, const struct stat *st)
{
	struct linked **slot = &s->linked[(st->st_ino ^ st->st_ino >> 12) % LINKED_BUCKETS];

	while (*slot && ((*slot)->ino != st->st_ino || (*slot)->dev != st->st_dev))
		slot = &(*slot)->next;
	return slot;
}

static int read_target(struct scan *s, int dirfd, const char *name, struct tree_inode *inode,
		       struct err *e)
{
	char buf[LAYER_PATH_MAX + 1];
	ssize_t n = readlinkat(dirfd, name, buf, sizeof(buf));

	if (n <= 0 || (size_t)n > LAYER_PATH_MAX)
		return err_sys(e, n < 0 ? errno : ENAMETOOLONG, "cannot read link '%s'", name);
	inode->body = tree_strndup(&s->tree, buf, (size_t)n, e);
	inode->size = (uint64_t)n;
	return inode->body ? 0 : -1;
}

static int place_content(struct scan *s, struct tree_inode *inode, uint64_t size, struct err *e)
{
	uint64_t blocks = size / EROFS_BLOCK, tail_len = size % EROFS_BLOCK;

	if (size > s->o->max_size || s->bytes > s->o->max_size - size) {
		return err_set(e, ERR_INVALID,
			       "the directory holds more than the limit of %llu bytes",
			       (unsigned long long)s->o->max_size);
	}
	inode->size = size;
	if (tail_len > TAIL_MAX) {
		tail_len = 0;
		blocks++;
	}
	inode->tail_len = (uint16_t)tail_len;
	inode->block = (uint32_t)s->blocks;
	s->blocks += blocks;
	s->bytes += size;
	return 0;
}

static struct tree_inode *make_inode(struct scan *s, int dirfd, const char *name,
				     const struct stat *st, struct err *e)
{
	struct tree_inode *inode = tree_inode_new(&s->tree, st->st_mode, e);

	if (!inode)
		return NULL;
	map_owner(s, inode, st);
	inode->mtime = st->st_mtim.tv_sec;
	inode->mtime_ns = (uint32_t)st->st_mtim.tv_nsec;
	if (S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode))
		inode->rdev = tree_rdev(major(st->st_rdev), minor(st->st_rdev));
	if (S_ISLNK(st->st_mode) && read_target(s, dirfd, name, inode, e) < 0)
		return NULL;
	if (S_ISREG(st->st_mode) && place_content(s, inode, (uint64_t)st->st_size, e) < 0)
		return NULL;
	return read_xattrs(s, dirfd, name, inode, e) < 0 ? NULL : inode;
}

static int scan_entry(struct scan *s, struct tree_node *dir, int dirfd, const char *name,
		      struct err *e)
{
	struct linked **slot = NULL;
	struct tree_inode *inode = NULL;
	struct tree_node *n;
	struct stat st;
	char *copy;
	bool known;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(e, errno, "cannot read '%s'", name);
	if (!S_ISDIR(st.st_mode) && st.st_nlink > 1) {
		slot = linked_slot(s, &st);
		inode = *slot ? (*slot)->inode : NULL;
	}
	known = inode != NULL;
	if (!known)
		inode = make_inode(s, dirfd, name, &st, e);
	copy = inode ? tree_strndup(&s->tree, name, strlen(name), e) : NULL;
	n = copy ? tree_add(&s->tree, dir, copy, strlen(copy), inode, e) : NULL;
	if (!n)
		return -1;
	if (slot && !known) {
		*slot = tree_alloc(&s->tree, sizeof(**slot), e);
		if (!*slot)
			return -1;
		**slot = (struct linked){.dev = st.st_dev, .ino = st.st_ino, .inode = inode};
	}
	if (S_ISDIR(st.st_mode))
		push(&s->dirs, &s->n_dirs, &s->dirs_cap, n);
	else if (S_ISREG(st.st_mode) && !known && inode->size > 0)
		push(&s->files, &s->n_files, &s->files_cap, n);
	return 0;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names in a directory, sorted: the host's order must not show in the image. */
static int read_names(DIR *d, struct strv *ret)
{
	struct dirent *de;

	while ((errno = 0, de = readdir(d)))
		if (!str_eq(de->d_name, ".") && !str_eq(de->d_name, ".."))
			strv_add(ret, de->d_name);
	if (errno == 0 && ret->n)
		qsort(ret->v, ret->n, sizeof(*ret->v), compare_names);
	return -errno;
}

static int scan_dir(struct scan *s, struct tree_node *dir, struct err *e)
{
	_cleanup_close_ int fd = open_node(s, dir, O_RDONLY | O_DIRECTORY);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	struct strv names = {0};
	int r;

	if (!d)
		return failed(e, errno, dir, "read directory");
	steal_fd(&fd);
	r = read_names(d, &names);
	if (r < 0)
		r = failed(e, -r, dir, "read directory");
	for (size_t i = 0; r == 0 && i < names.n; i++) {
		r = scan_entry(s, dir, dirfd(d), names.v[i], e);
		if (r < 0) {
			_cleanup_free_ char *path = tree_path(dir);

			err_wrap(e, "in '%.300s'", path);
		}
	}
	strv_release(&names);
	closedir(d);
	return r;
}

static int scan_all(struct scan *s, struct err *e)
{
	struct tree_inode *root = s->tree.root->inode;
	struct stat st;

	if (fstat(s->root, &st) < 0)
		return err_sys(e, errno, "cannot read the directory");
	root->mode = (uint16_t)st.st_mode;
	map_owner(s, root, &st);
	root->mtime = st.st_mtim.tv_sec;
	root->mtime_ns = (uint32_t)st.st_mtim.tv_nsec;
	if (read_xattrs(s, s->root, ".", root, e) < 0)
		return -1;
	push(&s->dirs, &s->n_dirs, &s->dirs_cap, s->tree.root);
	for (size_t i = 0; i < s->n_dirs; i++)
		if (scan_dir(s, s->dirs[i], e) < 0)
			return -1;
	return 0;
}

/* --- copying ------------------------------------------------------------------------------- */

/* Copies a file behind the one before it, and its tail to where the metadata have it. */
static int copy_file(struct scan *s, const struct tree_node *n, int out, struct blob_writer *w,
		     uint8_t *buf, struct err *e)
{
	/* O_NONBLOCK: it could be a pipe by now. */
	_cleanup_close_ int fd = open_node(s, n, O_RDONLY | O_NONBLOCK | O_NOCTTY);
	const struct tree_inode *inode = n->inode;
	uint64_t size = inode->size, body = size - inode->tail_len, pos = 0, at;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return failed(e, errno, n, "read");
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size != size)
		return failed(e, EBUSY, n, "take a changing file:");
	if (blob_writer_begin(w, body, &at, e) < 0)
		return -1;
	while (pos < size) {
		ssize_t got = pread_full(fd, buf, (size_t)MIN(size - pos, (uint64_t)COPY_LEN), pos);
		size_t k;
		int r;

		if (got <= 0)
			return failed(e, got < 0 ? (int)-got : EBUSY, n, "read");
		k = (size_t)MIN((uint64_t)got, body - MIN(pos, body));
		if (k && blob_writer_write(w, pos, buf, k, e) < 0)
			return -1;
		pos += (uint64_t)got;
		if (k == (size_t)got)
			continue;
		/* Pieces are of whole blocks, so the tail comes in one. */
		r = pwrite_full(out, buf + k, (size_t)got - k, erofs_tail_offset(inode));
		if (r < 0)
			return err_sys(e, -r, "cannot write the image");
	}
	return 0;
}

static int write_contents(struct scan *s, int fd, struct blob_writer *w, uint64_t meta,
			  struct err *e)
{
	_cleanup_free_ uint8_t *buf = xmalloc(COPY_LEN);
	uint64_t size;

	/* The metadata are there already. */
	if (blob_writer_begin(w, meta * EROFS_BLOCK, &size, e) < 0)
		return -1;
	for (size_t i = 0; i < s->n_files; i++)
		if (copy_file(s, s->files[i], fd, w, buf, e) < 0)
			return -1;
	return blob_writer_finish(w, &size, e);
}

static int write_image(struct scan *s, int fd, struct err *e)
{
	struct erofs_options o = {.parts = &s->blocks, .n_parts = 1};
	struct blob_writer *w;
	uint64_t meta;
	int r;

	if (erofs_write(&s->tree, &o, fd, &meta, e) < 0)
		return -1;
	w = blob_writer_new(fd, UINT64_MAX);
	r = write_contents(s, fd, w, meta, e);
	blob_writer_free(w);
	return r;
}

static int write_out(struct scan *s, const char *out, struct err *e)
{
	_cleanup_free_ char *tmp = xasprintf("%s.tmp.%d", out, getpid());
	_cleanup_close_ int fd = open(tmp, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	int r;

	if (fd < 0)
		return err_sys(e, errno, "cannot create '%s'", tmp);
	r = write_image(s, fd, e);
	if (r == 0 && (fsync(fd) < 0 || rename(tmp, out) < 0))
		r = err_sys(e, errno, "cannot write '%s'", out);
	if (r < 0)
		unlink(tmp);
	return r;
}

int from_dir(const char *path, const char *out, const struct from_dir_options *o, struct err *e)
{
	struct scan *s = xcalloc(1, sizeof(*s));
	int r;

	s->o = o;
	s->parent_fd = -1;
	s->root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->root < 0) {
		r = err_sys(e, errno, "cannot open directory '%s'", path);
		if (errno == ENOENT || errno == ENOTDIR)
			e->code = ERR_NOT_FOUND;
	} else {
		r = tree_init(&s->tree, e);
		if (r == 0)
			r = scan_all(s, e);
		if (r == 0)
			r = write_out(s, out, e);
		tree_release(&s->tree);
		close_fd(&s->parent_fd);
		close(s->root);
	}
	free(s->dirs);
	free(s->files);
	free(s);
	return r;
}
