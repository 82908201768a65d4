/* SPDX-License-Identifier: Apache-2.0 */
#include "image/http_header.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include <curl/curl.h>

#define RETRY_AFTER_MAX (UINT64_C(365) * 86400)
#define CHALLENGE_MAX   8192

/* The value of a header line with that name, owned, or NULL. */
static char *header_value(const char *line, size_t n, const char *name)
{
	size_t len = strlen(name);

	if (n <= len || line[len] != ':' || strncasecmp(line, name, len) != 0)
		return NULL;
	line += len + 1;
	n -= len + 1;
	while (n && isspace((unsigned char)*line)) {
		line++;
		n--;
	}
	while (n && isspace((unsigned char)line[n - 1]))
		n--;
	return xstrndup(line, n);
}

uint64_t http_retry_after(const char *value, int64_t now)
{
	uint64_t seconds;
	time_t when;

	if (*value && strspn(value, "0123456789") == strlen(value))
		return parse_u64(value, RETRY_AFTER_MAX, &seconds) < 0 ? RETRY_AFTER_MAX : seconds;
	when = curl_getdate(value, NULL);
	if (when < 0 || when <= now)
		return 0;
	return MIN((uint64_t)(when - now), RETRY_AFTER_MAX);
}

/* "bytes START-END/SIZE", of which the start counts. */
static void take_range(struct http_response *r, const char *value)
{
	_cleanup_free_ char *start = NULL;

	r->has_range = false;
	if (strncasecmp(value, "bytes ", strlen("bytes ")) != 0)
		return;
	value += strlen("bytes ");
	value += strspn(value, " ");
	start = xstrndup(value, strcspn(value, "-"));
	r->has_range = parse_u64(start, UINT64_MAX, &r->range_start) == 0;
}

static void add_challenge(struct http_response *r, const char *value)
{
	char *both;

	if (!r->challenge) {
		r->challenge = xstrdup(value);
	} else if (strlen(r->challenge) + strlen(value) < CHALLENGE_MAX) {
		both = xasprintf("%s, %s", r->challenge, value);
		free(r->challenge);
		r->challenge = both;
	}
}

void http_header_line(struct http_response *r, const char *line, size_t n)
{
	const struct {
		const char *name;
		char **to;
	} texts[] = {
		{"Content-Type", &r->content_type},
		{"Docker-Content-Digest", &r->digest},
		{"ETag", &r->etag},
		{"RateLimit-Limit", &r->rate_limit},
		{"RateLimit-Remaining", &r->rate_remaining},
		{"Docker-RateLimit-Source", &r->rate_source},
	};
	char *value;

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		value = header_value(line, n, texts[i].name);
		if (!value)
			continue;
		free(*texts[i].to);
		*texts[i].to = value;
		return;
	}
	if ((value = header_value(line, n, "WWW-Authenticate")))
		add_challenge(r, value);
	else if ((value = header_value(line, n, "Retry-After")))
		r->retry_after = http_retry_after(value, (int64_t)(clock_real_ns() / NSEC_PER_SEC));
	else if ((value = header_value(line, n, "Content-Length")))
		r->has_length = parse_u64(value, INT64_MAX, &r->length) == 0;
	else if ((value = header_value(line, n, "Content-Range")))
		take_range(r, value);
	free(value);
}

char *http_clean_text(char *s)
{
	for (char *p = s; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = ' ';
	return s;
}
