/* SPDX-License-Identifier: Apache-2.0 */
#include "virtio/disk.h"

#include "base/util.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECTOR     512u
#define PAD        4096u
#define BATCH_IOV  64
#define ZERO_CHUNK (64 * KIB)

struct extent {
	int fd;
	uint64_t start; /* where it lies on the disk */
	uint64_t size;  /* bytes that come from the file */
};

struct disk {
	uint64_t size;
	bool writable;
	unsigned int n;
	struct extent extents[];
};

static int extent_open(struct disk *d, int fd, bool last)
{
	struct stat st;
	int flags = fcntl(fd, F_GETFL);
	uint64_t size;

	if (flags < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_size <= 0)
		return -EINVAL;
	if (d->writable ? (flags & O_ACCMODE) != O_RDWR : (flags & O_ACCMODE) == O_WRONLY)
		return -EBADF;
	size = (uint64_t)st.st_size;
	if (size % SECTOR && (d->writable || !last))
		return -EINVAL;
	if (size > INT64_MAX - PAD - d->size)
		return -EINVAL;
	d->extents[d->n++] = (struct extent){.fd = fd, .start = d->size, .size = size};
	d->size += size;
	return 0;
}

struct disk *disk_new(const int *fds, unsigned int n, bool writable)
{
	struct disk *d = NULL;
	int r = -E2BIG;

	if (n == 0 || (writable && n != 1))
		r = -EINVAL;
	else if (n <= DISK_EXTENTS_MAX) {
		d = calloc(1, sizeof(*d) + n * sizeof(d->extents[0]));
		r = d ? 0 : -ENOMEM;
	}
	if (d)
		d->writable = writable;
	for (unsigned int i = 0; r == 0 && i < n; i++)
		r = extent_open(d, fds[i], i == n - 1);
	if (r < 0) {
		for (unsigned int i = 0; i < n; i++)
			close(fds[i]);
		free(d);
		errno = -r;
		return NULL;
	}
	if (!writable)
		d->size = ALIGN_UP(d->size, PAD);
	return d;
}

struct disk *disk_free(struct disk *d)
{
	for (unsigned int i = 0; d && i < d->n; i++)
		close(d->extents[i].fd);
	free(d);
	return NULL;
}

uint64_t disk_size(const struct disk *d)
{
	return d->size;
}

bool disk_writable(const struct disk *d)
{
	return d->writable;
}

static bool in_range(const struct disk *d, uint64_t offset, uint64_t len)
{
	return offset <= d->size && len <= d->size - offset;
}

/* The extent that holds `offset`, or the last one. */
static const struct extent *find_extent(const struct disk *d, uint64_t offset)
{
	unsigned int lo = 0, hi = d->n - 1;

	while (lo < hi) {
		unsigned int mid = lo + (hi - lo + 1) / 2;

		if (d->extents[mid].start <= offset)
			lo = mid;
		else
			hi = mid - 1;
	}
	return &d->extents[lo];
}

/*
 * One system call's worth; `len` > 0 and within the extent. Returns how much, or -errno.
 * #syscalls:blk preadv pwritev
 */
static ssize_t transfer(int fd, bool write, uint64_t offset, struct iov_iter *it, size_t len)
{
	struct iov_iter ahead = *it;
	struct iovec iov[BATCH_IOV];
	unsigned int n;
	size_t want;
	ssize_t r;

	n = iov_iter_take(&ahead, len, iov, ARRAY_SIZE(iov), &want);
	do
		r = write ? pwritev(fd, iov, (int)n, (off_t)offset)
			  : preadv(fd, iov, (int)n, (off_t)offset);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return -errno;
	if (r == 0)
		return -EIO;
	iov_iter_skip(it, (size_t)r);
	return r;
}

int disk_read(struct disk *d, uint64_t offset, struct iov_iter *to, size_t len)
{
	if (!in_range(d, offset, len) || to->left < len)
		return -EINVAL;
	while (len > 0) {
		const struct extent *e = find_extent(d, offset);
		uint64_t at = offset - e->start;
		ssize_t r;

		if (at >= e->size) {
			iov_iter_zero(to, len);
			return 0;
		}
		r = transfer(e->fd, false, at, to, (size_t)MIN((uint64_t)len, e->size - at));
		if (r < 0)
			return (int)r;
		offset += (uint64_t)r;
		len -= (size_t)r;
	}
	return 0;
}

int disk_write(struct disk *d, uint64_t offset, struct iov_iter *from, size_t len)
{
	if (!d->writable)
		return -EROFS;
	if (!in_range(d, offset, len) || from->left < len)
		return -EINVAL;
	while (len > 0) {
		ssize_t r = transfer(d->extents[0].fd, true, offset, from, len);

		if (r < 0)
			return (int)r;
		offset += (uint64_t)r;
		len -= (size_t)r;
	}
	return 0;
}

/* #syscalls:blk fdatasync */
int disk_flush(struct disk *d)
{
	if (!d->writable)
		return 0;
	return fdatasync(d->extents[0].fd) < 0 ? -errno : 0;
}

/* #syscalls:blk fallocate */
static int change_space(struct disk *d, uint64_t offset, uint64_t len, int mode)
{
	int r;

	if (!d->writable)
		return -EROFS;
	if (!in_range(d, offset, len))
		return -EINVAL;
	if (len == 0)
		return 0;
	do
		r = fallocate(d->extents[0].fd, mode | FALLOC_FL_KEEP_SIZE, (off_t)offset,
			      (off_t)len);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : 0;
}

int disk_discard(struct disk *d, uint64_t offset, uint64_t len)
{
	return change_space(d, offset, len, FALLOC_FL_PUNCH_HOLE);
}

int disk_zero(struct disk *d, uint64_t offset, uint64_t len, bool unmap)
{
	static const uint8_t zeroes[ZERO_CHUNK];
	int r = -EOPNOTSUPP;

	if (unmap)
		r = change_space(d, offset, len, FALLOC_FL_PUNCH_HOLE);
	if (r == -EOPNOTSUPP)
		r = change_space(d, offset, len, FALLOC_FL_ZERO_RANGE);
	/* Not every file system (tmpfs for one) can do the latter. */
	while (r == -EOPNOTSUPP && len > 0) {
		struct iovec iov = {(void *)zeroes, (size_t)MIN(len, sizeof(zeroes))};
		struct iov_iter it;
		int w;

		iov_iter_init(&it, &iov, 1, iov.iov_len);
		w = disk_write(d, offset, &it, iov.iov_len);
		if (w < 0)
			return w;
		offset += iov.iov_len;
		len -= iov.iov_len;
	}
	return r == -EOPNOTSUPP ? 0 : r;
}
