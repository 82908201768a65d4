/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A repository in a registry that speaks the OCI distribution protocol ("v2").
 *
 * HTTPS always, except for hosts that can only be this machine, or on request. A 401 answer with a
 * Bearer challenge leads to a token, anonymous unless credentials are given. Failures that may pass
 * are tried again a few times, a blob from where it broke off.
 */
#pragma once

#include "image/http.h"
#include "image/reference.h"

struct registry;

struct registry_options {
	bool insecure;       /* plain HTTP */
	const char *userpwd; /* "user:password", or NULL */
	atomic_bool *cancel; /* makes running transfers end, from any thread */
};

struct registry *registry_new(const struct reference *ref, const struct registry_options *o);
struct registry *registry_free(struct registry *r);

/*
 * Asks which digest a tag or digest text has now. 1 with *ret; 0 when the registry does not say
 * (then it takes registry_manifest); -1 with the error set.
 */
int registry_resolve(struct registry *r, struct http *h, const char *what, struct digest *ret,
		     struct err *e);
/* Gets a manifest or index, owned, and its digest; it is checked when `want` is given. */
int registry_manifest(struct registry *r, struct http *h, const char *what,
		      const struct digest *want, char **ret, size_t *ret_len,
		      struct digest *ret_digest, struct err *e);

/*
 * Gets a blob. The callback sees each byte once, whatever retries there are; it returns false to
 * end the transfer, which gives ERR_CANCELLED. Digests are the callback's business.
 */
int registry_blob(struct registry *r, struct http *h, const struct digest *d,
		  bool (*body)(void *ctx, const void *data, size_t n), void *ctx, struct err *e);
