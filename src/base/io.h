/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptor and file helpers. All return 0 or a count, or -errno; EINTR is retried. */
#pragma once

#include "base/buf.h"

#include <sys/types.h>

/* Reads until `n` bytes or end of file; returns how many were read. */
ssize_t read_full(int fd, void *data, size_t n);
ssize_t pread_full(int fd, void *data, size_t n, uint64_t offset);
/* Writes all `n` bytes to a blocking descriptor. */
int write_full(int fd, const void *data, size_t n);
int pwrite_full(int fd, const void *data, size_t n, uint64_t offset);

/* Reads a whole file, at most `max` bytes (-EFBIG above), as an owned string with a NUL. */
int read_file(int dirfd, const char *path, size_t max, char **ret, size_t *ret_len);
/*
 * Replaces a file: temporary name beside it, fsync, rename. The name is a fixed one, so that what
 * one leaves behind that was killed goes with the next; callers see to it that there is one at a
 * time.
 */
#define WRITE_ATOMIC_SUFFIX ".new"
int write_file_atomic(int dirfd, const char *path, const void *data, size_t n, mode_t mode);

/* Adds one to a non-blocking eventfd; one that is full is readable, which is all that counts. -1:
 * none. */
void event_signal(int fd);

int fd_set_nonblock(int fd, bool on);
int fd_set_cloexec(int fd, bool on);

/* mkdir -p; parents get 0755, the last part `mode`. An existing directory is fine. */
int mkdir_p(const char *path, mode_t mode);
/* Removes a file or a whole directory tree without following symbolic links; missing is fine. */
int remove_tree(int dirfd, const char *path);
/* What a file, or a directory with all below it, occupies on its disk, in bytes; 0 if missing. */
uint64_t tree_disk_bytes(const char *path);

/*
 * Opens a stream socket bound to (and listening on), or connected to, the name `name` in the
 * directory `dirfd`, whatever the length of the directory's path (it is reached through
 * /proc/self/fd, so sun_path never limits it). Returns a close-on-exec descriptor or -errno.
 */
int unix_listen_at(int dirfd, const char *name, int backlog);
int unix_connect_at(int dirfd, const char *name);
/* The same without waiting: non-blocking, and -EAGAIN when as many wait there as are allowed to. */
int unix_connect_now_at(int dirfd, const char *name);
