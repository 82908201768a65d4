/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Images by reference. The record is the JSON that msb-image reports; the files that it names
 * live below cache/ and are kept as long as a row or a sandbox names them.
 */
#pragma once

#include "state/db.h"

#include <jansson.h>

struct image_row {
	char *reference; /* as the user typed it */
	char *manifest_digest;
	json_t *record;
	uint64_t created_at; /* ns, CLOCK_REALTIME: when it was pulled or loaded */
};

void image_row_release(struct image_row *r);

/* Adds or replaces a reference. */
int images_put(struct db *db, const char *reference, const char *canonical, json_t *record,
	       struct err *e);
/* 0, or -1 with ERR_NOT_FOUND or another error. */
int images_get(struct db *db, const char *reference, struct image_row *ret, struct err *e);
/* The row of any other spelling of a reference; errors name it as the user typed it. */
int images_get_canonical(struct db *db, const char *reference, const char *canonical,
			 struct image_row *ret, struct err *e);
/* All rows in order of their references, as an owned array. */
int images_list(struct db *db, struct image_row **ret, size_t *ret_n, struct err *e);
/* Removes a reference; ERR_BUSY when a sandbox was made from its image, unless `force`. */
int images_remove(struct db *db, const char *reference, bool force, struct err *e);

/*
 * Deletes the content that no image and no sandbox needs, and nothing that a running pull has
 * brought in: it takes the cache lock exclusively. Returns the bytes given back through `ret`.
 */
int images_collect(struct db *db, const struct home *h, uint64_t *ret, struct err *e);
