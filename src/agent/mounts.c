/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/mounts.h"

#include "base/cleanup.h"
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define SHARES_TAG "msb"
#define SHARES_DIR "/shares" /* in the initramfs; tools/mkinitramfs makes it */

#define SERIAL_MAX 20 /* of a virtio disk */
#define DISKS_MAX  26

/* As far into a disk as any of the magic numbers lies. */
#define PROBE_LEN ((size_t)65 * 1024 + 512)

#ifndef EXT4_IOC_RESIZE_FS
#define EXT4_IOC_RESIZE_FS _IOW('f', 16, uint64_t)
#endif

/* --- disks --------------------------------------------------------------------------------- */

/* Reads a disk's serial. -ENOENT when there is no such disk. */
static int read_serial(unsigned disk, char ret[SERIAL_MAX + 1])
{
	char path[] = "/sys/block/vda/serial";
	_cleanup_close_ int fd = -1;
	ssize_t n;

	path[13] = (char)('a' + disk);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = read(fd, ret, SERIAL_MAX);
	if (n < 0)
		return -errno;
	while (n > 0 && (ret[n - 1] == '\n' || ret[n - 1] == ' '))
		n--;
	ret[n] = '\0';
	return 0;
}

int disk_find(const char *disk, char *path, size_t size, struct err *e)
{
	char serial[SERIAL_MAX + 1];

	if (str_starts_with(disk, "/dev/") && strlen(disk) < size) {
		memcpy(path, disk, strlen(disk) + 1);
		return 0;
	}
	if (mount("sysfs", "/sys", "sysfs", 0, NULL) < 0 && errno != EBUSY)
		return err_sys(e, errno, "cannot mount /sys");
	for (unsigned i = 0; i < DISKS_MAX && read_serial(i, serial) == 0; i++) {
		if (strcmp(serial, disk) == 0) {
			memcpy(path, "/dev/vda", sizeof("/dev/vda"));
			path[7] = (char)('a' + i);
			return 0;
		}
	}
	return err_set(e, ERR_BOOT, "no disk has the serial '%s'", disk);
}

static uint32_t get_le32(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

int disk_grow(const char *device, const char *mounted, uint64_t size)
{
	_cleanup_close_ int disk_fd = open(device, O_RDONLY | O_CLOEXEC), dir_fd = -1;
	uint8_t sb[1024];
	uint64_t blocks, want;
	unsigned shift;
	ssize_t n;

	if (disk_fd < 0)
		return -errno;
	n = pread_full(disk_fd, sb, sizeof(sb), 1024);
	if (n != sizeof(sb))
		return n < 0 ? (int)n : -EIO;
	shift = 10 + (get_le32(sb + 0x18) & 7);
	blocks = get_le32(sb + 0x4) | (uint64_t)get_le32(sb + 0x150) << 32;
	want = size >> shift;
	if (blocks >= want)
		return 0;
	dir_fd = open(mounted, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir_fd < 0 || ioctl(dir_fd, EXT4_IOC_RESIZE_FS, &want) < 0)
		return -errno;
	return 0;
}

/* The file system on a disk by its magic number; NULL when it has none that is known. */
static const char *probe(const char *device, struct err *e)
{
	static const struct {
		const char *fstype;
		size_t offset;
		const char *magic;
		size_t len;
	} known[] = {
		{"ext4", 1024 + 0x38, "\x53\xef", 2},
		{"erofs", 1024, "\xe2\xe1\xf5\xe0", 4},
		{"xfs", 0, "XFSB", 4},
		{"btrfs", 0x10040, "_BHRfS_M", 8},
		{"squashfs", 0, "hsqs", 4},
		{"vfat", 82, "FAT32   ", 8},
		{"vfat", 54, "FAT16   ", 8},
		{"vfat", 54, "FAT12   ", 8},
	};
	_cleanup_close_ int fd = open(device, O_RDONLY | O_CLOEXEC);
	_cleanup_free_ uint8_t *data = xcalloc(1, PROBE_LEN);
	ssize_t n = fd < 0 ? -errno : pread_full(fd, data, PROBE_LEN, 0);

	if (n < 0) {
		err_sys(e, (int)-n, "cannot read the disk");
		return NULL;
	}
	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (memcmp(data + known[i].offset, known[i].magic, known[i].len) == 0)
			return known[i].fstype;
	err_set(e, ERR_BOOT, "it has no file system that is known");
	err_hint(e, "make one on the disk image, e.g. with mkfs.ext4");
	return NULL;
}

/* --- mount points -------------------------------------------------------------------------- */

static unsigned long mount_flags(const struct boot_mount *m)
{
	return (m->read_only ? MS_RDONLY : 0) | (m->noexec ? MS_NOEXEC : 0) |
	       (m->nosuid ? MS_NOSUID : 0) | (m->nodev ? MS_NODEV : 0);
}

static int point_error(int r, const struct boot_mount *m, struct err *e)
{
	struct stat st;

	if (r == -ENOTDIR && stat(m->path, &st) == 0)
		return err_set(e, ERR_BOOT, "cannot mount a directory at '%s': that is a file",
			       m->path);
	if (r == -ENOTDIR)
		return err_set(e, ERR_BOOT, "cannot mount at '%s': there is a file on the way",
			       m->path);
	if (r == -EISDIR)
		return err_set(e, ERR_BOOT, "cannot mount a file at '%s': that is a directory",
			       m->path);
	if (r == -EROFS)
		return err_set(e, ERR_BOOT,
			       "cannot make the mount point '%s': what is mounted above it is "
			       "read-only",
			       m->path);
	return err_sys(e, -r, "cannot make the mount point '%s'", m->path);
}

/* An empty file, unless there is one, in directories that are made. 0 or -errno. */
static int make_file(const char *path)
{
	_cleanup_free_ char *parent = xstrdup(path);
	_cleanup_close_ int fd = -1;
	struct stat st;
	int r;

	if (stat(path, &st) == 0)
		return S_ISDIR(st.st_mode) ? -EISDIR : 0;
	*strrchr(parent, '/') = '\0';
	r = *parent ? mkdir_p(parent, 0755) : 0;
	if (r < 0)
		return r;
	fd = open(path, O_WRONLY | O_CREAT | O_NOCTTY | O_NONBLOCK | O_CLOEXEC, 0644);
	return fd < 0 ? -errno : 0;
}

static int make_point(const struct boot_mount *m, struct err *e)
{
	int r = m->file ? make_file(m->path) : mkdir_p(m->path, 0755);

	return r < 0 ? point_error(r, m, e) : 0;
}

/* --- the kinds ----------------------------------------------------------------------------- */

static int mount_tmpfs(const struct boot_mount *m, struct err *e)
{
	bool shared = strcmp(m->path, "/tmp") == 0 || strcmp(m->path, "/var/tmp") == 0;
	char options[64];

	snprintf(options, sizeof(options), m->size ? "mode=%o,size=%llu" : "mode=%o",
		 shared ? 01777 : 0755, (unsigned long long)m->size);
	if (mount("tmpfs", m->path, "tmpfs", MS_NOSUID | MS_NODEV | mount_flags(m), options) < 0)
		return err_sys(e, errno, "cannot mount a tmpfs at '%s'", m->path);
	return 0;
}

static int mount_disk(const struct boot_mount *m, struct err *e)
{
	/* As for the sandbox's own disk: inode tables that are holes stay holes. */
	const char *fstype = m->fstype, *options;
	char device[DISK_PATH_MAX];
	int r;

	if (disk_find(m->source, device, sizeof(device), e) < 0)
		return -1;
	if (!fstype)
		fstype = probe(device, e);
	if (!fstype)
		return err_wrap(e, "cannot mount a disk at '%s'", m->path);
	options = strcmp(fstype, "ext4") == 0 && !m->read_only ? "noinit_itable" : NULL;
	if (mount(device, m->path, fstype, mount_flags(m), options) < 0) {
		if (errno == ENODEV) {
			err_set(e, ERR_BOOT,
				"cannot mount a disk at '%s': the guest's kernel has no %s",
				m->path, fstype);
			return err_hint(e, "a disk with ext4 can be mounted");
		}
		return err_sys(e, errno, "cannot mount the disk with %s at '%s'", fstype, m->path);
	}
	if (!m->size || m->read_only || strcmp(fstype, "ext4") != 0)
		return 0;
	r = disk_grow(device, m->path, m->size);
	return r < 0 ? err_sys(e, -r, "cannot grow the disk at '%s'", m->path) : 0;
}

/* With its flags from the first moment that it is there. 0 or -errno. */
static int attach(int tree, uint64_t attributes, const char *path)
{
	struct mount_attr attr = {.attr_set = attributes};

	if (mount_setattr(tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0 ||
	    move_mount(tree, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_SYMLINKS) <
		    0)
		return -errno;
	return 0;
}

int share_mount(int shares, const char *name, uint64_t attributes, const char *path)
{
	_cleanup_close_ int tree = open_tree(shares, name, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

	return tree < 0 ? -errno : attach(tree, attributes, path);
}

static int mount_share(const struct boot_mount *m, int shares, struct err *e)
{
	uint64_t attributes =
		(m->read_only ? MOUNT_ATTR_RDONLY : 0) | (m->noexec ? MOUNT_ATTR_NOEXEC : 0) |
		(m->nosuid ? MOUNT_ATTR_NOSUID : 0) | (m->nodev ? MOUNT_ATTR_NODEV : 0);
	_cleanup_close_ int tree =
		open_tree(shares, m->source, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	struct stat st;
	int r;

	if (tree < 0 || fstat(tree, &st) < 0)
		return err_sys(e, errno, "cannot open the share for '%s'", m->path);
	if (S_ISDIR(st.st_mode) == m->file)
		return err_set(e, ERR_BOOT, "the share for '%s' is no %s", m->path,
			       m->file ? "file" : "directory");
	r = attach(tree, attributes, m->path);
	return r < 0 ? err_sys(e, -r, "cannot mount the share at '%s'", m->path) : 0;
}

int mounts_open_shares(const struct boot_config *c, int *ret, struct err *e)
{
	bool any = c->root_share;

	*ret = -1;
	for (size_t i = 0; i < c->n_mounts; i++)
		any |= c->mounts[i].kind == BOOT_MOUNT_SHARE;
	if (!any)
		return 0;
	if (mount(SHARES_TAG, SHARES_DIR, "virtiofs", 0, NULL) < 0)
		return err_sys(e, errno, "cannot mount the host's folders");
	*ret = open(SHARES_DIR, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return *ret < 0 ? err_sys(e, errno, "cannot open the host's folders") : 0;
}

/* What is mounted of it stays. */
static int hide_shares(int shares, struct err *e)
{
	if (fchdir(shares) < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
		return err_sys(e, errno, "cannot hide the root of the host's folders");
	return 0;
}

int mounts_make(const struct boot_config *c, int shares, struct err *e)
{
	for (size_t i = 0; i < c->n_mounts; i++) {
		const struct boot_mount *m = &c->mounts[i];
		int r = make_point(m, e);

		if (r == 0 && m->kind == BOOT_MOUNT_TMPFS)
			r = mount_tmpfs(m, e);
		else if (r == 0 && m->kind == BOOT_MOUNT_DISK)
			r = mount_disk(m, e);
		else if (r == 0)
			r = mount_share(m, shares, e);
		if (r < 0)
			return -1;
	}
	return shares < 0 ? 0 : hide_shares(shares, e);
}
