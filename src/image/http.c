/* SPDX-License-Identifier: Apache-2.0 */
#include "image/http.h"

#include "base/buf.h"
#include "base/cleanup.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <curl/curl.h>

#define CONNECT_TIMEOUT_S 20L
/* A transfer that moves nothing for so long has stalled. */
#define STALL_TIMEOUT_S 30L
#define REDIRECTS_MAX   5L
#define CA_DIR          "/etc/ssl/certs"

struct http {
	CURL *curl;
	const struct http_request *rq;
	struct http_response *response;
	struct buf body;
	char error[CURL_ERROR_SIZE];
};

int http_global_init(struct err *e)
{
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
	free(r->body);
	*r = (struct http_response){0};
}

/* The value of a header line with that name, owned, or NULL. */
static char *header_value(const char *line, size_t n, const char *name)
{
	size_t len = strlen(name);

	if (n <= len || line[len] != ':' || strncasecmp(line, name, len) != 0)
		return NULL;
	line += len + 1;
	n -= len + 1;
	while (n && isspace((unsigned char)*line)) {
		line++;
		n--;
	}
	while (n && isspace((unsigned char)line[n - 1]))
		n--;
	return xstrndup(line, n);
}

static void keep_header(char **to, char *value)
{
	if (!value)
		return;
	free(*to);
	*to = value;
}

static size_t on_header(char *data, size_t size, size_t n, void *ctx)
{
	struct http *h = ctx;
	struct http_response *r = h->response;
	_cleanup_free_ char *retry = NULL;
	char *challenge;

	n *= size;
	/* A status line starts over: after a redirect only the last answer's headers count. */
	if (n > 5 && memcmp(data, "HTTP/", 5) == 0)
		http_response_release(r);
	keep_header(&r->content_type, header_value(data, n, "Content-Type"));
	keep_header(&r->digest, header_value(data, n, "Docker-Content-Digest"));
	challenge = header_value(data, n, "WWW-Authenticate");
	/* Of several challenges the token is preferred. */
	if (challenge && r->challenge && strncasecmp(challenge, "Bearer", 6) != 0)
		free(challenge);
	else
		keep_header(&r->challenge, challenge);
	retry = header_value(data, n, "Retry-After");
	if (retry && parse_u64(retry, 3600, &r->retry_after) < 0)
		r->retry_after = 0;
	return n;
}

static size_t on_body(char *data, size_t size, size_t n, void *ctx)
{
	struct http *h = ctx;
	long status = 0;

	n *= size;
	curl_easy_getinfo(h->curl, CURLINFO_RESPONSE_CODE, &status);
	if (h->rq->body && (status == 200 || status == 206)) {
		h->response->partial = status == 206;
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

static struct curl_slist *make_headers(const struct http_request *rq)
{
	struct curl_slist *list = NULL;
	const char *p = rq->accept;

	while (p && *p) {
		size_t n = strcspn(p, "\n");
		_cleanup_free_ char *line = xstrndup(p, n);

		list = curl_slist_append(list, line);
		p += n + (p[n] == '\n');
	}
	return list;
}

static void set_tls(CURL *c)
{
	const char *file = secure_getenv("SSL_CERT_FILE"), *dir = secure_getenv("SSL_CERT_DIR");

	/* The directory is read as needed; the usual bundle costs 20 ms to load. */
	curl_easy_setopt(c, CURLOPT_CAINFO, file && *file ? file : NULL);
	curl_easy_setopt(c, CURLOPT_CAPATH, dir && *dir ? dir : CA_DIR);
	curl_easy_setopt(c, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
}

static void set_options(struct http *h, const struct http_request *rq, struct curl_slist *headers)
{
	CURL *c = h->curl;

	/* Connections survive a reset. */
	curl_easy_reset(c);
	set_tls(c);
	curl_easy_setopt(c, CURLOPT_URL, rq->url);
	curl_easy_setopt(c, CURLOPT_NOBODY, (long)rq->head);
	curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(c, CURLOPT_USERAGENT, "msb/" MSB_VERSION);
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c, CURLOPT_ERRORBUFFER, h->error);
	curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, CONNECT_TIMEOUT_S);
	curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1L);
	curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, STALL_TIMEOUT_S);
	curl_easy_setopt(c, CURLOPT_BUFFERSIZE, 256L * 1024);
	curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, rq->plain_allowed ? "http,https" : "https");
	curl_easy_setopt(c, CURLOPT_REDIR_PROTOCOLS_STR,
			 rq->plain_allowed ? "http,https" : "https");
	curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 1L);
	curl_easy_setopt(c, CURLOPT_MAXREDIRS, REDIRECTS_MAX);
	curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(c, CURLOPT_HEADERDATA, h);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, h);
	curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_progress);
	curl_easy_setopt(c, CURLOPT_XFERINFODATA, h);
	curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
	if (rq->direct)
		curl_easy_setopt(c, CURLOPT_NOPROXY, "*");
	/* Given this way, libcurl keeps them from other hosts when it follows a redirect. */
	if (rq->bearer) {
		curl_easy_setopt(c, CURLOPT_HTTPAUTH, (long)CURLAUTH_BEARER);
		curl_easy_setopt(c, CURLOPT_XOAUTH2_BEARER, rq->bearer);
	} else if (rq->userpwd) {
		curl_easy_setopt(c, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
		curl_easy_setopt(c, CURLOPT_USERPWD, rq->userpwd);
	}
	if (rq->offset) {
		char range[32];

		/* Not RESUME_FROM: a server that ignores it is handled by the caller. */
		snprintf(range, sizeof(range), "%llu-", (unsigned long long)rq->offset);
		curl_easy_setopt(c, CURLOPT_RANGE, range);
	}
}

static int connect_failed(struct http *h, const char *host, struct err *e)
{
	long errnum = 0;

	curl_easy_getinfo(h->curl, CURLINFO_OS_ERRNO, &errnum);
	if (errnum)
		err_set(e, ERR_NETWORK, "cannot connect to '%s': %s", host, strerror((int)errnum));
	else
		err_set(e, ERR_NETWORK, "cannot connect to '%s'", host);
	return err_hint(e, "check that the registry is running and reachable");
}

static int transfer_failed(struct http *h, CURLcode code, const char *host, struct err *e)
{
	struct http_response *r = h->response;
	const char *detail = h->error[0] ? h->error : curl_easy_strerror(code);

	switch ((int)code) {
	case CURLE_COULDNT_RESOLVE_HOST:
		r->transient = true;
		return err_set(e, ERR_NETWORK, "cannot find the address of '%s'", host);
	case CURLE_COULDNT_RESOLVE_PROXY:
		return err_set(e, ERR_NETWORK, "cannot find the address of the proxy: %s", detail);
	case CURLE_COULDNT_CONNECT:
		return connect_failed(h, host, e);
	case CURLE_OPERATION_TIMEDOUT:
		r->transient = true;
		return err_set(e, ERR_TIMEOUT, "'%s' does not answer: %s", host, detail);
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CACERT_BADFILE:
		err_set(e, ERR_NETWORK, "the certificate of '%s' is not trusted: %s", host, detail);
		return err_hint(e, "set SSL_CERT_FILE to the authority's certificate");
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
	case CURLE_TOO_MANY_REDIRECTS:
	case CURLE_UNSUPPORTED_PROTOCOL:
		return err_set(e, ERR_NETWORK, "'%s' redirects in a way that is not allowed: %s",
			       host, detail);
	case CURLE_GOT_NOTHING:
	case CURLE_WEIRD_SERVER_REPLY:
		r->not_tls = true;
		break;
	default:
		break;
	}
	r->transient = true;
	return err_set(e, ERR_NETWORK, "transfer from '%s' failed: %s", host, detail);
}

/* "host:port" of a URL, for messages. */
static char *url_host(const char *url)
{
	const char *p = strstr(url, "://");

	p = p ? p + 3 : url;
	return xstrndup(p, strcspn(p, "/?"));
}

int http_perform(struct http *h, const struct http_request *rq, struct http_response *ret,
		 struct err *e)
{
	struct curl_slist *headers = make_headers(rq);
	CURLcode code;

	*ret = (struct http_response){0};
	h->rq = rq;
	h->response = ret;
	h->error[0] = '\0';
	buf_init(&h->body, HTTP_BODY_MAX);
	set_options(h, rq, headers);
	code = curl_easy_perform(h->curl);
	curl_easy_getinfo(h->curl, CURLINFO_RESPONSE_CODE, &ret->status);
	curl_slist_free_all(headers);
	if (code == CURLE_OK) {
		ret->body_len = buf_len(&h->body);
		ret->body = xmalloc(ret->body_len + 1);
		if (ret->body_len)
			memcpy(ret->body, buf_data(&h->body), ret->body_len);
		ret->body[ret->body_len] = '\0';
	} else {
		_cleanup_free_ char *host = url_host(rq->url);

		transfer_failed(h, code, host, e);
	}
	buf_release(&h->body);
	return code == CURLE_OK ? 0 : -1;
}
