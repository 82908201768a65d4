/* SPDX-License-Identifier: Apache-2.0 */
#include "image/store.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/io.h"
#include "image/hash.h"
#include "image/manifest.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

static const char *const folders[] = {"blobs", "layers", "images", "locks"};

static const char *kind_folder(enum store_kind kind)
{
	switch (kind) {
	case STORE_BLOB:
	case STORE_BLOB_ZSTD:
		return "blobs";
	case STORE_LAYER_DATA:
	case STORE_LAYER_INDEX:
		return "layers";
	case STORE_IMAGE:
		break;
	}
	return "images";
}

static int lock_file(int fd, int how)
{
	while (flock(fd, how) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

/* Whether the name still leads to the open file. */
static bool same_file(int dirfd, const char *path, int fd)
{
	struct stat a, b;

	return fstat(fd, &a) == 0 && fstatat(dirfd, path, &b, AT_SYMLINK_NOFOLLOW) == 0 &&
	       a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/* Removes the unfinished files, or all files, in a folder that no living process holds. */
static void clean_folder(int root, const char *folder, bool all)
{
	_cleanup_close_ int fd = openat(root, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *de;

	if (!dir)
		return;
	steal_fd(&fd);
	while ((de = readdir(dir))) {
		_cleanup_close_ int tmp = -1;

		if (de->d_type == DT_DIR ||
		    (!all && !str_starts_with(de->d_name, STORE_TEMP_PREFIX)))
			continue;
		tmp = openat(dirfd(dir), de->d_name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
		/* Its owner may publish the file just now; then the name is gone with the lock. */
		if (tmp >= 0 && lock_file(tmp, LOCK_EX | LOCK_NB) == 0 &&
		    same_file(dirfd(dir), de->d_name, tmp))
			unlinkat(dirfd(dir), de->d_name, 0);
	}
	closedir(dir);
}

int store_open(struct store *s, const char *home, struct err *e)
{
	_cleanup_free_ char *path = xasprintf("%s/cache", home);
	int r = mkdir_p(path, 0700);

	*s = (struct store){.root = -1, .lock = -1};
	if (r < 0)
		return err_sys(e, -r, "cannot create '%s'", path);
	s->root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->root < 0)
		return err_sys(e, errno, "cannot open '%s'", path);
	for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
		if (mkdirat(s->root, folders[i], 0700) < 0 && errno != EEXIST) {
			err_sys(e, errno, "cannot create '%s/%s'", path, folders[i]);
			goto fail;
		}
	}
	s->lock = openat(s->root, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	r = s->lock < 0 ? -errno : lock_file(s->lock, LOCK_SH);
	if (r < 0) {
		err_sys(e, -r, "cannot lock '%s/lock'", path);
		goto fail;
	}
	for (size_t i = 0; i < ARRAY_SIZE(folders); i++)
		clean_folder(s->root, folders[i], str_eq(folders[i], "locks"));
	return 0;
fail:
	store_close(s);
	return -1;
}

void store_close(struct store *s)
{
	close_fd(&s->root);
	close_fd(&s->lock);
}

int store_temp_open(struct store *s, enum store_kind kind, struct store_temp *t, struct err *e)
{
	static atomic_uint counter;

	for (int tries = 0; tries < 100; tries++) {
		_cleanup_close_ int fd = -1;

		snprintf(t->path, sizeof(t->path), "%s/" STORE_TEMP_PREFIX "%d-%u-%llx",
			 kind_folder(kind), getpid(), atomic_fetch_add(&counter, 1),
			 (unsigned long long)clock_real_ns());
		fd = openat(s->root, t->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (fd < 0 && errno == EEXIST)
			continue;
		if (fd < 0)
			return err_sys(e, errno, "cannot create a file in the image cache");
		/* A cleaner may have been quicker; then the file is as good as gone. */
		if (lock_file(fd, LOCK_EX | LOCK_NB) == 0 && same_file(s->root, t->path, fd)) {
			t->fd = steal_fd(&fd);
			return 0;
		}
	}
	return err_set(e, ERR_SYSTEM, "cannot create a file in the image cache");
}

static int sync_folder(struct store *s, enum store_kind kind)
{
	_cleanup_close_ int fd =
		openat(s->root, kind_folder(kind), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

int store_temp_publish(struct store *s, struct store_temp *t, enum store_kind kind,
		       const struct digest *d, enum store_sync sync, struct err *e)
{
	char path[STORE_PATH_LEN];
	int r = 0;

	store_path(kind, d, path);
	if (fchmod(t->fd, 0444) < 0 || (sync != STORE_SYNC_NONE && fsync(t->fd) < 0) ||
	    renameat(s->root, t->path, s->root, path) < 0)
		r = -errno;
	if (r < 0) {
		store_temp_drop(s, t);
		return err_sys(e, -r, "cannot write '%s' in the image cache", path);
	}
	close_fd(&t->fd);
	r = sync == STORE_SYNC_ALL ? sync_folder(s, kind) : 0;
	return r < 0 ? err_sys(e, -r, "cannot write '%s' in the image cache", path) : 0;
}

void store_temp_drop(struct store *s, struct store_temp *t)
{
	if (t->fd < 0)
		return;
	unlinkat(s->root, t->path, 0);
	close_fd(&t->fd);
}

static void lock_path(enum store_kind kind, const struct digest *d, char out[STORE_PATH_LEN])
{
	char path[STORE_PATH_LEN];

	store_path(kind, d, path);
	snprintf(out, STORE_PATH_LEN, "locks/%s", strchr(path, '/') + 1);
}

int store_lock(struct store *s, enum store_kind kind, const struct digest *d, struct err *e)
{
	char path[STORE_PATH_LEN];

	lock_path(kind, d, path);
	for (;;) {
		_cleanup_close_ int fd = openat(s->root, path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
		int r = fd < 0 ? -errno : lock_file(fd, LOCK_EX);

		if (r < 0)
			return err_sys(e, -r, "cannot lock '%s' in the image cache", path);
		/* The last holder removed the file while we waited: try on the new one. */
		if (same_file(s->root, path, fd))
			return steal_fd(&fd);
	}
}

void store_unlock(struct store *s, enum store_kind kind, const struct digest *d, int fd)
{
	char path[STORE_PATH_LEN];

	if (fd < 0)
		return;
	lock_path(kind, d, path);
	unlinkat(s->root, path, 0);
	close(fd);
}

int64_t store_size(struct store *s, enum store_kind kind, const struct digest *d)
{
	char path[STORE_PATH_LEN];
	struct stat st;

	store_path(kind, d, path);
	if (fstatat(s->root, path, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
		return -1;
	return st.st_size;
}

int store_open_file(struct store *s, enum store_kind kind, const struct digest *d, struct err *e)
{
	char path[STORE_PATH_LEN];
	int fd;

	store_path(kind, d, path);
	fd = openat(s->root, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0)
		return fd;
	if (errno == ENOENT)
		return err_set(e, ERR_NOT_FOUND, "'%s' is missing in the image cache", path);
	return err_sys(e, errno, "cannot open '%s' in the image cache", path);
}

int store_put_blob(struct store *s, const struct digest *d, const void *data, size_t n,
		   struct err *e)
{
	struct store_temp t = STORE_TEMP_INIT;
	_cleanup_free_ char *old = NULL;
	size_t old_len;
	int r;

	if (store_get_blob(s, d, &old, &old_len, NULL) == 0)
		return 0;
	if (store_temp_open(s, STORE_BLOB, &t, e) < 0)
		return -1;
	r = write_full(t.fd, data, n);
	if (r < 0) {
		store_temp_drop(s, &t);
		return err_sys(e, -r, "cannot write to the image cache");
	}
	return store_temp_publish(s, &t, STORE_BLOB, d, STORE_SYNC_ALL, e);
}

int store_get_blob(struct store *s, const struct digest *d, char **ret, size_t *ret_len,
		   struct err *e)
{
	_cleanup_free_ char *data = NULL;
	char path[STORE_PATH_LEN];
	struct digest found;
	size_t len;
	int r;

	store_path(STORE_BLOB, d, path);
	r = read_file(s->root, path, MANIFEST_MAX, &data, &len);
	if (r == -ENOENT)
		return err_set(e, ERR_NOT_FOUND, "'%s' is missing in the image cache", path);
	if (r < 0)
		return err_sys(e, -r, "cannot read '%s' in the image cache", path);
	hash_bytes(data, len, &found);
	if (!digest_eq(d, &found)) {
		/* Nobody can use it, and putting it back must not be skipped. */
		unlinkat(s->root, path, 0);
		return err_set(e, ERR_CORRUPT, "'%s' in the image cache is damaged", path);
	}
	*ret = steal_ptr(&data);
	*ret_len = len;
	return 0;
}
