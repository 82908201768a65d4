/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * First the reference is resolved to the digest of one manifest, if possible without asking for
 * more than a HEAD, and everything that the store has is taken from there. Then several layers
 * come in side by side, the largest first, so that no long one is left alone at the end. Each comes
 * in by a thread that holds the lock of its layer: another process that wants the same layer waits
 * and then finds it there. A thread holds one such lock at a time and waits for nothing while it
 * holds it but the network, so there is no deadlock. The first failure makes all threads stop.
 */
#include "image/pull.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "image/hash.h"
#include "image/image.h"
#include "image/ingest.h"
#include "image/kept_blob.h"
#include "image/reference.h"
#include "image/registry.h"

#include <pthread.h>
#include <string.h>
#include <unistd.h>

/* As many layers at once as there are processors, within these bounds. */
#define PULL_THREADS_MIN 3
#define PULL_THREADS_MAX 6

struct pull {
	struct store *store;
	const struct pull_options *o;
	struct progress *progress;
	struct registry *registry;
	const struct image *image;
	atomic_bool cancel;

	size_t *order; /* the layers' numbers, largest first */

	pthread_mutex_t mutex; /* for what follows */
	size_t next_layer;
	struct err err;    /* the first one */
	uint64_t since_ns; /* when the running stage began */
};

/* Tells how long a stage took, and begins the next. */
static void stage_done(struct pull *p, const char *what)
{
	uint64_t now = clock_mono_ns();

	log_debug("%s: %.1f ms", what, (double)(now - p->since_ns) / NSEC_PER_MSEC);
	p->since_ns = now;
}

/* --- resolving ----------------------------------------------------------------------------- */

/* Gets a manifest or index from the store, or else from the registry and keeps it. */
static int get_manifest(struct pull *p, struct http *h, const struct digest *d, char **ret,
			size_t *ret_len, struct err *e)
{
	char text[DIGEST_TEXT_LEN];
	struct digest found;

	if (store_get_blob(p->store, d, ret, ret_len, NULL) == 0)
		return 0;
	digest_format(d, text);
	if (registry_manifest(p->registry, h, text, d, ret, ret_len, &found, e) < 0)
		return -1;
	return store_put_blob(p->store, d, *ret, *ret_len, e);
}

/* What the reference leads to at first: an index or the manifest itself. */
static int resolve_reference(struct pull *p, struct http *h, const struct reference *ref,
			     struct digest *ret, struct err *e)
{
	_cleanup_free_ char *text = NULL;
	size_t len;
	int r;

	if (ref->has_digest) {
		*ret = ref->digest;
		return 0;
	}
	r = registry_resolve(p->registry, h, ref->tag, ret, e);
	if (r != 0)
		return r < 0 ? -1 : 0;
	if (registry_manifest(p->registry, h, ref->tag, NULL, &text, &len, ret, e) < 0)
		return -1;
	return store_put_blob(p->store, ret, text, len, e);
}

/* Follows an index to the manifest for the platform. The manifest's text is left in *ret. */
static int resolve_platform(struct pull *p, struct http *h, struct digest *d, char **ret,
			    size_t *ret_len, struct err *e)
{
	for (int depth = 0; depth < 3; depth++) {
		_cleanup_free_ char *text = NULL;
		const struct descriptor *chosen = NULL;
		struct manifest m;
		size_t len;

		if (get_manifest(p, h, d, &text, &len, e) < 0 ||
		    manifest_parse(text, len, &m, e) < 0)
			return -1;
		if (!m.is_index) {
			manifest_release(&m);
			*ret = steal_ptr(&text);
			*ret_len = len;
			return 0;
		}
		chosen = manifest_select(&m, &p->o->platform, e);
		if (chosen)
			*d = chosen->digest;
		manifest_release(&m);
		if (!chosen)
			return -1;
	}
	return err_set(e, ERR_CORRUPT, "bad image manifest: an index of indexes");
}

/* --- the config blob ----------------------------------------------------------------------- */

/*
 * Whether content that does not have its digest is worth another try: a mirror gave it, and no
 * mirror is asked any more.
 */
static bool mirror_was_wrong(struct pull *p, bool mirrored, const struct err *e)
{
	if (!mirrored || e->code != ERR_CORRUPT)
		return false;
	log_warn("a mirror gave wrong content: %s", e->msg);
	registry_drop_mirrors(p->registry);
	return true;
}

static bool append_body(void *ctx, const void *data, size_t n)
{
	return buf_append(ctx, data, n) == 0;
}

static int get_config(struct pull *p, struct http *h, const char *manifest, size_t manifest_len,
		      char **ret, size_t *ret_len, struct err *e)
{
	struct manifest m;
	struct digest found, want;
	struct buf body;
	uint64_t size;
	bool mirrored;
	int r;

	if (manifest_parse(manifest, manifest_len, &m, e) < 0)
		return -1;
	want = m.config.digest;
	size = m.config.size;
	manifest_release(&m);
	if (store_get_blob(p->store, &want, ret, ret_len, NULL) == 0)
		return 0;
	buf_init(&body, (size_t)size);
	do {
		buf_consume(&body, buf_len(&body));
		r = registry_blob(p->registry, h, &want, size, append_body, &body, &mirrored, e);
		hash_bytes(buf_data(&body), buf_len(&body), &found);
		if (r == 0 && !digest_eq(&found, &want))
			r = err_set(e, ERR_CORRUPT, "the image's config does not match its digest");
	} while (r < 0 && mirror_was_wrong(p, mirrored, e));
	if (r == 0)
		r = store_put_blob(p->store, &want, buf_data(&body), buf_len(&body), e);
	if (r == 0) {
		*ret = xstrndup((const char *)buf_data(&body), buf_len(&body));
		*ret_len = buf_len(&body);
	}
	buf_release(&body);
	return r;
}

/* --- layers -------------------------------------------------------------------------------- */

struct layer_transfer {
	struct pull *pull;
	struct ingest *ingest;
	struct progress_layer progress;
	uint64_t received;
	bool mirrored; /* a mirror had part in it */
};

static bool layer_body(void *ctx, const void *data, size_t n)
{
	struct layer_transfer *t = ctx;

	t->received += n;
	progress_layer(t->pull->progress, &t->progress, PROGRESS_DOWNLOADING, t->received);
	return ingest_write(t->ingest, data, n);
}

/* Takes what came: checks it and publishes the layer. */
static int finish_layer(struct ingest *in, const struct descriptor *d, const struct digest *diff_id,
			struct err *e)
{
	struct ingest_result result;
	char name[DIGEST_TEXT_LEN];

	digest_format(&d->digest, name);
	if (ingest_finish(in, name, &d->digest, &result, e) < 0)
		return -1;
	if (!digest_eq(&result.diff_id, diff_id))
		return err_set(e, ERR_CORRUPT,
			       "layer %s unpacks to something else than the image's config says",
			       name);
	return ingest_publish(in, e);
}

static int transfer_layer(struct pull *p, struct http *h, struct layer_transfer *t,
			  const struct descriptor *d, const struct digest *diff_id, struct err *e)
{
	char name[DIGEST_TEXT_LEN];
	int r;

	t->ingest = ingest_start(p->store, p->o->max_size, e);
	if (!t->ingest)
		return -1;
	t->received = 0;
	r = registry_blob(p->registry, h, &d->digest, d->size, layer_body, t, &t->mirrored, e);
	if (r == 0)
		progress_layer(p->progress, &t->progress, PROGRESS_UNPACKING, t->received);
	digest_format(&d->digest, name);
	if (r == 0 || (e->code == ERR_CANCELLED && !atomic_load(&p->cancel)))
		/* When the ingest ended the transfer, it knows why. */
		r = finish_layer(t->ingest, d, diff_id, e);
	else if (e->code != ERR_CANCELLED)
		err_wrap(e, "layer %s", name);
	t->ingest = ingest_free(t->ingest);
	return r;
}

/*
 * Whether there is nothing to fetch. The same contents may be there from a layer that was
 * compressed in another way; then the bytes that this one's digest is of are still missing.
 */
static bool layer_is_there(const struct pull *p, const struct descriptor *d,
			   const struct digest *diff_id)
{
	return !p->o->force && image_layer_present(p->store, diff_id) &&
	       kept_present(p->store, &d->digest);
}

static int pull_layer(struct pull *p, struct http *h, size_t i, struct err *e)
{
	const struct descriptor *d = &p->image->manifest.items[i];
	const struct digest *diff_id = &p->image->config.diff_ids[i];
	struct layer_transfer t = {.pull = p, .progress = {.digest = d->digest, .total = d->size}};
	int lock, r = 0;
	bool there = layer_is_there(p, d, diff_id);

	if (!there) {
		lock = store_lock(p->store, STORE_LAYER_INDEX, diff_id, e);
		if (lock < 0)
			return -1;
		/* Another process may have brought it while we waited. */
		there = layer_is_there(p, d, diff_id);
		if (!there) {
			do
				r = transfer_layer(p, h, &t, d, diff_id, e);
			while (r < 0 && mirror_was_wrong(p, t.mirrored, e));
		}
		store_unlock(p->store, STORE_LAYER_INDEX, diff_id, lock);
	}
	if (r == 0)
		progress_layer(p->progress, &t.progress, there ? PROGRESS_EXISTS : PROGRESS_DONE,
			       d->size);
	return r;
}

/* Whether an earlier layer of the image has the same content. */
static bool is_repeated(const struct image *im, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (digest_eq(&im->config.diff_ids[k], &im->config.diff_ids[i]))
			return true;
	return false;
}

static void *pull_main(void *arg)
{
	struct pull *p = arg;
	struct err e = {0};
	struct http *h = http_new(&e);
	int r = h ? 0 : -1;

	while (r == 0 && !atomic_load(&p->cancel)) {
		size_t i;

		pthread_mutex_lock(&p->mutex);
		i = p->next_layer++;
		pthread_mutex_unlock(&p->mutex);
		if (i >= p->image->manifest.n_items)
			break;
		i = p->order[i];
		if (!is_repeated(p->image, i))
			r = pull_layer(p, h, i, &e);
	}
	http_free(h);
	if (r < 0) {
		pthread_mutex_lock(&p->mutex);
		if (!atomic_exchange(&p->cancel, true))
			p->err = e;
		pthread_mutex_unlock(&p->mutex);
	}
	return NULL;
}

static int compare_sizes(const void *a, const void *b, void *ctx)
{
	const struct descriptor *items = ctx;
	size_t x = *(const size_t *)a, y = *(const size_t *)b;

	if (items[x].size != items[y].size)
		return items[x].size > items[y].size ? -1 : 1;
	return x < y ? -1 : 1;
}

static int pull_layers(struct pull *p, struct err *e)
{
	const struct manifest *m = &p->image->manifest;
	_cleanup_free_ size_t *order = xcalloc(m->n_items + 1, sizeof(*order));
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	pthread_t threads[PULL_THREADS_MAX];
	size_t n = 0, want = (size_t)MIN(MAX(cpus, PULL_THREADS_MIN), PULL_THREADS_MAX);
	int r = 0;

	want = MIN(want, m->n_items);
	for (size_t i = 0; i < m->n_items; i++)
		order[i] = i;
	qsort_r(order, m->n_items, sizeof(*order), compare_sizes, m->items);
	p->order = order;
	while (n < want && (r = pthread_create(&threads[n], NULL, pull_main, p)) == 0)
		n++;
	for (size_t i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
	p->order = NULL;
	if (n == 0 && want > 0)
		return err_sys(e, r, "cannot start a thread");
	if (p->err.code == ERR_NONE)
		return 0;
	*e = p->err;
	return -1;
}

/* --- the whole ----------------------------------------------------------------------------- */

/* Says what there is to do before the first of it is done. */
static void announce_layers(struct pull *p, const struct image *im)
{
	for (size_t i = 0; i < im->manifest.n_items; i++) {
		struct progress_layer l = {.digest = im->manifest.items[i].digest,
					   .total = im->manifest.items[i].size};

		if (!is_repeated(im, i))
			progress_layer(p->progress, &l, PROGRESS_WAITING, 0);
	}
}

static json_t *pull_resolved(struct pull *p, struct image *im, struct err *e)
{
	bool cached = !p->o->force && image_scan(im, NULL) == 0 && image_has_metadata(im);

	if (!cached) {
		p->image = im;
		progress_stage(p->progress, PROGRESS_DOWNLOAD);
		announce_layers(p, im);
		if (pull_layers(p, e) < 0)
			return NULL;
		stage_done(p, "layers");
		progress_stage(p->progress, PROGRESS_METADATA);
		if (image_scan(im, e) < 0 || image_build(im, p->o->force, e) < 0)
			return NULL;
		stage_done(p, "metadata");
	}
	return image_record(im, p->o->reference, cached);
}

static json_t *pull_reference(struct pull *p, const struct reference *ref, struct err *e)
{
	_cleanup_free_ char *manifest = NULL, *config = NULL;
	size_t manifest_len = 0, config_len = 0;
	struct http *h = http_new(e);
	struct digest resolved = {0}, d;
	struct image im;
	json_t *record = NULL;
	int r = h ? 0 : -1;

	if (r == 0)
		r = resolve_reference(p, h, ref, &resolved, e);
	d = resolved;
	if (r == 0)
		r = resolve_platform(p, h, &d, &manifest, &manifest_len, e);
	if (r == 0)
		r = get_config(p, h, manifest, manifest_len, &config, &config_len, e);
	http_free(h);
	stage_done(p, "manifest and config");
	if (r < 0 ||
	    image_init(&im, p->store, &d, manifest, manifest_len, config, config_len, e) < 0)
		return NULL;
	progress_resolved(p->progress, &d, im.manifest.n_items, manifest_layers_size(&im.manifest));
	if (image_check_platform(&im, &p->o->platform, e) == 0)
		record = pull_resolved(p, &im, e);
	if (record)
		image_record_resolved(record, &resolved);
	p->image = NULL;
	image_release(&im);
	return record;
}

json_t *pull_image(struct store *s, const struct pull_options *o, struct progress *progress,
		   struct err *e)
{
	struct pull p = {.store = s, .o = o, .progress = progress, .since_ns = clock_mono_ns()};
	struct endpoints plain = {0};
	struct reference ref;
	json_t *record;

	if (reference_parse(o->reference, &ref, e) < 0)
		return NULL;
	progress_stage(progress, PROGRESS_RESOLVE);
	pthread_mutex_init(&p.mutex, NULL);
	if (!o->endpoints)
		endpoints_default(ref.host, &plain);
	p.registry = registry_new(o->endpoints ? o->endpoints : &plain, ref.path, &p.cancel);
	record = pull_reference(&p, &ref, e);
	registry_free(p.registry);
	endpoints_release(&plain);
	pthread_mutex_destroy(&p.mutex);
	reference_release(&ref);
	return record;
}
