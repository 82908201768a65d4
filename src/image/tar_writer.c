/* SPDX-License-Identifier: Apache-2.0 */
#include "image/tar_writer.h"

#include "base/io.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK      512U
#define BUFFER_LEN (1 * MIB)
#define OCTAL_MAX  ((UINT64_C(1) << 33) - 1) /* eleven digits */

/* POSIX.1-1988 ("ustar"). */
struct tar_header {
	char name[TAR_NAME_MAX];
	char mode[8], uid[8], gid[8], size[12], mtime[12], chksum[8];
	char typeflag;
	char linkname[100];
	char magic[6], version[2];
	char rest[247]; /* owner's names, device number, prefix, padding */
};
static_assert(sizeof(struct tar_header) == BLOCK, "a header is one block");

struct tar_writer {
	int fd;
	uint64_t left; /* of the file that was begun */
	size_t padding;
	size_t len;
	uint8_t buffer[BUFFER_LEN];
};

struct tar_writer *tar_writer_new(int fd)
{
	struct tar_writer *w = xcalloc(1, sizeof(*w));

	w->fd = fd;
	return w;
}

struct tar_writer *tar_writer_free(struct tar_writer *w)
{
	free(w);
	return NULL;
}

static int flush(struct tar_writer *w, struct err *e)
{
	int r = write_full(w->fd, w->buffer, w->len);

	w->len = 0;
	return r < 0 ? err_sys(e, -r, "cannot write the archive") : 0;
}

static int put(struct tar_writer *w, const void *data, size_t n, struct err *e)
{
	const uint8_t *p = data;

	while (n > 0) {
		size_t part = MIN(n, sizeof(w->buffer) - w->len);

		memcpy(w->buffer + w->len, p, part);
		w->len += part;
		p += part;
		n -= part;
		if (w->len == sizeof(w->buffer) && flush(w, e) < 0)
			return -1;
	}
	return 0;
}

static int put_zeroes(struct tar_writer *w, size_t n, struct err *e)
{
	static const uint8_t zeroes[2 * BLOCK];

	assert(n <= sizeof(zeroes));
	return put(w, zeroes, n, e);
}

static void set_size(struct tar_header *h, uint64_t size)
{
	if (size <= OCTAL_MAX) {
		snprintf(h->size, sizeof(h->size), "%011llo", (unsigned long long)size);
		return;
	}
	/* GNU: a binary number, which the first bit says. */
	memcpy(h->magic, "ustar ", 6);
	memcpy(h->version, " ", 2);
	memset(h->size, 0, sizeof(h->size));
	h->size[0] = (char)0x80;
	for (size_t i = 0; i < sizeof(size); i++)
		h->size[sizeof(h->size) - 1 - i] = (char)(size >> (8 * i));
}

int tar_writer_begin(struct tar_writer *w, const char *name, uint64_t size, struct err *e)
{
	struct tar_header h = {.mode = "0000644",
			       .uid = "0000000",
			       .gid = "0000000",
			       .mtime = "00000000000",
			       .typeflag = '0',
			       .magic = "ustar",
			       .version = {'0', '0'}};
	unsigned sum = 0;

	assert(w->left == 0 && strlen(name) <= sizeof(h.name));
	memcpy(h.name, name, strlen(name));
	set_size(&h, size);
	/* Counted with spaces in its own place. */
	memset(h.chksum, ' ', sizeof(h.chksum));
	for (size_t i = 0; i < sizeof(h); i++)
		sum += ((const uint8_t *)&h)[i];
	snprintf(h.chksum, sizeof(h.chksum), "%06o", sum);
	w->left = size;
	w->padding = (size_t)(-size % BLOCK);
	return put(w, &h, sizeof(h), e);
}

int tar_writer_add(struct tar_writer *w, const void *data, size_t n, struct err *e)
{
	assert(n <= w->left);
	w->left -= n;
	if (put(w, data, n, e) < 0)
		return -1;
	return w->left == 0 ? put_zeroes(w, w->padding, e) : 0;
}

int tar_writer_finish(struct tar_writer *w, struct err *e)
{
	assert(w->left == 0);
	return put_zeroes(w, (size_t)2 * BLOCK, e) < 0 ? -1 : flush(w, e);
}
