/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ARP (RFC 826) and the neighbour discovery of IPv6 (RFC 4861), as far as a guest alone on its link
 * needs them: whatever address it asks for is ours. We never ask: the guest's MAC address is known.
 */
#include "net/stack_internal.h"

#include <string.h>

#define ARP_BYTES   28
#define ARP_REQUEST 1
#define ARP_REPLY   2

#define ND_ROUTER_SOLICIT   133
#define ND_ROUTER_ADVERT    134
#define ND_NEIGHBOR_SOLICIT 135
#define ND_NEIGHBOR_ADVERT  136
#define ND_SOURCE_ADDRESS   1
#define ND_TARGET_ADDRESS   2
#define ND_MTU              5
#define ND_ADVERT_SOLICITED 0x40
#define ND_ADVERT_OVERRIDE  0x20
#define ND_ADVERT_ROUTER    0x80
#define ND_HOP_LIMIT        255
#define ROUTER_LIFETIME_S   1800

static const struct addr link_local = {{0xfe, 0x80, [15] = 1}}; /* ours */
static const struct addr all_nodes = {{0xff, 0x02, [15] = 1}};

void neighbour_arp(struct stack *s, const struct packet *p)
{
	static const uint8_t fixed[] = {0, 1, 8, 0, 6, 4, 0, ARP_REQUEST}; /* Ethernet, IPv4 */
	const uint8_t *arp = p->l3;
	struct virtio_net_hdr_v1 vnet = {.num_buffers = 1};
	struct in_addr guest = addr_v4(&s->config.v4.guest);
	uint8_t *frame, *eth, *reply;

	if (memcmp(arp, fixed, sizeof(fixed)) != 0)
		return;
	/* Only for itself, and its own address (probes included) has no other owner. */
	if (memcmp(arp + 14, &guest, 4) != 0 || memcmp(arp + 24, &guest, 4) == 0)
		return;
	frame = s->ops->frame_reserve(s->ctx, VNET_LEN + ETH_HLEN + ARP_BYTES);
	if (!frame)
		return;
	memcpy(frame, &vnet, sizeof(vnet));
	eth = frame + VNET_LEN;
	memcpy(eth, s->link.guest_mac, ETH_ALEN);
	memcpy(eth + ETH_ALEN, s->link.our_mac, ETH_ALEN);
	memcpy(eth + 12, "\x08\x06", 2);
	reply = eth + ETH_HLEN;
	memcpy(reply, fixed, sizeof(fixed));
	reply[7] = ARP_REPLY;
	memcpy(reply + 8, s->link.our_mac, ETH_ALEN);
	memcpy(reply + 14, arp + 24, 4);
	memcpy(reply + 18, s->link.guest_mac, ETH_ALEN);
	memcpy(reply + 24, &guest, 4);
	s->ops->frame_commit(s->ctx, VNET_LEN + ETH_HLEN + ARP_BYTES);
}

/* Sends an ICMPv6 message of ours with the checksum made. */
static void send_icmp6(struct stack *s, const struct addr *src, const struct addr *dst,
		       uint8_t *msg, size_t len)
{
	uint8_t *frame = s->ops->frame_reserve(s->ctx, packet_overhead(dst) + len), *l4;
	uint16_t sum;

	if (!frame)
		return;
	l4 = packet_begin(frame, &s->link, src, dst, IPPROTO_ICMPV6, len);
	frame[VNET_LEN + ETH_HLEN + 7] = ND_HOP_LIMIT;
	sum = csum_fold(csum_add(csum_pseudo(src, dst, IPPROTO_ICMPV6, len), msg, len));
	memcpy(msg + 2, &sum, sizeof(sum));
	memcpy(l4, msg, len);
	s->ops->frame_commit(s->ctx, packet_overhead(dst) + len);
}

/* Every option has a length other than 0 and fits (RFC 4861 4.6). */
static bool options_ok(const uint8_t *p, const uint8_t *end)
{
	while (p < end) {
		if (end - p < 8 || p[1] == 0 || (size_t)p[1] * 8 > (size_t)(end - p))
			return false;
		p += (size_t)p[1] * 8;
	}
	return true;
}

/* Where an answer goes: one that asks without an address of its own gets it as all nodes do. */
static const struct addr *asker(const struct packet *p)
{
	return addr_is_unspecified(&p->src) ? &all_nodes : &p->src;
}

static void neighbour_solicit(struct stack *s, const struct packet *p, size_t len)
{
	uint8_t msg[32] = {ND_NEIGHBOR_ADVERT, [4] = ND_ADVERT_ROUTER | ND_ADVERT_OVERRIDE};
	struct addr target;

	if (len < 24 || !options_ok(p->l4 + 24, p->l4 + len))
		return;
	memcpy(target.b, p->l4 + 8, 16);
	/*
	 * Multicast addresses have no neighbour. An asker without an address looks whether its own
	 * is taken (RFC 4862 5.4), which none is.
	 */
	if (target.b[0] == 0xff || addr_is_v4(&target) || addr_is_unspecified(&target) ||
	    addr_is_unspecified(&p->src) || addr_equal(&target, &s->config.v6.guest) ||
	    addr_equal(&target, &p->src))
		return;
	msg[4] |= ND_ADVERT_SOLICITED;
	memcpy(msg + 8, target.b, 16);
	msg[24] = ND_TARGET_ADDRESS;
	msg[25] = 1;
	memcpy(msg + 26, s->link.our_mac, ETH_ALEN);
	send_icmp6(s, &target, &p->src, msg, sizeof(msg));
}

/* We are the router; addresses are not given out this way. */
static void router_solicit(struct stack *s, const struct packet *p, size_t len)
{
	uint8_t msg[32] = {ND_ROUTER_ADVERT, [4] = 64};

	if (!options_ok(p->l4 + 8, p->l4 + len))
		return;
	msg[6] = ROUTER_LIFETIME_S >> 8;
	msg[7] = ROUTER_LIFETIME_S & 0xff;
	msg[16] = ND_SOURCE_ADDRESS;
	msg[17] = 1;
	memcpy(msg + 18, s->link.our_mac, ETH_ALEN);
	msg[24] = ND_MTU;
	msg[25] = 1;
	msg[30] = (uint8_t)(s->config.mtu >> 8);
	msg[31] = (uint8_t)s->config.mtu;
	send_icmp6(s, &link_local, asker(p), msg, sizeof(msg));
}

bool neighbour_icmp6(struct stack *s, const struct packet *p)
{
	size_t len = p->l4_len + p->payload_len;

	if (p->l4[0] < ND_ROUTER_SOLICIT || p->l4[0] > 137)
		return false;
	/* Whatever is longer than the copy is no message of a sane host. */
	if (p->ttl != ND_HOP_LIMIT || p->l4[1] != 0 ||
	    len > p->head_len - (size_t)(p->l4 - p->head))
		return true;
	if (p->l4[0] == ND_NEIGHBOR_SOLICIT)
		neighbour_solicit(s, p, len);
	else if (p->l4[0] == ND_ROUTER_SOLICIT)
		router_solicit(s, p, len);
	return true;
}
