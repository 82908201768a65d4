/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Wire formats of the link: parsing of what the guest sends, from a private copy of its headers,
 * and building of what it gets.
 */
#pragma once

#include "net/addr.h"

#include <linux/if_ether.h>
#include <linux/virtio_net.h>

#define VNET_LEN sizeof(struct virtio_net_hdr_v1)
#define IP4_LEN  20
#define IP6_LEN  40
#define TCP_LEN  20
#define UDP_LEN  8
#define ICMP_LEN 8
/* What is copied out of a frame before anything is looked at: all headers with all options. */
#define HEADERS_MAX 256
/* The largest payload of one segmented frame. */
#define GSO_MAX 65535

enum packet_kind { PACKET_OTHER, PACKET_ARP, PACKET_TCP, PACKET_UDP, PACKET_ICMP4, PACKET_ICMP6 };

/* A frame of the guest after its headers were checked: lengths fit, checksums hold. */
struct packet {
	enum packet_kind kind;
	bool v6;
	struct addr src, dst;
	uint8_t ttl;
	uint16_t sport, dport;  /* TCP and UDP */
	const uint8_t *l3, *l4; /* in the private copy */
	size_t l4_len;          /* header bytes of it */
	const uint8_t *payload; /* in the frame itself, which may change */
	size_t payload_len;
	/* Private copy of the first bytes from the Ethernet header on. */
	uint8_t head[HEADERS_MAX];
	size_t head_len;
};

enum packet_fault {
	PACKET_OK,
	PACKET_MALFORMED, /* lengths, versions, checksums */
	PACKET_FRAGMENT,  /* part of a datagram: not put together, dropped */
	PACKET_FOREIGN,   /* not to our MAC address, or not from the guest's */
};

struct packet_link {
	uint8_t guest_mac[6], our_mac[6];
};

/*
 * Looks at one frame (virtio_net_hdr, Ethernet, IP ...). IPv4 options and IPv6 extension headers
 * that are harmless are passed over, source routing is malformed. A checksum is verified unless the
 * header says that it is still to be made (NEEDS_CSUM) or is known to be good.
 */
enum packet_fault packet_parse(struct packet *p, const uint8_t *frame, size_t len,
			       const struct packet_link *link);

/*
 * Writes virtio_net_hdr, Ethernet and IP header of a packet to the guest; returns where the
 * transport header goes. `l4_len` is the length of all that follows the IP header. The checksum of
 * an IPv4 header is made; that of TCP and UDP is left to the guest (packet_finish).
 */
uint8_t *packet_begin(uint8_t *frame, const struct packet_link *link, const struct addr *src,
		      const struct addr *dst, uint8_t protocol, size_t l4_len);
/* Length of the headers that packet_begin writes. */
size_t packet_overhead(const struct addr *a);
/*
 * Completes a TCP or UDP packet: pseudo header's sum and NEEDS_CSUM; `mss` not 0 and smaller than
 * the payload: to be taken as that many segments.
 */
void packet_finish(uint8_t *frame, uint8_t *l4, uint8_t protocol, size_t l4_len, size_t mss);

/* The Internet checksum (RFC 1071) over parts. */
uint32_t csum_add(uint32_t sum, const void *data, size_t len);
uint16_t csum_fold(uint32_t sum);
uint32_t csum_pseudo(const struct addr *src, const struct addr *dst, uint8_t protocol, size_t len);
