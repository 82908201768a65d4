/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The JSON documents of an image: manifest, index (manifest list) and config, of the OCI image
 * format and of Docker's schema 2. Only what is used is looked at; the documents themselves are
 * kept byte for byte, so that their digests stay right.
 */
#pragma once

#include "base/err.h"
#include "image/digest.h"
#include "image/platform.h"

#include <jansson.h>

#define MANIFEST_MAX        (4 * MIB) /* bytes of any document */
#define MANIFEST_LAYERS_MAX 512
/* What a virtual machine takes as parts of one disk. */
#define IMAGE_PARTS_MAX 128

#define MEDIA_OCI_INDEX      "application/vnd.oci.image.index.v1+json"
#define MEDIA_OCI_MANIFEST   "application/vnd.oci.image.manifest.v1+json"
#define MEDIA_OCI_CONFIG     "application/vnd.oci.image.config.v1+json"
#define MEDIA_OCI_LAYER      "application/vnd.oci.image.layer.v1.tar"
#define MEDIA_OCI_LAYER_GZIP MEDIA_OCI_LAYER "+gzip"
#define MEDIA_OCI_LAYER_ZSTD MEDIA_OCI_LAYER "+zstd"
#define MEDIA_DOCKER_LIST    "application/vnd.docker.distribution.manifest.list.v2+json"
#define MEDIA_DOCKER_SCHEMA2 "application/vnd.docker.distribution.manifest.v2+json"

struct descriptor {
	struct digest digest;
	uint64_t size;
	char *media_type;
	/* In an index only. */
	bool has_platform;
	struct platform platform;
	char *name;       /* of the annotations that say what the image is called; or NULL */
	bool name_is_tag; /* only its tag */
};

struct manifest {
	bool is_index;
	struct descriptor config;
	struct descriptor *items; /* layers, lowest first; of an index, manifests */
	size_t n_items;
};

struct image_config {
	json_t *json;
	struct digest *diff_ids;
	size_t n_diff_ids;
	struct platform platform;
	const char *created; /* NULL when absent */
};

/* 0, or -1 with ERR_CORRUPT for nonsense or ERR_UNSUPPORTED for what is no container image. */
int manifest_parse(const char *text, size_t len, struct manifest *ret, struct err *e);
void manifest_release(struct manifest *m);

/* The sum of the sizes of all items, which a manifest may exaggerate; INT64_MAX at most. */
uint64_t manifest_layers_size(const struct manifest *m);

/*
 * The entry of an index that suits a platform best, of equals the first; NULL with ERR_NOT_FOUND
 * that says what there is.
 */
const struct descriptor *manifest_select(const struct manifest *index,
					 const struct platform *wanted, struct err *e);

int image_config_parse(const char *text, size_t len, struct image_config *ret, struct err *e);
void image_config_release(struct image_config *c);
