/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Images by reference. The record is the JSON that msb-image reports; the files that it names
 * live below cache/ and are kept as long as a row, or whatever else needs the image, names them
 * (image_files.h).
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

/* What a list shows of an image; found without reading its record. */
struct image_summary {
	char *reference;
	char *manifest_digest;
	char *os, *architecture, *variant;
	uint64_t layer_count;
	uint64_t size_bytes;   /* of the layers as they travel */
	uint64_t disk_bytes;   /* what its files occupy */
	uint64_t shared_bytes; /* the part of it that other references need, too */
	uint64_t created_at;
};

struct image_list {
	struct image_summary *v;
	size_t n;
};

void image_list_release(struct image_list *l);

/* Adds or replaces a reference. The caller holds the cache lock, by which its files are there. */
int images_put(struct db *db, const struct home *h, const char *reference, const char *canonical,
	       json_t *record, struct err *e);
/* 0, or -1 with ERR_NOT_FOUND or another error. */
int images_get(struct db *db, const char *reference, struct image_row *ret, struct err *e);
/* The row of any other spelling of a reference; errors name it as the user typed it. */
int images_get_canonical(struct db *db, const char *reference, const char *canonical,
			 struct image_row *ret, struct err *e);

/* All images in order of their references. */
int images_list(struct db *db, const struct home *h, struct image_list *ret, struct err *e);
/* That of one reference, as it is stored; a list of one. */
int images_summary(struct db *db, const struct home *h, const char *reference,
		   struct image_list *ret, struct err *e);

/* The other references that lead to the same manifest. */
int images_same(struct db *db, const struct image_row *row, struct strv *ret, struct err *e);
/* The sandboxes that were made from the reference or its content. */
int images_users(struct db *db, const struct image_row *row, struct strv *ret, struct err *e);

/*
 * Removes a reference; ERR_BUSY when something was made from its image that needs it, unless
 * `force`.
 */
int images_remove(struct db *db, const char *reference, bool force, struct err *e);
