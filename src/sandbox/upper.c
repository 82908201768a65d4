/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The writable disk of a sandbox: a sparse ext4 image. Making a file system takes longer than
 * copying one, so that an empty one is made at build time, and only its few allocated blocks are
 * copied here (shared with the template where the host's file system can).
 */
#include "sandbox/monitor.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define UPPER_NAME "upper.ext4"
#define UPPER_TEMP "upper.ext4.new"

/* As copy_file_range, which some kinds and pairs of file systems cannot do. */
static ssize_t copy_piece(int from, loff_t *in, int to, loff_t *out, size_t n)
{
	static char data[64 * KIB];
	ssize_t done = copy_file_range(from, in, to, out, n, 0);

	if (done >= 0 ||
	    (errno != EXDEV && errno != EINVAL && errno != EOPNOTSUPP && errno != ENOSYS))
		return done;
	done = pread(from, data, MIN(n, sizeof(data)), *in);
	if (done > 0)
		done = pwrite(to, data, (size_t)done, *out);
	if (done > 0) {
		*in += done;
		*out += done;
	}
	return done;
}

static int copy_data(int from, int to)
{
	struct stat st;
	off_t data, hole = 0;

	if (ioctl(to, FICLONE, from) == 0)
		return 0;
	if (fstat(from, &st) < 0 || ftruncate(to, st.st_size) < 0)
		return -errno;
	while ((data = lseek(from, hole, SEEK_DATA)) >= 0) {
		loff_t in = data, out = data;

		hole = lseek(from, data, SEEK_HOLE);
		if (hole < 0)
			return -errno;
		while (in < hole) {
			ssize_t n = copy_piece(from, &in, to, &out, (size_t)(hole - in));

			if (n < 0 && errno == EINTR)
				continue;
			if (n <= 0)
				return n < 0 ? -errno : -EIO;
		}
	}
	return errno == ENXIO ? 0 : -errno; /* ENXIO: no data follow */
}

static int create(int dir, bool ephemeral)
{
	int fd;

	if (!ephemeral)
		return openat(dir, UPPER_TEMP, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	/* A file without a name goes away with its last user, whatever kills it. */
	fd = openat(dir, ".", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
	if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR))
		return fd;
	fd = openat(dir, UPPER_TEMP, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd >= 0)
		unlinkat(dir, UPPER_TEMP, 0);
	return fd;
}

int upper_open(int sandbox_dir, bool ephemeral, const char *template_path, struct err *e)
{
	_cleanup_close_ int from = -1, to = -1;
	int r;

	if (!ephemeral) {
		to = openat(sandbox_dir, UPPER_NAME, O_RDWR | O_CLOEXEC);
		if (to >= 0)
			return steal_fd(&to);
		if (errno != ENOENT)
			return err_sys(e, errno, "cannot open the sandbox's disk");
	}
	from = open(template_path, O_RDONLY | O_CLOEXEC);
	if (from < 0)
		return err_sys(e, errno, "cannot open '%s'", template_path);
	to = create(sandbox_dir, ephemeral);
	if (to < 0)
		return err_sys(e, errno, "cannot create the sandbox's disk");
	r = copy_data(from, to);
	if (r == 0 && !ephemeral && renameat(sandbox_dir, UPPER_TEMP, sandbox_dir, UPPER_NAME) < 0)
		r = -errno;
	if (r < 0) {
		if (!ephemeral)
			unlinkat(sandbox_dir, UPPER_TEMP, 0);
		return err_sys(e, -r, "cannot create the sandbox's disk");
	}
	return steal_fd(&to);
}
