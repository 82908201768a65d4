/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The contents of a block device: files laid end to end.
 *
 *	disk:	| file 0         | file 1    | file 2      |zero|
 *		0                s0          s0+s1              size, a multiple of 4096
 *
 * A read-only disk may have many files; all but the last have a size that is a multiple of 512,
 * the last is followed by zeroes up to a multiple of 4096. A writable disk is one file whose
 * size is a multiple of 512. Sizes are taken once; a file that shrinks afterwards gives -EIO.
 * One thread at a time.
 */
#pragma once

#include "virtio/iov.h"

#include <stdbool.h>
#include <stdint.h>

#define DISK_EXTENTS_MAX 4096

struct disk;

/*
 * Takes the `n` open descriptors over, also when it fails; `writable` wants one of O_RDWR.
 * NULL with errno: EINVAL for a size that does not fit or a file that is not regular, E2BIG for
 * too many files, EBADF, ENOMEM.
 */
struct disk *disk_new(const int *fds, unsigned int n, bool writable);
struct disk *disk_free(struct disk *d);

uint64_t disk_size(const struct disk *d);
bool disk_writable(const struct disk *d);

/*
 * Transfers `len` bytes at `offset`; the range was checked against the size (it is checked again),
 * the buffers hold `len` bytes. 0 or -errno; -EROFS for writing to a read-only disk.
 */
int disk_read(struct disk *d, uint64_t offset, struct iov_iter *to, size_t len);
int disk_write(struct disk *d, uint64_t offset, struct iov_iter *from, size_t len);
/* Makes everything written before it durable. */
int disk_flush(struct disk *d);
/* Gives the space back; the range reads as zeroes. -EOPNOTSUPP where the file system cannot. */
int disk_discard(struct disk *d, uint64_t offset, uint64_t len);
/* Makes the range read as zeroes and keeps its space unless `unmap`. */
int disk_zero(struct disk *d, uint64_t offset, uint64_t len, bool unmap);
