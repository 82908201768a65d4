/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes the data blob of a layer: contents one after the other, each from a block boundary on.
 * Gaps and zeroes take no space when they are large.
 */
#pragma once

#include "base/err.h"

#define BLOB_BLOCK 4096U

struct blob_writer;

/* Writes to `fd`, an empty file, which stays the caller's. At most `max` bytes. */
struct blob_writer *blob_writer_new(int fd, uint64_t max);
struct blob_writer *blob_writer_free(struct blob_writer *w);

/* Makes room for a content of `size` bytes; *ret_offset is where it starts. */
int blob_writer_begin(struct blob_writer *w, uint64_t size, uint64_t *ret_offset, struct err *e);
/*
 * Writes part of the content that was begun last, `pos` bytes into it. ERR_CORRUPT behind its end
 * or before what was written already.
 */
int blob_writer_write(struct blob_writer *w, uint64_t pos, const void *data, size_t n,
		      struct err *e);
/* Brings the file to its size, a multiple of the block size. */
int blob_writer_finish(struct blob_writer *w, uint64_t *ret_size, struct err *e);
