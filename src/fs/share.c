/* SPDX-License-Identifier: Apache-2.0 */
/* #syscalls:fs newfstatat getdents64 close */
#include "fs/share.h"

#include "base/clock.h"
#include "base/util.h"
#include "fs/beneath.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A full share is not counted more often than this. */
#define RECOUNT_SECONDS 5
#define LEVELS_FIRST    32
#define DIRENTS_SIZE    (16 * KIB)

uint64_t share_limit(const struct share *s)
{
	return s->config.size ? s->config.size : s->config.quota;
}

/* --- What is there already: a walk without recursion, for the guest decides how deep it is. */

struct level {
	int fd;
	size_t at, end; /* within data */
	char *data;
};

struct walk {
	struct level *levels;
	size_t n, room;
	uint64_t dev;
	uint64_t total;
};

static int walk_enter(struct walk *w, int fd)
{
	struct level *l;

	if (w->n == w->room) {
		size_t room = w->room ? 2 * w->room : LEVELS_FIRST;
		void *p = realloc(w->levels, room * sizeof(*w->levels));

		if (!p)
			return -ENOMEM;
		w->levels = p;
		w->room = room;
	}
	l = &w->levels[w->n];
	*l = (struct level){.fd = fd, .data = malloc(DIRENTS_SIZE)};
	if (!l->data)
		return -ENOMEM;
	w->n++;
	return 0;
}

static void walk_leave(struct walk *w)
{
	struct level *l = &w->levels[--w->n];

	close(l->fd);
	free(l->data);
}

/* Counts an entry; enters a directory. */
static int walk_entry(struct walk *w, int dir, const char *name)
{
	struct stat st;
	int fd, r;

	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return 0;
	/* What vanishes meanwhile does not count. */
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	w->total += SHARE_OBJECT_COST;
	if (S_ISREG(st.st_mode))
		w->total += (uint64_t)st.st_size;
	if (!S_ISDIR(st.st_mode) || st.st_dev != w->dev)
		return 0;
	fd = beneath_open(dir, name, O_RDONLY | O_DIRECTORY);
	if (fd < 0)
		return fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP ? 0 : fd;
	r = walk_enter(w, fd);
	if (r < 0)
		close(fd);
	return r;
}

static int walk_step(struct walk *w)
{
	struct level *l = &w->levels[w->n - 1];
	struct dirent64 *d;
	ssize_t n;

	if (l->at == l->end) {
		n = getdents64(l->fd, l->data, DIRENTS_SIZE);
		if (n < 0)
			return -errno;
		if (n == 0) {
			walk_leave(w);
			return 0;
		}
		l->at = 0;
		l->end = (size_t)n;
	}
	d = (struct dirent64 *)(l->data + l->at);
	l->at += d->d_reclen;
	return walk_entry(w, l->fd, d->d_name);
}

static int count(struct share *s, uint64_t *ret)
{
	struct walk w = {.dev = s->dev};
	int fd = beneath_open(s->config.fd, ".", O_RDONLY | O_DIRECTORY), r;

	if (fd < 0)
		return fd;
	r = walk_enter(&w, fd);
	if (r < 0)
		close(fd);
	while (r == 0 && w.n > 0)
		r = walk_step(&w);
	while (w.n > 0)
		walk_leave(&w);
	free(w.levels);
	*ret = w.total;
	return r;
}

/* --- The account. */

/* Only a share with a limit for all that is there needs to know what that is. */
static int count_once(struct share *s)
{
	int r;

	if (s->counted || !s->config.size || s->config.file)
		return 0;
	r = count(s, &s->used);
	s->counted = r == 0;
	s->recount_s = clock_mono_ns() / NSEC_PER_SEC;
	return r;
}

static void recount(struct share *s)
{
	uint64_t now = clock_mono_ns() / NSEC_PER_SEC;

	if (!s->config.size || now - s->recount_s < RECOUNT_SECONDS)
		return;
	s->counted = false;
	/* If it cannot be counted now it stays full. */
	if (count_once(s) < 0)
		s->counted = true;
	s->recount_s = now;
}

int share_take(struct share *s, uint64_t n)
{
	uint64_t limit = share_limit(s);
	int r;

	if (!limit || n == 0)
		return 0;
	r = count_once(s);
	if (r < 0)
		return r;
	if (s->used > limit || n > limit - s->used)
		recount(s);
	if (s->used > limit || n > limit - s->used)
		return -ENOSPC;
	s->used += n;
	return 0;
}

void share_give(struct share *s, uint64_t n)
{
	/* What was there before the guest came was not counted and may go, too. */
	s->used -= MIN(n, s->used);
}

uint64_t share_left(struct share *s)
{
	uint64_t limit = share_limit(s);

	if (!limit)
		return UINT64_MAX;
	if (count_once(s) < 0)
		return 0;
	if (s->used >= limit)
		recount(s);
	return s->used >= limit ? 0 : limit - s->used;
}
