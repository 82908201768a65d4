/* SPDX-License-Identifier: Apache-2.0 */
/* The URL of a proxy: KIND://[USER[:PASSWORD]@]HOST[:PORT]. Messages never show the password. */
#include "net/spec.h"

#include "base/cleanup.h"

#include <stdio.h>
#include <string.h>

#define USER_MAX 255 /* SOCKS5 has one byte for the length of each (RFC 1929) */

static const struct scheme {
	const char *name;
	enum proxy_kind kind;
	uint16_t port;
} schemes[] = {
	{"socks4", PROXY_SOCKS4, 1080},
	{"socks4a", PROXY_SOCKS4A, 1080},
	{"socks5", PROXY_SOCKS5, 1080},
	{"socks5h", PROXY_SOCKS5, 1080}, /* names are resolved before it in any case */
	{"http", PROXY_HTTP, 3128},
};

void net_proxy_release(struct net_proxy *p)
{
	secret_free(p->user);
	secret_free(p->password);
	*p = (struct net_proxy){0};
}

const char *net_proxy_kind_name(enum proxy_kind kind)
{
	for (size_t i = 0; i < ARRAY_SIZE(schemes); i++)
		if (schemes[i].kind == kind)
			return schemes[i].name;
	return "none";
}

static int hex_value(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *at;

	if (c >= 'A' && c <= 'F')
		c = (char)(c - 'A' + 'a');
	at = c ? strchr(digits, c) : NULL;
	return at ? (int)(at - digits) : -1;
}

/* Undoes %HH. NULL for what is malformed, empty, too long or has control characters. */
static char *decode(const char *s, size_t len)
{
	_cleanup_secret_ char *out = xcalloc(1, len + 1);
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)s[i];

		if (c == '%') {
			int hi = i + 2 < len ? hex_value(s[i + 1]) : -1;
			int lo = i + 2 < len ? hex_value(s[i + 2]) : -1;

			if (hi < 0 || lo < 0)
				return NULL;
			c = (unsigned char)(hi << 4 | lo);
			i += 2;
		}
		if (c < 0x20 || c == 0x7f)
			return NULL;
		out[n++] = (char)c;
	}
	return n && n <= USER_MAX ? steal_ptr(&out) : NULL;
}

static int parse_user(struct net_proxy *p, const char *s, size_t len, struct err *e)
{
	const char *colon = memchr(s, ':', len);
	size_t n = colon ? (size_t)(colon - s) : len;

	p->user = decode(s, n);
	if (!p->user)
		return err_set(e, ERR_INVALID, "the user of the proxy's URL is malformed");
	if (!colon)
		return 0;
	p->password = decode(colon + 1, len - n - 1);
	if (!p->password)
		return err_set(e, ERR_INVALID, "the password of the proxy's URL is malformed");
	if (p->kind == PROXY_SOCKS4 || p->kind == PROXY_SOCKS4A)
		return err_set(e, ERR_INVALID, "%s has no passwords", net_proxy_kind_name(p->kind));
	return 0;
}

static int parse_place(struct net_proxy *p, const char *s, uint16_t port, struct err *e)
{
	char text[ENDPOINT_LEN];
	size_t len = strlen(s);

	if (len && s[len - 1] == '/')
		len--;
	if (len < sizeof(text)) {
		memcpy(text, s, len);
		text[len] = '\0';
		if (endpoint_parse(text, &p->addr, &p->port) == 0 && p->port)
			return 0;
		p->port = port;
		if (addr_parse(text, &p->addr) == 0 && addr_is_v4(&p->addr))
			return 0;
		if (*text == '[' && text[len - 1] == ']' && strchr(text, ':')) {
			text[len - 1] = '\0';
			if (addr_parse(text + 1, &p->addr) == 0)
				return 0;
		}
	}
	err_set(e, ERR_INVALID, "'%s' is no place of a proxy", s);
	return err_hint(e, "it is an address with or without a port, as in 192.0.2.7:1080 or "
			   "[2001:db8::7]:1080");
}

static const struct scheme *find_scheme(const char *url, const char **ret_rest)
{
	const char *sep = strstr(url, "://");

	if (!sep)
		return NULL;
	*ret_rest = sep + 3;
	for (size_t i = 0; i < ARRAY_SIZE(schemes); i++)
		if (strlen(schemes[i].name) == (size_t)(sep - url) &&
		    strncmp(schemes[i].name, url, (size_t)(sep - url)) == 0)
			return &schemes[i];
	return NULL;
}

static int parse_parts(const char *url, struct net_proxy *p, struct err *e)
{
	const char *rest, *at;
	const struct scheme *s = find_scheme(url, &rest);

	if (!s) {
		err_set(e, ERR_INVALID, "unsupported kind of proxy");
		return err_hint(e, "proxies are socks4://, socks4a://, socks5:// or http:// and "
				   "[USER[:PASSWORD]@]ADDRESS[:PORT]");
	}
	p->kind = s->kind;
	at = strrchr(rest, '@');
	if (at && parse_user(p, rest, (size_t)(at - rest), e) < 0)
		return -1;
	return parse_place(p, at ? at + 1 : rest, s->port, e);
}

int net_proxy_parse(const char *url, struct net_proxy *ret, struct err *e)
{
	*ret = (struct net_proxy){0};
	if (parse_parts(url, ret, e) == 0)
		return 0;
	net_proxy_release(ret);
	return -1;
}

static void encode(char **out, const char *s)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789-._~";
	char *o = *out;

	for (; *s; s++) {
		if (strchr(plain, *s)) {
			*o++ = *s;
			continue;
		}
		*o++ = '%';
		hex_encode(s, 1, o);
		o += 2;
	}
	*o = '\0';
	*out = o;
}

char *net_proxy_format(const struct net_proxy *p, bool with_password)
{
	const char *kind = net_proxy_kind_name(p->kind), *password = "";
	size_t size = ENDPOINT_LEN + 32;
	char place[ENDPOINT_LEN], *url, *out;

	if (p->password)
		password = with_password ? p->password : "***";
	size += 3 * (strlen(p->user ? p->user : "") + strlen(password));
	endpoint_format(&p->addr, p->port, place);
	url = xmalloc(size);
	out = url + snprintf(url, size, "%s://", kind);
	if (p->user) {
		encode(&out, p->user);
		if (p->password) {
			*out++ = ':';
			if (with_password)
				encode(&out, password);
			else
				out = stpcpy(out, password);
		}
		*out++ = '@';
	}
	snprintf(out, size - (size_t)(out - url), "%s", place);
	return url;
}
