/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decompression of a byte stream whose format shows in its first bytes: gzip (of any number of
 * members), zstd (of any number of frames, skippable ones included) or none. Memory is bounded:
 * a zstd stream that needs a window above 16 MiB is refused.
 */
#pragma once

#include "base/err.h"

#include <sys/types.h>

enum inflate_format { INFLATE_UNKNOWN, INFLATE_NONE, INFLATE_GZIP, INFLATE_ZSTD };

/* So many of the first bytes tell the format; fewer only when there are no more. */
#define INFLATE_MAGIC_LEN 4
enum inflate_format inflate_sniff(const uint8_t *head, size_t n);

struct inflate;

/* Gives the next bytes in place: how many, 0 at the end, -1 when the source failed. */
typedef ssize_t inflate_peek_fn(void *source, const uint8_t **ret);
typedef void inflate_consume_fn(void *source, size_t n);

struct inflate *inflate_new(inflate_peek_fn *peek, inflate_consume_fn *consume, void *source);
struct inflate *inflate_free(struct inflate *z);

/*
 * Fills `out` as far as one step goes: a positive count, 0 at the end of a complete stream, or -1
 * with ERR_CORRUPT. Bytes after the end of a compressed stream count as damage.
 */
ssize_t inflate_read(struct inflate *z, uint8_t *out, size_t size, struct err *e);
/* Known after the first inflate_read. */
enum inflate_format inflate_format(const struct inflate *z);
