/* SPDX-License-Identifier: Apache-2.0 */
/* IP addresses of both families as one type, prefixes, and the classes that policies speak of. */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* An IPv4 address is kept in its IPv4-mapped IPv6 form (::ffff:a.b.c.d): one way to compare. */
struct addr {
	uint8_t b[16]; /* network order */
};

struct prefix {
	struct addr addr; /* the bits after `len` are zero */
	unsigned int len; /* of 128; an IPv4 prefix has 96 more than people write */
};

#define ADDR_LEN 48 /* of the text, with the NUL */

struct addr addr_from_v4(struct in_addr a);
struct addr addr_from_v6(const struct in6_addr *a);
bool addr_is_v4(const struct addr *a);
struct in_addr addr_v4(const struct addr *a); /* of an IPv4 address */
bool addr_equal(const struct addr *a, const struct addr *b);
bool addr_is_unspecified(const struct addr *a);
bool addr_in(const struct addr *a, const struct prefix *p);

/*
 * Only the one textual form that everybody understands alike: dotted decimal of four parts without
 * leading zeroes, or RFC 4291 text without a zone. 0 or -EINVAL.
 */
int addr_parse(const char *s, struct addr *ret);
/* ADDRESS or ADDRESS/LEN; bits after the prefix must be zero. 0 or -EINVAL. */
int prefix_parse(const char *s, struct prefix *ret);
void addr_format(const struct addr *a, char out[ADDR_LEN]);
/* "1.2.3.4:80", "[::1]:80" */
#define ENDPOINT_LEN (ADDR_LEN + 8)
void endpoint_format(const struct addr *a, uint16_t port, char out[ENDPOINT_LEN]);
/* ADDRESS:PORT or [ADDRESS]:PORT. 0 or -EINVAL. */
int endpoint_parse(const char *s, struct addr *ret, uint16_t *ret_port);

/* For sockets: the address's own family. Returns the length. */
socklen_t addr_to_sockaddr(const struct addr *a, uint16_t port, struct sockaddr_storage *ret);
bool addr_from_sockaddr(const struct sockaddr_storage *ss, struct addr *ret, uint16_t *ret_port);

/* Every address is in exactly one class. */
enum addr_class {
	ADDR_PUBLIC,
	ADDR_PRIVATE,
	ADDR_LOOPBACK,
	ADDR_LINK_LOCAL,
	ADDR_METADATA,    /* 169.254.169.254, fd00:ec2::254 */
	ADDR_MULTICAST,   /* and the limited broadcast */
	ADDR_UNSPECIFIED, /* in no group */
	ADDR_CLASS_COUNT
};

/*
 * By ranges alone. An address that carries an IPv4 address (NAT64 64:ff9b::/96 and
 * 64:ff9b:1::/48, 6to4, Teredo, IPv4-compatible) has the class of what it carries if that is not
 * public. Whether an address is the host's is another matter: see policy.h.
 */
enum addr_class addr_class(const struct addr *a);
const char *addr_class_name(enum addr_class c);
/*
 * Whether a public name has no business to have it: all but public, and ranges for documentation,
 * benchmarks, protocol assignments and the like (rebinding protection).
 */
bool addr_is_special(const struct addr *a);
