/* SPDX-License-Identifier: Apache-2.0 */
#include "image/http.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "image/http_header.h"
#include "image/reference.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <curl/curl.h>

#define CONNECT_TIMEOUT_S 20L
/* A transfer that moves less than this for so long has stalled, however it drips. */
#define STALL_BYTES_PER_S 512L
/* Documents are small; only blobs may take their time. */
#define DOCUMENT_TIMEOUT_S 120L
#define REDIRECTS_MAX      5
#define HEAD_MAX           (256 * KIB)
#define CA_DIR             "/etc/ssl/certs"

struct http {
	CURL *curl;
	const struct http_request *rq;
	struct http_response *response;
	struct buf body;
	size_t head_len;
	char error[CURL_ERROR_SIZE];
};

/* Where a URL leads to; credentials are for one such place. */
struct origin {
	char *scheme, *host, *port;
};

static long stall_timeout_s;

int http_global_init(unsigned int stall_timeout, struct err *e)
{
	stall_timeout_s = stall_timeout;
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return err_set(e, ERR_SYSTEM, "cannot set up the HTTP library");
	return 0;
}

struct http *http_new(struct err *e)
{
	struct http *h = xcalloc(1, sizeof(*h));

	h->curl = curl_easy_init();
	if (h->curl)
		return h;
	err_set(e, ERR_SYSTEM, "cannot set up the HTTP library");
	return http_free(h);
}

struct http *http_free(struct http *h)
{
	if (!h)
		return NULL;
	curl_easy_cleanup(h->curl);
	free(h);
	return NULL;
}

void http_response_release(struct http_response *r)
{
	free(r->content_type);
	free(r->digest);
	free(r->challenge);
	free(r->etag);
	free(r->rate_limit);
	free(r->rate_remaining);
	free(r->rate_source);
	secret_free(r->body); /* it may be a token */
	*r = (struct http_response){0};
}

/* --- origins ------------------------------------------------------------------------------- */

static void origin_release(struct origin *o)
{
	curl_free(o->scheme);
	curl_free(o->host);
	curl_free(o->port);
	*o = (struct origin){0};
}

/* False for what is no URL of a host, or has a user in it. */
static bool origin_parse(const char *url, struct origin *ret)
{
	CURLU *u = curl_url();
	bool good = u && curl_url_set(u, CURLUPART_URL, url, CURLU_DISALLOW_USER) == CURLUE_OK &&
		    curl_url_get(u, CURLUPART_SCHEME, &ret->scheme, 0) == CURLUE_OK &&
		    curl_url_get(u, CURLUPART_HOST, &ret->host, 0) == CURLUE_OK &&
		    curl_url_get(u, CURLUPART_PORT, &ret->port, CURLU_DEFAULT_PORT) == CURLUE_OK;

	curl_url_cleanup(u);
	if (!good)
		origin_release(ret);
	return good;
}

static bool is_https(const struct origin *o)
{
	return strcasecmp(o->scheme, "https") == 0;
}

static bool is_http(const struct origin *o)
{
	return strcasecmp(o->scheme, "http") == 0;
}

static bool origin_eq(const struct origin *a, const struct origin *b)
{
	return strcasecmp(a->scheme, b->scheme) == 0 && strcasecmp(a->host, b->host) == 0 &&
	       strcmp(a->port, b->port) == 0;
}

/* Whether it is the same server, by the usual ports, that wants TLS. */
static bool is_upgrade(const struct origin *from, const struct origin *to)
{
	return is_http(from) && strcmp(from->port, "80") == 0 && is_https(to) &&
	       strcmp(to->port, "443") == 0 && strcasecmp(from->host, to->host) == 0;
}

/* --- one request --------------------------------------------------------------------------- */

static size_t on_header(char *data, size_t size, size_t n, void *ctx)
{
	struct http *h = ctx;

	n *= size;
	h->head_len += n;
	if (h->head_len > HEAD_MAX)
		return 0;
	/* A status line starts over: what came before was an interim answer. */
	if (n > 5 && memcmp(data, "HTTP/", 5) == 0)
		http_response_release(h->response);
	http_header_line(h->response, data, n);
	return n;
}

static size_t on_body(char *data, size_t size, size_t n, void *ctx)
{
	struct http *h = ctx;

	n *= size;
	curl_easy_getinfo(h->curl, CURLINFO_RESPONSE_CODE, &h->response->status);
	if (h->rq->body && (h->response->status == 200 || h->response->status == 206)) {
		if (h->rq->body(h->rq->ctx, data, n))
			return n;
		h->response->stopped = true;
		return 0;
	}
	return buf_append(&h->body, data, n) < 0 ? 0 : n;
}

static int on_progress(void *ctx, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
	const struct http *h = ctx;

	return h->rq->cancel && atomic_load(h->rq->cancel);
}

static void set_tls(CURL *c, const struct http_request *rq)
{
	const char *file = secure_getenv("SSL_CERT_FILE"), *dir = secure_getenv("SSL_CERT_DIR");
	struct curl_blob pem = {.data = (void *)(uintptr_t)rq->ca_pem, .flags = CURL_BLOB_NOCOPY};

	/* The directory is read as needed; the usual bundle costs 20 ms to load. */
	curl_easy_setopt(c, CURLOPT_CAINFO, file && *file ? file : NULL);
	curl_easy_setopt(c, CURLOPT_CAPATH, dir && *dir ? dir : CA_DIR);
	curl_easy_setopt(c, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	/* Takes the place of the file, which is in it, but not of the directory. */
	if (rq->ca_pem) {
		pem.len = strlen(rq->ca_pem);
		curl_easy_setopt(c, CURLOPT_CAINFO_BLOB, &pem);
	}
}

/* The proxy for plain HTTP that libcurl would not take from the environment, or NULL. */
static const char *upper_case_proxy(void)
{
	const char *lower = secure_getenv("http_proxy"), *upper = secure_getenv("HTTP_PROXY");

	/* In a CGI program a client can set that variable, by a header "Proxy". */
	if ((lower && *lower) || secure_getenv("REQUEST_METHOD"))
		return NULL;
	return upper && *upper ? upper : NULL;
}

static void set_proxy(CURL *c, const struct origin *to)
{
	if (reference_host_is_loopback(to->host))
		curl_easy_setopt(c, CURLOPT_NOPROXY, "*");
	else if (!is_https(to) && upper_case_proxy())
		curl_easy_setopt(c, CURLOPT_PROXY, upper_case_proxy());
	/* The answer to CONNECT says nothing about the registry. */
	curl_easy_setopt(c, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
}

/* Whether a proxy could have had part in a failure, for messages. */
static bool may_be_proxied(const struct origin *to)
{
	static const char *const names[] = {"https_proxy", "HTTPS_PROXY", "http_proxy",
					    "HTTP_PROXY",  "all_proxy",   "ALL_PROXY"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const char *value = secure_getenv(names[i]);

		if (value && *value)
			return !reference_host_is_loopback(to->host);
	}
	return false;
}

static void set_credentials(CURL *c, const struct http_request *rq)
{
	if (rq->bearer) {
		curl_easy_setopt(c, CURLOPT_HTTPAUTH, (long)CURLAUTH_BEARER);
		curl_easy_setopt(c, CURLOPT_XOAUTH2_BEARER, rq->bearer);
	} else if (rq->username) {
		curl_easy_setopt(c, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
		curl_easy_setopt(c, CURLOPT_USERNAME, rq->username);
		curl_easy_setopt(c, CURLOPT_PASSWORD, rq->password);
	}
}

static struct curl_slist *make_headers(const struct http_request *rq)
{
	struct curl_slist *list = NULL;

	if (rq->accept)
		list = curl_slist_append(list, rq->accept);
	if (rq->offset && rq->if_range) {
		_cleanup_free_ char *line = xasprintf("If-Range: %s", rq->if_range);

		list = curl_slist_append(list, line);
	}
	return list;
}

static void set_options(struct http *h, const struct http_request *rq, const char *url,
			const struct origin *to, struct curl_slist *headers)
{
	CURL *c = h->curl;

	/* Connections survive a reset. */
	curl_easy_reset(c);
	set_tls(c, rq);
	set_proxy(c, to);
	curl_easy_setopt(c, CURLOPT_URL, url);
	curl_easy_setopt(c, CURLOPT_NOBODY, (long)rq->head);
	curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(c, CURLOPT_USERAGENT, "msb/" MSB_VERSION);
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c, CURLOPT_ERRORBUFFER, h->error);
	/*
	 * HTTP/2 where the server has it. Every thread has a handle and with it connections of
	 * its own, so layers that come in side by side do not share one.
	 */
	curl_easy_setopt(c, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
	curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, CONNECT_TIMEOUT_S);
	curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, STALL_BYTES_PER_S);
	curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, stall_timeout_s);
	curl_easy_setopt(c, CURLOPT_TIMEOUT, rq->body ? 0L : DOCUMENT_TIMEOUT_S);
	curl_easy_setopt(c, CURLOPT_BUFFERSIZE, 256L * 1024);
	curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, is_https(to) ? "https" : "http");
	curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(c, CURLOPT_HEADERDATA, h);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, h);
	curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_progress);
	curl_easy_setopt(c, CURLOPT_XFERINFODATA, h);
	curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
	if (rq->form)
		curl_easy_setopt(c, CURLOPT_POSTFIELDS, rq->form);
	if (rq->offset) {
		char range[32];

		/* Not RESUME_FROM: a server that ignores it is handled by the caller. */
		snprintf(range, sizeof(range), "%llu-", (unsigned long long)rq->offset);
		curl_easy_setopt(c, CURLOPT_RANGE, range);
	}
}

/* --- failures ------------------------------------------------------------------------------ */

static int connect_failed(struct http *h, const struct origin *to, const char *host, struct err *e)
{
	long errnum = 0;

	curl_easy_getinfo(h->curl, CURLINFO_OS_ERRNO, &errnum);
	h->response->not_tls = true; /* at another port there may be somebody */
	if (may_be_proxied(to)) {
		err_set(e, ERR_UNREACHABLE, "cannot connect to '%s': %s", host, h->error);
		return err_hint(e, "the environment names a proxy; NO_PROXY lists exceptions");
	}
	if (errnum)
		err_set(e, ERR_UNREACHABLE, "cannot connect to '%s': %s", host,
			strerror((int)errnum));
	else
		err_set(e, ERR_UNREACHABLE, "cannot connect to '%s'", host);
	return err_hint(e, "check that the registry is running and reachable");
}

/* A proxy that does not let us through answers to CONNECT. 0 when that is not the reason. */
static int proxy_failed(struct http *h, const char *host, struct err *e)
{
	long status = 0;

	curl_easy_getinfo(h->curl, CURLINFO_HTTP_CONNECTCODE, &status);
	if (status < 300)
		return 0;
	h->response->transient = status >= 500;
	err_set(e, ERR_NETWORK, "the proxy does not connect to '%s': it answered with status %ld",
		host, status);
	return err_hint(e, status == 407
				   ? "the proxy wants a login in its URL: "
				     "http://USER:PASSWORD@PROXY"
				   : "the environment names a proxy; NO_PROXY lists exceptions");
}

static int transfer_failed(struct http *h, CURLcode code, const struct origin *to, struct err *e)
{
	struct http_response *r = h->response;
	const char *detail;
	_cleanup_free_ char *host = NULL;
	curl_off_t connected = 0;
	bool usual = strcmp(to->port, is_https(to) ? "443" : "80") == 0;

	host = http_clean_text(
		xasprintf("%s%s%s", to->host, usual ? "" : ":", usual ? "" : to->port));
	detail = h->error[0] ? http_clean_text(h->error) : curl_easy_strerror(code);
	if (proxy_failed(h, host, e) < 0)
		return -1;
	switch ((int)code) {
	case CURLE_COULDNT_RESOLVE_HOST:
		r->transient = true;
		return err_set(e, ERR_UNREACHABLE, "cannot find the address of '%s'", host);
	case CURLE_COULDNT_RESOLVE_PROXY:
		return err_set(e, ERR_UNREACHABLE, "cannot find the address of the proxy: %s",
			       detail);
	case CURLE_COULDNT_CONNECT:
		return connect_failed(h, to, host, e);
	case CURLE_OPERATION_TIMEDOUT:
		r->transient = true;
		curl_easy_getinfo(h->curl, CURLINFO_CONNECT_TIME_T, &connected);
		if (connected == 0)
			return err_set(e, ERR_UNREACHABLE, "cannot connect to '%s': %s", host,
				       strerror(ETIMEDOUT));
		return err_set(e, ERR_TIMEOUT, "'%s' does not answer: %s", host, detail);
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CACERT_BADFILE:
		err_set(e, ERR_NETWORK, "the certificate of '%s' is not trusted: %s", host, detail);
		return err_hint(e, "--ca-certs FILE, or 'ca_certs' in config.json, adds an "
				   "authority to those that are trusted");
	case CURLE_SSL_CONNECT_ERROR:
		r->not_tls = true;
		err_set(e, ERR_NETWORK, "cannot make a TLS connection to '%s': %s", host, detail);
		return err_hint(e, "use --insecure for a registry without TLS");
	case CURLE_ABORTED_BY_CALLBACK:
		return err_set(e, ERR_CANCELLED, "cancelled");
	case CURLE_WRITE_ERROR:
		if (r->stopped)
			return err_set(e, ERR_CANCELLED, "cancelled");
		return err_set(e, ERR_NETWORK, "the answer of '%s' is too large", host);
	case CURLE_GOT_NOTHING:
	case CURLE_WEIRD_SERVER_REPLY:
	case CURLE_RECV_ERROR:
		r->not_tls = true;
		break;
	default:
		break;
	}
	r->transient = true;
	return err_set(e, ERR_NETWORK, "transfer from '%s' failed: %s", host, detail);
}

/* --- requests and redirects ---------------------------------------------------------------- */

/* One request to one place. */
static int perform_once(struct http *h, const struct http_request *rq, const char *url,
			const struct origin *to, bool with_credentials, struct err *e)
{
	struct http_response *r = h->response;
	struct curl_slist *headers = make_headers(rq);
	CURLcode code;

	http_response_release(r);
	h->error[0] = '\0';
	h->head_len = 0;
	buf_init(&h->body, HTTP_BODY_MAX);
	set_options(h, rq, url, to, headers);
	if (with_credentials)
		set_credentials(h->curl, rq);
	code = curl_easy_perform(h->curl);
	curl_easy_getinfo(h->curl, CURLINFO_RESPONSE_CODE, &r->status);
	curl_slist_free_all(headers);
	if (code == CURLE_OK) {
		r->body_len = buf_len(&h->body);
		r->body = xmalloc(r->body_len + 1);
		if (r->body_len)
			memcpy(r->body, buf_data(&h->body), r->body_len);
		r->body[r->body_len] = '\0';
		if (r->body_len)
			explicit_bzero(h->body.mem + h->body.start, r->body_len);
	} else {
		transfer_failed(h, code, to, e);
	}
	buf_release(&h->body);
	return code == CURLE_OK ? 0 : -1;
}

/* Where the answer leads to, owned; NULL when it is the last one. */
static char *redirect_url(struct http *h)
{
	long status = h->response->status;
	char *url = NULL;

	if (status != 301 && status != 302 && status != 303 && status != 307 && status != 308)
		return NULL;
	curl_easy_getinfo(h->curl, CURLINFO_REDIRECT_URL, &url);
	return url ? xstrdup(url) : NULL;
}

static int bad_redirect(const struct origin *from, struct err *e)
{
	return err_set(e, ERR_NETWORK, "'%s' redirects in a way that is not allowed", from->host);
}

int http_perform(struct http *h, const struct http_request *rq, struct http_response *ret,
		 struct err *e)
{
	_cleanup_free_ char *url = xstrdup(rq->url);
	struct origin first = {0}, from = {0}, to = {0};
	bool same = true;
	int r = -1;

	*ret = (struct http_response){0};
	h->rq = rq;
	h->response = ret;
	if (!origin_parse(url, &first) || !origin_parse(url, &from)) {
		err_set(e, ERR_NETWORK, "bad address of a registry: %s", http_clean_text(url));
		goto out;
	}
	for (int hops = 0;; hops++) {
		char *next;

		r = perform_once(h, rq, url, &from, same, e);
		next = r < 0 ? NULL : redirect_url(h);
		if (!next)
			break;
		free(url);
		url = next;
		/* What a form has in it is meant for one place. */
		if (hops == REDIRECTS_MAX || rq->form || !origin_parse(url, &to) ||
		    !(is_https(&to) || (is_http(&to) && is_http(&from)))) {
			r = bad_redirect(&from, e);
			break;
		}
		if (rq->upgrades && is_upgrade(&first, &to)) {
			ret->upgraded = true;
			break;
		}
		/* Once elsewhere, never again: the other place decided about this URL. */
		same = same && origin_eq(&first, &to);
		origin_release(&from);
		from = to;
		to = (struct origin){0};
	}
out:
	origin_release(&first);
	origin_release(&from);
	origin_release(&to);
	return r;
}
