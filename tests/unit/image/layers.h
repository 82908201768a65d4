/* SPDX-License-Identifier: Apache-2.0 */
/* Merges layers of a test into an image file: metadata and blobs, end to end. */
#pragma once

#include "erofs_reader.h"

#include "image/erofs.h"
#include "image/merge.h"

#define LAYERS_MAX 8

struct stack {
	struct fixture *f;
	struct tree tree;
	struct layer_index ix[LAYERS_MAX];
	uint64_t blocks[LAYERS_MAX];
	size_t n;
	struct image_file image;
	char *path; /* of the image */
};

static inline void stack_init(struct stack *s, struct fixture *f)
{
	*s = (struct stack){.f = f};
	assert_ok(tree_init(&s->tree, &f->e), &f->e);
}

/* Takes the fixture's archive as the next layer. The error is the merge's. */
static inline int stack_add(struct stack *s)
{
	struct ingest_result res;

	assert_ok(ingest_tar(s->f, &res), &s->f->e);
	open_index(s->f, &res.diff_id, &s->ix[s->n]);
	s->blocks[s->n] = res.data_size / 4096;
	s->n++;
	return merge_layer(&s->tree, &s->ix[s->n - 1], (uint32_t)s->n - 1, &s->f->e);
}

static inline void append_file(int to, int from, uint64_t *at)
{
	char buf[4096];
	ssize_t n;

	for (uint64_t pos = 0; (n = pread(from, buf, sizeof(buf), (off_t)pos)) > 0; pos += 4096)
		assert_int_equal(pwrite_full(to, buf, (size_t)n, *at + pos), 0);
	*at += (uint64_t)lseek(from, 0, SEEK_END);
}

/* Writes the image and loads it into memory; fsck.erofs must accept it. */
static inline void stack_finish(struct stack *s)
{
	struct erofs_options o = {.parts = s->blocks, .n_parts = s->n};
	_cleanup_free_ char *out = xasprintf("%s/extracted", s->f->dir);
	_cleanup_close_ int fd = -1;
	uint64_t meta, at;

	s->path = xasprintf("%s/image.erofs", s->f->dir);
	fd = open(s->path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	assert_ok(erofs_write(&s->tree, &o, fd, &meta, &s->f->e), &s->f->e);
	at = (uint64_t)lseek(fd, 0, SEEK_END);
	assert_int_equal(at, meta * 4096);
	for (size_t i = 0; i < s->n; i++) {
		_cleanup_close_ int in = -1;

		if (!s->blocks[i])
			continue;
		in = store_open_file(&s->f->store, STORE_LAYER_DATA, &s->ix[i].info.diff_id,
				     &s->f->e);
		append_file(fd, in, &at);
	}
	assert_ok(erofs_check(fd, at / 4096, &s->f->e), &s->f->e);
	assert_int_equal(read_file(AT_FDCWD, s->path, 256 * MIB, &s->image.bytes, &s->image.len),
			 0);
	remove_tree(AT_FDCWD, out);
	if (!fsck_accepts(s->path, out))
		fail_msg("fsck.erofs refuses the image");
}

static inline void stack_release(struct stack *s)
{
	tree_release(&s->tree);
	for (size_t i = 0; i < s->n; i++)
		layer_index_release(&s->ix[i]);
	free(s->image.bytes);
	free(s->path);
}
