/* SPDX-License-Identifier: Apache-2.0 */
/* Makes a self-contained EROFS image of a directory on the host. */
#pragma once

#include "base/err.h"

struct from_dir_options {
	bool owner_root;   /* what the caller owns belongs to root in the image */
	uint64_t max_size; /* of all contents */
};

/*
 * Reads the tree at `path`, following no links in it and leaving out other file systems' content
 * never: mount points are read like directories. Replaces `out` when all is done. A file that
 * cannot be read is an error that names it, as is one that changes meanwhile.
 */
int from_dir(const char *path, const char *out, const struct from_dir_options *o, struct err *e);
