/* SPDX-License-Identifier: Apache-2.0 */
#include "image/blob_writer.h"

#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BUFFER_LEN   (512 * KIB)
#define WRITE_BEHIND (8 * MIB)
/* Zeroes that fill a unit of the file are not written; smaller holes would scatter the rest. */
#define HOLE_UNIT ((uint64_t)64 * KIB)

struct blob_writer {
	int fd;
	uint64_t max;
	uint64_t begin, size; /* of the content that was begun last */
	uint64_t end;         /* where the next content may start */
	uint64_t buffer_pos;  /* the buffer's place in the file */
	uint64_t started;     /* up to here the kernel has been told to write */
	size_t used;
	uint8_t buffer[BUFFER_LEN];
};

struct blob_writer *blob_writer_new(int fd, uint64_t max)
{
	struct blob_writer *w = xmalloc(sizeof(*w));

	w->fd = fd;
	w->max = max;
	w->begin = w->size = w->end = w->buffer_pos = w->started = 0;
	w->used = 0;
	return w;
}

struct blob_writer *blob_writer_free(struct blob_writer *w)
{
	free(w);
	return NULL;
}

static bool is_zero(const uint8_t *p, size_t n)
{
	return p[0] == 0 && memcmp(p, p + 1, n - 1) == 0;
}

/*
 * Writes where the buffer belongs, and moves that on. Holes are left out: the file grows from
 * nothing, and nothing is written twice.
 */
static int write_out(struct blob_writer *w, const uint8_t *p, size_t n, struct err *e)
{
	size_t start = 0, pos = 0;
	int r = 0;

	while (r == 0 && pos < n) {
		size_t k = (size_t)(HOLE_UNIT - (w->buffer_pos + pos) % HOLE_UNIT);

		k = MIN(k, n - pos);
		if (is_zero(p + pos, k)) {
			r = pwrite_full(w->fd, p + start, pos - start, w->buffer_pos + start);
			start = pos + k;
		}
		pos += k;
	}
	if (r == 0)
		r = pwrite_full(w->fd, p + start, pos - start, w->buffer_pos + start);
	if (r < 0)
		return err_sys(e, -r, "cannot write to the image cache");
	w->buffer_pos += n;
	/* Otherwise all of it would wait for the end and hold that up. Only a hint. */
	if (w->buffer_pos - w->started >= WRITE_BEHIND) {
		sync_file_range(w->fd, (off_t)w->started, (off_t)(w->buffer_pos - w->started),
				SYNC_FILE_RANGE_WRITE);
		w->started = w->buffer_pos;
	}
	return 0;
}

static int flush(struct blob_writer *w, struct err *e)
{
	if (write_out(w, w->buffer, w->used, e) < 0)
		return -1;
	w->used = 0;
	return 0;
}

int blob_writer_begin(struct blob_writer *w, uint64_t size, uint64_t *ret_offset, struct err *e)
{
	if (size > w->max || w->end > w->max - size) {
		err_set(e, ERR_INVALID, "the contents are larger than the limit of %llu bytes",
			(unsigned long long)w->max);
		return err_hint(e,
				"if you trust the image: msb pull, or load, with --max-size SIZE");
	}
	w->begin = w->end;
	w->size = size;
	w->end += ALIGN_UP(size, (uint64_t)BLOB_BLOCK);
	*ret_offset = w->begin;
	return 0;
}

int blob_writer_write(struct blob_writer *w, uint64_t pos, const void *data, size_t n,
		      struct err *e)
{
	const uint8_t *p = data;
	uint64_t at = w->begin + pos, next = w->buffer_pos + w->used;

	if (pos > w->size || n > w->size - pos)
		return err_set(e, ERR_CORRUPT, "an entry has more data than its size says");
	if (at < next)
		return err_set(e, ERR_CORRUPT, "an entry has its data out of order");
	/* Small gaps, as between small files, are filled so that writes stay large. */
	if (at - next >= BLOB_BLOCK || BUFFER_LEN - w->used < at - next) {
		if (flush(w, e) < 0)
			return -1;
		w->buffer_pos = at;
	} else {
		memset(w->buffer + w->used, 0, (size_t)(at - next));
		w->used += (size_t)(at - next);
	}
	while (n) {
		size_t k = MIN(n, BUFFER_LEN - w->used);

		/* What would fill the empty buffer need not be copied. */
		if (k == BUFFER_LEN) {
			if (write_out(w, p, k, e) < 0)
				return -1;
			p += k;
			n -= k;
			continue;
		}
		memcpy(w->buffer + w->used, p, k);
		w->used += k;
		p += k;
		n -= k;
		if (w->used == BUFFER_LEN && flush(w, e) < 0)
			return -1;
	}
	return 0;
}

int blob_writer_finish(struct blob_writer *w, uint64_t *ret_size, struct err *e)
{
	if (flush(w, e) < 0)
		return -1;
	if (ftruncate(w->fd, (off_t)w->end) < 0)
		return err_sys(e, errno, "cannot write to the image cache");
	*ret_size = w->end;
	return 0;
}
