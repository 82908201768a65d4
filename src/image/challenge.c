/* SPDX-License-Identifier: Apache-2.0 */
#include "image/challenge.h"

#include "base/cleanup.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

/* tchar of RFC 9110, as a set for strspn. */
#define TOKEN_CHARS                                           \
	"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz" \
	"ABCDEFGHIJKLMNOPQRSTUVWXYZ"

void challenge_release(struct challenge *c)
{
	free(c->realm);
	free(c->service);
	free(c->scope);
	*c = (struct challenge){0};
}

static bool token_is(const char *s, size_t n, const char *name)
{
	return n == strlen(name) && strncasecmp(s, name, n) == 0;
}

/* Reads "text" with its escapes, or a bare word; moves *p behind it. Owned. */
static char *take_value(const char **p)
{
	size_t n = **p == '"' ? strlen(*p) : strcspn(*p, ", \t");
	char *out = xmalloc(n + 1), *o = out;
	const char *s = *p;

	if (*s != '"') {
		memcpy(out, s, n);
		out[n] = '\0';
		*p += n;
		return out;
	}
	for (s++; *s && *s != '"'; s++) {
		if (*s == '\\' && s[1])
			s++;
		*o++ = *s;
	}
	*o = '\0';
	*p = s + (*s == '"');
	return out;
}

/* Keeps a parameter of a Bearer challenge. */
static void keep(struct challenge *c, const char *name, size_t n, char *value)
{
	char **to = NULL;

	if (token_is(name, n, "realm"))
		to = &c->realm;
	else if (token_is(name, n, "service"))
		to = &c->service;
	else if (token_is(name, n, "scope"))
		to = &c->scope;
	if (!to || *to)
		free(value);
	else
		*to = value;
}

void challenge_parse(const char *header, struct challenge *ret)
{
	struct challenge bearer = {.kind = CHALLENGE_BEARER}, other = {0};
	struct challenge *now = &other;
	bool basic = false;
	const char *p = header;

	for (;;) {
		const char *word;
		size_t n;

		p += strspn(p, " \t,");
		word = p;
		n = strspn(p, TOKEN_CHARS);
		p += n;
		p += strspn(p, " \t");
		if (*p == '=') {
			p++;
			p += strspn(p, " \t");
			keep(now, word, n, take_value(&p));
		} else if (n) { /* a new scheme */
			/* Of two challenges of one kind the first counts. */
			now = token_is(word, n, "Bearer") && !bearer.realm ? &bearer : &other;
			basic = basic || token_is(word, n, "Basic");
		} else if (*p) {
			p++; /* what no rule of the grammar allows */
		} else {
			break;
		}
	}
	challenge_release(&other);
	if (bearer.realm) {
		*ret = bearer;
		return;
	}
	challenge_release(&bearer);
	*ret = (struct challenge){.kind = basic ? CHALLENGE_BASIC : CHALLENGE_NONE};
}

char *url_escape(const char *s)
{
	static const char hex[] = "0123456789ABCDEF";
	char *out = xmalloc(3 * strlen(s) + 1), *p = out;

	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;

		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		    strchr("-._~:/", c)) {
			*p++ = (char)c;
		} else {
			*p++ = '%';
			*p++ = hex[c >> 4];
			*p++ = hex[c & 15];
		}
	}
	*p = '\0';
	return out;
}

char *challenge_query(const struct challenge *c, const char *scope)
{
	_cleanup_free_ char *service_text = c->service ? url_escape(c->service) : NULL;
	_cleanup_free_ char *scope_text = NULL;

	if (c->scope)
		scope = c->scope;
	scope_text = scope ? url_escape(scope) : NULL;
	return xasprintf("%s%s%s%s%s", service_text ? "service=" : "",
			 service_text ? service_text : "", service_text && scope_text ? "&" : "",
			 scope_text ? "scope=" : "", scope_text ? scope_text : "");
}
