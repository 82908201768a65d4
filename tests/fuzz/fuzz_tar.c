/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tar archives of layers. An input is u8 flags and an archive: bit 0 puts the checksums of headers
 * right, bits 1 to 3 say in which pieces it arrives, bit 4 applies the layer on top of itself.
 */
#include "image.h"

#include "image/blob_writer.h"
#include "image/layer_tar.h"

#define MEND     1
#define PIECES   7 /* << 1 */
#define TWICE    16
#define DATA_MAX GIB

struct source {
	const uint8_t *p;
	size_t n, piece;
};

static size_t next_piece(void *ctx, const uint8_t **ret)
{
	struct source *s = ctx;
	size_t n = MIN(s->n, s->piece);

	*ret = s->p;
	s->p += n;
	s->n -= n;
	return n;
}

static void check_contents(const struct layer_index *ix)
{
	struct layer_entry entry;
	struct err e = {0};
	uint64_t n = 0;
	size_t pos = 0;
	int r;

	while ((r = layer_index_next(ix, &pos, &entry, &e)) > 0) {
		char out[LAYER_PATH_MAX];
		char *path = xasprintf("%.*s", (int)entry.path_len, entry.path);
		size_t len;

		CHECK(!layer_path_normalise(path, out, &len) && len == entry.path_len);
		CHECK(memcmp(out, entry.path, len) == 0);
		free(path);
		n++;
	}
	CHECK(r == 0 && n == ix->info.n_entries && n <= LAYER_ENTRIES_MAX);
}

static void finish(struct blob_writer *data, int data_fd, struct layer_writer *index, int index_fd,
		   unsigned int times)
{
	struct digest id = {{1}};
	struct layer_index ix;
	struct err e = {0};
	uint64_t size;

	CHECK(blob_writer_finish(data, &size, &e) == 0);
	CHECK(size <= DATA_MAX + 4096 && lseek(data_fd, 0, SEEK_END) == (off_t)size);
	CHECK(layer_writer_finish(index, &id, size, &e) == 0);
	CHECK(layer_index_open(&ix, index_fd, &e) == 0);
	CHECK(ix.info.data_size == size && digest_eq(&ix.info.diff_id, &id));
	check_contents(&ix);
	check_layers(&ix, times);
	layer_index_release(&ix);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t n)
{
	static const size_t pieces[] = {SIZE_MAX, 512, 511, 513, 100, 4096, 10240, 1};
	struct input in = {input, n};
	uint8_t flags = take8(&in), *tar = exact_copy(in.p, in.n);
	struct source source = {tar, in.n, pieces[flags >> 1 & PIECES]};
	int data_fd = memory_file("", 0), index_fd = memory_file("", 0);
	struct blob_writer *data = blob_writer_new(data_fd, DATA_MAX);
	struct layer_writer *index = layer_writer_new(index_fd);
	struct err e = {0};

	if (flags & MEND)
		mend_tar(tar, in.n);
	if (layer_tar_read(next_piece, &source, data, index, &e) == 0)
		finish(data, data_fd, index, index_fd, flags & TWICE ? 2 : 1);
	else
		check_error(&e);
	blob_writer_free(data);
	layer_writer_free(index);
	close(data_fd);
	close(index_fd);
	free(tar);
	return 0;
}
