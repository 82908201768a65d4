/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Index files of layers. An input is u8 flags, u16 entries, u16 blocks of data, and then the body
 * (or, without MEND, the file). Bit 0 makes a header with the right checksums and puts the sizes
 * of entries right, bit 1 applies the layer on top of itself.
 */
#include "image.h"

#include "base/crc32c.h"
#include "image/hash.h"

#define MEND  1
#define TWICE 2

static void mend_entries(uint8_t *body, size_t n)
{
	while (n >= 64) {
		size_t strings = get_le16(body + 56) + get_le16(body + 58) + get_le32(body + 36) +
				 get_le16(body + 62);
		size_t len = ALIGN_UP(64 + strings, (size_t)8);

		if (len > n)
			return;
		put_le32(body, (uint32_t)len);
		body += len;
		n -= len;
	}
}

static void make_header(uint8_t *h, const uint8_t *body, size_t n, unsigned int entries,
			unsigned int blocks)
{
	struct digest d;

	memset(h, 0, LAYER_INDEX_HEADER_LEN);
	memcpy(h, "MSBLAYER", 8);
	put_le32(h + 8, 2);
	put_le32(h + 12, LAYER_INDEX_HEADER_LEN);
	put_le64(h + 48, blocks * 4096ULL);
	put_le64(h + 56, entries);
	put_le64(h + 64, n);
	hash_bytes(body, n, &d);
	memcpy(h + 72, d.b, sizeof(d.b));
	put_le32(h + 124, crc32c(~0U, h, 124));
}

/* What is accepted is what the writer makes of it, but for the padding. */
static void check_entries(const struct layer_index *ix)
{
	int fd = memory_file("", 0);
	struct layer_writer *w = layer_writer_new(fd);
	struct layer_entry entry, copy;
	struct layer_index again;
	struct err e = {0};
	size_t pos = 0, copy_pos = 0;
	int r;

	while ((r = layer_index_next(ix, &pos, &entry, &e)) > 0)
		CHECK(layer_writer_add(w, &entry, &e) == 0);
	if (r < 0)
		check_error(&e);
	CHECK(layer_writer_finish(w, &ix->info.diff_id, ix->info.data_size, &e) == 0);
	CHECK(layer_index_open(&again, fd, &e) == 0);
	pos = 0;
	while (layer_index_next(&again, &copy_pos, &copy, &e) > 0) {
		CHECK(layer_index_next(ix, &pos, &entry, &e) > 0 && copy_pos == pos);
		CHECK(copy.path_len == entry.path_len && copy.link_len == entry.link_len);
		CHECK(copy.xattrs_len == entry.xattrs_len && copy.n_xattrs == entry.n_xattrs);
		CHECK(memcmp(copy.path, entry.path,
			     entry.path_len + entry.link_len + entry.xattrs_len) == 0);
		CHECK(copy.type == entry.type && copy.mode == entry.mode);
		CHECK(copy.size == entry.size && copy.offset == entry.offset);
		CHECK(copy.tail_len == entry.tail_len &&
		      memcmp(copy.tail, entry.tail, entry.tail_len) == 0);
	}
	CHECK(copy_pos == again.info.body_len);
	layer_index_release(&again);
	layer_writer_free(w);
	close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t n)
{
	struct input in = {input, n};
	uint8_t flags = take8(&in);
	unsigned int entries = take16(&in), blocks = take16(&in);
	size_t head = flags & MEND ? LAYER_INDEX_HEADER_LEN : 0, len = head + in.n;
	uint8_t *file = malloc(len + 1);
	struct layer_index ix;
	struct err e = {0};
	int fd;

	CHECK(file);
	take(&in, file + head, len - head);
	if (flags & MEND) {
		mend_entries(file + head, len - head);
		make_header(file, file + head, len - head, entries, blocks);
	}
	fd = memory_file(file, len);
	if (layer_index_open(&ix, fd, &e) == 0) {
		check_entries(&ix);
		check_layers(&ix, flags & TWICE ? 2 : 1);
		layer_index_release(&ix);
	} else {
		check_error(&e);
	}
	free(file);
	close(fd);
	return 0;
}
