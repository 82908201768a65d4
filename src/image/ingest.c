/* SPDX-License-Identifier: Apache-2.0 */
#include "image/ingest.h"

#include "image/blob_writer.h"
#include "image/hash.h"
#include "image/kept_blob.h"
#include "image/layer_index.h"
#include "image/layer_tar.h"
#include "image/ring.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

#define RING_LEN  (1 * MIB)
#define SIZE_HINT "if you trust the image: msb pull, or load, with --max-size SIZE"

struct ingest {
	struct store *store;
	uint64_t max_size;
	struct store_temp data, index;

	/* The caller's thread. */
	struct hash *blob_hash;
	uint64_t blob_size;
	struct kept_writer *kept;
	struct err kept_err;
	bool threads_run;
	bool hung_up; /* the decompressor takes no more */
	pthread_t inflate_thread, tar_thread;

	struct ring *compressed, *plain;

	/* Each thread has its own results, for the caller after joining. */
	struct inflate *inflate;
	struct err inflate_err;
	struct err tar_err;
	struct hash *tar_hash;
	uint64_t tar_size;
	size_t tar_given; /* bytes of the ring that libarchive still looks at */
	struct ingest_result result;

	atomic_bool hopeless; /* failed for a reason that no further byte can explain */
};

/* Something that went wrong here and not in the archive. */
static bool is_own_failure(const struct err *e)
{
	return e->code != ERR_NONE && e->code != ERR_CORRUPT;
}

/* --- decompression thread ------------------------------------------------------------------ */

static ssize_t compressed_peek(void *source, const uint8_t **ret)
{
	struct ingest *in = source;

	return (ssize_t)ring_peek(in->compressed, ret);
}

static void compressed_consume(void *source, size_t n)
{
	struct ingest *in = source;

	ring_consume(in->compressed, n);
}

static void *inflate_main(void *arg)
{
	struct ingest *in = arg;

	for (;;) {
		uint8_t *to;
		size_t room = ring_reserve(in->plain, &to);
		ssize_t n;

		if (room == 0)
			break;
		/* Hand over in steps: the other thread is to start early. */
		n = inflate_read(in->inflate, to, MIN(room, RING_LEN / 4), &in->inflate_err);
		if (n <= 0)
			break;
		ring_commit(in->plain, (size_t)n);
	}
	if (is_own_failure(&in->inflate_err))
		in->hopeless = true;
	ring_close_read(in->compressed);
	ring_close_write(in->plain);
	return NULL;
}

/* --- tar thread ---------------------------------------------------------------------------- */

static size_t plain_read(void *source, const uint8_t **ret)
{
	struct ingest *in = source;
	size_t n;

	ring_consume(in->plain, in->tar_given);
	in->tar_given = 0;
	n = ring_peek(in->plain, ret);
	n = MIN(n, RING_LEN / 4);
	hash_update(in->tar_hash, *ret, n);
	in->tar_size += n;
	if (in->tar_size > in->max_size && in->tar_err.code == ERR_NONE) {
		err_set(&in->tar_err, ERR_INVALID, "it unpacks to more than %llu bytes",
			(unsigned long long)in->max_size);
		err_hint(&in->tar_err, SIZE_HINT);
		return 0;
	}
	in->tar_given = n;
	return n;
}

/* After damage: decompression may be about to find out its cause, and is to come to the place. */
static void pass_over_rest(struct ingest *in)
{
	const uint8_t *p;
	size_t n = in->tar_given;

	in->tar_given = 0;
	do {
		ring_consume(in->plain, n);
		n = ring_peek(in->plain, &p);
		in->tar_size += n;
	} while (n > 0 && in->tar_size <= in->max_size);
}

static int read_archive(struct ingest *in, struct blob_writer *data, struct layer_writer *index,
			struct err *e)
{
	const uint8_t *p;

	if (layer_tar_read(plain_read, in, data, index, e) < 0) {
		if (e->code == ERR_CORRUPT)
			pass_over_rest(in);
		return -1;
	}
	if (blob_writer_finish(data, &in->result.data_size, e) < 0)
		return -1;
	/* Padding after the end mark belongs to the digest. */
	while (plain_read(in, &p) > 0)
		;
	if (in->tar_err.code != ERR_NONE)
		return -1;
	hash_finish(in->tar_hash, &in->result.diff_id);
	return layer_writer_finish(index, &in->result.diff_id, in->result.data_size, e);
}

static void *tar_main(void *arg)
{
	struct ingest *in = arg;
	struct blob_writer *data = blob_writer_new(in->data.fd, in->max_size);
	struct layer_writer *index = layer_writer_new(in->index.fd);
	struct err e = {0};

	/* The limit's message is set by plain_read; libarchive then complains about the end. */
	if (read_archive(in, data, index, &e) < 0 && in->tar_err.code == ERR_NONE)
		in->tar_err = e;
	if (is_own_failure(&in->tar_err))
		in->hopeless = true;
	ring_close_read(in->plain);
	blob_writer_free(data);
	layer_writer_free(index);
	return NULL;
}

/* --- the caller's side --------------------------------------------------------------------- */

static int start_threads(struct ingest *in, struct err *e)
{
	sigset_t all, old;
	int r;

	/* Signals are for the main thread. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&in->inflate_thread, NULL, inflate_main, in);
	if (r == 0) {
		r = pthread_create(&in->tar_thread, NULL, tar_main, in);
		if (r != 0) {
			ring_close_write(in->compressed);
			ring_close_read(in->plain);
			pthread_join(in->inflate_thread, NULL);
		}
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r != 0)
		return err_sys(e, r, "cannot start a thread");
	in->threads_run = true;
	return 0;
}

struct ingest *ingest_start(struct store *s, uint64_t max_size, struct err *e)
{
	struct ingest *in = xcalloc(1, sizeof(*in));

	in->store = s;
	in->max_size = max_size;
	in->data = in->index = (struct store_temp)STORE_TEMP_INIT;
	in->blob_hash = hash_new();
	in->tar_hash = hash_new();
	in->compressed = ring_new(RING_LEN);
	in->plain = ring_new(RING_LEN);
	in->inflate = inflate_new(compressed_peek, compressed_consume, in);
	in->kept = kept_writer_new(s, e);
	if (!in->kept || store_temp_open(s, STORE_LAYER_DATA, &in->data, e) < 0 ||
	    store_temp_open(s, STORE_LAYER_INDEX, &in->index, e) < 0 || start_threads(in, e) < 0)
		return ingest_free(in);
	return in;
}

static void join_threads(struct ingest *in)
{
	if (!in->threads_run)
		return;
	ring_close_write(in->compressed);
	pthread_join(in->inflate_thread, NULL);
	pthread_join(in->tar_thread, NULL);
	in->threads_run = false;
}

struct ingest *ingest_free(struct ingest *in)
{
	if (!in)
		return NULL;
	/* What is still queued is of no use: hang up at the far end. */
	if (in->threads_run)
		ring_close_read(in->plain);
	join_threads(in);
	store_temp_drop(in->store, &in->data);
	store_temp_drop(in->store, &in->index);
	kept_writer_free(in->kept);
	hash_free(in->blob_hash);
	hash_free(in->tar_hash);
	inflate_free(in->inflate);
	ring_free(in->compressed);
	ring_free(in->plain);
	free(in);
	return NULL;
}

/* What never unpacks to anything would fill the disk all the same. */
static int keep_bytes(struct ingest *in, const void *data, size_t n, struct err *e)
{
	if (in->blob_size <= in->max_size)
		return kept_writer_add(in->kept, data, n, e);
	err_set(e, ERR_INVALID, "it is larger than %llu bytes", (unsigned long long)in->max_size);
	return err_hint(e, SIZE_HINT);
}

bool ingest_write(struct ingest *in, const void *data, size_t n)
{
	hash_update(in->blob_hash, data, n);
	in->blob_size += n;
	if (!in->hung_up && !ring_write(in->compressed, data, n))
		in->hung_up = true;
	if (!in->hopeless && keep_bytes(in, data, n, &in->kept_err) < 0)
		in->hopeless = true;
	return !in->hopeless;
}

int ingest_finish(struct ingest *in, const char *name, const struct digest *want,
		  struct ingest_result *ret, struct err *e)
{
	const struct err *cause;

	if (!in->hopeless && kept_writer_finish(in->kept, &in->kept_err) < 0)
		in->hopeless = true;
	join_threads(in);
	hash_finish(in->blob_hash, &in->result.blob_digest);
	in->result.blob_size = in->blob_size;
	in->result.format = inflate_format(in->inflate);
	if (!in->hopeless && want && !digest_eq(want, &in->result.blob_digest))
		return err_set(e, ERR_CORRUPT, "layer %s does not match its digest", name);
	/* When decompression fails, the archive ends too early as well: that is no news. */
	cause = in->inflate_err.code != ERR_NONE && !is_own_failure(&in->tar_err) ? &in->inflate_err
										  : &in->tar_err;
	if (in->kept_err.code != ERR_NONE)
		cause = &in->kept_err;
	if (cause->code != ERR_NONE) {
		if (e)
			*e = *cause;
		if (cause->code == ERR_CORRUPT)
			return err_wrap(e, "layer %s is corrupt", name);
		return err_wrap(e, "layer %s", name);
	}
	*ret = in->result;
	return 0;
}

int ingest_publish_blob(struct ingest *in, struct err *e)
{
	return kept_writer_publish(in->kept, &in->result.blob_digest, e);
}

int ingest_publish(struct ingest *in, struct err *e)
{
	const struct digest *d = &in->result.diff_id;

	if (ingest_publish_blob(in, e) < 0)
		return -1;
	/* The index comes last: a layer is there when its index is. */
	if (in->result.data_size > 0 && store_temp_publish(in->store, &in->data, STORE_LAYER_DATA,
							   d, STORE_SYNC_CONTENT, e) < 0)
		return -1;
	return store_temp_publish(in->store, &in->index, STORE_LAYER_INDEX, d, STORE_SYNC_ALL, e);
}
