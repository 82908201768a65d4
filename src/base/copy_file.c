/* SPDX-License-Identifier: Apache-2.0 */
#include "base/copy_file.h"

#include "base/util.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

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

int copy_file_sparse(int from, int to)
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
