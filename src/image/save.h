/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes images to an archive: an OCI image layout in a tar with manifest, config and layers byte
 * for byte, so that their digests stay what they are. The docker format is the same with Docker's
 * own manifest.json beside it, as `docker save` writes it nowadays. The bytes depend on the images,
 * their names and their order alone.
 */
#pragma once

#include "image/progress.h"
#include "image/store.h"

struct save_image {
	struct digest digest; /* of the manifest */
	struct strv names;    /* canonical references, at least one */
};

struct save_options {
	const struct save_image *images;
	size_t n_images;
	bool docker;
};

/*
 * Writes to a descriptor. What is missing is found out before the first byte is written;
 * ERR_NOT_FOUND names it.
 */
int save_archive(struct store *s, int fd, const struct save_options *o, struct progress *p,
		 struct err *e);
/* The same to a file, which appears or is replaced when the archive is complete. */
int save_file(struct store *s, const char *path, const struct save_options *o, struct progress *p,
	      struct err *e);
