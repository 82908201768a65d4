/* SPDX-License-Identifier: Apache-2.0 */
#include "state/name_lock.h"

#include "base/cleanup.h"
#include "base/io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#define FOLDER "run/locks"
#define SUFFIX ".lock"

/* Opens the file, making it and its folder. A descriptor or -errno. */
static int open_file(const struct home *h, const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0 && errno == ENOENT) {
		_cleanup_free_ char *folder = home_path(h, FOLDER);

		if (mkdir(folder, 0700) < 0 && errno != EEXIST)
			return -errno;
		fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	}
	return fd < 0 ? -errno : fd;
}

/* Whether the locked file still has its name: whoever held it before has removed it. */
static bool is_current(int fd, const char *path, off_t *ret_size)
{
	struct stat by_path, by_fd;

	if (stat(path, &by_path) < 0 || fstat(fd, &by_fd) < 0)
		return false;
	*ret_size = by_fd.st_size;
	return by_path.st_ino == by_fd.st_ino && by_path.st_dev == by_fd.st_dev;
}

/* Says who has the lock, for others to read. It only helps people, so errors are no matter. */
static void sign(int fd, off_t old_size, const char *command)
{
	char text[64];
	int n = snprintf(text, sizeof(text), "%d %s\n", getpid(), command);

	if (old_size > 0 && ftruncate(fd, 0) < 0)
		return;
	if (pwrite_full(fd, text, MIN((size_t)n, sizeof(text) - 1), 0) < 0)
		return;
}

static void read_holder(int fd, struct name_lock_holder *ret)
{
	char text[64] = "", *space, *end;
	ssize_t n = pread_full(fd, text, sizeof(text) - 1, 0);

	*ret = (struct name_lock_holder){0};
	if (n <= 0)
		return;
	text[n] = '\0';
	end = strchr(text, '\n');
	space = strchr(text, ' ');
	if (!end || !space || space > end || end - space > (ptrdiff_t)sizeof(ret->command))
		return;
	*space = *end = '\0';
	if (parse_u64(text, INT32_MAX, &ret->pid) < 0)
		ret->pid = 0;
	memcpy(ret->command, space + 1, (size_t)(end - space));
}

/* 1, or 0 when it is held, which a NULL `ret_holder` makes it wait for, or -errno. */
static int lock(const struct home *h, const char *name, const char *command, struct name_lock *ret,
		struct name_lock_holder *ret_holder)
{
	_cleanup_free_ char *path = home_path(h, FOLDER "/%s" SUFFIX, name);

	for (;;) {
		_cleanup_close_ int fd = open_file(h, path);
		off_t size = 0;

		if (fd < 0)
			return fd;
		while (flock(fd, ret_holder ? LOCK_EX | LOCK_NB : LOCK_EX) < 0) {
			if (errno == EWOULDBLOCK && ret_holder) {
				read_holder(fd, ret_holder);
				return 0;
			}
			if (errno != EINTR)
				return -errno;
		}
		if (!is_current(fd, path, &size))
			continue;
		sign(fd, size, command);
		*ret = (struct name_lock){.path = steal_ptr(&path), .fd = steal_fd(&fd)};
		return 1;
	}
}

int name_lock_try(const struct home *h, const char *name, const char *command,
		  struct name_lock *ret, struct name_lock_holder *ret_holder, struct err *e)
{
	int r = lock(h, name, command, ret, ret_holder);

	return r < 0 ? err_sys(e, -r, "cannot lock the name '%s'", name) : r;
}

int name_lock_wait(const struct home *h, const char *name, const char *command,
		   struct name_lock *ret, struct err *e)
{
	int r = lock(h, name, command, ret, NULL);

	return r < 0 ? err_sys(e, -r, "cannot lock the name '%s'", name) : 0;
}

void name_lock_release(struct name_lock *l)
{
	if (!l->path)
		return;
	/* Only who has the lock removes the file, so it is ours. */
	unlink(l->path);
	close(l->fd);
	free(l->path);
	*l = (struct name_lock){0};
}

void name_locks_sweep(const struct home *h)
{
	_cleanup_free_ char *folder = home_path(h, FOLDER);
	DIR *dir = opendir(folder);
	const struct dirent *de;

	if (!dir)
		return;
	while ((de = readdir(dir))) {
		_cleanup_free_ char *path = xasprintf("%s/%s", folder, de->d_name);
		_cleanup_close_ int fd = -1;
		off_t size;

		if (!str_ends_with(de->d_name, SUFFIX))
			continue;
		fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
		if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0 && is_current(fd, path, &size))
			unlink(path);
	}
	closedir(dir);
}
