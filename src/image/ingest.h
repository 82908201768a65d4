/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Takes a layer in as a stream, in one pass and bounded memory:
 *
 *	caller ──▶ ring ──▶ decompress ──▶ ring ──▶ tar ──▶ data blob + index
 *	  │ sha256 = blob digest            sha256 = diff_id
 *	  └──▶ kept blob
 *
 * The arrows are threads: the caller's own, and two that belong to the ingest.
 */
#pragma once

#include "image/inflate.h"
#include "image/store.h"

#define INGEST_MAX_SIZE_DEFAULT (64 * GIB)

struct ingest;

struct ingest_result {
	struct digest blob_digest; /* of the bytes as they came */
	struct digest diff_id;     /* of the tar archive */
	uint64_t blob_size;
	uint64_t data_size;
	enum inflate_format format;
};

/* `max_size` bounds the archive, unpacked and as it comes. */
struct ingest *ingest_start(struct store *s, uint64_t max_size, struct err *e);
/* Ends the threads and drops what is not published. */
struct ingest *ingest_free(struct ingest *in);

/*
 * Takes the next bytes. False when there is no use in going on; ingest_finish says why. After
 * damage in the archive it goes on, so that the digest can tell where the damage comes from.
 */
bool ingest_write(struct ingest *in, const void *data, size_t n);

/*
 * Ends the stream and waits for the threads. With `want`, bytes with another digest are an error,
 * whatever else is wrong with them. Nothing is published yet. `name` is the layer's in messages.
 */
int ingest_finish(struct ingest *in, const char *name, const struct digest *want,
		  struct ingest_result *ret, struct err *e);
/* Makes the layer as it came visible under its digest. */
int ingest_publish_blob(struct ingest *in, struct err *e);
/* The same, and data and index under the diff_id; the caller holds the layer's lock. */
int ingest_publish(struct ingest *in, struct err *e);
