/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One place that images are fetched from, at work: the scheme that it turned out to speak, the
 * login that it asked for, and patience with failures that may pass.
 *
 * HTTPS always, except for hosts that can only be this machine, or on request. A challenge is
 * answered by a token or by the login itself, whatever the registry wants, also in the middle of
 * a long pull. A failure that may pass is tried again after a growing, random time; a blob goes on
 * from where it broke off.
 */
#pragma once

#include "image/digest.h"
#include "image/endpoint.h"
#include "image/http.h"

#include <pthread.h>

struct site {
	const struct endpoint *endpoint;
	const char *repository; /* NULL: only the login matters */
	atomic_bool *cancel;
	bool is_mirror;  /* there is somebody else to ask */
	atomic_bool off; /* a mirror that is not asked any more */

	pthread_mutex_t mutex; /* for what follows */
	bool plain;
	bool settled; /* it has answered by this scheme */
	bool basic;   /* it wants the login itself */
	char *token;
};

/* A blob on its way; it may come from several sites, one after the other. */
struct blob_transfer {
	uint64_t size; /* as the manifest says */
	bool (*body)(void *ctx, const void *data, size_t n);
	void *ctx;
	uint64_t received; /* given to the callback */

	/* Of the running try. */
	const struct site *site;
	const struct http_response *response;
	uint64_t position; /* of the next byte in the blob */
	bool started;
	bool wrong_size, wrong_range;

	bool no_ranges; /* the site does not understand them */
	char *etag;     /* of what `etag_site` gives, for going on with the same */
	const struct site *etag_site;
};

/* What is asked for. */
struct site_request {
	const char *path; /* below the repository; "" without one */
	const char *what; /* in messages */
	const char *accept;
	bool head;
	struct blob_transfer *blob; /* NULL: a document, whose body is kept */
};

void site_init(struct site *s, const struct endpoint *ep, const char *repository, bool is_mirror,
	       atomic_bool *cancel);
void site_release(struct site *s);

/*
 * Makes a request until it is answered with success, or fails for good. 0, with `rs` to be
 * released; 1 for a HEAD that the site does not want to answer; -1 with the error: ERR_CANCELLED
 * also when the blob's callback ended the transfer, ERR_CORRUPT for a blob of another size,
 * ERR_AUTH, ERR_NOT_FOUND, or what http_perform says.
 */
int site_request(struct site *s, struct http *h, const struct site_request *q,
		 struct http_response *rs, struct err *e);
