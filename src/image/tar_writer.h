/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes a tar archive of regular files whose bytes depend on their names and contents alone.
 * libarchive would do that, too, but brings every format that it can write along, with their
 * libraries.
 */
#pragma once

#include "base/err.h"

#define TAR_NAME_MAX 100

struct tar_writer;

/* The descriptor stays the caller's. */
struct tar_writer *tar_writer_new(int fd);
struct tar_writer *tar_writer_free(struct tar_writer *w);

/* Begins a file; exactly `size` bytes are to follow. The name is at most TAR_NAME_MAX bytes. */
int tar_writer_begin(struct tar_writer *w, const char *name, uint64_t size, struct err *e);
int tar_writer_add(struct tar_writer *w, const void *data, size_t n, struct err *e);
/* Ends the archive and writes out what is buffered. */
int tar_writer_finish(struct tar_writer *w, struct err *e);
