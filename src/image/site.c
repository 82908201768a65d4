/* SPDX-License-Identifier: Apache-2.0 */
#include "image/site.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "image/http_header.h"
#include "image/token.h"

#include <string.h>
#include <sys/random.h>
#include <time.h>

#include <jansson.h>

#define TRIES        5
#define MIRROR_TRIES 2
#define BACKOFF_MS   UINT64_C(250)
#define WAIT_MAX_MS  UINT64_C(30000)
#define LOGINS_MAX   2
/* A try that brought this much of a blob was worth it: patience starts anew. */
#define PROGRESS_MIN (1 * MIB)

/* What one try goes by; other threads may change the site meanwhile. */
struct attempt {
	char *token;
	bool plain, basic;
};

void site_init(struct site *s, const struct endpoint *ep, const char *repository, bool is_mirror,
	       atomic_bool *cancel)
{
	*s = (struct site){
		.endpoint = ep,
		.repository = repository,
		.cancel = cancel,
		.is_mirror = is_mirror,
		.plain = ep->plain_first,
	};
	pthread_mutex_init(&s->mutex, NULL);
}

void site_release(struct site *s)
{
	pthread_mutex_destroy(&s->mutex);
	secret_free(s->token);
}

static struct attempt attempt_begin(struct site *s)
{
	struct attempt a;

	pthread_mutex_lock(&s->mutex);
	a.plain = s->plain;
	a.basic = s->basic;
	a.token = s->token ? xstrdup(s->token) : NULL;
	pthread_mutex_unlock(&s->mutex);
	return a;
}

/* --- messages ------------------------------------------------------------------------------ */

static int denied(const struct site *s, struct err *e)
{
	const struct endpoint *ep = s->endpoint;

	if (!s->repository) {
		err_set(e, ERR_AUTH, "'%s' refuses the login of '%s'", ep->server,
			ep->username ? ep->username : "");
		return err_hint(e, "check the user name and the password or token");
	}
	err_set(e, ERR_AUTH, "'%s' denies access to '%s'", ep->server, s->repository);
	if (ep->username)
		return err_hint(e, "the image may not exist, or '%s' may not see it", ep->username);
	if (ep->identity_token)
		return err_hint(e, "the image may not exist, or the login may not see it");
	return err_hint(e,
			"the image may not exist, or may need a login: "
			"msb registry login %s -u USER",
			ep->server);
}

/* The message that a registry puts into the body of a failure, owned; "" when there is none. */
static char *server_message(const struct http_response *rs)
{
	json_t *root = rs->body ? json_loadb(rs->body, rs->body_len, 0, NULL) : NULL;
	json_t *first = json_array_get(json_object_get(root, "errors"), 0);
	const char *s = json_string_value(json_object_get(first, "message"));
	char *out = s ? xasprintf(": %.200s", s) : xstrdup("");

	json_decref(root);
	return http_clean_text(out);
}

/* "100;w=21600" as "100 in 6 h"; owned. */
static char *format_quota(const char *value)
{
	const char *window = strstr(value, ";w=");
	_cleanup_free_ char *count = http_clean_text(xstrndup(value, strcspn(value, ";, ")));
	uint64_t seconds;

	if (!window || parse_u64(window + strlen(";w="), UINT32_MAX, &seconds) < 0)
		return xasprintf("%.40s", count);
	if (seconds % 3600 == 0)
		return xasprintf("%.40s in %u h", count, (unsigned)(seconds / 3600));
	return xasprintf("%.40s in %u s", count, (unsigned)seconds);
}

/* " (limit: 100 in 6 h, left: 0, counted for 192.0.2.1)" of what the headers tell; owned. */
static char *format_limit(const struct http_response *rs)
{
	_cleanup_free_ char *limit = rs->rate_limit ? format_quota(rs->rate_limit) : NULL;
	_cleanup_free_ char *left = rs->rate_remaining ? format_quota(rs->rate_remaining) : NULL;
	_cleanup_free_ char *source =
		http_clean_text(xasprintf("%.60s", rs->rate_source ? rs->rate_source : ""));

	if (!limit)
		return xstrdup("");
	return xasprintf(" (limit: %s%s%s%s%s)", limit, left ? ", left: " : "", left ? left : "",
			 *source ? ", counted for " : "", source);
}

/* Status 429, with what Docker Hub and others tell about their limits. */
static int too_many_requests(const struct site *s, const struct http_response *rs, const char *said,
			     struct err *e)
{
	_cleanup_free_ char *limit = format_limit(rs), *wait = NULL;
	const struct endpoint *ep = s->endpoint;

	if (rs->retry_after)
		wait = xasprintf("; it asks to wait %llu s", (unsigned long long)rs->retry_after);
	err_set(e, ERR_NETWORK, "'%s' refuses more requests for now%s%s%s", ep->server, limit,
		wait ? wait : "", said);
	if (ep->username || ep->identity_token)
		return err_hint(e, "wait a while, or use a mirror");
	return err_hint(e,
			"wait a while; a login may raise the limit: msb registry login %s -u "
			"USER",
			ep->server);
}

static int status_failed(const struct site *s, const char *what, struct http_response *rs,
			 struct err *e)
{
	_cleanup_free_ char *said = server_message(rs);
	const char *server = s->endpoint->server;

	if (rs->status == 401 || rs->status == 403)
		return denied(s, e);
	if (rs->status == 404 && s->repository) {
		err_set(e, ERR_NOT_FOUND, "'%s' has no %s in '%s'%s", server, what, s->repository,
			said);
		return err_hint(e, "check the name and the tag");
	}
	rs->transient = rs->status >= 500 || rs->status == 408 || rs->status == 429;
	if (rs->status == 429)
		return too_many_requests(s, rs, said, e);
	return err_set(e, ERR_NETWORK, "'%s' answered with status %ld for %s%s", server, rs->status,
		       what, said);
}

/* --- logging in ---------------------------------------------------------------------------- */

/* Gets a token for a Bearer challenge. The mutex is held: one token serves all threads. */
static int log_in(struct site *s, struct http *h, const struct challenge *c, bool plain,
		  struct http_response *rs, struct err *e)
{
	const struct token_request q = {
		.endpoint = s->endpoint,
		.challenge = c,
		.repository = s->repository,
		.plain = plain,
		.cancel = s->cancel,
	};
	char *token = NULL;

	if (token_fetch(h, &q, &token, rs, e) < 0)
		return e->code == ERR_AUTH ? denied(s, e) : -1;
	secret_free(s->token);
	s->token = token;
	return 0;
}

/*
 * Answers a 401, which `rs` is; of a failure it then tells whether it may pass. 0 when it is
 * worth a new try.
 */
static int authenticate(struct site *s, struct http *h, const struct attempt *a,
			struct http_response *rs, struct err *e)
{
	struct challenge c;
	int r = 0;

	challenge_parse(rs->challenge ? rs->challenge : "", &c);
	http_response_release(rs);
	pthread_mutex_lock(&s->mutex);
	if (s->token && !str_eq(a->token, s->token))
		; /* another thread was quicker */
	else if (c.kind == CHALLENGE_BEARER)
		r = log_in(s, h, &c, a->plain, rs, e);
	else if (c.kind == CHALLENGE_BASIC && s->endpoint->username && !a->basic)
		s->basic = true;
	else
		r = denied(s, e);
	pthread_mutex_unlock(&s->mutex);
	challenge_release(&c);
	return r;
}

/* --- the scheme ---------------------------------------------------------------------------- */

/*
 * A registry that may be talked to in plain HTTP may speak TLS nevertheless. True when the other
 * scheme is worth a try at once.
 */
static bool change_scheme(struct site *s, const struct attempt *a, const struct http_response *rs)
{
	/* Servers say so in their own words, but all name what they expect. */
	bool wrong = rs->not_tls || rs->upgraded ||
		     (rs->status == 400 && rs->body &&
		      (strcasestr(rs->body, "https") || strstr(rs->body, "SSL")));
	bool change;

	pthread_mutex_lock(&s->mutex);
	change = wrong && a->plain && s->plain && !s->settled && !s->endpoint->plain_only;
	if (change)
		s->plain = false;
	pthread_mutex_unlock(&s->mutex);
	return change;
}

/*
 * When TLS does not work out either, the first failure may have been another one: back to plain
 * HTTP, as one more try.
 */
static bool change_back(struct site *s, const struct attempt *a, const struct http_response *rs,
			const struct err *e)
{
	bool change;

	pthread_mutex_lock(&s->mutex);
	change = rs->not_tls && e->code != ERR_UNREACHABLE && !a->plain &&
		 s->endpoint->plain_first && !s->settled;
	if (change)
		s->plain = true;
	pthread_mutex_unlock(&s->mutex);
	return change;
}

static void settle(struct site *s, const struct attempt *a)
{
	pthread_mutex_lock(&s->mutex);
	s->settled = s->settled || s->plain == a->plain;
	pthread_mutex_unlock(&s->mutex);
}

/* --- blobs --------------------------------------------------------------------------------- */

/* At the first byte of an answer: where in the blob it is, and whether it can be right. */
static bool blob_start(struct blob_transfer *t)
{
	const struct http_response *rs = t->response;

	t->started = true;
	t->position = 0;
	if (rs->status == 206) {
		/* From a later place on there would be a hole. */
		t->wrong_range = !rs->has_range || rs->range_start > t->received;
		t->position = rs->range_start;
		return !t->wrong_range;
	}
	/* A server that knows no ranges starts from the beginning. */
	t->wrong_size = rs->has_length && rs->length != t->size;
	/* A weak one would not do for ranges. */
	if (!t->etag && rs->etag && *rs->etag == '"') {
		t->etag = xstrdup(rs->etag);
		t->etag_site = t->site;
	}
	return !t->wrong_size;
}

static bool blob_body(void *ctx, const void *data, size_t n)
{
	struct blob_transfer *t = ctx;
	const uint8_t *p = data;

	if (!t->started && !blob_start(t))
		return false;
	if (t->position < t->received) {
		size_t skip = (size_t)MIN((uint64_t)n, t->received - t->position);

		t->position += skip;
		p += skip;
		n -= skip;
	}
	if (n == 0)
		return true;
	if (n > t->size - t->received) {
		t->wrong_size = true;
		return false;
	}
	t->position += n;
	t->received += n;
	return t->body(t->ctx, p, n);
}

static void blob_try(struct blob_transfer *t, const struct site *s, const struct http_response *rs,
		     struct http_request *rq)
{
	if (t->site != s)
		t->no_ranges = false;
	t->site = s;
	t->response = rs;
	t->started = t->wrong_size = t->wrong_range = false;
	rq->body = blob_body;
	rq->ctx = t;
	rq->offset = t->no_ranges ? 0 : t->received;
	rq->if_range = t->etag_site == s ? t->etag : NULL;
}

static int wrong_size(const struct site *s, const struct site_request *q, struct err *e)
{
	return err_set(e, ERR_CORRUPT, "%s of '%s' does not have the size that the manifest says",
		       q->what, s->endpoint->server);
}

/*
 * Judges how a try of a blob ended. 1 when it is complete, 0 when the usual judgement applies,
 * -1 with the error when it failed for good.
 */
static int blob_judge(struct site *s, const struct site_request *q, int performed,
		      struct http_response *rs, struct err *e)
{
	struct blob_transfer *t = q->blob;
	bool answered = performed == 0 && (rs->status == 200 || rs->status == 206);

	if (t->wrong_size)
		return wrong_size(s, q, e);
	if (t->wrong_range || (performed == 0 && rs->status == 416)) {
		t->no_ranges = true;
		rs->transient = true;
		err_set(e, ERR_NETWORK, "'%s' answers with another part of %s than was asked for",
			s->endpoint->server, q->what);
		return 0;
	}
	if (rs->stopped)
		return -1; /* by the callback */
	/* It is, also when the connection broke after the last byte. */
	if (t->received == t->size && (answered || t->started))
		return 1;
	return answered ? wrong_size(s, q, e) : 0;
}

/* --- requests ------------------------------------------------------------------------------ */

/* How long to wait before the next try; UINT64_MAX when that would be too long. */
static uint64_t wait_time(unsigned failures, const struct http_response *rs)
{
	uint64_t backoff = MIN(BACKOFF_MS << MIN(failures, 16U), WAIT_MAX_MS);
	uint32_t dice = 0;

	if (rs->retry_after > WAIT_MAX_MS / 1000)
		return UINT64_MAX;
	/* Many clients that fail at once shall not come back at once. */
	if (getrandom(&dice, sizeof(dice), GRND_NONBLOCK) < 0)
		dice = 0;
	backoff = backoff / 2 + dice % (backoff / 2 + 1);
	return MAX(backoff, rs->retry_after * 1000);
}

/* Sleeps in small steps, so that a cancellation is noticed. */
static void wait_ms(const struct site *s, uint64_t ms)
{
	uint64_t end = clock_mono_ns() + ms * NSEC_PER_MSEC;

	while (clock_mono_ns() < end && !(s->cancel && atomic_load(s->cancel))) {
		struct timespec ts = {.tv_nsec = 20 * NSEC_PER_MSEC};

		nanosleep(&ts, NULL);
	}
}

/* Whether a failure, the last of so many, is worth one more try of the same site. */
static bool is_patient(const struct site *s, unsigned failures, const struct http_response *rs,
		       const struct err *e)
{
	/* Nobody waits for a mirror that is not there or that asks to wait. */
	if (s->is_mirror && (e->code == ERR_UNREACHABLE || rs->retry_after))
		return false;
	return failures < (s->is_mirror ? MIRROR_TRIES : TRIES);
}

static char *make_url(const struct site *s, bool plain, const char *path)
{
	const struct endpoint *ep = s->endpoint;
	const char *scheme = plain ? "http" : "https";

	if (!s->repository)
		return xasprintf("%s://%s/v2/", scheme, ep->address);
	return xasprintf("%s://%s/v2/%s%s/%s", scheme, ep->address, ep->prefix, s->repository,
			 path);
}

/* One try, as far as the first answer. */
static int try_once(struct site *s, struct http *h, const struct site_request *q,
		    const struct attempt *a, struct http_response *rs, struct err *e)
{
	_cleanup_free_ char *url = make_url(s, a->plain, q->path);
	struct http_request rq = {
		.url = url,
		.head = q->head,
		.accept = q->accept,
		.bearer = a->token,
		.username = a->basic ? s->endpoint->username : NULL,
		.password = a->basic ? s->endpoint->password : NULL,
		.ca_pem = s->endpoint->ca_pem,
		.upgrades = a->plain && !s->endpoint->plain_only,
		.cancel = s->cancel,
	};
	int r;

	if (q->blob)
		blob_try(q->blob, s, rs, &rq);
	r = http_perform(h, &rq, rs, e);
	if (q->blob) {
		int judged = blob_judge(s, q, r, rs, e);

		if (judged != 0)
			return judged;
		/* The usual judgement must not take a part of it for success. */
		return q->blob->wrong_range || rs->status == 416 ? -1 : r;
	}
	return r == 0 && rs->status == 200 ? 1 : r;
}

int site_request(struct site *s, struct http *h, const struct site_request *q,
		 struct http_response *rs, struct err *e)
{
	unsigned logins = 0, failures = 0;
	uint64_t mark = q->blob ? q->blob->received : 0;

	for (;;) {
		struct attempt a = attempt_begin(s);
		_cleanup_secret_ char *token = a.token;
		uint64_t wait;
		int r = try_once(s, h, q, &a, rs, e);

		if (r > 0 || rs->status == 401)
			settle(s, &a);
		if (r > 0)
			return 0;
		if (r == 0 && q->head && (rs->status == 400 || rs->status == 405)) {
			/* Only the body of a GET tells what a 400 means. */
			http_response_release(rs);
			return 1;
		}
		if (change_scheme(s, &a, rs)) {
			http_response_release(rs);
			continue;
		}
		if (q->blob && q->blob->received - mark >= PROGRESS_MIN) {
			mark = q->blob->received;
			logins = failures = 0;
		}
		if (r == 0 && rs->status == 401 && logins++ < LOGINS_MAX) {
			r = authenticate(s, h, &a, rs, e);
			if (r == 0) {
				http_response_release(rs);
				continue;
			}
		} else if (r == 0) {
			status_failed(s, q->what, rs, e);
		}
		wait = wait_time(failures, rs);
		if (!(rs->transient || change_back(s, &a, rs, e)) ||
		    !is_patient(s, ++failures, rs, e) || wait == UINT64_MAX) {
			http_response_release(rs);
			return -1;
		}
		http_response_release(rs);
		log_debug("trying again in %llu ms: %s", (unsigned long long)wait, e->msg);
		wait_ms(s, wait);
	}
}
