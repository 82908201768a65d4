/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A frame is looked at in three steps, each on the private copy of its headers: Ethernet, IP,
 * transport. The lengths that the IP header gives are the only ones that count afterwards; what the
 * frame has beyond them is padding.
 */
#include "net/packet.h"

#include "base/util.h"
#include "net/be.h"

#include <arpa/inet.h>
#include <assert.h>
#include <string.h>

#define ETHERTYPE_IP4 0x0800
#define ETHERTYPE_ARP 0x0806
#define ETHERTYPE_IP6 0x86dd

#define IP4_FRAGMENT_BITS 0x3fff /* more fragments, offset */
#define IP4_OPTION_END    0
#define IP4_OPTION_NOP    1
#define IP4_OPTION_LSRR   131
#define IP4_OPTION_SSRR   137

#define IP6_HOP_BY_HOP  0
#define IP6_ROUTING     43
#define IP6_FRAGMENT    44
#define IP6_DESTINATION 60

#define ARP_BYTES 28

/* --- checksums ----------------------------------------------------------------------------- */

/*
 * The sum is kept in the order of the host's bytes, which a one's complement sum allows (RFC 1071,
 * 2(B)): only the result is in the order of the wire again.
 */
uint32_t csum_add(uint32_t sum, const void *data, size_t len)
{
	const uint8_t *p = data;
	uint64_t s = sum;

	for (; len >= 8; len -= 8, p += 8) {
		uint32_t v[2];

		memcpy(v, p, sizeof(v));
		s += v[0];
		s += v[1];
	}
	for (; len >= 2; len -= 2, p += 2) {
		uint16_t v;

		memcpy(&v, p, sizeof(v));
		s += v;
	}
	if (len) {
		uint8_t last[2] = {*p, 0};
		uint16_t v;

		memcpy(&v, last, sizeof(v));
		s += v;
	}
	while (s >> 32)
		s = (s & 0xffffffff) + (s >> 32);
	return (uint32_t)s;
}

/* Folded, not yet inverted. */
static uint16_t fold(uint32_t sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

uint16_t csum_fold(uint32_t sum)
{
	return (uint16_t)~fold(sum);
}

uint32_t csum_pseudo(const struct addr *src, const struct addr *dst, uint8_t protocol, size_t len)
{
	const uint32_t tail[2] = {htonl((uint32_t)len), htonl(protocol)};
	size_t skip = addr_is_v4(src) ? 12 : 0;
	uint32_t sum = csum_add(0, src->b + skip, 16 - skip);

	sum = csum_add(sum, dst->b + skip, 16 - skip);
	return csum_add(sum, tail, sizeof(tail));
}

/* --- parsing ------------------------------------------------------------------------------- */

/* What is known while a frame is looked at. */
struct look {
	struct packet *p;
	const uint8_t *frame; /* from the Ethernet header on */
	size_t l3;            /* offsets from there */
	size_t l4;
	size_t end; /* of the IP packet */
	uint8_t protocol;
	bool sum_pending; /* the checksum is still to be made */
};

static enum packet_fault check_link(struct look *k, const struct packet_link *link)
{
	const struct ethhdr *eth = (const struct ethhdr *)k->p->head;
	bool multicast = eth->h_dest[0] & 1;

	if (memcmp(eth->h_source, link->guest_mac, ETH_ALEN) != 0)
		return PACKET_FOREIGN;
	if (!multicast && memcmp(eth->h_dest, link->our_mac, ETH_ALEN) != 0)
		return PACKET_FOREIGN;
	return PACKET_OK;
}

/* A source route would have the packet go elsewhere than to its destination. */
static enum packet_fault check_ip4_options(const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len;) {
		if (p[i] == IP4_OPTION_END)
			break;
		if (p[i] == IP4_OPTION_NOP) {
			i++;
			continue;
		}
		if (p[i] == IP4_OPTION_LSRR || p[i] == IP4_OPTION_SSRR)
			return PACKET_MALFORMED;
		if (i + 1 >= len || p[i + 1] < 2 || p[i + 1] > len - i)
			return PACKET_MALFORMED;
		i += p[i + 1];
	}
	return PACKET_OK;
}

static enum packet_fault look_at_ip4(struct look *k, size_t len)
{
	struct packet *p = k->p;
	const uint8_t *ip = p->head + k->l3;
	size_t head, total;

	if (p->head_len < k->l3 + IP4_LEN || ip[0] >> 4 != 4)
		return PACKET_MALFORMED;
	head = (size_t)(ip[0] & 15) * 4;
	total = load16(ip + 2);
	if (head < IP4_LEN || total < head || total > len - k->l3 || p->head_len < k->l3 + head)
		return PACKET_MALFORMED;
	if (csum_fold(csum_add(0, ip, head)) != 0 || ip[8] == 0)
		return PACKET_MALFORMED;
	p->v6 = false;
	p->ttl = ip[8];
	memcpy(&p->src, addr_from_v4((struct in_addr){0}).b, 12);
	memcpy(p->src.b + 12, ip + 12, 4);
	memcpy(&p->dst, p->src.b, 12);
	memcpy(p->dst.b + 12, ip + 16, 4);
	if (load16(ip + 6) & IP4_FRAGMENT_BITS)
		return PACKET_FRAGMENT;
	k->protocol = ip[9];
	k->l4 = k->l3 + head;
	k->end = k->l3 + total;
	return check_ip4_options(ip + IP4_LEN, head - IP4_LEN);
}

static enum packet_fault skip_ip6_extensions(struct look *k)
{
	const struct packet *p = k->p;

	while (k->protocol == IP6_HOP_BY_HOP || k->protocol == IP6_DESTINATION) {
		size_t len;

		if (k->l4 + 2 > MIN(p->head_len, k->end))
			return PACKET_MALFORMED;
		k->protocol = p->head[k->l4];
		len = ((size_t)p->head[k->l4 + 1] + 1) * 8;
		if (len > k->end - k->l4)
			return PACKET_MALFORMED;
		k->l4 += len;
	}
	if (k->protocol == IP6_ROUTING)
		return PACKET_MALFORMED;
	return k->protocol == IP6_FRAGMENT ? PACKET_FRAGMENT : PACKET_OK;
}

static enum packet_fault look_at_ip6(struct look *k, size_t len)
{
	struct packet *p = k->p;
	const uint8_t *ip = p->head + k->l3;
	size_t payload;

	if (p->head_len < k->l3 + IP6_LEN || ip[0] >> 4 != 6 || ip[7] == 0)
		return PACKET_MALFORMED;
	payload = load16(ip + 4);
	if (payload > len - k->l3 - IP6_LEN)
		return PACKET_MALFORMED;
	p->v6 = true;
	p->ttl = ip[7];
	memcpy(p->src.b, ip + 8, 16);
	memcpy(p->dst.b, ip + 24, 16);
	/* One of them on the wire would be a second form of an IPv4 address. */
	if (addr_is_v4(&p->src) || addr_is_v4(&p->dst))
		return PACKET_MALFORMED;
	k->protocol = ip[6];
	k->l4 = k->l3 + IP6_LEN;
	k->end = k->l4 + payload;
	return skip_ip6_extensions(k);
}

/*
 * The checksum covers bytes that may still change, which makes it worthless against whoever owns
 * the ring, but it tells honest corruption.
 */
static bool sum_holds(const struct look *k)
{
	const struct packet *p = k->p;
	size_t have = MIN(p->head_len, k->end) - k->l4, len = k->end - k->l4;
	uint32_t sum = 0;

	if (k->protocol != IPPROTO_ICMP)
		sum = csum_pseudo(&p->src, &p->dst, k->protocol, len);
	sum = csum_add(sum, p->head + k->l4, have);
	/* The copy has an even length unless it is all there is. */
	return csum_fold(csum_add(sum, k->frame + k->l4 + have, len - have)) == 0;
}

static enum packet_fault look_at_transport(struct look *k)
{
	struct packet *p = k->p;
	const uint8_t *l4 = p->head + k->l4;
	size_t len = k->end - k->l4, need;
	bool summed = true;

	switch (k->protocol) {
	case IPPROTO_TCP:
		p->kind = PACKET_TCP;
		need = TCP_LEN;
		break;
	case IPPROTO_UDP:
		p->kind = PACKET_UDP;
		need = UDP_LEN;
		break;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		/* Each belongs to its own version of IP. */
		if ((k->protocol == IPPROTO_ICMPV6) != p->v6)
			return PACKET_OK;
		p->kind = p->v6 ? PACKET_ICMP6 : PACKET_ICMP4;
		need = ICMP_LEN;
		break;
	default:
		return PACKET_OK;
	}
	if (len < need || p->head_len < k->l4 + need)
		return PACKET_MALFORMED;
	if (p->kind == PACKET_TCP)
		need = (size_t)(l4[12] >> 4) * 4;
	if (need < ICMP_LEN || (p->kind == PACKET_TCP && need < TCP_LEN) || need > len ||
	    p->head_len < k->l4 + need)
		return PACKET_MALFORMED;
	if (p->kind == PACKET_UDP) {
		size_t said = load16(l4 + 4);

		if (said < UDP_LEN || said > len)
			return PACKET_MALFORMED;
		k->end = k->l4 + said;
		summed = p->v6 || load16(l4 + 6) != 0;
		if (p->v6 && load16(l4 + 6) == 0 && !k->sum_pending)
			return PACKET_MALFORMED;
	}
	if (summed && !k->sum_pending && !sum_holds(k))
		return PACKET_MALFORMED;
	if (p->kind == PACKET_TCP || p->kind == PACKET_UDP) {
		p->sport = load16(l4);
		p->dport = load16(l4 + 2);
	}
	p->l4 = l4;
	p->l4_len = need;
	p->payload = k->frame + k->l4 + need;
	p->payload_len = k->end - k->l4 - need;
	return PACKET_OK;
}

static enum packet_fault look_at_arp(struct look *k)
{
	struct packet *p = k->p;

	if (p->head_len < k->l3 + ARP_BYTES)
		return PACKET_MALFORMED;
	p->kind = PACKET_ARP;
	return PACKET_OK;
}

enum packet_fault packet_parse(struct packet *p, const uint8_t *frame, size_t len,
			       const struct packet_link *link)
{
	struct look k = {.p = p, .l3 = ETH_HLEN};
	struct virtio_net_hdr_v1 vnet;
	enum packet_fault fault;

	p->kind = PACKET_OTHER;
	p->sport = p->dport = 0;
	p->payload_len = 0;
	p->l4 = p->payload = NULL;
	if (len < VNET_LEN + ETH_HLEN)
		return PACKET_MALFORMED;
	memcpy(&vnet, frame, sizeof(vnet));
	k.frame = frame + VNET_LEN;
	len -= VNET_LEN;
	k.sum_pending = vnet.flags & (VIRTIO_NET_HDR_F_NEEDS_CSUM | VIRTIO_NET_HDR_F_DATA_VALID);
	p->head_len = MIN(len, sizeof(p->head));
	memcpy(p->head, k.frame, p->head_len);
	p->l3 = p->head + k.l3;
	fault = check_link(&k, link);
	if (fault != PACKET_OK)
		return fault;
	switch (load16(p->head + 12)) {
	case ETHERTYPE_ARP:
		return look_at_arp(&k);
	case ETHERTYPE_IP4:
		fault = look_at_ip4(&k, len);
		break;
	case ETHERTYPE_IP6:
		fault = look_at_ip6(&k, len);
		break;
	default:
		return PACKET_OK;
	}
	return fault == PACKET_OK ? look_at_transport(&k) : fault;
}

/* --- building ------------------------------------------------------------------------------ */

size_t packet_overhead(const struct addr *a)
{
	return VNET_LEN + ETH_HLEN + (addr_is_v4(a) ? IP4_LEN : IP6_LEN);
}

/* An atomic datagram needs no identification (RFC 6864), so there is none to be guessed. */
static void write_ip4(uint8_t *ip, const struct addr *src, const struct addr *dst, uint8_t protocol,
		      size_t l4_len)
{
	uint16_t sum;

	memset(ip, 0, IP4_LEN);
	ip[0] = 0x45;
	store16(ip + 2, IP4_LEN + l4_len);
	ip[6] = 0x40; /* don't fragment */
	ip[8] = 64;
	ip[9] = protocol;
	memcpy(ip + 12, src->b + 12, 4);
	memcpy(ip + 16, dst->b + 12, 4);
	sum = csum_fold(csum_add(0, ip, IP4_LEN));
	memcpy(ip + 10, &sum, sizeof(sum));
}

static void write_ip6(uint8_t *ip, const struct addr *src, const struct addr *dst, uint8_t protocol,
		      size_t l4_len)
{
	memset(ip, 0, 8);
	ip[0] = 0x60;
	store16(ip + 4, l4_len);
	ip[6] = protocol;
	ip[7] = 64;
	memcpy(ip + 8, src->b, 16);
	memcpy(ip + 24, dst->b, 16);
}

uint8_t *packet_begin(uint8_t *frame, const struct packet_link *link, const struct addr *src,
		      const struct addr *dst, uint8_t protocol, size_t l4_len)
{
	struct virtio_net_hdr_v1 vnet = {.num_buffers = 1};
	uint8_t *eth = frame + VNET_LEN, *ip = eth + ETH_HLEN;
	bool v4 = addr_is_v4(dst);

	memcpy(frame, &vnet, sizeof(vnet));
	memcpy(eth, link->guest_mac, ETH_ALEN);
	memcpy(eth + ETH_ALEN, link->our_mac, ETH_ALEN);
	store16(eth + 12, v4 ? ETHERTYPE_IP4 : ETHERTYPE_IP6);
	if (v4)
		write_ip4(ip, src, dst, protocol, l4_len);
	else
		write_ip6(ip, src, dst, protocol, l4_len);
	return ip + (v4 ? IP4_LEN : IP6_LEN);
}

void packet_finish(uint8_t *frame, uint8_t *l4, uint8_t protocol, size_t l4_len, size_t mss)
{
	struct virtio_net_hdr_v1 vnet = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .num_buffers = 1};
	uint8_t *ip = frame + VNET_LEN + ETH_HLEN;
	bool v4 = ip[0] >> 4 == 4;
	size_t start = (size_t)(l4 - frame) - VNET_LEN, at = protocol == IPPROTO_TCP ? 16 : 6;
	uint32_t sum;
	uint16_t folded;
	const uint32_t tail[2] = {htonl((uint32_t)l4_len), htonl(protocol)};

	sum = v4 ? csum_add(0, ip + 12, 8) : csum_add(0, ip + 8, 32);
	folded = fold(csum_add(sum, tail, sizeof(tail)));
	memcpy(l4 + at, &folded, sizeof(folded));
	vnet.csum_start = (uint16_t)start;
	vnet.csum_offset = (uint16_t)at;
	if (protocol == IPPROTO_TCP) {
		size_t head = (size_t)(l4[12] >> 4) * 4;

		if (mss && l4_len - head > mss) {
			vnet.gso_type = v4 ? VIRTIO_NET_HDR_GSO_TCPV4 : VIRTIO_NET_HDR_GSO_TCPV6;
			vnet.gso_size = (uint16_t)mss;
			vnet.hdr_len = (uint16_t)(start + head);
		}
	}
	memcpy(frame, &vnet, sizeof(vnet));
}
