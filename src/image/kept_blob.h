/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Layers as they came, kept so that an image can be handed on with its digests unchanged: nothing
 * could make the same compressed bytes again from their contents.
 *
 * A layer that came as a plain tar archive is kept compressed with zstd, under a name that says so.
 * These files are not synced to the disk: whoever reads one compares the digest.
 */
#pragma once

#include "image/store.h"

#include <sys/types.h>

/* --- writing --- */

struct kept_writer;

/* Makes an unfinished file for a layer's bytes. NULL with the error set. */
struct kept_writer *kept_writer_new(struct store *s, struct err *e);
/* Drops what is not published. */
struct kept_writer *kept_writer_free(struct kept_writer *w);
int kept_writer_add(struct kept_writer *w, const void *data, size_t n, struct err *e);
/* Writes out what is buffered; nothing may be added afterwards. */
int kept_writer_finish(struct kept_writer *w, struct err *e);
/* Makes the file visible under the digest of the bytes that were added. After _finish. */
int kept_writer_publish(struct kept_writer *w, const struct digest *d, struct err *e);

/* --- reading --- */

bool kept_present(struct store *s, const struct digest *d);

struct kept_reader;

/* ERR_NOT_FOUND when the layer is not kept. */
struct kept_reader *kept_reader_open(struct store *s, const struct digest *d, struct err *e);
struct kept_reader *kept_reader_free(struct kept_reader *r);
/*
 * The next bytes as they came, at most `n`. 0 at the end, which is not reached when the digest is
 * wrong: then -1 with ERR_CORRUPT.
 */
ssize_t kept_read(struct kept_reader *r, void *to, size_t n, struct err *e);
