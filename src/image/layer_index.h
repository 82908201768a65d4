/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The index of a layer: what its tar archive said, entry by entry, in its order, with the contents
 * of files replaced by their place in the layer's data blob. The last piece of a content, what is
 * behind its last whole block, is kept here when it is short, the tail: it would take a block of
 * the blob for itself. Little-endian.
 *
 *	header, 128 bytes
 *	   0  8 "MSBLAYER"          8  4 version (2)      12  4 header size (128)
 *	  16 32 diff_id            48  8 data blob size   56  8 number of entries
 *	  64  8 body size          72 32 SHA-256 of body
 *	 104 20 zero              124  4 crc32c of the header before it
 *
 *	entry, 64 bytes and what follows it, padded with zeroes to a multiple of 8
 *	   0  4 size with all that
 *	   4  1 type                5  1 zero              6  2 mode (permission bits)
 *	   8  4 uid                12  4 gid              16  4 device major  20  4 minor
 *	  24  8 mtime, seconds     32  4 nanoseconds      36  4 size of xattrs
 *	  40  8 size of content    48  8 its offset in the data blob
 *	  56  2 path size          58  2 link target size 60  2 number of xattrs
 *	  62  2 tail size: 0, or size of content % 4096
 *	  64    path, link target, xattrs, tail; an xattr is
 *	        u16 name size, u16 zero, u32 value size, name, value
 *
 * Paths are relative and normalised: no empty, "." or ".." part; the root has an empty path. A
 * whiteout has the path of what it hides, an opaque mark the path of its directory.
 */
#pragma once

#include "base/err.h"
#include "image/digest.h"

#define LAYER_INDEX_HEADER_LEN 128
#define LAYER_PATH_MAX         4095
#define LAYER_NAME_MAX         255
#define LAYER_XATTR_VALUE_MAX  65535
#define LAYER_XATTRS_MAX       131072U /* bytes of one entry */
#define LAYER_XATTR_COUNT_MAX  128U    /* of one entry */
#define LAYER_ENTRIES_MAX      4194304U
#define LAYER_BLOCK            4096U
/*
 * A tail saves a block of the blob and costs its size in the index and in the metadata of each
 * image with the layer. At 1024 bytes four images that share everything break even; see "Decisions"
 * in docs/architecture.md.
 */
#define LAYER_TAIL_MAX 1024U

enum layer_entry_type {
	LAYER_FILE = 1,
	LAYER_DIR,
	LAYER_SYMLINK,
	LAYER_HARDLINK,
	LAYER_CHAR,
	LAYER_BLOCK_DEV,
	LAYER_FIFO,
	LAYER_WHITEOUT,
	LAYER_OPAQUE,
};

struct layer_entry {
	enum layer_entry_type type;
	uint16_t mode;
	uint32_t uid, gid;
	uint32_t major, minor;
	int64_t mtime;
	uint32_t mtime_ns;
	uint64_t size, offset;   /* size is that of the whole content */
	const char *path, *link; /* not terminated */
	size_t path_len, link_len;
	const uint8_t *xattrs; /* encoded as in the file */
	size_t xattrs_len;
	uint32_t n_xattrs;
	const uint8_t *tail;
	size_t tail_len;
};

struct layer_xattr {
	const char *name; /* not terminated */
	size_t name_len;
	const uint8_t *value;
	size_t value_len;
};

/* What the header says; needs no look at the body. */
struct layer_info {
	struct digest diff_id;
	uint64_t data_size;
	uint64_t n_entries;
	uint64_t body_len;
	struct digest body_digest;
};

/* Whether a path is normalised as described above. */
bool layer_path_valid(const char *path, size_t len);
/*
 * Writes the normalised form of a path from an archive; not terminated. Returns NULL, or what is
 * wrong with the path, for a message after its name.
 */
const char *layer_path_normalise(const char *s, char out[LAYER_PATH_MAX], size_t *ret_len);

/* How much of a content of that size is its tail, kept in the index. */
size_t layer_tail_len(uint64_t size);

/* --- writing --- */

struct layer_writer;

/* Writes to `fd`, which stays the caller's. */
struct layer_writer *layer_writer_new(int fd);
struct layer_writer *layer_writer_free(struct layer_writer *w);
int layer_writer_add(struct layer_writer *w, const struct layer_entry *entry, struct err *e);
/* Writes the header; the index is then complete. */
int layer_writer_finish(struct layer_writer *w, const struct digest *diff_id, uint64_t data_size,
			struct err *e);

/* Encodes an attribute to `out`, of layer_xattr_len bytes; returns its end. */
uint8_t *layer_xattr_put(uint8_t *out, const struct layer_xattr *x);
size_t layer_xattr_len(const struct layer_xattr *x);

/* --- reading --- */

struct layer_index {
	struct layer_info info;
	const uint8_t *map;
	size_t map_len;
};

/* Reads and checks the header against the file's size. ERR_CORRUPT when anything is odd. */
int layer_info_read(int fd, struct layer_info *ret, struct err *e);
/* Maps an index and checks its digests; the descriptor may be closed afterwards. */
int layer_index_open(struct layer_index *ix, int fd, struct err *e);
void layer_index_release(struct layer_index *ix);

/* Start with *pos = 0. 1 with the next entry, whose strings point into the index; 0; or -1. */
int layer_index_next(const struct layer_index *ix, size_t *pos, struct layer_entry *ret,
		     struct err *e);
/*
 * The same for encoded attributes that layer_index_next has checked: true or the end. Of several
 * with one name the last counts.
 */
bool layer_xattr_next(const uint8_t *xattrs, size_t len, size_t *pos, struct layer_xattr *ret);
