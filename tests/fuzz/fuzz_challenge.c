/* SPDX-License-Identifier: Apache-2.0 */
/* Challenges of registries (WWW-Authenticate): an input is the header's value. */
#include "image.h"

#include "image/challenge.h"

/* What goes into a URL may not end or extend it. */
static void check_escaped(const char *s)
{
	CHECK(strspn(s,
		     "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~:/%=&") ==
	      strlen(s));
	for (const char *p = strchr(s, '%'); p; p = strchr(p + 1, '%'))
		CHECK(strspn(p + 1, "0123456789ABCDEFabcdef") >= 2);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t n)
{
	char *header = xstrndup((const char *)input, n), *query, *escaped;
	struct challenge c;

	challenge_parse(header, &c);
	if (c.kind == CHALLENGE_BEARER) {
		CHECK(c.realm && strlen(c.realm) <= n);
	} else {
		CHECK(c.kind == CHALLENGE_NONE || c.kind == CHALLENGE_BASIC);
		CHECK(!c.realm && !c.service && !c.scope);
	}
	query = challenge_query(&c, "repository:some/image:pull");
	check_escaped(query);
	escaped = url_escape(header);
	check_escaped(escaped);
	CHECK(!strpbrk(escaped, "&="));
	free(escaped);
	free(query);
	challenge_release(&c);
	free(header);
	return 0;
}
