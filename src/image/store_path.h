/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where content lies, relative to $MSB_HOME/cache:
 *
 *	blobs/sha256_HEX          manifests, indexes, configs and compressed layers, byte for byte
 *	blobs/sha256_HEX.zst      a layer that came uncompressed (kept_blob.h)
 *	layers/sha256_HEX.data2   file contents of the layer with that diff_id
 *	layers/sha256_HEX.index2  its metadata
 *	images/sha256_HEX.erofs2  file system metadata of the image with that manifest
 *	locks/                    a lock file per thing that is being made
 *	.tmp-NAME in each         unfinished files
 *
 * The number behind the names of layers and images is the version of what is in them. It changes
 * when an image's metadata would not fit data that were written before, so that neither ever
 * replaces what an image made by an older program is still using.
 */
#pragma once

#include "image/digest.h"

#define STORE_PATH_LEN    96
#define STORE_TEMP_PREFIX ".tmp-"

/* Of the contents of a layer, which a layer without any has none of. */
#define STORE_DATA_SUFFIX ".data2"

enum store_kind { STORE_BLOB, STORE_BLOB_ZSTD, STORE_LAYER_DATA, STORE_LAYER_INDEX, STORE_IMAGE };

/* The path relative to the cache, with the folder. */
void store_path(enum store_kind kind, const struct digest *d, char out[STORE_PATH_LEN]);
