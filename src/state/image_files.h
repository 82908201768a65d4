/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files below cache/ that images consist of: which there are, what they occupy, and how those
 * go that nothing needs.
 */
#pragma once

#include "state/images.h"

/*
 * Records which files an image has. Sizes are those on the disk, asked for once, so that lists
 * need not look at each file. The caller has begun a transaction.
 */
int image_files_put(struct db *db, const struct home *h, int64_t image, json_t *record,
		    struct err *e);
/* The same for images that were recorded before there was such a thing. */
int image_files_complete(struct db *db, const struct home *h, struct err *e);

/* What a layer of a record occupies, and which other references have it, too. */
int image_files_layer(struct db *db, json_t *layer, const char *reference, uint64_t *ret_bytes,
		      struct strv *ret_others, struct err *e);

/* Drops a reference and what is recorded of it. The caller has begun a transaction. */
int image_files_forget(struct db *db, const char *reference, struct err *e);

/* What was removed, or would be. A zeroed one is empty. */
struct images_freed {
	struct strv references;
	uint64_t manifests, layers, blobs; /* files of each kind; blobs are documents and layers */
	uint64_t bytes;                    /* on the disk */
};

void images_freed_release(struct images_freed *f);

/*
 * Deletes the content that no image and nothing made from one needs, and adds it to `ret`. The
 * caller holds the cache lock exclusively: nothing is on its way that a pull has brought in.
 */
int images_collect(struct db *db, const struct home *h, struct images_freed *ret, struct err *e);
/* Removes every reference that nothing was made from, then collects. `dry_run`: only says so. */
int images_prune(struct db *db, const struct home *h, bool dry_run, struct images_freed *ret,
		 struct err *e);
