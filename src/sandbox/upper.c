/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The writable disk of a sandbox: a sparse ext4 image. Making a file system takes longer than
 * copying one, so that an empty one is made at build time, and only its few allocated blocks are
 * copied here (shared with the template where the host's file system can).
 */
#include "sandbox/monitor.h"

#include "base/cleanup.h"
#include "base/copy_file.h"
#include "base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define UPPER_NAME "upper.ext4"
#define UPPER_TEMP "upper.ext4.new"

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

/* Of the usual size, which grows, or for a smaller disk the smallest. */
static int open_template(uint64_t size, struct err *e)
{
	_cleanup_free_ char *usual = program_relative_path("upper.ext4");
	_cleanup_free_ char *small = program_relative_path("volume.ext4");
	_cleanup_close_ int fd = open(usual, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(e, errno, "cannot open '%s'", usual);
	if (size == 0 || size >= (uint64_t)st.st_size)
		return steal_fd(&fd);
	close_fd(&fd);
	fd = open(small, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? err_sys(e, errno, "cannot open '%s'", small) : steal_fd(&fd);
}

int upper_open(int sandbox_dir, bool ephemeral, uint64_t size, struct err *e)
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
	from = open_template(size, e);
	if (from < 0)
		return -1;
	to = create(sandbox_dir, ephemeral);
	if (to < 0)
		return err_sys(e, errno, "cannot create the sandbox's disk");
	r = copy_file_sparse(from, to);
	if (r == 0 && size && ftruncate(to, (off_t)size) < 0)
		r = -errno;
	if (r == 0 && !ephemeral && renameat(sandbox_dir, UPPER_TEMP, sandbox_dir, UPPER_NAME) < 0)
		r = -errno;
	if (r < 0) {
		if (!ephemeral)
			unlinkat(sandbox_dir, UPPER_TEMP, 0);
		return err_sys(e, -r, "cannot create the sandbox's disk");
	}
	return steal_fd(&to);
}
