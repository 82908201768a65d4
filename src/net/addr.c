/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses: text, classes, sockets. */
#include "net/addr.h"

#include "base/util.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

#define V4_BITS 96 /* in front of an IPv4 address */

struct addr addr_from_v4(struct in_addr a)
{
	struct addr r;

	memcpy(r.b, mapped, sizeof(mapped));
	memcpy(r.b + sizeof(mapped), &a, sizeof(a));
	return r;
}

struct addr addr_from_v6(const struct in6_addr *a)
{
	struct addr r;

	memcpy(r.b, a, sizeof(r.b));
	return r;
}

bool addr_is_v4(const struct addr *a)
{
	return memcmp(a->b, mapped, sizeof(mapped)) == 0;
}

struct in_addr addr_v4(const struct addr *a)
{
	struct in_addr r;

	memcpy(&r, a->b + sizeof(mapped), sizeof(r));
	return r;
}

bool addr_equal(const struct addr *a, const struct addr *b)
{
	return memcmp(a->b, b->b, sizeof(a->b)) == 0;
}

bool addr_is_unspecified(const struct addr *a)
{
	static const uint8_t zero[16];

	if (addr_is_v4(a))
		return memcmp(a->b + sizeof(mapped), zero, 4) == 0;
	return memcmp(a->b, zero, sizeof(zero)) == 0;
}

static bool same_bits(const struct addr *a, const struct addr *b, unsigned int len)
{
	unsigned int bytes = len / 8, rest = len % 8;

	if (memcmp(a->b, b->b, bytes) != 0)
		return false;
	return rest == 0 || (a->b[bytes] ^ b->b[bytes]) >> (8 - rest) == 0;
}

bool addr_in(const struct addr *a, const struct prefix *p)
{
	/* ::/0 and its like speak of IPv6, though the mapped form lies in them. */
	if (p->len < V4_BITS && addr_is_v4(a))
		return false;
	return same_bits(a, &p->addr, p->len);
}

int addr_parse(const char *s, struct addr *ret)
{
	struct in6_addr v6;
	struct in_addr v4;

	/* Both are strict: four decimal parts without leading zeroes, no zone. */
	if (inet_pton(AF_INET, s, &v4) == 1)
		*ret = addr_from_v4(v4);
	else if (inet_pton(AF_INET6, s, &v6) == 1)
		*ret = addr_from_v6(&v6);
	else
		return -EINVAL;
	return 0;
}

static bool rest_is_zero(const struct prefix *p)
{
	for (unsigned int bit = p->len; bit < 128; bit++)
		if (p->addr.b[bit / 8] & 0x80 >> bit % 8)
			return false;
	return true;
}

int prefix_parse(const char *s, struct prefix *ret)
{
	const char *slash = strchr(s, '/');
	unsigned int before = strchr(s, ':') ? 0 : V4_BITS;
	uint64_t len = 128 - before;
	char text[ADDR_LEN];
	size_t n = slash ? (size_t)(slash - s) : strlen(s);

	if (n >= sizeof(text))
		return -EINVAL;
	memcpy(text, s, n);
	text[n] = '\0';
	if (addr_parse(text, &ret->addr) < 0)
		return -EINVAL;
	if (slash && parse_u64(slash + 1, len, &len) < 0)
		return -EINVAL;
	ret->len = before + (unsigned int)len;
	return rest_is_zero(ret) ? 0 : -EINVAL;
}

void addr_format(const struct addr *a, char out[ADDR_LEN])
{
	if (addr_is_v4(a))
		inet_ntop(AF_INET, a->b + sizeof(mapped), out, ADDR_LEN);
	else
		inet_ntop(AF_INET6, a->b, out, ADDR_LEN);
}

void endpoint_format(const struct addr *a, uint16_t port, char out[ENDPOINT_LEN])
{
	char text[ADDR_LEN];

	addr_format(a, text);
	snprintf(out, ENDPOINT_LEN, addr_is_v4(a) ? "%s:%u" : "[%s]:%u", text, port);
}

int endpoint_parse(const char *s, struct addr *ret, uint16_t *ret_port)
{
	const char *colon = strrchr(s, ':');
	bool brackets = *s == '[';
	char text[ADDR_LEN];
	uint64_t port;
	size_t n;

	if (!colon || parse_u64(colon + 1, UINT16_MAX, &port) < 0)
		return -EINVAL;
	n = (size_t)(colon - s);
	if (brackets) {
		if (n < 2 || s[n - 1] != ']')
			return -EINVAL;
		s++;
		n -= 2;
	}
	if (n >= sizeof(text))
		return -EINVAL;
	memcpy(text, s, n);
	text[n] = '\0';
	if (brackets != !!strchr(text, ':'))
		return -EINVAL;
	*ret_port = (uint16_t)port;
	return addr_parse(text, ret);
}

socklen_t addr_to_sockaddr(const struct addr *a, uint16_t port, struct sockaddr_storage *ret)
{
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ret;
	struct sockaddr_in *in = (struct sockaddr_in *)ret;

	memset(ret, 0, sizeof(*ret));
	if (addr_is_v4(a)) {
		in->sin_family = AF_INET;
		in->sin_port = htons(port);
		in->sin_addr = addr_v4(a);
		return sizeof(*in);
	}
	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(port);
	memcpy(&in6->sin6_addr, a->b, sizeof(a->b));
	return sizeof(*in6);
}

bool addr_from_sockaddr(const struct sockaddr_storage *ss, struct addr *ret, uint16_t *ret_port)
{
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)ss;
	const struct sockaddr_in *in = (const struct sockaddr_in *)ss;

	if (ss->ss_family == AF_INET) {
		*ret = addr_from_v4(in->sin_addr);
		*ret_port = ntohs(in->sin_port);
		return true;
	}
	if (ss->ss_family == AF_INET6) {
		*ret = addr_from_v6(&in6->sin6_addr);
		*ret_port = ntohs(in6->sin6_port);
		return true;
	}
	return false;
}

/* The first that contains an address gives its class. Lengths are of the 128 bits. */
struct range {
	uint8_t b[16];
	unsigned int len;
	enum addr_class class;
};

#define V4(a, b, c, d, n) {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d}, V4_BITS + (n)

static const struct range ranges[] = {
	{V4(0, 0, 0, 0, 8), ADDR_UNSPECIFIED},
	{V4(127, 0, 0, 0, 8), ADDR_LOOPBACK},
	{V4(10, 0, 0, 0, 8), ADDR_PRIVATE},
	{V4(172, 16, 0, 0, 12), ADDR_PRIVATE},
	{V4(192, 168, 0, 0, 16), ADDR_PRIVATE},
	{V4(100, 64, 0, 0, 10), ADDR_PRIVATE},
	{V4(169, 254, 169, 254, 32), ADDR_METADATA},
	{V4(169, 254, 0, 0, 16), ADDR_LINK_LOCAL},
	{V4(224, 0, 0, 0, 4), ADDR_MULTICAST},
	{V4(255, 255, 255, 255, 32), ADDR_MULTICAST},
	{{0}, 128, ADDR_UNSPECIFIED},
	{{[15] = 1}, 128, ADDR_LOOPBACK},
	{{0xfd, 0, 0x0e, 0xc2, [14] = 0x02, 0x54}, 128, ADDR_METADATA},
	{{0xfc}, 7, ADDR_PRIVATE},
	{{0xfe, 0xc0}, 10, ADDR_PRIVATE},                /* site-local, which once was the same */
	{{0, 0x64, 0xff, 0x9b, 0, 1}, 48, ADDR_PRIVATE}, /* a translator of the local network */
	{{0xfe, 0x80}, 10, ADDR_LINK_LOCAL},
	{{0xff}, 8, ADDR_MULTICAST},
};

static bool in_range(const struct addr *a, const struct range *r)
{
	struct addr net;

	memcpy(net.b, r->b, sizeof(net.b));
	return same_bits(a, &net, r->len);
}

static enum addr_class class_by_range(const struct addr *a)
{
	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++)
		if (in_range(a, &ranges[i]))
			return ranges[i].class;
	return ADDR_PUBLIC;
}

/* Forms of IPv6 that lead to an IPv4 address, and where that stands in them. */
static const struct carrier {
	struct range range;
	uint8_t offset;
	uint8_t mask; /* by which its bytes are disguised */
} carriers[] = {
	{{{0, 0x64, 0xff, 0x9b}, 96, 0}, 12, 0},       /* NAT64 */
	{{{0, 0x64, 0xff, 0x9b, 0, 1}, 48, 0}, 12, 0}, /* the same with a prefix of one's own */
	{{{0x20, 0x02}, 16, 0}, 2, 0},                 /* 6to4 */
	{{{0x20, 0x01}, 32, 0}, 4, 0},                 /* Teredo: its server */
	{{{0x20, 0x01}, 32, 0}, 12, 0xff},             /* and its client */
	{{{0}, 96, 0}, 12, 0},                         /* IPv4-compatible */
	{{{[8] = 0xff, 0xff}, 96, 0}, 12, 0},          /* IPv4-translated */
};

static bool is_plain(const struct addr *a)
{
	static const struct addr loopback = {.b = {[15] = 1}};

	return addr_is_v4(a) || addr_is_unspecified(a) || addr_equal(a, &loopback);
}

enum addr_class addr_class(const struct addr *a)
{
	if (is_plain(a))
		return class_by_range(a);
	for (size_t i = 0; i < ARRAY_SIZE(carriers); i++) {
		const struct carrier *c = &carriers[i];
		enum addr_class class;
		struct addr in;

		if (!in_range(a, &c->range))
			continue;
		memcpy(in.b, mapped, sizeof(mapped));
		for (size_t j = 0; j < 4; j++)
			in.b[sizeof(mapped) + j] = a->b[c->offset + j] ^ c->mask;
		class = class_by_range(&in);
		if (class != ADDR_PUBLIC)
			return class;
	}
	return class_by_range(a);
}

const char *addr_class_name(enum addr_class c)
{
	static const char *const names[ADDR_CLASS_COUNT] = {
		"public", "private", "loopback", "link-local", "meta", "multicast", "unspecified",
	};

	return names[c];
}

/* Of no use on the internet though no group has them; RFC 6890 and what came after it. */
static const struct range special[] = {
	{V4(192, 0, 0, 0, 24), 0},
	{V4(192, 0, 2, 0, 24), 0},
	{V4(192, 88, 99, 0, 24), 0},
	{V4(198, 18, 0, 0, 15), 0},
	{V4(198, 51, 100, 0, 24), 0},
	{V4(203, 0, 113, 0, 24), 0},
	{V4(240, 0, 0, 0, 4), 0},
	{{0x01}, 64, 0},                   /* discard only */
	{{0x20, 0x01, 0, 0x02}, 48, 0},    /* benchmarks */
	{{0x20, 0x01, 0, 0x10}, 28, 0},    /* ORCHID */
	{{0x20, 0x01, 0x0d, 0xb8}, 32, 0}, /* documentation */
	{{0x3f, 0xff}, 20, 0},             /* documentation */
};

bool addr_is_special(const struct addr *a)
{
	if (addr_class(a) != ADDR_PUBLIC)
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(special); i++)
		if (in_range(a, &special[i]))
			return true;
	return false;
}
