/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A repository in a registry that speaks the OCI distribution protocol ("v2"), and its mirrors.
 *
 * Every request goes to the mirrors first, in order; one that is down, refuses or lacks what is
 * asked for is passed over, and what it gives is checked as if it came from anywhere. The
 * registry itself is the last. Each has its own login, which no other ever sees. How one of them
 * is talked to is in site.h.
 */
#pragma once

#include "image/digest.h"
#include "image/endpoint.h"
#include "image/http.h"

struct registry;

/*
 * `repository` is NULL when only the login is to be checked. The endpoints stay the caller's and
 * in use. `cancel`, which may be NULL, makes running transfers end, from any thread.
 */
struct registry *registry_new(const struct endpoints *es, const char *repository,
			      atomic_bool *cancel);
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
 * Gets a blob of a known size; another one is ERR_CORRUPT. The callback sees each byte once,
 * whatever retries there are; it returns false to end the transfer, which gives ERR_CANCELLED.
 * Digests are the caller's business: `ret_mirrored` says whether a mirror had part in it, and
 * then it may be worth to call registry_drop_mirrors and try again.
 */
int registry_blob(struct registry *r, struct http *h, const struct digest *d, uint64_t size,
		  bool (*body)(void *ctx, const void *data, size_t n), void *ctx,
		  bool *ret_mirrored, struct err *e);
/* From now on only the registry itself is asked. */
void registry_drop_mirrors(struct registry *r);

/* Shows the login to the registry: 0 when it is accepted or not asked for; ERR_AUTH: refused. */
int registry_check_login(struct registry *r, struct http *h, struct err *e);
