/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The content store below $MSB_HOME/cache.
 *
 * Nothing in it is ever changed in place: content is written to a temporary file in the folder
 * where it belongs, made durable and renamed. A process holds a lock on each of its temporary
 * files, so a file whose lock can be taken belongs to nobody and store_clean removes it. While a
 * store is open cache/lock is held shared; whoever removes published content holds it exclusively.
 *
 * All functions may be called from several threads with the same store.
 */
#pragma once

#include "base/err.h"
#include "image/store_path.h"

#include <sys/types.h>

struct store {
	int root; /* $MSB_HOME/cache */
	int lock;
};

/* An unfinished file. A zeroed one with fd = -1 is inert. */
struct store_temp {
	int fd;
	char path[STORE_PATH_LEN]; /* relative to the cache */
};

/* What publishing waits for. */
enum store_sync {
	/* Nothing: after a power cut it may be damaged. For content whose readers check its digest.
	 */
	STORE_SYNC_NONE,
	/* The content: it is whole where it is found. Its name follows with the next STORE_SYNC_ALL
	   in the same folder. */
	STORE_SYNC_CONTENT,
	STORE_SYNC_ALL,
};

#define STORE_TEMP_INIT  \
	{                \
		.fd = -1 \
	}

/* Opens $MSB_HOME/cache, making what is missing, and clears away what dead processes left. */
int store_open(struct store *s, const char *home, struct err *e);
void store_close(struct store *s);

/* Makes an unfinished file for content of the kind; it is open for reading and writing. */
int store_temp_open(struct store *s, enum store_kind kind, struct store_temp *t, struct err *e);
/* Gives the content its final name, replacing what is there. Closes the file. */
int store_temp_publish(struct store *s, struct store_temp *t, enum store_kind kind,
		       const struct digest *d, enum store_sync sync, struct err *e);
/* Removes an unfinished file; a no-op on an inert or published one. */
void store_temp_drop(struct store *s, struct store_temp *t);

/*
 * Makes sure that only one process works on what the path names; waits for the other. Returns a
 * descriptor for store_unlock, or -1. Threads of one process exclude each other as well.
 */
int store_lock(struct store *s, enum store_kind kind, const struct digest *d, struct err *e);
void store_unlock(struct store *s, enum store_kind kind, const struct digest *d, int fd);

/* The size of published content, or -1 when it is not there. */
int64_t store_size(struct store *s, enum store_kind kind, const struct digest *d);
/* Opens published content for reading: a descriptor, or -1 with ERR_NOT_FOUND or another error. */
int store_open_file(struct store *s, enum store_kind kind, const struct digest *d, struct err *e);

/* Keeps a manifest or config; the bytes must have the digest. */
int store_put_blob(struct store *s, const struct digest *d, const void *data, size_t n,
		   struct err *e);
/* Reads one back, checked against its digest, as an owned string with a NUL. */
int store_get_blob(struct store *s, const struct digest *d, char **ret, size_t *ret_len,
		   struct err *e);
