/* SPDX-License-Identifier: Apache-2.0 */
#include "base/io.h"

#include "base/cleanup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

ssize_t read_full(int fd, void *data, size_t n)
{
	size_t done = 0;

	while (done < n) {
		ssize_t r = read(fd, (char *)data + done, n - done);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		if (r == 0)
			break;
		done += (size_t)r;
	}
	return (ssize_t)done;
}

ssize_t pread_full(int fd, void *data, size_t n, uint64_t offset)
{
	size_t done = 0;

	while (done < n) {
		ssize_t r = pread(fd, (char *)data + done, n - done, (off_t)(offset + done));

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		if (r == 0)
			break;
		done += (size_t)r;
	}
	return (ssize_t)done;
}

int write_full(int fd, const void *data, size_t n)
{
	size_t done = 0;

	while (done < n) {
		ssize_t r = write(fd, (const char *)data + done, n - done);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		done += (size_t)r;
	}
	return 0;
}

int pwrite_full(int fd, const void *data, size_t n, uint64_t offset)
{
	size_t done = 0;

	while (done < n) {
		ssize_t r = pwrite(fd, (const char *)data + done, n - done, (off_t)(offset + done));

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		done += (size_t)r;
	}
	return 0;
}

int read_file(int dirfd, const char *path, size_t max, char **ret, size_t *ret_len)
{
	_cleanup_close_ int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC);
	_cleanup_free_ char *data = NULL;
	struct stat st;
	size_t cap, len = 0;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if ((uint64_t)st.st_size > max)
		return -EFBIG;
	/* The size is a hint only: files in /proc have none, others may grow. */
	cap = st.st_size > 0 ? (size_t)st.st_size + 1 : MIN((size_t)4096, max + 1);
	for (;;) {
		char *p = realloc(data, cap);
		ssize_t r;

		if (!p)
			return -ENOMEM;
		data = p;
		r = read_full(fd, data + len, cap - len);
		if (r < 0)
			return (int)r;
		len += (size_t)r;
		if (len < cap)
			break;
		if (len > max)
			return -EFBIG;
		cap = MIN(cap * 2, max + 1);
	}
	data[len] = '\0';
	*ret = steal_ptr(&data);
	if (ret_len)
		*ret_len = len;
	return 0;
}

int write_file_atomic(int dirfd, const char *path, const void *data, size_t n, mode_t mode)
{
	char tmp[PATH_MAX];
	int fd, r;

	if (snprintf(tmp, sizeof(tmp), "%s" WRITE_ATOMIC_SUFFIX, path) >= (int)sizeof(tmp))
		return -ENAMETOOLONG;
	unlinkat(dirfd, tmp, 0);
	fd = openat(dirfd, tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	if (fd < 0)
		return -errno;
	r = write_full(fd, data, n);
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	if (close(fd) < 0 && r == 0)
		r = -errno;
	if (r == 0 && renameat(dirfd, tmp, dirfd, path) < 0)
		r = -errno;
	if (r < 0)
		unlinkat(dirfd, tmp, 0);
	return r;
}

void event_signal(int fd)
{
	uint64_t one = 1;

	while (fd >= 0 && write(fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

int fd_set_nonblock(int fd, bool on)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0)
		return -errno;
	flags = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
	return fcntl(fd, F_SETFL, flags) < 0 ? -errno : 0;
}

int fd_set_cloexec(int fd, bool on)
{
	return fcntl(fd, F_SETFD, on ? FD_CLOEXEC : 0) < 0 ? -errno : 0;
}

int mkdir_p(const char *path, mode_t mode)
{
	char part[PATH_MAX];
	size_t n = strlen(path);

	if (n == 0 || n >= sizeof(part))
		return n ? -ENAMETOOLONG : -EINVAL;
	memcpy(part, path, n + 1);
	/* With a slash at its end the last part would be taken for a parent. */
	while (n > 1 && part[n - 1] == '/')
		part[--n] = '\0';
	for (char *p = part + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		if (mkdir(part, 0755) < 0 && errno != EEXIST)
			return -errno;
		*p = '/';
	}
	if (mkdir(part, mode) < 0) {
		struct stat st;

		if (errno != EEXIST)
			return -errno;
		if (stat(part, &st) < 0)
			return -errno;
		return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
	}
	return 0;
}

/* A tree that is being removed. What lies deeper is first moved to the top, by a new name. */
struct removal {
	int top;
	unsigned depth;
	unsigned moved;
};

#define REMOVAL_DEPTH_MAX 64

static int remove_at(struct removal *x, int dirfd, const char *path);

static int remove_children(struct removal *x, int fd)
{
	DIR *dir = fdopendir(fd);
	struct dirent *de;
	int result = 0;

	if (!dir) {
		int r = -errno;

		close(fd);
		return r;
	}
	while ((de = readdir(dir))) {
		int r;

		if (strcmp(de->d_name, ".") == 0 || strcmp(de->d_name, "..") == 0)
			continue;
		r = remove_at(x, dirfd(dir), de->d_name);
		if (r < 0 && result == 0)
			result = r;
	}
	closedir(dir);
	return result;
}

/* Opens a directory whose entries are to go, which its own permissions do not prevent. */
static int open_doomed(int dirfd, const char *path)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	int fd = openat(dirfd, path, flags);

	if (fd < 0 && errno == EACCES && fchmodat(dirfd, path, 0700, 0) == 0)
		fd = openat(dirfd, path, flags);
	return fd < 0 ? -errno : fd;
}

static int move_up(struct removal *x, int dirfd, const char *path)
{
	char name[32];

	do
		snprintf(name, sizeof(name), ".msb-deep-%u", x->moved++);
	while (faccessat(x->top, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0);
	return renameat(dirfd, path, x->top, name) < 0 ? -errno : 0;
}

static int remove_at(struct removal *x, int dirfd, const char *path)
{
	int fd, r;

	if (unlinkat(dirfd, path, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return -errno;
	if (x->depth == REMOVAL_DEPTH_MAX)
		return move_up(x, dirfd, path);
	fd = open_doomed(dirfd, path);
	if (fd < 0)
		return fd;
	x->depth++;
	r = remove_children(x, fd);
	x->depth--;
	if (unlinkat(dirfd, path, AT_REMOVEDIR) < 0 && errno != ENOENT && r == 0)
		r = -errno;
	return r;
}

int remove_tree(int dirfd, const char *path)
{
	struct removal x = {0};
	int r;

	if (unlinkat(dirfd, path, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return -errno;
	x.top = open_doomed(dirfd, path);
	if (x.top < 0)
		return x.top;
	do {
		int fd = openat(x.top, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		x.moved = 0;
		r = fd < 0 ? -errno : remove_children(&x, fd);
	} while (r == 0 && x.moved);
	close(x.top);
	if (unlinkat(dirfd, path, AT_REMOVEDIR) < 0 && errno != ENOENT && r == 0)
		r = -errno;
	return r;
}

static uint64_t disk_bytes; /* nftw(3) takes no argument for its function */

static int count_file(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	if (type != FTW_NS)
		disk_bytes += (uint64_t)st->st_blocks * 512;
	return 0;
}

uint64_t tree_disk_bytes(const char *path)
{
	disk_bytes = 0;
	nftw(path, count_file, 16, FTW_PHYS | FTW_MOUNT);
	return disk_bytes;
}

static int unix_address(int dirfd, const char *name, struct sockaddr_un *sa)
{
	int n;

	*sa = (struct sockaddr_un){.sun_family = AF_UNIX};
	n = snprintf(sa->sun_path, sizeof(sa->sun_path), "/proc/self/fd/%d/%s", dirfd, name);
	return n >= (int)sizeof(sa->sun_path) ? -ENAMETOOLONG : 0;
}

int unix_listen_at(int dirfd, const char *name, int backlog)
{
	struct sockaddr_un sa;
	_cleanup_close_ int fd = -1;
	int r = unix_address(dirfd, name, &sa);

	if (r < 0)
		return r;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	unlinkat(dirfd, name, 0);
	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 || listen(fd, backlog) < 0)
		return -errno;
	return steal_fd(&fd);
}

static int connect_at(int dirfd, const char *name, int flags)
{
	struct sockaddr_un sa;
	_cleanup_close_ int fd = -1;
	int r = unix_address(dirfd, name, &sa);

	if (r < 0)
		return r;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
	if (fd < 0)
		return -errno;
	while (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		if (errno != EINTR)
			return -errno;
	return steal_fd(&fd);
}

int unix_connect_at(int dirfd, const char *name)
{
	return connect_at(dirfd, name, 0);
}

int unix_connect_now_at(int dirfd, const char *name)
{
	return connect_at(dirfd, name, SOCK_NONBLOCK);
}
