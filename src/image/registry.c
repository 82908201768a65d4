/* SPDX-License-Identifier: Apache-2.0 */
#include "image/registry.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "image/hash.h"
#include "image/manifest.h"

#include <pthread.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include <jansson.h>

#define TRIES       5
#define BACKOFF_MS  250
#define WAIT_MAX_MS 30000

#define ACCEPT_MANIFEST                                                           \
	"Accept: " MEDIA_OCI_INDEX ", " MEDIA_OCI_MANIFEST ", " MEDIA_DOCKER_LIST \
	", " MEDIA_DOCKER_SCHEMA2

struct registry {
	char *host;   /* as in the reference */
	char *server; /* where its API is */
	char *repo;
	char *userpwd;
	bool loopback;
	bool plain_allowed;
	atomic_bool *cancel;

	pthread_mutex_t mutex; /* for what follows */
	bool plain;
	bool basic; /* the registry wants the credentials themselves */
	char *token;
};

/* --- challenges ---------------------------------------------------------------------------- */

/* A parameter such as realm="…" of a challenge, owned, or NULL. */
static char *challenge_param(const char *challenge, const char *name)
{
	size_t len = strlen(name);
	const char *p = challenge + strcspn(challenge, " ");

	while (*p) {
		size_t n;
		bool found;

		p += strspn(p, " ,\t");
		n = strcspn(p, "=");
		if (p[n] != '=')
			return NULL;
		found = n == len && strncasecmp(p, name, len) == 0;
		p += n + 1;
		if (*p == '"') {
			n = strcspn(++p, "\"");
			if (p[n] != '"')
				return NULL;
			if (found)
				return xstrndup(p, n);
			p += n + 1;
		} else {
			n = strcspn(p, ", \t");
			if (found)
				return xstrndup(p, n);
			p += n;
		}
	}
	return NULL;
}

/* "prefix" + the text with everything but unreserved characters escaped, owned. */
static char *append_escaped(const char *prefix, const char *s)
{
	char *out = xmalloc(strlen(prefix) + 3 * strlen(s) + 1), *p = stpcpy(out, prefix);

	for (; *s; s++) {
		static const char hex[] = "0123456789ABCDEF";
		unsigned char c = (unsigned char)*s;

		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		    strchr("-._~:/", c)) {
			*p++ = (char)c;
		} else {
			*p++ = '%';
			*p++ = hex[c >> 4];
			*p++ = hex[c & 15];
		}
	}
	*p = '\0';
	return out;
}

static char *token_url(const struct registry *r, const char *challenge, struct err *e)
{
	_cleanup_free_ char *realm = challenge_param(challenge, "realm");
	_cleanup_free_ char *service = challenge_param(challenge, "service");
	_cleanup_free_ char *scope = challenge_param(challenge, "scope");
	_cleanup_free_ char *service_arg = NULL, *scope_arg = NULL;

	if (!realm || !(str_starts_with(realm, "https://") ||
			(r->plain_allowed && str_starts_with(realm, "http://")))) {
		err_set(e, ERR_AUTH, "'%s' asks for a login in a way that is not supported",
			r->host);
		return NULL;
	}
	if (!scope)
		scope = xasprintf("repository:%s:pull", r->repo);
	service_arg = service ? append_escaped("service=", service) : xstrdup("");
	scope_arg = append_escaped("scope=", scope);
	return xasprintf("%s%c%s%s%s", realm, strchr(realm, '?') ? '&' : '?', service_arg,
			 service ? "&" : "", scope_arg);
}

static char *parse_token(const struct http_response *rs)
{
	json_t *root = json_loadb(rs->body, rs->body_len, 0, NULL);
	const char *token = json_string_value(json_object_get(root, "token"));
	char *copy;

	if (!token)
		token = json_string_value(json_object_get(root, "access_token"));
	/* It becomes part of a header: nothing that could end the line. */
	copy = token && *token && !strpbrk(token, "\r\n") ? xstrdup(token) : NULL;
	json_decref(root);
	return copy;
}

static int denied(const struct registry *r, struct err *e)
{
	err_set(e, ERR_AUTH, "'%s' denies access to '%s'", r->host, r->repo);
	return err_hint(e, r->userpwd ? "the image may not exist, or the login may not see it"
				      : "the image may not exist, or may need a login");
}

/* Gets a token for a Bearer challenge. The mutex is held: one token serves all threads. */
static int fetch_token(struct registry *r, struct http *h, const char *challenge, struct err *e)
{
	_cleanup_free_ char *url = token_url(r, challenge, e);
	struct http_request rq = {
		.url = url,
		.userpwd = r->userpwd,
		.plain_allowed = r->plain_allowed,
		.direct = r->loopback,
		.cancel = r->cancel,
	};
	struct http_response rs;
	int ret;

	if (!url)
		return -1;
	ret = http_perform(h, &rq, &rs, e);
	if (ret == 0 && (rs.status == 401 || rs.status == 403)) {
		ret = denied(r, e);
	} else if (ret == 0) {
		free(r->token);
		r->token = rs.status == 200 ? parse_token(&rs) : NULL;
		if (!r->token)
			ret = err_set(e, ERR_AUTH, "'%s' gives no access token (status %ld)",
				      r->host, rs.status);
	}
	http_response_release(&rs);
	return ret;
}

/* Answers a 401. `used` is the token that was refused, or NULL. 0 when it is worth a new try. */
static int authenticate(struct registry *r, struct http *h, const char *challenge, const char *used,
			bool used_basic, struct err *e)
{
	int ret = 0;

	pthread_mutex_lock(&r->mutex);
	if (r->token && !str_eq(used, r->token))
		; /* another thread was quicker */
	else if (challenge && strncasecmp(challenge, "Bearer ", 7) == 0)
		ret = fetch_token(r, h, challenge, e);
	else if (challenge && strncasecmp(challenge, "Basic", 5) == 0 && r->userpwd && !used_basic)
		r->basic = true;
	else
		ret = denied(r, e);
	pthread_mutex_unlock(&r->mutex);
	return ret;
}

/* --- requests ------------------------------------------------------------------------------ */

struct registry *registry_new(const struct reference *ref, const struct registry_options *o)
{
	struct registry *r = xcalloc(1, sizeof(*r));

	r->host = xstrdup(ref->host);
	r->server = xstrdup(str_eq(ref->host, REFERENCE_DEFAULT_HOST) ? "registry-1.docker.io"
								      : ref->host);
	r->repo = xstrdup(ref->path);
	r->userpwd = o->userpwd ? xstrdup(o->userpwd) : NULL;
	r->loopback = reference_host_is_loopback(ref->host);
	r->plain_allowed = r->loopback || o->insecure;
	r->plain = r->plain_allowed;
	r->cancel = o->cancel;
	pthread_mutex_init(&r->mutex, NULL);
	return r;
}

struct registry *registry_free(struct registry *r)
{
	if (!r)
		return NULL;
	if (r->userpwd)
		explicit_bzero(r->userpwd, strlen(r->userpwd));
	pthread_mutex_destroy(&r->mutex);
	free(r->host);
	free(r->server);
	free(r->repo);
	free(r->userpwd);
	free(r->token);
	free(r);
	return NULL;
}

/* The message that a registry puts into the body of a failure, owned; "" when there is none. */
static char *server_message(const struct http_response *rs)
{
	json_t *root = rs->body ? json_loadb(rs->body, rs->body_len, 0, NULL) : NULL;
	json_t *first = json_array_get(json_object_get(root, "errors"), 0);
	const char *s = json_string_value(json_object_get(first, "message"));
	char *out = s ? xasprintf(": %.200s", s) : xstrdup("");

	json_decref(root);
	for (char *p = out; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = ' ';
	return out;
}

static int status_failed(const struct registry *r, const char *what, struct http_response *rs,
			 struct err *e)
{
	_cleanup_free_ char *said = server_message(rs);

	if (rs->status == 401 || rs->status == 403)
		return denied(r, e);
	if (rs->status == 404) {
		err_set(e, ERR_NOT_FOUND, "'%s' has no %s in '%s'%s", r->host, what, r->repo, said);
		return err_hint(e, "check the name and the tag");
	}
	if (rs->status == 429) {
		rs->transient = true;
		err_set(e, ERR_NETWORK, "'%s' refuses more requests for now%s", r->host, said);
		return err_hint(e, "wait a while; a login may raise the limit");
	}
	rs->transient = rs->status >= 500 || rs->status == 408;
	return err_set(e, ERR_NETWORK, "'%s' answered with status %ld for %s%s", r->host,
		       rs->status, what, said);
}

/* Sleeps in small steps, so that a cancellation is noticed. */
static void wait_ms(const struct registry *r, uint64_t ms)
{
	uint64_t end = clock_mono_ns() + ms * NSEC_PER_MSEC;

	while (clock_mono_ns() < end && !(r->cancel && atomic_load(r->cancel))) {
		struct timespec ts = {.tv_nsec = 20 * NSEC_PER_MSEC};

		nanosleep(&ts, NULL);
	}
}

struct attempt {
	char *token;
	bool plain, basic;
};

static struct attempt attempt_begin(struct registry *r)
{
	struct attempt a;

	pthread_mutex_lock(&r->mutex);
	a.plain = r->plain;
	a.basic = r->basic;
	a.token = r->token ? xstrdup(r->token) : NULL;
	pthread_mutex_unlock(&r->mutex);
	return a;
}

/* A registry on this machine may speak TLS nevertheless. */
static bool switch_to_tls(struct registry *r, const struct attempt *a,
			  const struct http_response *rs)
{
	/* Servers say so in their own words, but all name what they expect. */
	bool wrong = rs->not_tls || (rs->status == 400 && rs->body &&
				     (strcasestr(rs->body, "https") || strstr(rs->body, "SSL")));

	if (!a->plain || !wrong)
		return false;
	pthread_mutex_lock(&r->mutex);
	r->plain = false;
	pthread_mutex_unlock(&r->mutex);
	return true;
}

/*
 * Performs a request on a path of the repository until it gives 200 or 206, or fails for good.
 * `rq` comes with what is special about it; `restart` is called before each try. Returns 1 for a
 * HEAD answered by 400: only the body of a GET tells what that means.
 */
static int request(struct registry *r, struct http *h, const char *path, const char *what,
		   struct http_request *rq, void (*restart)(struct http_request *rq),
		   struct http_response *rs, struct err *e)
{
	int logins = 0, tries = 0;

	for (;;) {
		struct attempt a = attempt_begin(r);
		_cleanup_free_ char *token = a.token;
		_cleanup_free_ char *url = xasprintf("%s://%s/v2/%s/%s", a.plain ? "http" : "https",
						     r->server, r->repo, path);
		uint64_t wait;
		int ret;

		rq->url = url;
		rq->bearer = token;
		rq->userpwd = a.basic ? r->userpwd : NULL;
		rq->plain_allowed = r->plain_allowed;
		rq->direct = r->loopback;
		rq->cancel = r->cancel;
		if (restart)
			restart(rq);
		ret = http_perform(h, rq, rs, e);
		rq->url = NULL;
		if (ret == 0 && (rs->status == 200 || rs->status == 206))
			return 0;
		if (ret == 0 && rq->head && rs->status == 400) {
			http_response_release(rs);
			return 1;
		}
		if (switch_to_tls(r, &a, rs)) {
			http_response_release(rs);
			continue;
		}
		if (ret == 0 && rs->status == 401 && logins++ < 2) {
			ret = authenticate(r, h, rs->challenge, token, a.basic, e);
			http_response_release(rs);
			if (ret < 0)
				return -1;
			continue;
		}
		if (ret == 0)
			status_failed(r, what, rs, e);
		wait = MIN(MAX(rs->retry_after * 1000, (uint64_t)BACKOFF_MS << tries), WAIT_MAX_MS);
		if (!rs->transient || ++tries >= TRIES) {
			http_response_release(rs);
			return -1;
		}
		http_response_release(rs);
		log_debug("trying again in %llu ms: %s", (unsigned long long)wait, e ? e->msg : "");
		wait_ms(r, wait);
	}
}

int registry_resolve(struct registry *r, struct http *h, const char *what, struct digest *ret,
		     struct err *e)
{
	_cleanup_free_ char *path = xasprintf("manifests/%s", what);
	_cleanup_free_ char *name = xasprintf("manifest '%s'", what);
	struct http_request rq = {.head = true, .accept = ACCEPT_MANIFEST};
	struct http_response rs;
	int found = request(r, h, path, name, &rq, NULL, &rs, e);

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
	struct http_request rq = {.accept = ACCEPT_MANIFEST};
	struct http_response rs;
	struct digest d;

	if (request(r, h, path, name, &rq, NULL, &rs, e) < 0)
		return -1;
	hash_bytes(rs.body, rs.body_len, &d);
	if (want && !digest_eq(want, &d)) {
		http_response_release(&rs);
		return err_set(e, ERR_CORRUPT, "manifest %s does not match its digest", what);
	}
	if (!rs.body_len || rs.body[strspn(rs.body, " \t\r\n")] != '{') {
		http_response_release(&rs);
		return err_set(e, ERR_NETWORK, "'%s' did not answer like an image registry",
			       r->host);
	}
	*ret = steal_ptr(&rs.body);
	*ret_len = rs.body_len;
	*ret_digest = d;
	http_response_release(&rs);
	return 0;
}

/* --- blobs --------------------------------------------------------------------------------- */

struct blob_transfer {
	bool (*body)(void *ctx, const void *data, size_t n);
	void *ctx;
	uint64_t received; /* given to the callback */
	uint64_t position; /* of the running try's next byte in the blob */
	bool started;      /* the running try has given bytes */
	const struct http_response *response;
};

static bool blob_body(void *ctx, const void *data, size_t n)
{
	struct blob_transfer *t = ctx;
	const uint8_t *p = data;

	if (!t->started) {
		/* A server that knows no ranges starts from the beginning. */
		t->position = t->response->partial ? t->received : 0;
		t->started = true;
	}
	if (t->position < t->received) {
		size_t skip = (size_t)MIN((uint64_t)n, t->received - t->position);

		t->position += skip;
		p += skip;
		n -= skip;
	}
	if (n == 0)
		return true;
	t->position += n;
	t->received += n;
	return t->body(t->ctx, p, n);
}

static void blob_restart(struct http_request *rq)
{
	struct blob_transfer *t = rq->ctx;

	t->started = false;
	rq->offset = t->received;
}

int registry_blob(struct registry *r, struct http *h, const struct digest *d,
		  bool (*body)(void *ctx, const void *data, size_t n), void *ctx, struct err *e)
{
	char text[DIGEST_TEXT_LEN];
	_cleanup_free_ char *path = NULL, *name = NULL;
	struct http_response rs;
	struct blob_transfer t = {.body = body, .ctx = ctx, .response = &rs};
	struct http_request rq = {.body = blob_body, .ctx = &t};

	digest_format(d, text);
	path = xasprintf("blobs/%s", text);
	name = xasprintf("blob '%s'", text);
	if (request(r, h, path, name, &rq, blob_restart, &rs, e) < 0)
		return -1;
	http_response_release(&rs);
	return 0;
}
