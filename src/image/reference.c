/* SPDX-License-Identifier: Apache-2.0 */
#include "image/reference.h"

#include "base/cleanup.h"

#include <arpa/inet.h>
#include <string.h>

#define NAME_MAX_LEN 255
#define TAG_MAX_LEN  128

static bool is_lower(char c)
{
	return c >= 'a' && c <= 'z';
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_alnum(char c)
{
	return is_lower(c) || is_digit(c) || (c >= 'A' && c <= 'Z');
}

static int bad(struct err *e, const char *text, const char *why)
{
	return err_set(e, ERR_INVALID, "invalid image reference '%s': %s", text, why);
}

/* The length of a separator between the words of a path part: ".", "_", "__" or dashes; or 0. */
static size_t separator_len(const char *s)
{
	if (*s == '-')
		return strspn(s, "-");
	if (s[0] == '_' && s[1] == '_')
		return 2;
	return *s == '.' || *s == '_';
}

/* Checks "part/part/…"; each part is lower-case words joined by separators. */
static const char *check_path(const char *path)
{
	const char *p = path;

	for (;;) {
		size_t sep;

		if (*p == '\0' || *p == '/')
			return "empty path component";
		if (!is_lower(*p) && !is_digit(*p)) {
			if (*p >= 'A' && *p <= 'Z')
				return "the name must be in lower case";
			return "bad character in the name";
		}
		while (is_lower(*p) || is_digit(*p))
			p++;
		if (*p == '\0')
			return NULL;
		if (*p == '/') {
			p++;
			continue;
		}
		sep = separator_len(p);
		if (sep == 0)
			return *p >= 'A' && *p <= 'Z' ? "the name must be in lower case"
						      : "bad character in the name";
		p += sep;
		if (*p == '\0' || *p == '/')
			return "a path component ends with a separator";
	}
}

static const char *check_port(const char *port)
{
	uint64_t n;

	if (parse_u64(port, 65535, &n) < 0 || n == 0)
		return "bad port";
	return NULL;
}

static const char *check_host(const char *host)
{
	const char *p = host;

	if (*p == '[') {
		const char *end = strchr(p, ']');
		_cleanup_free_ char *addr = NULL;
		struct in6_addr a;

		if (!end)
			return "bad IPv6 address";
		addr = xstrndup(p + 1, (size_t)(end - p - 1));
		if (inet_pton(AF_INET6, addr, &a) != 1)
			return "bad IPv6 address";
		if (end[1] == '\0')
			return NULL;
		return end[1] == ':' ? check_port(end + 2) : "bad host name";
	}
	for (;;) {
		const char *label = p;

		while (is_alnum(*p) || *p == '-')
			p++;
		if (p == label || *label == '-' || p[-1] == '-' || p - label > 63)
			return "bad host name";
		if (*p == '\0')
			return NULL;
		if (*p == ':')
			return check_port(p + 1);
		if (*p++ != '.')
			return "bad host name";
	}
}

static const char *check_tag(const char *tag)
{
	if (*tag == '\0')
		return "empty tag";
	if (!is_alnum(*tag) && *tag != '_')
		return "bad tag";
	if (strlen(tag) > TAG_MAX_LEN)
		return "the tag is too long";
	for (const char *p = tag; *p; p++)
		if (!is_alnum(*p) && *p != '_' && *p != '.' && *p != '-')
			return "bad character in the tag";
	return NULL;
}

/* As Docker has it: upper-case letters, which no path has, make the first part a host too. */
static bool first_part_is_host(const char *name, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (name[i] >= 'A' && name[i] <= 'Z')
			return true;
	return memchr(name, '.', n) || memchr(name, ':', n) ||
	       (n == strlen("localhost") && memcmp(name, "localhost", n) == 0);
}

static bool is_default_host(const char *host)
{
	return str_eq(host, REFERENCE_DEFAULT_HOST) || str_eq(host, "index.docker.io") ||
	       str_eq(host, "registry-1.docker.io");
}

/* Takes "host/path" or "path" apart. */
static void split_name(const char *name, char **ret_host, char **ret_path)
{
	const char *slash = strchr(name, '/');
	size_t n = slash ? (size_t)(slash - name) : 0;

	if (slash && first_part_is_host(name, n)) {
		*ret_host = xstrndup(name, n);
		*ret_path = xstrdup(slash + 1);
	} else {
		*ret_host = xstrdup(REFERENCE_DEFAULT_HOST);
		*ret_path = xstrdup(name);
	}
	if (is_default_host(*ret_host)) {
		free(*ret_host);
		*ret_host = xstrdup(REFERENCE_DEFAULT_HOST);
	}
	if (str_eq(*ret_host, REFERENCE_DEFAULT_HOST) && **ret_path && !strchr(*ret_path, '/')) {
		char *path = xasprintf("library/%s", *ret_path);

		free(*ret_path);
		*ret_path = path;
	}
}

/* A whole name of 64 hex digits would look like an image ID. */
static bool is_image_id(const char *name)
{
	return strlen(name) == (size_t)2 * DIGEST_LEN &&
	       strspn(name, "0123456789abcdef") == (size_t)2 * DIGEST_LEN;
}

int reference_parse(const char *text, struct reference *ret, struct err *e)
{
	_cleanup_free_ char *name = xstrdup(text), *host = NULL, *path = NULL, *tag = NULL;
	struct reference r = {0};
	const char *why;
	char *at, *slash, *colon;

	if (*text == '\0')
		return err_set(e, ERR_INVALID, "empty image reference");
	if (strstr(text, "://")) {
		bad(e, text, "it has a URL's scheme");
		return err_hint(e, "write HOST/PATH[:TAG] without 'https://'");
	}
	at = strchr(name, '@');
	if (at) {
		*at = '\0';
		if (digest_parse(at + 1, &r.digest) < 0)
			return bad(e, text, "the digest is not sha256: and 64 hex digits");
		r.has_digest = true;
	}
	slash = strrchr(name, '/');
	colon = strrchr(slash ? slash : name, ':');
	if (colon) {
		*colon = '\0';
		tag = xstrdup(colon + 1);
		why = check_tag(tag);
		if (why)
			return bad(e, text, why);
	} else if (!r.has_digest) {
		tag = xstrdup("latest");
	}
	if (is_image_id(name))
		return bad(e, text, "64 hex digits are an image's ID, not its name");
	split_name(name, &host, &path);
	why = check_host(host);
	if (!why)
		why = check_path(path);
	if (!why && strlen(host) + 1 + strlen(path) > NAME_MAX_LEN)
		why = "the name is too long";
	if (why)
		return bad(e, text, why);
	r.host = steal_ptr(&host);
	r.path = steal_ptr(&path);
	r.tag = steal_ptr(&tag);
	*ret = r;
	return 0;
}

void reference_release(struct reference *r)
{
	free(r->host);
	free(r->path);
	free(r->tag);
	*r = (struct reference){0};
}

char *reference_format(const struct reference *r)
{
	char digest[DIGEST_TEXT_LEN] = "";

	if (r->has_digest)
		digest_format(&r->digest, digest);
	return xasprintf("%s/%s%s%s%s%s", r->host, r->path, r->tag ? ":" : "", r->tag ? r->tag : "",
			 r->has_digest ? "@" : "", digest);
}

char *reference_host_canonical(const char *host)
{
	char *name;

	if (strlen(host) > NAME_MAX_LEN || check_host(host))
		return NULL;
	name = xstrdup(host);
	for (char *p = name; *p; p++)
		if (*p >= 'A' && *p <= 'Z')
			*p = (char)(*p - 'A' + 'a');
	if (!is_default_host(name))
		return name;
	free(name);
	return xstrdup(REFERENCE_DEFAULT_HOST);
}

bool reference_host_is_loopback(const char *host)
{
	size_t n = strcspn(host, ":");
	_cleanup_free_ char *name = NULL;
	struct in_addr a;

	if (*host == '[')
		return str_starts_with(host, "[::1]");
	name = xstrndup(host, n);
	if (str_eq(name, "localhost"))
		return true;
	return inet_pton(AF_INET, name, &a) == 1 && ntohl(a.s_addr) >> 24 == 127;
}
