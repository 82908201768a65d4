/* SPDX-License-Identifier: Apache-2.0 */
/* Access tokens, by the distribution project's token protocol. */
#pragma once

#include "image/challenge.h"
#include "image/endpoint.h"
#include "image/http.h"

struct token_request {
	const struct endpoint *endpoint;   /* whose login is used, if it has one */
	const struct challenge *challenge; /* Bearer */
	const char *repository;            /* for what, or NULL: for nothing but the login */
	bool plain;                        /* the registry itself speaks plain HTTP */
	atomic_bool *cancel;
};

/*
 * Gets a token, owned: with an identity token by POST (OAuth 2 refresh), else by GET, with the
 * user's name and password if there are any. ERR_AUTH when it is refused. `rs` tells of a failure
 * whether it may pass; it is to be released in any case.
 */
int token_fetch(struct http *h, const struct token_request *q, char **ret, struct http_response *rs,
		struct err *e);
