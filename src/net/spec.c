/* SPDX-License-Identifier: Apache-2.0 */
/* The text of a network's specification, and the plan of addresses. */
#include "net/spec.h"

#include "base/buf.h"
#include "base/cleanup.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_MAX_LEN 1024
#define WORDS_MAX    3

void net_spec_init(struct net_spec *s)
{
	*s = (struct net_spec){
		.mtu = NET_MTU_DEFAULT,
		.max_connections = NET_CONNECTIONS_DEFAULT,
		.rebind_protection = true,
	};
}

void net_spec_release(struct net_spec *s)
{
	policy_release(&s->policy);
	net_proxy_release(&s->proxy);
}

static int bad(struct err *e, const char *what, const char *word)
{
	return err_set(e, ERR_INVALID, "'%s' is no %s", word, what);
}

static int parse_mac(const char *s, uint8_t mac[6])
{
	for (size_t i = 0; i < 6; i++) {
		char digits[3] = {s[0], s[0] ? s[1] : '\0'};
		char *end;

		if (strspn(digits, "0123456789abcdef") != 2)
			return -EINVAL;
		mac[i] = (uint8_t)strtoul(digits, &end, 16);
		if (s[2] != (i < 5 ? ':' : '\0'))
			return -EINVAL;
		s += 3;
	}
	return mac[0] & 1 ? -EINVAL : 0;
}

static int take_mac(struct net_spec *s, char **w, struct err *e)
{
	return parse_mac(w[0], s->mac) < 0 ? bad(e, "MAC address", w[0]) : 0;
}

static int take_gateway_mac(struct net_spec *s, char **w, struct err *e)
{
	return parse_mac(w[0], s->gateway_mac) < 0 ? bad(e, "MAC address", w[0]) : 0;
}

static int take_number(const char *word, uint64_t min, uint64_t max, uint64_t *ret, struct err *e)
{
	if (parse_u64(word, max, ret) < 0 || *ret < min)
		return err_set(e, ERR_INVALID, "'%s' is no number from %" PRIu64 " to %" PRIu64,
			       word, min, max);
	return 0;
}

static int take_mtu(struct net_spec *s, char **w, struct err *e)
{
	uint64_t n;

	if (take_number(w[0], NET_MTU_MIN, NET_MTU_MAX, &n, e) < 0)
		return -1;
	s->mtu = (unsigned int)n;
	return 0;
}

/* ADDRESS/LEN GATEWAY of one family. */
static int take_family(struct net_family *f, char **w, bool v4, struct err *e)
{
	char *slash = strchr(w[0], '/');
	unsigned int bits = v4 ? 32 : 128;
	struct prefix p;
	uint64_t len;

	if (!slash || parse_u64(slash + 1, bits, &len) < 0)
		return bad(e, "address with a length", w[0]);
	*slash = '\0';
	if (addr_parse(w[0], &f->guest) < 0 || addr_is_v4(&f->guest) != v4)
		return bad(e, "address of the family", w[0]);
	if (addr_parse(w[1], &f->gateway) < 0 || addr_is_v4(&f->gateway) != v4)
		return bad(e, "address of the family", w[1]);
	p = (struct prefix){f->guest, (unsigned int)len + 128 - bits};
	if (!addr_in(&f->gateway, &p) || addr_equal(&f->gateway, &f->guest))
		return bad(e, "gateway of the guest", w[1]);
	f->prefix_len = (unsigned int)len;
	f->on = true;
	return 0;
}

static int take_ip4(struct net_spec *s, char **w, struct err *e)
{
	return take_family(&s->v4, w, true, e);
}

static int take_ip6(struct net_spec *s, char **w, struct err *e)
{
	return take_family(&s->v6, w, false, e);
}

/* "egress" or "ingress": which of the two it is about. */
static int take_direction(const char *word, bool *ret_ingress, struct err *e)
{
	*ret_ingress = strcmp(word, "ingress") == 0;
	if (!*ret_ingress && strcmp(word, "egress") != 0)
		return bad(e, "direction", word);
	return 0;
}

static int take_default(struct net_spec *s, char **w, struct err *e)
{
	bool ingress, allow = strcmp(w[1], "allow") == 0;

	if (take_direction(w[0], &ingress, e) < 0)
		return -1;
	if (!allow && strcmp(w[1], "deny") != 0)
		return bad(e, "action", w[1]);
	*(ingress ? &s->policy.ingress : &s->policy.egress) = allow ? POLICY_ALLOW : POLICY_DENY;
	return 0;
}

static int take_rule(struct net_spec *s, char **w, struct err *e)
{
	struct policy_rule r;

	if (policy_rule_parse(w[0], &r, e) < 0)
		return -1;
	if (policy_add(&s->policy, &r, e) == 0)
		return 0;
	policy_rule_release(&r);
	return -1;
}

static int take_max_connections(struct net_spec *s, char **w, struct err *e)
{
	uint64_t n;

	if (take_number(w[0], 1, NET_CONNECTIONS_MAX, &n, e) < 0)
		return -1;
	s->max_connections = (unsigned int)n;
	return 0;
}

static int take_rate(struct net_spec *s, char **w, struct err *e)
{
	bool ingress;

	if (take_direction(w[0], &ingress, e) < 0)
		return -1;
	return take_number(w[1], 1, INT64_MAX, &(ingress ? &s->ingress : &s->egress)->bytes, e);
}

static int take_packets(struct net_spec *s, char **w, struct err *e)
{
	bool ingress;

	if (take_direction(w[0], &ingress, e) < 0)
		return -1;
	return take_number(w[1], 1, INT64_MAX, &(ingress ? &s->ingress : &s->egress)->packets, e);
}

static int take_nameserver(struct net_spec *s, char **w, struct err *e)
{
	struct net_server *n = &s->nameservers[s->n_nameservers];

	if (s->n_nameservers >= NET_NAMESERVERS_MAX)
		return err_set(e, ERR_INVALID, "more than %d nameservers", NET_NAMESERVERS_MAX);
	if (endpoint_parse(w[0], &n->addr, &n->port) < 0 || n->port == 0)
		return bad(e, "address with a port", w[0]);
	s->n_nameservers++;
	return 0;
}

static int take_rebind_protection(struct net_spec *s, char **w, struct err *e)
{
	s->rebind_protection = strcmp(w[0], "on") == 0;
	if (!s->rebind_protection && strcmp(w[0], "off") != 0)
		return bad(e, "switch", w[0]);
	return 0;
}

static int take_publish(struct net_spec *s, char **w, struct err *e)
{
	struct net_publish *p = &s->publish[s->n_publish];
	uint64_t port;

	if (s->n_publish >= NET_PUBLISH_MAX)
		return err_set(e, ERR_INVALID, "more than %d published ports", NET_PUBLISH_MAX);
	p->protocol = strcmp(w[0], "tcp") == 0 ? PROTO_TCP : PROTO_UDP;
	if (p->protocol == PROTO_UDP && strcmp(w[0], "udp") != 0)
		return bad(e, "protocol of a port", w[0]);
	if (endpoint_parse(w[1], &p->addr, &p->host_port) < 0)
		return bad(e, "address with a port", w[1]);
	if (take_number(w[2], 1, UINT16_MAX, &port, e) < 0)
		return -1;
	p->guest_port = (uint16_t)port;
	s->n_publish++;
	return 0;
}

static int take_proxy(struct net_spec *s, char **w, struct err *e)
{
	net_proxy_release(&s->proxy);
	return net_proxy_parse(w[0], &s->proxy, e);
}

static const struct item {
	const char *name;
	unsigned int words;
	int (*take)(struct net_spec *s, char **w, struct err *e);
} items[] = {
	{"mac", 1, take_mac},
	{"gateway-mac", 1, take_gateway_mac},
	{"mtu", 1, take_mtu},
	{"ip4", 2, take_ip4},
	{"ip6", 2, take_ip6},
	{"default", 2, take_default},
	{"rule", 1, take_rule},
	{"max-connections", 1, take_max_connections},
	{"rate", 2, take_rate},
	{"packets", 2, take_packets},
	{"nameserver", 1, take_nameserver},
	{"rebind-protection", 1, take_rebind_protection},
	{"publish", 3, take_publish},
	{"proxy", 1, take_proxy},
};

/* One space between words; NUL is put in its place. Returns their number, 0 for too many. */
static unsigned int split_words(char *line, char *words[WORDS_MAX + 1])
{
	unsigned int n = 0;

	for (char *s = line; s; n++) {
		if (n > WORDS_MAX)
			return 0;
		words[n] = s;
		s = strchr(s, ' ');
		if (s)
			*s++ = '\0';
	}
	return n;
}

static int take_line(struct net_spec *s, char *line, struct err *e)
{
	char *words[WORDS_MAX + 1];
	unsigned int n = split_words(line, words);

	for (size_t i = 0; n && i < ARRAY_SIZE(items); i++)
		if (strcmp(items[i].name, words[0]) == 0 && items[i].words == n - 1)
			return items[i].take(s, words + 1, e);
	return err_set(e, ERR_INVALID, "no such item");
}

static int check_spec(const struct net_spec *s, struct err *e)
{
	static const uint8_t none[6];

	if (memcmp(s->mac, none, 6) == 0 || memcmp(s->gateway_mac, none, 6) == 0)
		return err_set(e, ERR_INVALID, "the network has no MAC addresses");
	if (!s->v4.on && !s->v6.on)
		return err_set(e, ERR_INVALID, "the network has no addresses");
	return 0;
}

int net_spec_parse(struct net_spec *s, const char *text, struct err *e)
{
	_cleanup_secret_ char *line = xcalloc(1, LINE_MAX_LEN);
	size_t n;

	for (unsigned int number = 1; *text; number++) {
		n = strcspn(text, "\n");
		if (n >= LINE_MAX_LEN)
			return err_set(e, ERR_INVALID, "line %u of the network is too long",
				       number);
		memcpy(line, text, n);
		line[n] = '\0';
		if (take_line(s, line, e) < 0)
			return err_wrap(e, "line %u of the network", number);
		text += n + (text[n] == '\n');
	}
	return check_spec(s, e);
}

static void put_mac(struct buf *b, const char *name, const uint8_t m[6])
{
	buf_printf(b, "%s %02x:%02x:%02x:%02x:%02x:%02x\n", name, m[0], m[1], m[2], m[3], m[4],
		   m[5]);
}

static void put_family(struct buf *b, const char *name, const struct net_family *f)
{
	char guest[ADDR_LEN], gateway[ADDR_LEN];

	if (!f->on)
		return;
	addr_format(&f->guest, guest);
	addr_format(&f->gateway, gateway);
	buf_printf(b, "%s %s/%u %s\n", name, guest, f->prefix_len, gateway);
}

static void put_policy(struct buf *b, const struct policy *p)
{
	static const char *const actions[] = {"deny", "allow"};

	buf_printf(b, "default egress %s\ndefault ingress %s\n", actions[p->egress],
		   actions[p->ingress]);
	for (size_t i = 0; i < p->n_rules; i++)
		buf_printf(b, "rule %s\n", p->rules[i].text);
}

static void put_rate(struct buf *b, const char *direction, const struct net_rate *r)
{
	if (r->bytes)
		buf_printf(b, "rate %s %" PRIu64 "\n", direction, r->bytes);
	if (r->packets)
		buf_printf(b, "packets %s %" PRIu64 "\n", direction, r->packets);
}

static void put_places(struct buf *b, const struct net_spec *s)
{
	char place[ENDPOINT_LEN];

	for (unsigned int i = 0; i < s->n_nameservers; i++) {
		endpoint_format(&s->nameservers[i].addr, s->nameservers[i].port, place);
		buf_printf(b, "nameserver %s\n", place);
	}
	for (unsigned int i = 0; i < s->n_publish; i++) {
		const struct net_publish *p = &s->publish[i];

		endpoint_format(&p->addr, p->host_port, place);
		buf_printf(b, "publish %s %s %u\n", p->protocol == PROTO_TCP ? "tcp" : "udp", place,
			   p->guest_port);
	}
}

char *net_spec_format(const struct net_spec *s)
{
	_cleanup_secret_ char *proxy = NULL;
	struct buf b;
	char *text;

	buf_init(&b, NET_SPEC_MAX);
	put_mac(&b, "mac", s->mac);
	put_mac(&b, "gateway-mac", s->gateway_mac);
	buf_printf(&b, "mtu %u\n", s->mtu);
	put_family(&b, "ip4", &s->v4);
	put_family(&b, "ip6", &s->v6);
	put_policy(&b, &s->policy);
	buf_printf(&b, "max-connections %u\n", s->max_connections);
	put_rate(&b, "egress", &s->egress);
	put_rate(&b, "ingress", &s->ingress);
	buf_printf(&b, "rebind-protection %s\n", s->rebind_protection ? "on" : "off");
	put_places(&b, s);
	if (s->proxy.kind != PROXY_NONE)
		proxy = net_proxy_format(&s->proxy, true);
	/* Joined by one allocation: no stray copies of a password. */
	text = xasprintf("%.*s%s%s%s", (int)buf_len(&b), (const char *)buf_data(&b),
			 proxy ? "proxy " : "", proxy ? proxy : "", proxy ? "\n" : "");
	buf_release(&b);
	return text;
}

void net_spec_set_slot(struct net_spec *s, unsigned int slot)
{
	uint8_t hi = (uint8_t)(slot >> 8), lo = (uint8_t)slot;
	uint32_t net4 = 0xac100000 + slot * 4; /* 172.16.0.0/12, a /30 for each */
	struct addr net6 = {{0xfd, 0x42, 0x6d, 0x73, 0, 0x62, hi, lo}};

	memcpy(s->mac, (const uint8_t[]){0x02, 0x6d, 0x73, hi, lo, 0x02}, 6);
	memcpy(s->gateway_mac, (const uint8_t[]){0x02, 0x6d, 0x73, hi, lo, 0x01}, 6);
	s->v4 = (struct net_family){true, addr_from_v4((struct in_addr){htonl(net4 + 2)}),
				    addr_from_v4((struct in_addr){htonl(net4 + 1)}), 30};
	s->v6 = (struct net_family){true, net6, net6, 64};
	s->v6.guest.b[15] = 2;
	s->v6.gateway.b[15] = 1;
}
