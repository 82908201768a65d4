/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads the tar archive of a layer into a data blob and an index. The archive is hostile: nothing
 * of it is trusted, and nothing it says reaches the host's file system but file contents.
 *
 *	refused      a ".." part, an empty name, a name or path that is too long, a hard link whose
 *	             target has such a name, attributes and numbers out of range, too many entries
 *	normalised   a leading "/", "." parts, repeated and trailing slashes
 *	kept         duplicates (the last one wins when layers are merged), device nodes
 *	ignored      ".wh..wh.*" entries other than the opaque mark, attributes of the archive
 */
#pragma once

#include "base/err.h"

#include <sys/types.h>

/* Gives the next bytes of the archive in place: how many, 0 at the end. */
typedef size_t layer_tar_read_fn(void *source, const uint8_t **ret);

/*
 * Reads up to the archive's end mark; what follows stays unread. Writes to the two descriptors,
 * empty files; returns the writers through `ret` for the caller to finish. -1 with ERR_CORRUPT
 * for a bad archive, ERR_INVALID for one beyond a limit, or a system error.
 */
struct layer_writer;
struct blob_writer;
int layer_tar_read(layer_tar_read_fn *read, void *source, struct blob_writer *data,
		   struct layer_writer *index, struct err *e);
