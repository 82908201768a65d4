/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Domain names with letters beyond ASCII are converted by libidn2, which is only looked for when
 * there is one.
 */
#include "cli/network_values.h"

#include "base/cleanup.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define IDN_LIBRARY         "libidn2.so.0"
#define IDN_NFC_INPUT       1
#define IDN_NONTRANSITIONAL 8

#define DNS_PORT 53

#define PORT_FORMAT "port must be in format HOST:GUEST[/udp] or BIND_ADDR:HOST:GUEST[/udp]"

const char *network_policy_word(const char *s, struct err *e)
{
	static const struct {
		const char *name, *policy;
	} names[] = {
		{"none", "none"},
		{"public-only", "public-only"},
		{"public", "public-only"},
		{"nonlocal", "nonlocal"},
		{"public,private", "nonlocal"},
		{"allow-all", "allow-all"},
		{"all", "allow-all"},
		{"open", "allow-all"},
	};
	struct policy p = {0};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strcmp(names[i].name, s) == 0)
			return names[i].policy;
	policy_preset(&p, s, e);
	policy_release(&p);
	return NULL;
}

/* --- domain names -------------------------------------------------------------------------- */

typedef int idn_lookup_fn(const uint8_t *src, uint8_t **ret, int flags);
typedef const char *idn_strerror_fn(int r);
typedef void idn_free_fn(void *p);

static int convert(void *library, const char *s, char **ret, struct err *e)
{
	idn_lookup_fn *lookup = (idn_lookup_fn *)dlsym(library, "idn2_lookup_u8");
	idn_strerror_fn *text = (idn_strerror_fn *)dlsym(library, "idn2_strerror");
	idn_free_fn *release = (idn_free_fn *)dlsym(library, "idn2_free");
	uint8_t *ascii = NULL;
	int r;

	if (!lookup || !text || !release)
		return err_set(e, ERR_SYSTEM, "%s lacks what is needed of it", IDN_LIBRARY);
	r = lookup((const uint8_t *)s, &ascii, IDN_NFC_INPUT | IDN_NONTRANSITIONAL);
	if (r != 0)
		return err_set(e, ERR_INVALID, "'%s' is no domain name: %s", s, text(r));
	*ret = xstrdup((const char *)ascii);
	release(ascii);
	return 0;
}

/* In A-labels; owned, or NULL. */
static char *to_ascii(const char *s, struct err *e)
{
	void *library = dlopen(IDN_LIBRARY, RTLD_NOW | RTLD_LOCAL);
	char *ascii = NULL;

	if (!library) {
		err_set(e, ERR_UNSUPPORTED, "the name '%s' has letters beyond ASCII", s);
		err_hint(e, "install libidn2 (Debian: libidn2-0), or write the name in its "
			    "encoded form, xn--...");
		return NULL;
	}
	convert(library, s, &ascii, e);
	dlclose(library);
	return ascii;
}

int network_domain(const char *s, char out[DOMAIN_LEN], struct err *e)
{
	_cleanup_free_ char *ascii = NULL;
	int r = domain_normalize(s, strlen(s), out);

	if (r == -EILSEQ) {
		ascii = to_ascii(s, e);
		if (!ascii)
			return -1;
		r = domain_normalize(ascii, strlen(ascii), out);
	}
	return r < 0 ? err_set(e, ERR_INVALID, "'%s' is no domain name", s) : 0;
}

char *network_deny_domain(const char *s, bool suffix, struct err *e)
{
	char name[DOMAIN_LEN];

	if (suffix && str_starts_with(s, "*."))
		s += 2;
	else if (suffix && *s == '.')
		s++;
	if (network_domain(s, name, e) < 0)
		return NULL;
	return xasprintf("deny@%s=%s", suffix ? "suffix" : "domain", name);
}

static bool is_ascii(const char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s >= 0x80)
			return false;
	return true;
}

/* The rule with the name of its target in A-labels; owned, or NULL. */
static char *rule_to_ascii(const char *s, struct err *e)
{
	static const char *const before[] = {"domain=", "suffix=.", "suffix=", "*."};
	const char *name = strchr(s, '@');
	_cleanup_free_ char *alone = NULL;
	char ascii[DOMAIN_LEN];
	size_t n;

	if (!name)
		return xstrdup(s);
	name++;
	for (size_t i = 0; i < ARRAY_SIZE(before); i++) {
		if (str_starts_with(name, before[i])) {
			name += strlen(before[i]);
			break;
		}
	}
	n = strcspn(name, ":");
	alone = xstrndup(name, n);
	if (is_ascii(alone))
		return xstrdup(s);
	if (network_domain(alone, ascii, e) < 0)
		return NULL;
	return xasprintf("%.*s%s%s", (int)(name - s), s, ascii, name + n);
}

char *network_rule(const char *s, struct err *e)
{
	_cleanup_free_ char *ascii = rule_to_ascii(s, e);
	struct policy_rule r;
	char *text;

	if (!ascii || policy_rule_parse(ascii, &r, e) < 0)
		return NULL;
	text = steal_ptr(&r.text);
	policy_rule_release(&r);
	return text;
}

/* --- addresses and numbers ----------------------------------------------------------------- */

int network_place(const char *s, struct addr *ret, uint16_t *ret_port)
{
	char inner[ADDR_LEN];
	size_t n = strlen(s);

	*ret_port = 0;
	if (addr_parse(s, ret) == 0)
		return 0;
	if (*s != '[' || s[n - 1] != ']')
		return endpoint_parse(s, ret, ret_port) == 0 && *ret_port ? 0 : -EINVAL;
	if (n - 2 >= sizeof(inner) || !strchr(s, ':'))
		return -EINVAL;
	memcpy(inner, s + 1, n - 2);
	inner[n - 2] = '\0';
	return addr_parse(inner, ret);
}

int network_nameserver(const char *s, struct net_server *ret, struct err *e)
{
	if (network_place(s, &ret->addr, &ret->port) < 0) {
		err_set(e, ERR_INVALID, "'%s' is no address with or without a port", s);
		return err_hint(e, "as in 192.0.2.1, 192.0.2.1:53 or [2001:db8::1]:53");
	}
	if (!ret->port)
		ret->port = DNS_PORT;
	return 0;
}

int network_rate(const char *s, uint64_t *ret, struct err *e)
{
	static const char units[] = "kmgt";
	size_t digits = strspn(s, "0123456789"), unit = 0;
	_cleanup_free_ char *number = xstrndup(s, digits);
	const char *at;

	if (s[digits]) {
		at = strchr(units, s[digits] | 0x20);
		if (!at || s[digits + 1])
			return err_set(e, ERR_INVALID, "it is written as 500K, 10M or 1G");
		unit = (size_t)(at - units) + 1;
	}
	if (parse_u64(number, INT64_MAX >> (10 * unit), ret) < 0 || *ret == 0)
		return err_set(e, ERR_INVALID,
			       "it must be a number above 0, as in 500K, 10M or 1G");
	*ret <<= 10 * unit;
	return 0;
}

static int bad_port(const char *s, struct err *e)
{
	err_set(e, ERR_INVALID, PORT_FORMAT);
	if (strchr(s, '-') && s[strspn(s, "0123456789.-:[]/abcdefABCDEFtcpu")] == '\0')
		return err_hint(e, "ranges of ports are not supported: give one --port for each");
	return -1;
}

/* Takes /tcp or /udp off the end. */
static int take_protocol(char *s, enum policy_protocol *ret, struct err *e)
{
	char *slash = strchr(s, '/');

	*ret = PROTO_TCP;
	if (!slash)
		return 0;
	*slash = '\0';
	if (strcmp(slash + 1, "tcp") == 0)
		return 0;
	if (strcmp(slash + 1, "udp") != 0)
		return err_set(e, ERR_INVALID, PORT_FORMAT);
	*ret = PROTO_UDP;
	return 0;
}

int network_port(const char *s, struct net_publish *ret, struct err *e)
{
	_cleanup_free_ char *copy = xstrdup(s);
	char *guest, *host = copy;
	uint64_t n;

	*ret = (struct net_publish){.addr = addr_from_v4((struct in_addr){htonl(INADDR_LOOPBACK)})};
	if (take_protocol(copy, &ret->protocol, e) < 0)
		return -1;
	guest = strrchr(copy, ':');
	if (!guest)
		return bad_port(s, e);
	*guest++ = '\0';
	if (strchr(host, ':')) {
		/* What is left is an endpoint. */
		if (endpoint_parse(host, &ret->addr, &ret->host_port) < 0)
			return bad_port(s, e);
	} else if (parse_u64(host, UINT16_MAX, &n) < 0) {
		return bad_port(s, e);
	} else {
		ret->host_port = (uint16_t)n;
	}
	if (parse_u64(guest, UINT16_MAX, &n) < 0 || n == 0)
		return bad_port(s, e);
	ret->guest_port = (uint16_t)n;
	return 0;
}
