/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP requests by libcurl, as a registry client needs them. */
#pragma once

#include "base/err.h"

#include <stdatomic.h>

/* A connection cache and a handle; one thread at a time. */
struct http;

struct http_request {
	const char *url;
	bool head;
	const char *accept;  /* NULL, or "Accept: …" lines separated by newlines */
	const char *bearer;  /* a token, or NULL */
	const char *userpwd; /* "user:password" for Basic authentication, or NULL */
	bool plain_allowed;  /* redirects may lead to plain HTTP */
	bool direct;         /* no proxy */
	uint64_t offset;     /* ask for the content from here on */
	atomic_bool *cancel; /* may be NULL */
	/* Takes the body of a success; false to stop. The body is kept when it is NULL. */
	bool (*body)(void *ctx, const void *data, size_t n);
	void *ctx;
};

#define HTTP_BODY_MAX (4 * MIB)

struct http_response {
	long status;
	char *content_type;
	char *digest;         /* Docker-Content-Digest */
	char *challenge;      /* WWW-Authenticate */
	uint64_t retry_after; /* seconds, 0 when absent */
	char *body;           /* with a NUL; NULL when it went to the callback */
	size_t body_len;
	bool partial;   /* 206: starts at the offset */
	bool stopped;   /* the callback said so */
	bool transient; /* the failure may pass */
	bool not_tls;   /* or plain HTTP to a TLS server: the scheme may be wrong */
};

/* Once per process, before any thread. */
int http_global_init(struct err *e);

struct http *http_new(struct err *e);
struct http *http_free(struct http *h);

/*
 * Makes one request. 0 when an answer came, whatever its status; -1 when none came whole, with
 * the fields of `ret` that say why. `ret` is to be released in either case.
 */
int http_perform(struct http *h, const struct http_request *rq, struct http_response *ret,
		 struct err *e);
void http_response_release(struct http_response *r);
