/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loads images from an archive: an OCI image layout in a tar, or what `docker save` writes, or
 * both in one; plain, gzip or zstd. The archive is read once from front to back, a pipe will do.
 */
#pragma once

#include "image/platform.h"
#include "image/progress.h"
#include "image/store.h"

#include <jansson.h>

struct load_options {
	/* The names for the first image in the archive; when empty, those in the archive count. */
	const struct strv *tags;
	struct platform platform;
	bool platform_given; /* nothing else will do */
	uint64_t max_size;   /* of a layer, unpacked */
};

/* The records of the images, one per name; or NULL with the error set. */
json_t *load_archive(struct store *s, int fd, const struct load_options *o, struct progress *p,
		     struct err *e);
