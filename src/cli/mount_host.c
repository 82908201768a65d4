/* SPDX-License-Identifier: Apache-2.0 */
/* What a mount needs of the host: that it is there, and of the kind that it is to be. */
#include "cli/mount.h"

#include "base/cleanup.h"
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

/*
 * The path in full, with links on the way resolved but not one at its end, which the sandbox's
 * monitor follows only if it is told to. Owned; NULL with errno.
 */
static char *absolute(const char *path)
{
	_cleanup_free_ char *copy = xstrdup(path), *dir = NULL;
	size_t n = strlen(copy);
	char *slash, *name;

	while (n > 1 && copy[n - 1] == '/')
		copy[--n] = '\0';
	slash = strrchr(copy, '/');
	name = slash ? slash + 1 : copy;
	if (!*name || str_eq(name, ".") || str_eq(name, ".."))
		return realpath(copy, NULL);
	if (!slash) {
		dir = realpath(".", NULL);
	} else {
		*slash = '\0';
		dir = realpath(slash == copy ? "/" : copy, NULL);
	}
	if (!dir)
		return NULL;
	return xasprintf("%s/%s", str_eq(dir, "/") ? "" : dir, name);
}

static int wrong_kind(const struct mount *m, const char *what, struct err *e)
{
	return err_set(e, ERR_INVALID, "cannot mount '%s': it is no %s", m->source, what);
}

static int check_shared(struct mount *m, struct err *e)
{
	struct stat st;

	if (lstat(m->source, &st) == 0 && S_ISLNK(st.st_mode) && !m->follow_root_symlinks) {
		err_set(e, ERR_INVALID, "cannot mount '%s': it is a symbolic link", m->source);
		return err_hint(e, "mount what it points to, or add the option "
				   "follow-root-symlinks");
	}
	if (stat(m->source, &st) < 0)
		return err_sys(e, errno, "cannot mount '%s'", m->source);
	if (m->kind == MOUNT_PATH)
		m->kind = S_ISDIR(st.st_mode) ? MOUNT_DIR : MOUNT_FILE;
	if (m->kind == MOUNT_DIR && !S_ISDIR(st.st_mode))
		return wrong_kind(m, "directory", e);
	if (m->kind == MOUNT_FILE && !S_ISREG(st.st_mode))
		return wrong_kind(m, "regular file", e);
	if (access(m->source, m->read_only || m->kind == MOUNT_DIR ? R_OK : R_OK | W_OK) < 0) {
		err_sys(e, errno, "cannot mount '%s'", m->source);
		return m->read_only ? -1 : err_hint(e, "to mount it read-only, add the option ro");
	}
	return 0;
}

/* A format that is no raw image, by its magic number; NULL: none that is known. */
static const char *image_format(int fd)
{
	static const struct {
		const char *name, *magic;
		size_t len;
	} known[] = {
		{"qcow2", "QFI\xfb", 4},
		{"vmdk", "KDMV", 4},
		{"vmdk", "# Disk DescriptorFile", 21},
		{"vhdx", "vhdxfile", 8},
		{"vdi", "<<< Oracle VM VirtualBox Disk Image", 35},
	};
	char head[64] = "";
	ssize_t n = pread_full(fd, head, sizeof(head), 0);

	for (size_t i = 0; n == sizeof(head) && i < ARRAY_SIZE(known); i++)
		if (memcmp(head, known[i].magic, known[i].len) == 0)
			return known[i].name;
	return NULL;
}

static int check_disk(const struct mount *m, struct err *e)
{
	_cleanup_close_ int fd = open(m->source, (m->read_only ? O_RDONLY : O_RDWR) | O_NONBLOCK |
							 O_NOCTTY | O_CLOEXEC);
	const char *format;
	struct stat st;

	if (fd < 0 && errno == EISDIR)
		return wrong_kind(m, "disk image", e);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(e, errno, "cannot mount the disk '%s'", m->source);
	if (!S_ISREG(st.st_mode))
		return wrong_kind(m, "disk image", e);
	format = image_format(fd);
	if (format) {
		err_set(e, ERR_UNSUPPORTED, "cannot mount the disk '%s': it is in the format %s",
			m->source, format);
		return err_hint(e, "convert it: qemu-img convert -f %s -O raw %s %s.raw", format,
				m->source, m->source);
	}
	if (st.st_size == 0 || st.st_size % 512)
		return err_set(e, ERR_INVALID,
			       "cannot mount the disk '%s': its size is no multiple of 512 bytes",
			       m->source);
	return 0;
}

int mount_check_host(struct mount *m, struct err *e)
{
	char *path;

	if (m->kind == MOUNT_TMPFS || m->kind == MOUNT_NAMED)
		return 0;
	path = absolute(m->source);
	if (!path)
		return err_sys(e, errno, "cannot mount '%s'", m->source);
	free(m->source);
	m->source = path;
	return m->kind == MOUNT_DISK ? check_disk(m, e) : check_shared(m, e);
}
