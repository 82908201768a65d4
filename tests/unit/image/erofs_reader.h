/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads an EROFS image as a kernel would, written from the format's description and not from the
 * writer: an oracle for what fsck.erofs does not show.
 */
#pragma once

#include "fixture.h"

#include "image/le.h"

struct image_file {
	char *bytes;
	size_t len;
};

struct inode_info {
	uint64_t nid;
	unsigned int layout, mode, uid, gid, nlink, where;
	uint64_t size;
	int64_t mtime;
	unsigned int mtime_ns;
	size_t xattr_at, xattr_len, tail_at;
	bool extended;
};

static inline struct inode_info read_inode(const struct image_file *im, uint64_t nid)
{
	const char *sb = im->bytes + 1024, *p = im->bytes + nid * 32;
	struct inode_info i = {.nid = nid};
	unsigned int format, count;
	size_t head;

	assert_true(nid * 32 + 64 <= im->len);
	format = get_le16(p);
	count = get_le16(p + 2);
	i.extended = format & 1;
	i.layout = format >> 1 & 7;
	i.mode = get_le16(p + 4);
	i.where = get_le32(p + 16);
	if (i.extended) {
		i.size = get_le64(p + 8);
		i.uid = get_le32(p + 24);
		i.gid = get_le32(p + 28);
		i.mtime = (int64_t)get_le64(p + 32);
		i.mtime_ns = get_le32(p + 40);
		i.nlink = get_le32(p + 44);
	} else {
		i.nlink = get_le16(p + 6);
		i.size = get_le32(p + 8);
		i.uid = get_le16(p + 24);
		i.gid = get_le16(p + 26);
		i.mtime = (int64_t)get_le64(sb + 24);
		i.mtime_ns = get_le32(sb + 32);
	}
	head = i.extended ? 64 : 32;
	i.xattr_at = nid * 32 + head;
	i.xattr_len = count ? 12 + 4 * (count - 1) : 0;
	i.tail_at = i.xattr_at + i.xattr_len;
	return i;
}

/* A piece of a file's content: one block's worth at most. */
static inline const char *read_piece(const struct image_file *im, const struct inode_info *i,
				     uint64_t block, size_t *ret_len)
{
	uint64_t at = ((uint64_t)i->where + block) * 4096, n = MIN(i->size - block * 4096, 4096);

	if (i->layout == 2 && block == i->size / 4096) {
		at = i->tail_at;
		/* It may not cross into another block. */
		assert_int_equal(at / 4096, (at + n - 1) / 4096);
	}
	assert_true(at + n <= im->len);
	*ret_len = (size_t)n;
	return im->bytes + at;
}

/* Finds a name, checking order and bounds on the way. 0 when it is missing. */
static inline uint64_t dir_find(const struct image_file *im, const struct inode_info *dir,
				const char *name)
{
	char last[256] = "";
	uint64_t found = 0;

	assert_true(S_ISDIR(dir->mode));
	for (uint64_t b = 0; b * 4096 < dir->size; b++) {
		size_t len;
		const char *p = read_piece(im, dir, b, &len);
		unsigned int n = get_le16(p + 8) / 12;

		assert_true(n > 0);
		for (unsigned int k = 0; k < n; k++) {
			size_t at = get_le16(p + 12 * k + 8);
			size_t end = k + 1 < n ? get_le16(p + 12 * k + 20) : len;
			char text[256] = "";

			assert_true(at < end && end <= len && end - at < sizeof(text));
			memcpy(text, p + at, end - at);
			assert_true(strcmp(last, text) < 0);
			strcpy(last, text);
			if (strcmp(text, name) == 0)
				found = get_le64(p + 12 * k);
		}
	}
	return found;
}

/* The inode of a path; a nid of 0 when there is none. */
static inline struct inode_info lookup(const struct image_file *im, const char *path)
{
	struct inode_info i = read_inode(im, get_le16(im->bytes + 1024 + 14));

	while (*path) {
		size_t n = strcspn(path, "/");
		_cleanup_free_ char *name = xstrndup(path, n);
		uint64_t nid = dir_find(im, &i, name);

		if (!nid)
			return (struct inode_info){0};
		i = read_inode(im, nid);
		path += n;
		path += strspn(path, "/");
	}
	return i;
}

/* Content of a file or link target, owned. */
static inline char *read_all(const struct image_file *im, const char *path)
{
	struct inode_info i = lookup(im, path);
	char *text;

	if (!i.nid)
		fail_msg("'%s' is missing", path);
	text = xcalloc(1, i.size + 1);
	for (uint64_t b = 0; b * 4096 < i.size; b++) {
		size_t n;
		const char *p = read_piece(im, &i, b, &n);

		memcpy(text + b * 4096, p, n);
	}
	return text;
}

static inline void assert_content(const struct image_file *im, const char *path, const char *want)
{
	_cleanup_free_ char *got = read_all(im, path);

	assert_string_equal(got, want);
}

static inline void assert_missing(const struct image_file *im, const char *path)
{
	if (lookup(im, path).nid)
		fail_msg("'%s' is there", path);
}

/* Value of an attribute by prefix number and name, owned; NULL when it is missing. */
static inline char *read_xattr(const struct image_file *im, const char *path, int index,
			       const char *name)
{
	struct inode_info i = lookup(im, path);
	const char *p = im->bytes + i.xattr_at + 12, *end = im->bytes + i.tail_at;

	if (!i.xattr_len)
		return NULL;
	while (p < end) {
		size_t name_len = (uint8_t)p[0], len = get_le16(p + 2);

		assert_true(p + 4 + name_len + len <= end);
		if (p[1] == index && name_len == strlen(name) && !memcmp(p + 4, name, name_len))
			return xstrndup(p + 4 + name_len, len);
		p += ALIGN_UP(4 + name_len + len, (size_t)4);
	}
	assert_ptr_equal(p, end);
	return NULL;
}

/* Whether fsck.erofs accepts the image; true also where the program is missing. */
static inline bool fsck_accepts(const char *path, const char *extract_to)
{
	_cleanup_free_ char *option = xasprintf("--extract=%s", extract_to);
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		int null = open("/dev/null", O_WRONLY);

		dup2(null, 1);
		execlp("fsck.erofs", "fsck.erofs", option, "--no-preserve-owner", path, NULL);
		_exit(errno == ENOENT ? 0 : 127);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}
