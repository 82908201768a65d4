/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rules as people write them: <allow|deny>[:DIRECTION]@TARGET[:PROTOCOL[:PORTS]]. What could be
 * understood in two ways is refused with a word on how to say it.
 */
#include "net/policy.h"

#include "base/cleanup.h"
#include "base/similar.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RULE_LEN 512

static const char *const actions[] = {"deny", "allow"};
static const char *const directions[] = {"egress", "ingress", "any"};
static const char *const protocols[] = {"any", "tcp", "udp", "icmpv4", "icmpv6"};

#define ACTIONS    "allow deny"
#define DIRECTIONS "egress ingress any"
#define PROTOCOLS  "any tcp udp icmpv4 icmpv6"
#define GROUPS     "any dns public private loopback link-local meta multicast host"

void policy_rule_release(struct policy_rule *r)
{
	free(r->domain);
	free(r->text);
	*r = (struct policy_rule){0};
}

const char *policy_protocol_name(enum policy_protocol p)
{
	return protocols[p];
}

static int find_word(const char *const *words, size_t n, const char *s)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(words[i], s) == 0)
			return (int)i;
	return -1;
}

/* Says which of the words may have been meant, or all of them. */
static int hint_words(struct err *e, const char *list, const char *s)
{
	size_t len;
	const char *w = similar_word(list, s, &len);

	if (w)
		return err_hint(e, "did you mean '%.*s'?", (int)len, w);
	return err_hint(e, "it is one of: %s", list);
}

/* Cuts the text at the first `c` and returns what follows; NULL: there is none. */
static char *cut(char *s, char c)
{
	char *at = strchr(s, c);

	if (!at)
		return NULL;
	*at = '\0';
	return at + 1;
}

static int parse_action(char *s, struct policy_rule *r, struct err *e)
{
	char *direction = cut(s, ':');
	int n = find_word(actions, ARRAY_SIZE(actions), s);

	if (n < 0) {
		err_set(e, ERR_INVALID, "'%s' is no action", s);
		return hint_words(e, ACTIONS, s);
	}
	r->action = (enum policy_action)n;
	r->direction = POLICY_EGRESS;
	if (!direction)
		return 0;
	n = find_word(directions, ARRAY_SIZE(directions), direction);
	if (n < 0) {
		err_set(e, ERR_INVALID, "'%s' is no direction", direction);
		return hint_words(e, DIRECTIONS, direction);
	}
	r->direction = (enum policy_direction)n;
	return 0;
}

static int set_domain(struct policy_rule *r, enum target_kind kind, const char *s, struct err *e)
{
	char name[DOMAIN_LEN];
	int n = domain_normalize(s, strlen(s), name);

	if (n == -EILSEQ) {
		err_set(e, ERR_INVALID, "'%s' has letters beyond ASCII", s);
		return err_hint(e, "write it in its encoded form, xn--...");
	}
	if (n < 0)
		return err_set(e, ERR_INVALID, "'%s' is no domain name", s);
	r->kind = kind;
	r->domain = xstrdup(name);
	return 0;
}

/* Whether somebody may have meant an address by it: nothing but digits, hex and dots. */
static bool looks_numeric(const char *s)
{
	return *s >= '0' && *s <= '9' && s[strspn(s, "0123456789abcdefABCDEFxX./")] == '\0';
}

static int parse_addr(struct policy_rule *r, const char *s, struct err *e)
{
	char bare[ADDR_LEN];
	struct addr a;

	r->kind = TARGET_PREFIX;
	if (prefix_parse(s, &r->prefix) == 0)
		return 0;
	snprintf(bare, sizeof(bare), "%.*s", (int)strcspn(s, "/"), s);
	if (addr_parse(bare, &a) == 0) {
		err_set(e, ERR_INVALID, "'%s' is no range of addresses", s);
		return err_hint(e, "the length must fit and the bits after it must be zero, as in "
				   "10.0.0.0/8");
	}
	err_set(e, ERR_INVALID, "'%s' is no address", s);
	return err_hint(e, "addresses are written as four decimal numbers without leading zeroes "
			   "or, for IPv6, in brackets");
}

static bool parse_group(struct policy_rule *r, const char *s)
{
	if (strcmp(s, "metadata") == 0)
		s = "meta";
	for (int c = ADDR_PUBLIC; c < ADDR_UNSPECIFIED; c++) {
		if (strcmp(s, addr_class_name((enum addr_class)c)) == 0) {
			r->kind = TARGET_CLASS;
			r->class = (enum addr_class)c;
			return true;
		}
	}
	if (strcmp(s, "any") == 0)
		r->kind = TARGET_ANY;
	else if (strcmp(s, "dns") == 0)
		r->kind = TARGET_DNS;
	else if (strcmp(s, "host") == 0)
		r->kind = TARGET_HOST;
	else
		return false;
	return true;
}

static int refuse_label(const char *s, struct err *e)
{
	size_t len;
	const char *w = similar_word(GROUPS, s, &len);

	err_set(e, ERR_INVALID,
		"'%s' is ambiguous: neither a group of addresses nor a full domain name", s);
	if (w)
		return err_hint(e, "did you mean '%.*s'? A host of that name is domain=%s",
				(int)len, w, s);
	return err_hint(e, "a host of that name is domain=%s; the groups are: " GROUPS, s);
}

static int parse_target(struct policy_rule *r, const char *s, struct err *e)
{
	if (!*s)
		return err_set(e, ERR_INVALID, "nothing stands for the target");
	if (str_starts_with(s, "domain="))
		return set_domain(r, TARGET_DOMAIN, s + strlen("domain="), e);
	if (str_starts_with(s, "suffix=")) {
		s += strlen("suffix=");
		return set_domain(r, TARGET_SUFFIX, s + (*s == '.'), e);
	}
	if (str_starts_with(s, "*.")) {
		if (!strchr(s + 2, '.'))
			return err_set(e, ERR_INVALID, "'%s' takes in too much; write suffix=%s", s,
				       s + 2);
		return set_domain(r, TARGET_SUFFIX, s + 2, e);
	}
	if (parse_group(r, s))
		return 0;
	if (strchr(s, '/') || strchr(s, ':') || looks_numeric(s))
		return parse_addr(r, s, e);
	if (!strchr(s, '.'))
		return refuse_label(s, e);
	return set_domain(r, TARGET_DOMAIN, s, e);
}

static int split_brackets(char *s, char **ret_rest, struct err *e)
{
	char *end = strchr(s, ']');
	struct prefix p;
	size_t n;

	if (!end)
		return err_set(e, ERR_INVALID, "'%s' lacks a closing bracket", s);
	/* [fd00::]/8 and [fd00::/8] are the same. */
	n = strcspn(end + 1, ":");
	*ret_rest = end[n + 1] ? end + n + 2 : NULL;
	memmove(end, end + 1, n);
	end[n] = '\0';
	memmove(s, s + 1, strlen(s));
	if (!strchr(s, ':') || (!strchr(s, '/') && prefix_parse(s, &p) < 0))
		return err_set(e, ERR_INVALID, "'%s' in brackets is no IPv6 address", s);
	return 0;
}

/* Takes the target off the text: up to the next colon, or with the brackets of IPv6 removed. */
static int split_target(char *s, char **ret_rest, struct err *e)
{
	struct prefix p;

	if (*s == '[')
		return split_brackets(s, ret_rest, e);
	if (strchr(s, ':') && prefix_parse(s, &p) == 0) {
		err_set(e, ERR_INVALID, "'%s' stands without brackets", s);
		return err_hint(e, "IPv6 addresses are written as [%s]", s);
	}
	*ret_rest = cut(s, ':');
	return 0;
}

static int parse_ports(struct policy_rule *r, char *s, struct err *e)
{
	char *high = cut(s, '-');
	uint64_t lo, hi;

	if (!high && strcmp(s, "any") == 0)
		return 0;
	if (parse_u64(s, UINT16_MAX, &lo) < 0 || lo == 0)
		return err_set(e, ERR_INVALID, "'%s' is no port", s);
	hi = lo;
	if (high && (parse_u64(high, UINT16_MAX, &hi) < 0 || hi == 0))
		return err_set(e, ERR_INVALID, "'%s' is no port", high);
	if (hi < lo)
		return err_set(e, ERR_INVALID, "ports from '%s' to '%s' are none", s, high);
	r->port_lo = (uint16_t)lo;
	r->port_hi = (uint16_t)hi;
	return 0;
}

static int parse_service(struct policy_rule *r, char *s, struct err *e)
{
	char *ports;
	int n;

	r->protocol = PROTO_ANY;
	r->port_lo = 0;
	r->port_hi = UINT16_MAX;
	if (!s)
		return 0;
	ports = cut(s, ':');
	n = find_word(protocols, ARRAY_SIZE(protocols), s);
	if (n < 0) {
		err_set(e, ERR_INVALID, "'%s' is no protocol", s);
		return hint_words(e, PROTOCOLS, s);
	}
	r->protocol = (enum policy_protocol)n;
	return ports ? parse_ports(r, ports, e) : 0;
}

static int check_rule(const struct policy_rule *r, struct err *e)
{
	bool icmp = r->protocol == PROTO_ICMPV4 || r->protocol == PROTO_ICMPV6;

	if (icmp && r->port_lo)
		return err_set(e, ERR_INVALID, "'%s' has no ports", protocols[r->protocol]);
	if (r->direction != POLICY_INGRESS)
		return 0;
	if (icmp)
		return err_set(e, ERR_INVALID, "'%s' does not come in", protocols[r->protocol]);
	if (r->domain || r->kind == TARGET_DNS) {
		err_set(e, ERR_INVALID, "'%s' does not come in", r->domain ? r->domain : "dns");
		return err_hint(e, "who connects is known by address only");
	}
	return 0;
}

static void format_target(const struct policy_rule *r, char *out, size_t size)
{
	char a[ADDR_LEN];

	switch (r->kind) {
	case TARGET_ANY:
		snprintf(out, size, "any");
		break;
	case TARGET_DNS:
		snprintf(out, size, "dns");
		break;
	case TARGET_HOST:
		snprintf(out, size, "host");
		break;
	case TARGET_CLASS:
		snprintf(out, size, "%s", addr_class_name(r->class));
		break;
	case TARGET_DOMAIN:
		snprintf(out, size, "domain=%s", r->domain);
		break;
	case TARGET_SUFFIX:
		snprintf(out, size, "suffix=%s", r->domain);
		break;
	case TARGET_PREFIX:
		addr_format(&r->prefix.addr, a);
		if (r->prefix.len == 128)
			snprintf(out, size, addr_is_v4(&r->prefix.addr) ? "%s" : "[%s]", a);
		else if (addr_is_v4(&r->prefix.addr))
			snprintf(out, size, "%s/%u", a, r->prefix.len - 96);
		else
			snprintf(out, size, "[%s/%u]", a, r->prefix.len);
		break;
	}
}

static char *format_rule(const struct policy_rule *r)
{
	char target[DOMAIN_LEN + 16], direction[16] = "", ports[16] = "";
	const char *protocol = "", *colon = "";

	if (r->direction != POLICY_EGRESS)
		snprintf(direction, sizeof(direction), ":%s", directions[r->direction]);
	if (r->protocol != PROTO_ANY || r->port_lo) {
		colon = ":";
		protocol = protocols[r->protocol];
	}
	if (r->port_lo && r->port_lo == r->port_hi)
		snprintf(ports, sizeof(ports), ":%u", r->port_lo);
	else if (r->port_lo)
		snprintf(ports, sizeof(ports), ":%u-%u", r->port_lo, r->port_hi);
	format_target(r, target, sizeof(target));
	return xasprintf("%s%s@%s%s%s%s", actions[r->action], direction, target, colon, protocol,
			 ports);
}

static int parse_parts(char *s, struct policy_rule *r, struct err *e)
{
	char *target = cut(s, '@'), *service = NULL;

	if (!target) {
		err_set(e, ERR_INVALID, "there is no '@'");
		return err_hint(e, "a rule is <allow|deny>[:egress|ingress|any]@TARGET"
				   "[:PROTOCOL[:PORTS]], as in allow@example.com:tcp:443");
	}
	if (parse_action(s, r, e) < 0)
		return -1;
	if (split_target(target, &service, e) < 0)
		return -1;
	if (parse_target(r, target, e) < 0 || parse_service(r, service, e) < 0)
		return -1;
	return check_rule(r, e);
}

int policy_rule_parse(const char *s, struct policy_rule *ret, struct err *e)
{
	struct err own;
	char text[RULE_LEN];

	if (!e)
		e = &own;
	*ret = (struct policy_rule){0};
	if (strlen(s) >= sizeof(text))
		return err_set(e, ERR_INVALID, "a network rule is too long");
	memcpy(text, s, strlen(s) + 1);
	if (parse_parts(text, ret, e) < 0) {
		policy_rule_release(ret);
		return err_wrap(e, "network rule '%s'", s);
	}
	ret->text = format_rule(ret);
	return 0;
}
