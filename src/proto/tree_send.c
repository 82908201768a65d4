/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/tree_send.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <linux/magic.h>

/* Sent as soon as so much has come together. */
#define FLUSH_AT FRAME_DATA_CHUNK
/* The longest event is a link's, with name and target in base64, or escaped. */
#define EVENT_MAX (64 * KIB)

/* The walk down a tree. */
struct walk {
	struct tree_out *out;
	struct err *e;
	char path[TREE_PATH_MAX + 1]; /* as far as it fits; for messages only */
	size_t top_len;               /* of the path that the user gave */
	size_t len;
};

/* --- output -------------------------------------------------------------------------------- */

void tree_out_init(struct tree_out *out, int fd)
{
	*out = (struct tree_out){.fd = fd};
	buf_init(&out->buf, FLUSH_AT + EVENT_MAX + FRAME_HEADER_LEN + FRAME_DATA_CHUNK);
}

void tree_out_release(struct tree_out *out)
{
	buf_release(&out->buf);
}

int tree_out_flush(struct tree_out *out)
{
	struct pollfd said = {.fd = out->fd, .events = POLLIN};

	if (out->broken)
		return -1;
	/* A peer that has got everything is about to answer. */
	if (buf_len(&out->buf) == 0)
		return 0;
	if ((out->answers && poll(&said, 1, 0) > 0) ||
	    write_full(out->fd, buf_data(&out->buf), buf_len(&out->buf)) < 0) {
		out->broken = true;
		return -1;
	}
	buf_consume(&out->buf, buf_len(&out->buf));
	return 0;
}

int tree_out_event(struct tree_out *out, uint8_t type, json_t *event)
{
	int r = event ? message_append(&out->buf, type, event) : -ENOMEM;

	json_decref(event);
	if (r < 0)
		out->broken = true;
	return r < 0 || buf_len(&out->buf) >= FLUSH_AT ? tree_out_flush(out) : 0;
}

int tree_out_pass(struct tree_out *out, const struct frame *f)
{
	size_t done = 0, n;

	if (f->type != FRAME_DATA && f->len > EVENT_MAX)
		out->broken = true;
	do {
		n = MIN(f->len - done, (size_t)FRAME_DATA_CHUNK);
		if (out->broken ||
		    frame_append(&out->buf, f->type, done + n == f->len ? f->flags : 0,
				 f->payload + done, n) < 0) {
			out->broken = true;
			return -1;
		}
		if (buf_len(&out->buf) >= FLUSH_AT && tree_out_flush(out) < 0)
			return -1;
		done += n;
	} while (done < f->len);
	return 0;
}

/* --- messages ------------------------------------------------------------------------------ */

static void path_push(struct walk *w, const char *name)
{
	size_t room = sizeof(w->path) - w->len;
	int n = snprintf(w->path + w->len, room, "%s%s",
			 w->len && w->path[w->len - 1] == '/' ? "" : "/", name);

	w->len += MIN((size_t)n, room - 1);
}

static void path_pop(struct walk *w, size_t len)
{
	w->len = len;
	w->path[len] = '\0';
}

static int fail(struct walk *w, int errnum, const char *what)
{
	_cleanup_free_ char *shown = str_printable(w->path);

	if (errnum == ENOENT)
		return err_set(w->e, ERR_NOT_FOUND, "no such file or directory '%s'", shown);
	return err_sys(w->e, errnum, "cannot %s '%s'", what, shown);
}

static void skip(struct walk *w, const char *kind)
{
	const char *path = w->path + w->top_len;

	path += strspn(path, "/");
	if (w->out->skipped)
		w->out->skipped(w->out, path, kind);
}

/* --- content ------------------------------------------------------------------------------- */

/*
 * Sends up to `n` bytes of the file from `pos` in one frame, the last one if the file ends there.
 * Returns how many, -1 with an error.
 */
static ssize_t send_chunk(struct walk *w, int fd, uint64_t pos, size_t n, bool last)
{
	struct buf *b = &w->out->buf;
	uint8_t *p;
	ssize_t got;

	if (buf_len(b) >= FLUSH_AT && tree_out_flush(w->out) < 0)
		return -1;
	/* Straight into the buffer, behind room for the header. */
	p = buf_reserve(b, FRAME_HEADER_LEN + n);
	if (!p)
		return err_sys(w->e, ENOMEM, "cannot send");
	got = pread_full(fd, p + FRAME_HEADER_LEN, n, pos);
	if (got < 0)
		return fail(w, (int)-got, "read");
	last |= (size_t)got < n;
	frame_header_encode(p, FRAME_DATA, last ? FRAME_EOF : 0, (uint32_t)got);
	buf_commit(b, FRAME_HEADER_LEN + (size_t)got);
	return got;
}

/* Where data begin at or after `pos`, and where they end. A file without either is all data. */
static void find_data(int fd, uint64_t pos, uint64_t size, uint64_t *ret_data, uint64_t *ret_end)
{
	off_t data = lseek(fd, (off_t)pos, SEEK_DATA), end;

	*ret_data = pos;
	*ret_end = size;
	if (data < 0 && errno == ENXIO)
		*ret_data = size;
	if (data < 0)
		return;
	*ret_data = MIN(MAX((uint64_t)data, pos), size);
	end = lseek(fd, data, SEEK_HOLE);
	if (end > data)
		*ret_end = MIN((uint64_t)end, size);
}

/*
 * Not more than was announced: a file may grow meanwhile. It may also get shorter, and end early.
 * Files of the kernel's have no size, or one that says nothing.
 */
static int send_content(struct walk *w, int fd, const struct stat *st)
{
	uint64_t size = st->st_size > 0 ? (uint64_t)st->st_size : INT64_MAX;
	bool sparse = st->st_size > 0 && (uint64_t)st->st_blocks * 512 < size;
	uint64_t pos = 0, data = 0, end = size;

	while (pos < size) {
		if (sparse && (pos == 0 || pos == end)) {
			find_data(fd, pos, size, &data, &end);
			if (data > pos &&
			    tree_out_event(w->out, FRAME_EVENT, tree_hole_to_json(data - pos)) < 0)
				return -1;
			pos = data;
		}
		if (pos < size) {
			size_t n = (size_t)MIN(end - pos, (uint64_t)FRAME_DATA_CHUNK);
			ssize_t got = send_chunk(w, fd, pos, n, pos + n == size);

			if (got < 0)
				return -1;
			pos += (size_t)got;
			if ((size_t)got < n || pos == size)
				return 0;
		}
	}
	/* It ends with a hole. */
	if (frame_append(&w->out->buf, FRAME_DATA, FRAME_EOF, NULL, 0) < 0)
		return err_sys(w->e, ENOMEM, "cannot send");
	return 0;
}

/* --- entries ------------------------------------------------------------------------------- */

static int send_entry(struct walk *w, const struct stat *st, enum tree_type type, const char *name,
		      const char *target)
{
	struct tree_entry entry = {
		.type = type,
		.mode = st->st_mode & 07777,
		.mtime_ns = (int64_t)((uint64_t)st->st_mtim.tv_sec * NSEC_PER_SEC) +
			    st->st_mtim.tv_nsec,
		.has_owner = w->out->owners,
		.uid = st->st_uid,
		.gid = st->st_gid,
		.has_size = type == TREE_FILE && st->st_size > 0,
		.size = (uint64_t)st->st_size,
	};

	snprintf(entry.name, sizeof(entry.name), "%s", name);
	snprintf(entry.target, sizeof(entry.target), "%s", target);
	return tree_out_event(w->out, FRAME_EVENT, tree_entry_to_json(&entry));
}

/* What the kernel shows there is no content, and some of it has no end. */
static bool is_kernel_fs(int fd)
{
	static const unsigned long kinds[] = {
		PROC_SUPER_MAGIC,   SYSFS_MAGIC,         DEVPTS_SUPER_MAGIC,
		CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, DEBUGFS_MAGIC,
		TRACEFS_MAGIC,      SECURITYFS_MAGIC,    BPF_FS_MAGIC,
	};
	struct statfs fs;

	if (fstatfs(fd, &fs) < 0)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if ((unsigned long)fs.f_type == kinds[i])
			return true;
	return false;
}

static int send_any(struct walk *w, int dir, const char *path, const char *name, int depth,
		    dev_t dev, bool follow);

static int send_children(struct walk *w, DIR *d, int depth, dev_t dev)
{
	size_t len = w->len;
	struct dirent *de;
	int r = 0;

	errno = 0;
	while (r == 0 && (de = readdir(d))) {
		if (strcmp(de->d_name, ".") == 0 || strcmp(de->d_name, "..") == 0)
			continue;
		path_push(w, de->d_name);
		r = send_any(w, dirfd(d), de->d_name, de->d_name, depth + 1, dev, false);
		path_pop(w, len);
		errno = 0;
	}
	if (r == 0 && errno)
		r = fail(w, errno, "list");
	return r;
}

/* `fd` is taken over. */
static int send_dir(struct walk *w, int fd, const char *name, const struct stat *st, int depth,
		    dev_t dev)
{
	bool foreign = depth > 0 && st->st_dev != dev && is_kernel_fs(fd);
	DIR *d;
	int r;

	if (depth >= TREE_DEPTH_MAX) {
		close(fd);
		return fail(w, ELOOP, "go deeper than");
	}
	d = fdopendir(fd);
	if (!d) {
		r = fail(w, errno, "list");
		close(fd);
		return r;
	}
	r = send_entry(w, st, TREE_DIR, name, "");
	if (r == 0 && foreign)
		skip(w, "a file system of the kernel");
	else if (r == 0)
		r = send_children(w, d, depth, st->st_dev);
	closedir(d);
	return r < 0 ? r : tree_out_event(w->out, FRAME_EVENT, tree_leave_to_json());
}

static int send_link(struct walk *w, int dir, const char *path, const char *name,
		     const struct stat *st)
{
	char target[TREE_PATH_MAX + 1];
	ssize_t n = readlinkat(dir, path, target, sizeof(target));

	if (n < 0)
		return errno == ENOENT && name[0] ? 0 : fail(w, errno, "read the link");
	if ((size_t)n == sizeof(target))
		return fail(w, ENAMETOOLONG, "read the link");
	target[n] = '\0';
	return send_entry(w, st, TREE_LINK, name, target);
}

static const char *kind_of(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFSOCK:
		return "a socket";
	case S_IFIFO:
		return "a named pipe";
	default:
		return "a device";
	}
}

/*
 * Sends what is at `path` below `dir`, or the path that the user gave, as `name`. What vanishes
 * from a directory while that is read is no error.
 */
static int send_any(struct walk *w, int dir, const char *path, const char *name, int depth,
		    dev_t dev, bool follow)
{
	int flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | (follow ? 0 : O_NOFOLLOW);
	_cleanup_close_ int fd = -1;
	struct stat st;

	if (fstatat(dir, path, &st, follow ? 0 : AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT && depth > 0 ? 0 : fail(w, errno, "look at");
	if (S_ISLNK(st.st_mode))
		return send_link(w, dir, path, name, &st);
	if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)) {
		if (depth == 0)
			return err_set(w->e, ERR_INVALID, "'%s' is %s, not a file or directory",
				       path, kind_of(st.st_mode));
		skip(w, kind_of(st.st_mode));
		return 0;
	}
	fd = openat(dir, path, flags);
	if (fd < 0)
		return errno == ENOENT && depth > 0 ? 0 : fail(w, errno, "open");
	/* What has been opened counts, should it have been replaced. */
	if (fstat(fd, &st) < 0)
		return fail(w, errno, "look at");
	if (S_ISDIR(st.st_mode))
		return send_dir(w, steal_fd(&fd), name, &st, depth, dev);
	if (!S_ISREG(st.st_mode))
		return fail(w, EAGAIN, "read");
	if (send_entry(w, &st, TREE_FILE, name, "") < 0)
		return -1;
	return send_content(w, fd, &st);
}

int tree_send(struct tree_out *out, const char *path, bool follow, struct err *e)
{
	struct walk w = {.out = out, .e = e};

	snprintf(w.path, sizeof(w.path), "%s", path);
	w.len = w.top_len = strlen(w.path);
	if (send_any(&w, AT_FDCWD, path, "", 0, 0, follow) < 0)
		return -1;
	return tree_out_flush(out);
}
