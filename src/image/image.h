/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An image in the store: manifest and config, the layers that they name, and the file system
 * metadata made from them.
 */
#pragma once

#include "image/layer_index.h"
#include "image/manifest.h"
#include "image/store.h"

struct image {
	struct store *store;
	struct digest digest; /* of the manifest */
	struct manifest manifest;
	struct image_config config;

	/* Valid after image_scan. */
	struct layer_info *layers;
	/* The distinct layers that have data, in order of their first use. */
	struct digest parts[IMAGE_PARTS_MAX];
	uint64_t part_blocks[IMAGE_PARTS_MAX];
	size_t n_parts;
};

/* Takes the two documents apart and checks that they belong together. */
int image_init(struct image *im, struct store *s, const struct digest *digest, const char *manifest,
	       size_t manifest_len, const char *config, size_t config_len, struct err *e);
/* As image_init, from the store; ERR_NOT_FOUND when a document is missing. */
int image_open(struct image *im, struct store *s, const struct digest *digest, struct err *e);
void image_release(struct image *im);

/* ERR_UNSUPPORTED when the image says that it is for something else. */
int image_check_platform(const struct image *im, const struct platform *wanted, struct err *e);

/* Whether a layer's files are all there, by their sizes and the checksum of the index' header. */
bool image_layer_present(struct store *s, const struct digest *diff_id);
/* Reads what the layers' headers say. ERR_NOT_FOUND or ERR_CORRUPT for a layer that is not there.
 */
int image_scan(struct image *im, struct err *e);
/* After image_scan: whether the metadata are there and fit. */
bool image_has_metadata(struct image *im);
/* After image_scan: makes the metadata unless they are there, or in any case with `force`. */
int image_build(struct image *im, bool force, struct err *e);
/* After image_scan: reads all metadata again, and makes them again for comparison. */
int image_verify(struct image *im, struct err *e);

/* The record that callers keep: see docs of the program in main.c. `reference` may be NULL. */
json_t *image_record(const struct image *im, const char *reference, bool cached);
/* Adds what the reference led to, so that it is kept: the manifest, or an index that names it. */
void image_record_resolved(json_t *record, const struct digest *d);
