/* SPDX-License-Identifier: Apache-2.0 */
#include "state/home.h"

#include "base/cleanup.h"
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#define SPARE     "db/spare"
#define SPARE_LEN (512 * KIB)

static char *find_home(struct err *e)
{
	const char *dir = secure_getenv("MSB_HOME");
	char cwd[PATH_MAX];

	if (dir && *dir == '/')
		return xstrdup(dir);
	if (dir && *dir) {
		if (!getcwd(cwd, sizeof(cwd))) {
			err_sys(e, errno, "cannot find the current directory");
			return NULL;
		}
		return xasprintf("%s/%s", cwd, dir);
	}
	dir = secure_getenv("HOME");
	if (!dir || *dir != '/') {
		const struct passwd *pw = getpwuid(getuid());

		dir = pw ? pw->pw_dir : NULL;
	}
	if (!dir || *dir != '/') {
		err_set(e, ERR_SYSTEM, "cannot find the home directory");
		err_hint(e, "set MSB_HOME or HOME");
		return NULL;
	}
	return xasprintf("%s/.microsandbox", dir);
}

int home_init(struct home *h, struct err *e)
{
	static const char *const parts[] = {"db", "cache", "sandboxes", "run"};
	_cleanup_free_ char *path = find_home(e);

	if (!path)
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		_cleanup_free_ char *part = xasprintf("%s/%s", path, parts[i]);
		int r;

		/* Usually all are there: one system call each, and no more. */
		if (access(part, F_OK) == 0)
			continue;
		r = mkdir_p(path, 0700);
		if (r == 0 && mkdir(part, 0700) < 0 && errno != EEXIST)
			r = -errno;
		if (r < 0)
			return err_sys(e, -r, "cannot create '%s'", part);
	}
	h->path = steal_ptr(&path);
	return 0;
}

void home_release(struct home *h)
{
	free(h->path);
	h->path = NULL;
}

char *home_path(const struct home *h, const char *fmt, ...)
{
	_cleanup_free_ char *rest = NULL;
	va_list ap;

	va_start(ap, fmt);
	rest = xvasprintf(fmt, ap);
	va_end(ap);
	return xasprintf("%s/%s", h->path, rest);
}

void home_spare_keep(const struct home *h)
{
	_cleanup_free_ char *path = home_path(h, SPARE);
	_cleanup_close_ int fd = -1;

	if (access(path, F_OK) == 0)
		return;
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd >= 0 && posix_fallocate(fd, 0, SPARE_LEN) != 0)
		unlink(path);
}

void home_spare_release(const struct home *h)
{
	_cleanup_free_ char *path = home_path(h, SPARE);

	unlink(path);
}

void home_spare_release_if_full(const struct home *h)
{
	struct statvfs fs;

	if (statvfs(h->path, &fs) == 0 && (uint64_t)fs.f_bavail * fs.f_frsize < SPARE_LEN)
		home_spare_release(h);
}

int home_lock_cache(const struct home *h, bool exclusive, bool wait, struct err *e)
{
	_cleanup_free_ char *path = home_path(h, "cache/lock");
	_cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	int how = (exclusive ? LOCK_EX : LOCK_SH) | (wait ? 0 : LOCK_NB);

	if (fd < 0)
		return err_sys(e, errno, "cannot open '%s'", path);
	while (flock(fd, how) < 0) {
		if (errno == EWOULDBLOCK)
			return err_set(e, ERR_BUSY, "the image cache is in use");
		if (errno != EINTR)
			return err_sys(e, errno, "cannot lock '%s'", path);
	}
	return steal_fd(&fd);
}
