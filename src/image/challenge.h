/* SPDX-License-Identifier: Apache-2.0 */
/* What a registry wants to see of a client: the WWW-Authenticate header (RFC 9110, 11.6.1). */
#pragma once

#include <stddef.h>

enum challenge_kind { CHALLENGE_NONE, CHALLENGE_BASIC, CHALLENGE_BEARER };

struct challenge {
	enum challenge_kind kind;
	/* Of a Bearer challenge; NULL when absent. */
	char *realm, *service, *scope;
};

/*
 * Takes a header's value apart, several of them joined by commas. A Bearer challenge with a realm
 * is preferred to Basic; others are passed over. `ret` is to be released.
 */
void challenge_parse(const char *header, struct challenge *ret);
void challenge_release(struct challenge *c);

/*
 * "service=…&scope=…" for the request of a token, escaped; owned. `scope` is taken when the
 * challenge has none, and may be NULL.
 */
char *challenge_query(const struct challenge *c, const char *scope);
/* The text with everything but unreserved characters escaped, owned. */
char *url_escape(const char *s);
