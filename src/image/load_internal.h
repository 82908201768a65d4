/* SPDX-License-Identifier: Apache-2.0 */
/* Private to load*.c: what has been found in an image archive. */
#pragma once

#include "image/load.h"
#include "image/ingest.h"

#define LOAD_ITEMS_MAX 8192
#define LOAD_TEXTS_MAX (64 * MIB) /* bytes of all documents together */

enum load_item_type {
	LOAD_TEXT,  /* a JSON document, in memory */
	LOAD_LAYER, /* taken in; its content is in the store */
	LOAD_BAD,   /* no layer for the reason in `err`; matters only if an image wants it */
	LOAD_LINK,  /* the same as another item */
};

struct load_item {
	enum load_item_type type;
	char *path;                 /* normalised */
	struct ingest_result layer; /* of a layer; blob_digest and blob_size of a text, too */
	char *text;
	char *target; /* of a link, normalised */
	struct err *err;
};

struct load_items {
	struct store *store;
	const struct load_options *o;
	struct progress *progress;
	struct load_item *v;
	size_t n;
	uint64_t text_bytes;
};

/* Follows links; NULL when there is no such item. */
const struct load_item *load_find(const struct load_items *a, const char *path);
/* Makes images of what was found: load_images.c. */
json_t *load_make_images(struct load_items *a, struct err *e);
