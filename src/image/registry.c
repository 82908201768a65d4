/* SPDX-License-Identifier: Apache-2.0 */
#include "image/registry.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "image/hash.h"
#include "image/manifest.h"
#include "image/site.h"

#include <string.h>

#define ACCEPT_MANIFEST                                                           \
	"Accept: " MEDIA_OCI_INDEX ", " MEDIA_OCI_MANIFEST ", " MEDIA_DOCKER_LIST \
	", " MEDIA_DOCKER_SCHEMA2

struct registry {
	char *repository;
	struct site *sites; /* the registry itself is the last */
	size_t n;
};

/* Judges a document of a site; what is refused is then asked of the next one. */
struct document {
	const struct digest *want; /* or NULL */
	struct digest digest;      /* of what came */
};

struct registry *registry_new(const struct endpoints *es, const char *repository,
			      atomic_bool *cancel)
{
	struct registry *r = xcalloc(1, sizeof(*r));

	r->repository = repository ? xstrdup(repository) : NULL;
	r->sites = xcalloc(es->n, sizeof(*r->sites));
	r->n = es->n;
	for (size_t i = 0; i < r->n; i++)
		site_init(&r->sites[i], &es->items[i], r->repository, i + 1 < r->n, cancel);
	return r;
}

struct registry *registry_free(struct registry *r)
{
	if (!r)
		return NULL;
	for (size_t i = 0; i < r->n; i++)
		site_release(&r->sites[i]);
	free(r->sites);
	free(r->repository);
	free(r);
	return NULL;
}

static const char *server_of(const struct site *s)
{
	return s->endpoint->server;
}

/* --- asking one after the other ------------------------------------------------------------ */

/* A mirror did not give what it was asked for. */
static void mirror_failed(struct site *s, const struct site_request *q, const struct err *why)
{
	/* One that lacks a blob may have others; all else would only happen again. */
	if (!q->blob || why->code != ERR_NOT_FOUND)
		atomic_store(&s->off, true);
	if (why->code == ERR_CORRUPT)
		log_warn("mirror '%s': %s", server_of(s), why->msg);
	else
		log_debug("mirror '%s': %s", server_of(s), why->msg);
}

/* Adds to an error of the registry itself what happened before. */
static void mention_mirror(const char *mirror, const struct err *why, struct err *e)
{
	char hint[sizeof(e->hint)];

	memcpy(hint, e->hint, sizeof(hint));
	err_set(e, e->code, "%s (before that, the mirror '%s': %s)", e->msg, mirror, why->msg);
	memcpy(e->hint, hint, sizeof(hint));
}

static int check_document(const struct site *s, const struct site_request *q, struct document *doc,
			  const struct http_response *rs, struct err *e)
{
	if (q->head)
		return 0;
	hash_bytes(rs->body, rs->body_len, &doc->digest);
	if (doc->want && !digest_eq(doc->want, &doc->digest))
		return err_set(e, ERR_CORRUPT, "%s of '%s' does not match its digest", q->what,
			       server_of(s));
	if (!rs->body_len || rs->body[strspn(rs->body, " \t\r\n")] != '{')
		return err_set(e, ERR_NETWORK, "'%s' did not answer like an image registry",
			       server_of(s));
	return 0;
}

/* As site_request, of the first site that has it. `doc` is NULL for a blob. */
static int request(struct registry *r, struct http *h, const struct site_request *q,
		   struct document *doc, struct http_response *rs, struct err *e)
{
	const char *mirror = NULL;
	struct err why = {0};

	for (size_t i = 0;; i++) {
		struct site *s = &r->sites[i];
		bool last = i + 1 == r->n;
		int ret;

		if (!last && atomic_load(&s->off))
			continue;
		ret = site_request(s, h, q, rs, e);
		if (ret == 0 && doc && check_document(s, q, doc, rs, e) < 0) {
			http_response_release(rs);
			ret = -1;
		}
		if (ret >= 0)
			return ret;
		if (last || e->code == ERR_CANCELLED)
			break;
		mirror_failed(s, q, e);
		if (!mirror) {
			mirror = server_of(s);
			why = *e;
		}
	}
	if (mirror && e->code != ERR_CANCELLED)
		mention_mirror(mirror, &why, e);
	return -1;
}

/* --- what there is to ask for -------------------------------------------------------------- */

int registry_resolve(struct registry *r, struct http *h, const char *what, struct digest *ret,
		     struct err *e)
{
	_cleanup_free_ char *path = xasprintf("manifests/%s", what);
	_cleanup_free_ char *name = xasprintf("manifest '%s'", what);
	struct site_request q = {
		.path = path, .what = name, .accept = ACCEPT_MANIFEST, .head = true};
	struct document doc = {0};
	struct http_response rs;
	int found = request(r, h, &q, &doc, &rs, e);

	if (found != 0)
		return found < 0 ? -1 : 0;
	found = rs.digest && digest_parse(rs.digest, ret) == 0;
	http_response_release(&rs);
	return found;
}

int registry_manifest(struct registry *r, struct http *h, const char *what,
		      const struct digest *want, char **ret, size_t *ret_len,
		      struct digest *ret_digest, struct err *e)
{
	_cleanup_free_ char *path = xasprintf("manifests/%s", what);
	_cleanup_free_ char *name = xasprintf("manifest '%s'", what);
	struct site_request q = {.path = path, .what = name, .accept = ACCEPT_MANIFEST};
	struct document doc = {.want = want};
	struct http_response rs;

	if (request(r, h, &q, &doc, &rs, e) < 0)
		return -1;
	*ret_len = rs.body_len;
	*ret = steal_ptr(&rs.body);
	*ret_digest = doc.digest;
	http_response_release(&rs);
	return 0;
}

/* The callback of a transfer, between it and the caller's: notes where the bytes come from. */
struct blob_watch {
	bool (*body)(void *ctx, const void *data, size_t n);
	void *ctx;
	const struct blob_transfer *transfer;
	const struct site *registry;
	bool mirrored;
};

static bool watch_body(void *ctx, const void *data, size_t n)
{
	struct blob_watch *w = ctx;

	w->mirrored = w->mirrored || w->transfer->site != w->registry;
	return w->body(w->ctx, data, n);
}

int registry_blob(struct registry *r, struct http *h, const struct digest *d, uint64_t size,
		  bool (*body)(void *ctx, const void *data, size_t n), void *ctx,
		  bool *ret_mirrored, struct err *e)
{
	char text[DIGEST_TEXT_LEN];
	_cleanup_free_ char *path = NULL, *name = NULL;
	struct http_response rs;
	struct blob_watch w = {.body = body, .ctx = ctx, .registry = &r->sites[r->n - 1]};
	struct blob_transfer t = {.size = size, .body = watch_body, .ctx = &w};
	struct site_request q = {.blob = &t};
	int ret;

	w.transfer = &t;
	digest_format(d, text);
	path = xasprintf("blobs/%s", text);
	name = xasprintf("blob '%s'", text);
	q.path = path;
	q.what = name;
	ret = request(r, h, &q, NULL, &rs, e);
	free(t.etag);
	if (ret == 0)
		http_response_release(&rs);
	*ret_mirrored = w.mirrored;
	return ret;
}

void registry_drop_mirrors(struct registry *r)
{
	for (size_t i = 0; i + 1 < r->n; i++)
		atomic_store(&r->sites[i].off, true);
}

int registry_check_login(struct registry *r, struct http *h, struct err *e)
{
	struct site_request q = {.path = "", .what = "the version of its protocol"};
	struct http_response rs;

	if (site_request(&r->sites[r->n - 1], h, &q, &rs, e) < 0)
		return -1;
	http_response_release(&rs);
	return 0;
}
