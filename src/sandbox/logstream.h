/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lines of one log (see logfile.h) from the oldest of its files to the current one, while its
 * writer may be at work.
 *
 * Opening takes a snapshot: descriptors of all files and their sizes, so that rotation moves
 * nothing away from under the reader. When following, the file after the current one is found by
 * the inode: files only ever move up by one, so the successor of the one that is called NAME.2 now
 * is called NAME.1. Memory is one buffer, of the longest line.
 */
#pragma once

#include "sandbox/logfile.h"

/* The current one, and all that can come after it before it is looked for again. */
#define LOGSTREAM_FILES (LOGFILE_KEEP + 2)

struct logstream {
	int dirfd; /* not owned */
	char name[32];
	struct logstream_file {
		int fd;
		uint64_t end; /* read up to here */
	} files[LOGSTREAM_FILES];
	size_t n;
	size_t current;
	uint64_t offset; /* in the current file, of what is read next */

	char *mem;
	size_t max; /* its size */
	size_t start, end;
	size_t scanned; /* from start: no line end there */
	bool skipping;  /* the rest of this line */

	bool split;
	bool follow;
	bool missed; /* rotation overtook the reader: what was between is lost; set to false by who
			saw */
};

/*
 * Takes the snapshot of log NAME in a directory; no file at all is fine. Lines of more than
 * `max` bytes are handed out in pieces (`split`) or left out. 0 or -errno. Reading starts at the
 * oldest line.
 */
int logstream_open(struct logstream *l, int dirfd, const char *name, size_t max, bool split);
void logstream_close(struct logstream *l);

/* How many bytes the snapshot has. */
uint64_t logstream_size(const struct logstream *l);
/* Continues with the first line that begins in the last `n` bytes of the snapshot. */
void logstream_seek(struct logstream *l, uint64_t n);
/* Lifts the bound of the snapshot: reading goes on with what is written later. */
void logstream_follow(struct logstream *l);

/*
 * The next line, without its end, valid until the next call. 1, 0 when there is none for now, or
 * -errno. A last line without an end is not there yet, unless `last` is set: nothing will come.
 */
int logstream_next(struct logstream *l, bool last, char **ret, size_t *ret_len);
