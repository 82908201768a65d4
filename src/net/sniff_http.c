/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The authority of an HTTP/1 request (RFC 9112 3.2). Only a request that every server has to
 * understand alike names its host: one Host, lines that end in CRLF, nothing folded, an absolute
 * target that agrees.
 */
#include "net/sniff_internal.h"

#include "base/util.h"

#include <string.h>

/* One line without its end. */
struct line {
	const char *p;
	size_t len;
};

static bool same(const char *a, size_t len, const char *word)
{
	return len == strlen(word) && strncasecmp(a, word, len) == 0;
}

/* "host", "host:port". False when that is no name. */
static bool read_authority(const char *p, size_t len, char out[DOMAIN_LEN])
{
	const char *colon = memchr(p, ':', len);
	size_t n = colon ? (size_t)(colon - p) : len;

	for (size_t i = n + 1; i < len; i++)
		if (p[i] < '0' || p[i] > '9')
			return false;
	return domain_normalize(p, n, out) == 0;
}

/* The target's own authority, "" if it has none. False when there is something wrong with it. */
static bool read_target(const struct line *method, const struct line *target, char out[DOMAIN_LEN])
{
	static const char scheme[] = "http://";
	const char *p = target->p;
	size_t n = target->len;

	out[0] = '\0';
	if (same(method->p, method->len, "CONNECT"))
		return read_authority(p, n, out);
	if (n > 0 && (*p == '/' || (*p == '*' && n == 1)))
		return true;
	if (n < sizeof(scheme) || strncasecmp(p, scheme, sizeof(scheme) - 1) != 0)
		return false;
	p += sizeof(scheme) - 1;
	n -= sizeof(scheme) - 1;
	for (size_t i = 0; i < n; i++)
		if (p[i] == '/' || p[i] == '?' || p[i] == '#')
			n = i;
	return read_authority(p, n, out);
}

/* The next line into `ret`. 1; 0: it is not all there; -1: it does not end as it should. */
static int next_line(const char **p, const char *end, struct line *ret)
{
	const char *nl = memchr(*p, '\n', (size_t)(end - *p));

	if (!nl)
		return 0;
	ret->p = *p;
	ret->len = (size_t)(nl - *p);
	*p = nl + 1;
	if (ret->len == 0 || ret->p[ret->len - 1] != '\r')
		return -1;
	ret->len--;
	return memchr(ret->p, '\r', ret->len) || memchr(ret->p, '\0', ret->len) ? -1 : 1;
}

/* One header line; counts Hosts. False when servers could differ about it. */
static bool read_header(const struct line *l, unsigned int *hosts, char host[DOMAIN_LEN])
{
	size_t n = 0, start, end = l->len;

	while (n < l->len && sniff_is_token((uint8_t)l->p[n]))
		n++;
	if (n == 0 || n == l->len || l->p[n] != ':')
		return false;
	if (!same(l->p, n, "Host"))
		return true;
	for (start = n + 1; start < end && (l->p[start] == ' ' || l->p[start] == '\t'); start++)
		;
	while (end > start && (l->p[end - 1] == ' ' || l->p[end - 1] == '\t'))
		end--;
	return ++*hosts == 1 && read_authority(l->p + start, end - start, host);
}

static enum sniff_result read_headers(const char *p, const char *end, const char *target,
				      char out[DOMAIN_LEN])
{
	unsigned int hosts = 0;
	struct line l;

	for (;;) {
		int r = next_line(&p, end, &l);

		if (r == 0)
			return SNIFF_MORE;
		if (r < 0)
			return SNIFF_HIDDEN;
		if (l.len == 0)
			break;
		if (!read_header(&l, &hosts, out))
			return SNIFF_HIDDEN;
	}
	if (hosts != 1 || (*target && strcmp(target, out) != 0))
		return SNIFF_HIDDEN;
	return SNIFF_NAME;
}

/* Is a line that we do not understand perhaps a request to some server? */
static bool looks_like_request(const struct line *l, const struct line *method)
{
	static const char *const methods[] = {"GET",     "HEAD",  "POST",  "PUT",    "DELETE",
					      "OPTIONS", "PATCH", "TRACE", "CONNECT"};

	for (size_t i = 0; i < ARRAY_SIZE(methods); i++)
		if (same(method->p, method->len, methods[i]))
			return true;
	/* HTTP/2 has "PRI * HTTP/2.0" here; other protocols have words of their own. */
	for (size_t i = 0; i + 5 <= l->len; i++)
		if (strncasecmp(l->p + i, "HTTP/", 5) == 0)
			return true;
	return false;
}

void sniff_http(const uint8_t *data, size_t len, struct sniff *ret)
{
	const char *p = (const char *)data, *end = p + len, *space, *version;
	struct line l, method = {p, 0}, target;
	char authority[DOMAIN_LEN];
	int r;

	/* Empty lines before the request are skipped by some. */
	if (*p == '\r' || *p == '\n') {
		ret->result = SNIFF_HIDDEN;
		return;
	}
	while (method.len < len && sniff_is_token(data[method.len]))
		method.len++;
	if (method.len == len)
		return; /* SNIFF_MORE */
	/* No server takes a method that ends with anything but white space. */
	if (!memchr(" \t\v\f", p[method.len], 4)) {
		ret->result = looks_like_request(&method, &method) ? SNIFF_HIDDEN : SNIFF_OTHER;
		return;
	}
	r = next_line(&p, end, &l);
	if (r == 0)
		return;
	space = l.p + method.len;
	version = memrchr(l.p, ' ', l.len);
	if (r < 0 || *space != ' ' || version == space ||
	    !(same(version, (size_t)(l.p + l.len - version), " HTTP/1.1") ||
	      same(version, (size_t)(l.p + l.len - version), " HTTP/1.0"))) {
		ret->result = looks_like_request(&l, &method) ? SNIFF_HIDDEN : SNIFF_OTHER;
		return;
	}
	target = (struct line){space + 1, (size_t)(version - space - 1)};
	if (memchr(target.p, ' ', target.len) || !read_target(&method, &target, authority))
		ret->result = SNIFF_HIDDEN;
	else
		ret->result = read_headers(p, end, authority, ret->name);
}
