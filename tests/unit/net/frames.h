/* SPDX-License-Identifier: Apache-2.0 */
/* For tests of the stack: frames of the guest made by hand, right at first, to be spoiled
 * afterwards. */
#pragma once

#include "guest.h"

#define ETH_AT VNET_LEN
#define IP_AT  (VNET_LEN + ETH_HLEN)

static const uint8_t card_guest[6] = {2, 0, 0, 0, 0, 2}, card_ours[6] = {2, 0, 0, 0, 0, 1};

/* The frame that is made; too large for a stack. */
static struct {
	uint8_t p[70000];
	size_t n;
} made;

/* A frame that is not IP. */
static inline void make_frame(uint16_t type, const void *data, size_t n)
{
	memset(made.p, 0, VNET_LEN);
	memcpy(made.p + ETH_AT, card_ours, 6);
	memcpy(made.p + ETH_AT + 6, card_guest, 6);
	put16(made.p + ETH_AT + 12, type);
	memcpy(made.p + IP_AT, data, n);
	made.n = IP_AT + n;
}

static inline void made_sum_ip4(void)
{
	uint8_t *ip = made.p + IP_AT;
	uint16_t sum;

	ip[10] = ip[11] = 0;
	sum = csum_fold(csum_add(0, ip, (size_t)(ip[0] & 15) * 4));
	memcpy(ip + 10, &sum, sizeof(sum));
}

/* A packet with this after its IP header, and the checksum of that at `sum_at` of it. */
static inline void make_ip(const char *src, const char *dst, uint8_t protocol, const void *l4,
			   size_t n, size_t sum_at)
{
	struct packet_link link;
	struct addr s = at(src), d = at(dst);
	uint32_t sum = protocol == IPPROTO_ICMP ? 0 : csum_pseudo(&s, &d, protocol, n);
	uint16_t folded;
	uint8_t *p;

	memcpy(link.guest_mac, card_ours, 6);
	memcpy(link.our_mac, card_guest, 6);
	p = packet_begin(made.p, &link, &s, &d, protocol, n);
	memcpy(p, l4, n);
	p[sum_at] = p[sum_at + 1] = 0;
	folded = csum_fold(csum_add(sum, p, n));
	memcpy(p + sum_at, &folded, sizeof(folded));
	made.n = (size_t)(p - made.p) + n;
}

/* From port 4000, with `len` bytes that are all different from their neighbours. */
static inline void make_udp(const char *src, const char *dst, uint16_t port, size_t len)
{
	static uint8_t l4[65536];

	put16(l4, 4000);
	put16(l4 + 2, port);
	put16(l4 + 4, (uint32_t)(UDP_LEN + len));
	for (size_t i = 0; i < len; i++)
		l4[UDP_LEN + i] = (uint8_t)(i * 13 + 1);
	make_ip(src, dst, IPPROTO_UDP, l4, UDP_LEN + len, 6);
}

/* A header of `head` bytes, options being no-operations, and `len` bytes. */
static inline void make_tcp(const char *src, const char *dst, size_t head, size_t len)
{
	static uint8_t l4[65536];

	memset(l4, 1, sizeof(l4));
	put16(l4, 4000);
	put16(l4 + 2, 80);
	l4[12] = (uint8_t)(head / 4 << 4);
	l4[13] = TCP_ACK;
	make_ip(src, dst, IPPROTO_TCP, l4, head + len, 16);
}

static inline void make_echo(const char *src, const char *dst, size_t len)
{
	static uint8_t l4[65536];
	struct addr s = at(src);
	bool v4 = addr_is_v4(&s);

	memset(l4, 'e', sizeof(l4));
	l4[0] = v4 ? 8 : 128;
	l4[1] = 0;
	memcpy(l4 + 4, "\x12\x34\0\x09", 4);
	make_ip(src, dst, v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6, l4, ICMP_LEN + len, 2);
}

/* Puts `n` bytes between the IP header and what follows it. */
static inline void made_insert(const void *data, size_t n)
{
	uint8_t *ip = made.p + IP_AT;
	bool v4 = ip[0] >> 4 == 4;
	uint8_t *to = ip + (v4 ? IP4_LEN : IP6_LEN), *length = ip + (v4 ? 2 : 4);

	memmove(to + n, to, made.n - (size_t)(to - made.p));
	memcpy(to, data, n);
	put16(length, (uint32_t)(length[0] << 8 | length[1]) + (uint32_t)n);
	made.n += n;
}

static inline void make_arp(const char *sender, const char *target)
{
	uint8_t arp[28] = {0, 1, 8, 0, 6, 4, 0, 1};
	struct addr s = at(sender), t = at(target);

	memcpy(arp + 8, card_guest, 6);
	memcpy(arp + 14, s.b + 12, 4);
	memcpy(arp + 24, t.b + 12, 4);
	make_frame(ETH_P_ARP, arp, sizeof(arp));
}

/* Exactly as long as it is, so that a step beyond it is seen. */
static inline uint8_t *made_copy(void)
{
	uint8_t *copy = xmalloc(made.n ? made.n : 1);

	memcpy(copy, made.p, made.n);
	return copy;
}

static inline void send_made(struct guest *g)
{
	uint8_t *copy = made_copy();

	send_frame(g, copy, made.n);
	free(copy);
}
