/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP requests by libcurl, as a registry client needs them.
 *
 * Redirects are followed here and not by libcurl, so that it is plain to see what they may do:
 * they never lead from HTTPS to plain HTTP, and once one has led to another scheme, host or port,
 * no credentials are sent any more. Proxies come from the environment, but not for this host.
 */
#pragma once

#include "base/err.h"

#include <stdatomic.h>

/* A connection cache and a handle; one thread at a time. */
struct http;

struct http_request {
	const char *url;
	bool head;
	const char *form;     /* to be sent by POST, which follows no redirect; or NULL */
	const char *accept;   /* an "Accept: …" line, or NULL */
	const char *bearer;   /* a token, or NULL */
	const char *username; /* for Basic authentication, with the password; or NULL */
	const char *password;
	const char *ca_pem;   /* certificates of authorities besides the system's, or NULL */
	bool upgrades;        /* an answer that leads to HTTPS on the same host is the caller's */
	uint64_t offset;      /* ask for the content from here on */
	const char *if_range; /* if it still is the one with this ETag; or NULL */
	atomic_bool *cancel;  /* may be NULL */
	/* Takes the body of a success; false to stop. The body is kept when it is NULL. */
	bool (*body)(void *ctx, const void *data, size_t n);
	void *ctx;
};

#define HTTP_BODY_MAX (4 * MIB)

struct http_response {
	long status;
	char *content_type;
	char *digest;         /* Docker-Content-Digest */
	char *challenge;      /* WWW-Authenticate, several joined by commas */
	char *etag;           /* as it came */
	char *rate_limit;     /* RateLimit-Limit */
	char *rate_remaining; /* RateLimit-Remaining */
	char *rate_source;    /* Docker-RateLimit-Source */
	bool has_length;      /* of the body that follows */
	uint64_t length;
	bool has_range; /* Content-Range: where the body starts */
	uint64_t range_start;
	uint64_t retry_after; /* seconds, 0 when absent */
	char *body;           /* with a NUL; NULL when it went to the callback */
	size_t body_len;
	bool stopped;   /* the callback said so */
	bool transient; /* the failure may pass */
	bool not_tls;   /* or plain HTTP to a TLS server: the scheme may be wrong */
	bool upgraded;  /* see http_request */
};

#define HTTP_STALL_TIMEOUT_DEFAULT 30

/*
 * Once per process, before any thread. A transfer that moves next to nothing for `stall_timeout`
 * seconds is given up.
 */
int http_global_init(unsigned int stall_timeout, struct err *e);

struct http *http_new(struct err *e);
struct http *http_free(struct http *h);

/*
 * Makes one request. 0 when an answer came, whatever its status; -1 when none came whole, with
 * the fields of `ret` that say why: ERR_UNREACHABLE when there is nobody to talk to, ERR_TIMEOUT,
 * ERR_CANCELLED, else ERR_NETWORK. `ret` is to be released in either case.
 */
int http_perform(struct http *h, const struct http_request *rq, struct http_response *ret,
		 struct err *e);
void http_response_release(struct http_response *r);
