/* SPDX-License-Identifier: Apache-2.0 */
/* What the fuzz targets for images share: files in memory, tar archives, and a check of images. */
#pragma once

#include "fuzz.h"

#include "image/erofs.h"
#include "image/layer_index.h"
#include "image/le.h"
#include "image/merge.h"

#include <sys/mman.h>
#include <sys/stat.h>

static inline int memory_file(const void *data, size_t n)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	CHECK(fd >= 0);
	CHECK(pwrite(fd, data, n, 0) == (ssize_t)n);
	return fd;
}

/* A copy of its own, so that a step beyond it is seen. */
static inline uint8_t *exact_copy(const void *data, size_t n)
{
	uint8_t *p = malloc(n ? n : 1);

	CHECK(p);
	if (n)
		memcpy(p, data, n);
	return p;
}

static inline void check_error(const struct err *e)
{
	CHECK(e->code != ERR_NONE && e->code != ERR_INTERNAL && e->msg[0]);
}

/* Checksums of tar headers do not come about by chance: puts them right. */
static inline void mend_tar(uint8_t *tar, size_t n)
{
	size_t pos = 0;

	while (n - pos >= 512) {
		uint8_t *h = tar + pos;
		unsigned int sum = 0;
		uint64_t size = 0;
		char text[8];

		memset(h + 148, ' ', 8);
		for (int i = 0; i < 512; i++)
			sum += h[i];
		if (sum == 8 * ' ') { /* an end mark stays one */
			memset(h + 148, 0, 8);
			pos += 512;
			continue;
		}
		snprintf(text, sizeof(text), "%06o", sum);
		memcpy(h + 148, text, 7);
		for (int i = 124; i < 136 && h[i] >= '0' && h[i] < '8'; i++)
			size = size * 8 + (h[i] - '0');
		if (size > n - pos - 512)
			return;
		pos += 512 + (ALIGN_UP(size, (uint64_t)512));
		if (pos > n)
			return;
	}
}

/* --- an image, read as a kernel would --------------------------------------------------------- */

struct image_bytes {
	const uint8_t *p;
	uint64_t meta_blocks, disk_blocks;
	uint32_t *names; /* by inode number */
	uint32_t n_inodes;
};

struct seen_inode {
	unsigned int layout, mode;
	uint32_t uid, gid, nlink, where, number;
	uint64_t size, tail; /* where the inline part is */
	int64_t mtime;
	uint32_t mtime_ns;
};

static inline struct seen_inode see_inode(const struct image_bytes *im, uint64_t nid)
{
	const uint8_t *sb = im->p + 1024, *p = im->p + nid * 32;
	struct seen_inode s = {0};
	unsigned int format, xattrs;

	CHECK(nid * 32 + 32 <= im->meta_blocks * 4096);
	format = get_le16(p);
	CHECK(!(format & 1) || nid * 32 + 64 <= im->meta_blocks * 4096);
	xattrs = get_le16(p + 2);
	s.layout = format >> 1 & 7;
	s.mode = get_le16(p + 4);
	s.where = get_le32(p + 16);
	s.number = get_le32(p + 20);
	if (format & 1) {
		s.size = get_le64(p + 8);
		s.uid = get_le32(p + 24);
		s.gid = get_le32(p + 28);
		s.mtime = (int64_t)get_le64(p + 32);
		s.mtime_ns = get_le32(p + 40);
		s.nlink = get_le32(p + 44);
	} else {
		s.nlink = get_le16(p + 6);
		s.size = get_le32(p + 8);
		s.uid = get_le16(p + 24);
		s.gid = get_le16(p + 26);
		s.mtime = (int64_t)get_le64(sb + 24);
		s.mtime_ns = get_le32(sb + 32);
	}
	s.tail = nid * 32 + (format & 1 ? 64 : 32) + (xattrs ? 12 + 4 * (xattrs - 1) : 0);
	CHECK(s.tail <= im->meta_blocks * 4096);
	return s;
}

/* Whether a body lies where it may: whole blocks before `blocks`, the rest in the metadata. */
static inline void check_place(const struct image_bytes *im, const struct seen_inode *s,
			       uint64_t blocks)
{
	uint64_t whole = s->size / 4096, tail = s->size % 4096;

	CHECK(s->layout == 0 || s->layout == 2);
	if (s->layout == 0)
		whole += tail != 0;
	else
		CHECK(tail && s->tail / 4096 == (s->tail + tail - 1) / 4096 &&
		      s->tail + tail <= im->meta_blocks * 4096);
	CHECK(whole == 0 || (s->where > 0 && s->where <= blocks && whole <= blocks - s->where));
}

/* A block of the body of a directory or link. */
static inline const uint8_t *see_block(const struct image_bytes *im, const struct seen_inode *s,
				       uint64_t block, size_t *ret_len)
{
	*ret_len = (size_t)MIN(s->size - block * 4096, (uint64_t)4096);
	if (s->layout == 2 && block == s->size / 4096)
		return im->p + s->tail;
	return im->p + ((uint64_t)s->where + block) * 4096;
}

static inline void check_dir(struct image_bytes *im, struct tree *t, struct tree_node *dir,
			     const struct seen_inode *s)
{
	const uint8_t *last = NULL;
	size_t last_len = 0;
	uint32_t count = 0;

	for (uint64_t b = 0; b * 4096 < s->size; b++) {
		size_t len;
		const uint8_t *p = see_block(im, s, b, &len);
		unsigned int n = get_le16(p + 8) / 12;

		CHECK(n > 0 && n * 12 < len);
		for (unsigned int i = 0; i < n; i++, count++) {
			uint64_t nid = get_le64(p + 12 * i);
			size_t at = get_le16(p + 12 * i + 8), end = len, name_len;
			struct tree_node *child;

			if (i + 1 < n)
				end = get_le16(p + 12 * i + 20);
			CHECK(at < end && end <= len);
			name_len = strnlen((const char *)p + at, end - at);
			CHECK(name_len > 0 && name_len <= 255);
			if (last) {
				int r = memcmp(last, p + at, MIN(last_len, name_len));

				CHECK(r < 0 || (r == 0 && last_len < name_len));
			}
			last = p + at;
			last_len = name_len;
			if (name_len == 1 && p[at] == '.')
				child = dir;
			else if (name_len == 2 && p[at] == '.' && p[at + 1] == '.')
				child = dir->parent;
			else
				child = tree_find(t, dir, (const char *)p + at, name_len);
			CHECK(child && child->inode->nid == nid);
		}
	}
	for (const struct tree_node *c = dir->children; c; c = c->next)
		count--;
	CHECK(count == 2);
}

static inline void check_node(struct image_bytes *im, struct tree *t, struct tree_node *n)
{
	const struct tree_inode *i = n->inode;
	struct seen_inode s = see_inode(im, i->nid);

	CHECK(s.mode == i->mode && s.uid == i->uid && s.gid == i->gid);
	CHECK(s.mtime == i->mtime && s.mtime_ns == i->mtime_ns);
	CHECK(s.number > 0 && s.number <= im->n_inodes);
	im->names[s.number - 1]++;
	if (S_ISDIR(i->mode)) {
		check_place(im, &s, im->meta_blocks);
		check_dir(im, t, n, &s);
		return;
	}
	CHECK(s.nlink == i->nlink && i->nlink > 0);
	if (S_ISLNK(i->mode)) {
		size_t len;

		CHECK(s.size == i->size && s.size <= 4096);
		check_place(im, &s, im->meta_blocks);
		CHECK(memcmp(see_block(im, &s, 0, &len), i->body, s.size) == 0);
	} else if (S_ISREG(i->mode)) {
		CHECK(s.size == i->size);
		check_place(im, &s, im->disk_blocks);
		CHECK((s.layout == 2) == (i->tail_len > 0));
		if (i->tail_len)
			CHECK(i->tail_len == s.size % 4096 &&
			      memcmp(im->p + s.tail, i->body, i->tail_len) == 0);
	} else {
		CHECK(s.where == i->rdev);
	}
}

/* The next node, parents before children; NULL behind the last. */
static inline struct tree_node *next_node(struct tree_node *n)
{
	if (n->children)
		return n->children;
	while (n->parent != n && !n->next)
		n = n->parent;
	return n->parent == n ? NULL : n->next;
}

/* Writes the tree as an image over parts of these sizes, and reads it again. */
static inline void check_image(struct tree *t, const uint64_t *parts, size_t n_parts)
{
	struct erofs_options o = {.parts = parts, .n_parts = n_parts};
	struct image_bytes im = {0};
	struct err e = {0};
	int fd = memory_file("", 0);
	uint32_t nodes = 0;

	if (erofs_write(t, &o, fd, &im.meta_blocks, &e) < 0) {
		check_error(&e);
		close(fd);
		return;
	}
	im.disk_blocks = im.meta_blocks;
	for (size_t i = 0; i < n_parts; i++)
		im.disk_blocks += parts[i];
	CHECK(erofs_check(fd, im.disk_blocks, &e) == 0);
	CHECK(lseek(fd, 0, SEEK_END) == (off_t)(im.meta_blocks * 4096));
	im.p = mmap(NULL, im.meta_blocks * 4096, PROT_READ, MAP_PRIVATE, fd, 0);
	CHECK(im.p != MAP_FAILED);
	im.n_inodes = (uint32_t)get_le64(im.p + 1024 + 16);
	im.names = calloc(im.n_inodes, sizeof(*im.names));
	CHECK(im.names);
	CHECK(get_le16(im.p + 1024 + 14) == t->root->inode->nid);
	for (struct tree_node *n = t->root; n; n = next_node(n), nodes++)
		check_node(&im, t, n);
	CHECK(nodes == t->n_nodes);
	for (struct tree_node *n = t->root; n; n = next_node(n)) {
		struct seen_inode s = see_inode(&im, n->inode->nid);

		CHECK(im.names[s.number - 1] == (S_ISDIR(s.mode) ? 1 : s.nlink));
	}
	free(im.names);
	munmap((void *)(uintptr_t)im.p, im.meta_blocks * 4096);
	close(fd);
}

/* Applies a layer, as often as told, and makes an image of it. */
static inline void check_layers(const struct layer_index *ix, unsigned int times)
{
	uint64_t parts[2] = {ix->info.data_size / 4096, ix->info.data_size / 4096};
	struct err e = {0};
	struct tree t;
	int r = 0;

	CHECK(times <= 2 && tree_init(&t, &e) == 0);
	for (uint32_t i = 0; r == 0 && i < times; i++)
		r = merge_layer(&t, ix, i, &e);
	if (r == 0)
		check_image(&t, parts, times);
	else
		check_error(&e);
	tree_release(&t);
}
