/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/logstream.h"

#include "base/cleanup.h"
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define READ_CHUNK     ((size_t)64 << 10)
#define SNAPSHOT_TRIES 16

/* --- files --------------------------------------------------------------------------------- */

static void file_name(const struct logstream *l, int index, char out[48])
{
	if (index)
		snprintf(out, 48, "%s.%d", l->name, index);
	else
		snprintf(out, 48, "%s", l->name);
}

static int open_file(const struct logstream *l, int index)
{
	char name[48];
	int fd;

	file_name(l, index, name);
	fd = openat(l->dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* Whether a file has this number now; `file` is NULL for none. */
static bool has_index(const struct logstream *l, int index, const struct stat *file)
{
	struct stat st;
	char name[48];

	file_name(l, index, name);
	if (fstatat(l->dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return !file;
	return file && st.st_ino == file->st_ino && st.st_dev == file->st_dev;
}

static void close_files(struct logstream *l)
{
	while (l->n)
		close_fd(&l->files[--l->n].fd);
	l->current = 0;
}

static void add_file(struct logstream *l, int fd, uint64_t end)
{
	l->files[l->n++] = (struct logstream_file){fd, l->follow ? UINT64_MAX : end};
}

/* Adds all files. Returns whether they were there at one and the same time, 0 or 1, or -errno. */
static int try_snapshot(struct logstream *l)
{
	struct stat st[LOGFILE_KEEP + 1];
	bool there[LOGFILE_KEEP + 1] = {0};
	int stable = 1;

	for (int i = LOGFILE_KEEP; i >= 0; i--) {
		int fd = open_file(l, i);

		if (fd == -ENOENT)
			continue;
		if (fd < 0)
			return fd;
		there[i] = fstat(fd, &st[i]) == 0 && S_ISREG(st[i].st_mode);
		if (there[i])
			add_file(l, fd, (uint64_t)st[i].st_size);
		else
			close(fd);
	}
	for (int i = LOGFILE_KEEP; i >= 0; i--)
		stable &= has_index(l, i, there[i] ? &st[i] : NULL);
	return stable;
}

static int snapshot(struct logstream *l)
{
	size_t had = l->n;
	int r = 0;

	for (int i = 0; r == 0 && i < SNAPSHOT_TRIES; i++) {
		while (l->n > had)
			close_fd(&l->files[--l->n].fd);
		r = try_snapshot(l);
	}
	return MIN(r, 0);
}

/*
 * Adds the file after the last one that is known, or all there are when that has been deleted.
 * 0, also when there is none yet, or -errno.
 */
static int add_successor(struct logstream *l)
{
	struct stat last;

	if (l->n == 0)
		return snapshot(l);
	if (l->n == LOGSTREAM_FILES || fstat(l->files[l->n - 1].fd, &last) < 0)
		return 0;
	for (;;) {
		int at = 0, fd;

		/* It can move up meanwhile, but so does the search. */
		while (at <= LOGFILE_KEEP && !has_index(l, at, &last))
			at++;
		if (at == 0)
			return 0;
		if (at > LOGFILE_KEEP) {
			if (l->n > 1 || has_index(l, 0, NULL))
				return 0;
			l->missed = true;
			return snapshot(l);
		}
		fd = open_file(l, at - 1);
		if (fd < 0)
			return fd == -ENOENT ? 0 : fd;
		/* Its own number was not taken over: so nothing moved in what was opened either. */
		if (has_index(l, at, &last)) {
			add_file(l, fd, 0);
			return 0;
		}
		close(fd);
	}
}

static void next_file(struct logstream *l)
{
	if (l->follow) {
		close(l->files[0].fd);
		memmove(&l->files[0], &l->files[1], --l->n * sizeof(l->files[0]));
	} else {
		l->current++;
	}
	l->offset = 0;
}

/* --- lines --------------------------------------------------------------------------------- */

static void drop_buffer(struct logstream *l)
{
	l->start = l->end = l->scanned = 0;
}

/* Reads more of the current file. 1, 0 at its end, or -errno. */
static int read_more(struct logstream *l)
{
	const struct logstream_file *f = &l->files[l->current];
	uint64_t left = f->end > l->offset ? f->end - l->offset : 0;
	struct stat st;
	ssize_t n;

	if (l->start) {
		memmove(l->mem, l->mem + l->start, l->end - l->start);
		l->end -= l->start;
		l->start = 0;
	}
	n = pread_full(f->fd, l->mem + l->end, MIN(MIN(l->max - l->end, READ_CHUNK), left),
		       l->offset);
	if (n < 0)
		return (int)n;
	l->offset += (uint64_t)n;
	l->end += (size_t)n;
	if (n == 0 && l->follow && fstat(f->fd, &st) == 0 && (uint64_t)st.st_size < l->offset) {
		/* Somebody emptied it; what it has now is new. */
		l->offset = 0;
		l->skipping = false;
		drop_buffer(l);
		return 1;
	}
	return n > 0;
}

/* Hands out the next `n` bytes and drops `drop`. */
static int take(struct logstream *l, size_t n, size_t drop, char **ret, size_t *ret_len)
{
	*ret = l->mem + l->start;
	*ret_len = n;
	l->start += drop;
	l->scanned = 0;
	return 1;
}

/* A line that is in the buffer as a whole, or a piece of one that never will be. 1 or 0. */
static int take_line(struct logstream *l, char **ret, size_t *ret_len)
{
	size_t len = l->end - l->start;
	const char *text = l->mem + l->start, *nl;

	while ((nl = memchr(text + l->scanned, '\n', len - l->scanned))) {
		size_t line = (size_t)(nl - text);

		take(l, line, line + 1, ret, ret_len);
		if (!l->skipping)
			return 1;
		l->skipping = false;
		text += line + 1;
		len -= line + 1;
	}
	l->scanned = len;
	if (l->skipping || (len == l->max && !l->split)) {
		l->skipping = true;
		drop_buffer(l);
		return 0;
	}
	return len == l->max ? take(l, len, len, ret, ret_len) : 0;
}

int logstream_next(struct logstream *l, bool last, char **ret, size_t *ret_len)
{
	bool more;
	int r;

	for (;;) {
		if (take_line(l, ret, ret_len))
			return 1;
		if (l->follow && (r = add_successor(l)) < 0)
			return r;
		if (l->n == 0)
			return 0;
		r = read_more(l);
		if (r < 0)
			return r;
		if (r > 0)
			continue;
		/* Whatever has a successor is complete, and a writer begins files with a line. */
		more = l->current + 1 < l->n;
		if (!more && !last)
			return 0;
		if (more)
			next_file(l);
		if (l->end > l->start && !l->skipping)
			return take(l, l->end - l->start, l->end - l->start, ret, ret_len);
		l->skipping = false;
		if (!more)
			return 0;
	}
}

/* --- the whole ----------------------------------------------------------------------------- */

int logstream_open(struct logstream *l, int dirfd, const char *name, size_t max, bool split)
{
	int r;

	*l = (struct logstream){.dirfd = dirfd, .max = max, .split = split};
	snprintf(l->name, sizeof(l->name), "%s", name);
	r = snapshot(l);
	if (r < 0)
		close_files(l);
	else
		l->mem = xmalloc(max);
	return r;
}

void logstream_close(struct logstream *l)
{
	close_files(l);
	free(l->mem);
	l->mem = NULL;
}

uint64_t logstream_size(const struct logstream *l)
{
	uint64_t n = 0;

	for (size_t i = 0; i < l->n; i++)
		n += l->files[i].end;
	return n;
}

void logstream_seek(struct logstream *l, uint64_t n)
{
	uint64_t size = logstream_size(l), at = size - MIN(n, size);

	drop_buffer(l);
	l->current = 0;
	while (l->current + 1 < l->n && at >= l->files[l->current].end)
		at -= l->files[l->current++].end;
	/* From the byte before, since a line begins here if that is a line's end. */
	l->skipping = at > 0;
	l->offset = at > 0 ? at - 1 : 0;
}

void logstream_follow(struct logstream *l)
{
	/* Files that have been read are not needed any more. */
	while (l->current) {
		close(l->files[0].fd);
		memmove(&l->files[0], &l->files[1], --l->n * sizeof(l->files[0]));
		l->current--;
	}
	for (size_t i = 0; i < l->n; i++)
		l->files[i].end = UINT64_MAX;
	l->follow = true;
}
