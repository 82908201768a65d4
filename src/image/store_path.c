/* SPDX-License-Identifier: Apache-2.0 */
#include "image/store_path.h"

#include <stdio.h>

void store_path(enum store_kind kind, const struct digest *d, char out[STORE_PATH_LEN])
{
	static const struct {
		const char *folder, *suffix;
	} kinds[] = {
		[STORE_BLOB] = {"blobs", ""},
		[STORE_BLOB_ZSTD] = {"blobs", ".zst"},
		[STORE_LAYER_DATA] = {"layers", STORE_DATA_SUFFIX},
		[STORE_LAYER_INDEX] = {"layers", ".index2"},
		[STORE_IMAGE] = {"images", ".erofs2"},
	};
	char hex[2 * DIGEST_LEN + 1];

	digest_format_hex(d, hex);
	snprintf(out, STORE_PATH_LEN, "%s/sha256_%s%s", kinds[kind].folder, hex,
		 kinds[kind].suffix);
}
