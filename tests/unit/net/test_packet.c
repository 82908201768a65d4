/* SPDX-License-Identifier: Apache-2.0 */
/* Parsing of the guest's frames, sound and spoiled in every way, and building of ours. */
#include "frames.h"

#define V4_SRC "172.16.0.6"
#define V4_DST "1.2.3.4"
#define V6_SRC "fd42::2"
#define V6_DST "2001:db8::1"

static struct packet p;
static uint8_t *frame; /* what was parsed last, which p points into */

static enum packet_fault parse(void)
{
	struct packet_link link;

	memcpy(link.guest_mac, card_guest, 6);
	memcpy(link.our_mac, card_ours, 6);
	free(frame);
	frame = made_copy();
	return packet_parse(&p, frame, made.n, &link);
}

static void sound(enum packet_kind kind)
{
	assert_int_equal(parse(), PACKET_OK);
	assert_int_equal(p.kind, kind);
}

static void malformed(void)
{
	assert_int_equal(parse(), PACKET_MALFORMED);
}

static void ignored(void)
{
	sound(PACKET_OTHER);
	assert_null(p.l4);
	assert_null(p.payload);
	assert_int_equal(p.payload_len, 0);
}

static bool is_at(const struct addr *a, const char *text)
{
	struct addr b = at(text);

	return addr_equal(a, &b);
}

static int release(void **state)
{
	free(frame);
	frame = NULL;
	return 0;
}

/* --- frames of every kind ------------------------------------------------------------------ */

static void tcp4(void)
{
	make_tcp(V4_SRC, V4_DST, 32, 40);
}

static void tcp6(void)
{
	make_tcp(V6_SRC, V6_DST, 60, 40);
}

static void udp4(void)
{
	make_udp(V4_SRC, V4_DST, 7, 33);
}

static void udp6(void)
{
	make_udp(V6_SRC, V6_DST, 7, 400);
}

static void icmp4(void)
{
	make_echo(V4_SRC, V4_DST, 56);
}

static void icmp6(void)
{
	make_echo(V6_SRC, V6_DST, 56);
}

static void arp(void)
{
	make_arp(V4_SRC, "172.16.0.5");
}

/* IPv4 with as many options as there can be. */
static void options4(void)
{
	uint8_t nops[40];

	memset(nops, 1, sizeof(nops));
	make_tcp(V4_SRC, V4_DST, 60, 5);
	made_insert(nops, sizeof(nops));
	made.p[IP_AT] = 0x4f;
	made_sum_ip4();
}

/* IPv6 with options of both kinds before the transport header. */
static void extensions6(void)
{
	const uint8_t headers[24] = {[0] = 60, [8] = IPPROTO_UDP, [9] = 1};

	make_udp(V6_SRC, V6_DST, 7, 10);
	made_insert(headers, sizeof(headers));
	made.p[IP_AT + 6] = 0;
}

static const struct {
	void (*make)(void);
	enum packet_kind kind;
	size_t payload;
} kinds[] = {
	{tcp4, PACKET_TCP, 40},    {tcp6, PACKET_TCP, 40},        {udp4, PACKET_UDP, 33},
	{udp6, PACKET_UDP, 400},   {icmp4, PACKET_ICMP4, 56},     {icmp6, PACKET_ICMP6, 56},
	{options4, PACKET_TCP, 5}, {extensions6, PACKET_UDP, 10}, {arp, PACKET_ARP, 0},
};

static void test_sound(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		kinds[i].make();
		sound(kinds[i].kind);
		assert_int_equal(p.payload_len, kinds[i].payload);
		if (kinds[i].kind == PACKET_ARP)
			continue;
		/* The payload in the frame itself, the headers in the copy. */
		assert_ptr_equal(p.payload + p.payload_len, frame + made.n);
		assert_true(p.l4 > p.head && p.l4 + p.l4_len <= p.head + p.head_len);
		assert_true(is_at(&p.src, p.v6 ? V6_SRC : V4_SRC));
		assert_true(is_at(&p.dst, p.v6 ? V6_DST : V4_DST));
		assert_int_equal(p.ttl, 64);
		if (p.kind == PACKET_TCP || p.kind == PACKET_UDP) {
			assert_int_equal(p.sport, 4000);
			assert_int_equal(p.dport, p.kind == PACKET_TCP ? 80 : 7);
		}
	}
}

static void test_cut(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		kinds[i].make();
		for (made.n--; made.n > 0; made.n--)
			malformed();
		malformed();
	}
}

/* Cut, but with an IP header that knows of it, and a checksum that nobody looks at. */
static void test_cut_with_right_length(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		uint8_t *ip = made.p + IP_AT;
		size_t head, header;

		if (kinds[i].kind == PACKET_ARP)
			continue;
		kinds[i].make();
		sound(kinds[i].kind);
		head = ip[0] >> 4 == 4 ? (size_t)(ip[0] & 15) * 4 : IP6_LEN;
		header = (size_t)(p.l4 + p.l4_len - p.head) - ETH_HLEN;
		made.p[0] = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		for (made.n--; made.n >= IP_AT + head; made.n--) {
			size_t left = made.n - IP_AT;

			put16(ip + (ip[0] >> 4 == 4 ? 2 : 4),
			      (uint32_t)(ip[0] >> 4 == 4 ? left : left - head));
			if (ip[0] >> 4 == 4)
				made_sum_ip4();
			/* A datagram says its length a second time. */
			if (kinds[i].kind == PACKET_UDP || left < header) {
				malformed();
				continue;
			}
			sound(kinds[i].kind);
			assert_ptr_equal(p.payload + p.payload_len, frame + made.n);
		}
	}
}

static void test_padding(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		kinds[i].make();
		memset(made.p + made.n, 0xee, 50);
		made.n += 50;
		sound(kinds[i].kind);
		assert_int_equal(p.payload_len, kinds[i].payload);
	}
}

static void test_nothing_is_left_of_the_last(void **state)
{
	udp4();
	sound(PACKET_UDP);
	make_frame(0x88cc, "\1\2\3", 3);
	ignored();
	assert_int_equal(p.sport, 0);
	assert_int_equal(p.dport, 0);
	udp4();
	sound(PACKET_UDP);
	icmp6();
	sound(PACKET_ICMP6);
	assert_int_equal(p.dport, 0);
}

/* --- checksums ----------------------------------------------------------------------------- */

static void test_every_bit_counts(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		size_t l4;

		if (kinds[i].kind == PACKET_ARP)
			continue;
		kinds[i].make();
		sound(kinds[i].kind);
		l4 = VNET_LEN + (size_t)(p.l4 - p.head);
		/* IPv6 sums its addresses, but not the rest of its header and extensions. */
		for (size_t at = p.v6 ? IP_AT + 8 : IP_AT; at < made.n; at++) {
			if (p.v6 && at == IP_AT + IP6_LEN)
				at = l4;
			for (int bit = 0; bit < 8; bit++) {
				made.p[at] ^= (uint8_t)(1 << bit);
				malformed();
				made.p[at] ^= (uint8_t)(1 << bit);
			}
		}
		sound(kinds[i].kind);
	}
}

static void test_sums_that_need_not_hold(void **state)
{
	static const uint8_t flags[] = {VIRTIO_NET_HDR_F_NEEDS_CSUM, VIRTIO_NET_HDR_F_DATA_VALID};

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		kinds[i].make();
		made.p[made.n - 1] ^= 1;
		for (size_t j = 0; j < ARRAY_SIZE(flags); j++) {
			made.p[0] = flags[j];
			sound(kinds[i].kind);
		}
		if (kinds[i].kind == PACKET_ARP)
			continue;
		made.p[0] = VIRTIO_NET_HDR_F_RSC_INFO; /* which says nothing of it */
		malformed();
	}
	/* That of the IP header always has to. */
	udp4();
	made.p[0] = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	made.p[IP_AT + 1] ^= 4;
	malformed();
}

static void test_datagrams_without_sum(void **state)
{
	udp4();
	put16(made.p + IP_AT + IP4_LEN + 6, 0);
	sound(PACKET_UDP);
	udp6();
	put16(made.p + IP_AT + IP6_LEN + 6, 0);
	malformed();
	made.p[0] = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	sound(PACKET_UDP);
}

/* The part beyond the private copy is summed where it lies, odd or even. */
static void test_long_sums(void **state)
{
	for (size_t len = 200; len < 232; len++) {
		make_udp(V4_SRC, V4_DST, 7, len);
		sound(PACKET_UDP);
		made.p[made.n - 1] ^= 0x10;
		malformed();
		make_udp(V6_SRC, V6_DST, 7, len);
		sound(PACKET_UDP);
		made.p[made.n - 1] ^= 0x10;
		malformed();
	}
	make_udp(V4_SRC, V4_DST, 7, 65507);
	sound(PACKET_UDP);
	assert_int_equal(p.payload_len, 65507);
}

static void test_sum_itself(void **state)
{
	/* The example of RFC 1071, 3. */
	static const uint8_t example[] = {0, 1, 0xf2, 3, 0xf4, 0xf5, 0xf6, 0xf7};
	static uint8_t ones[65536];
	uint16_t sum = csum_fold(csum_add(0, example, sizeof(example)));

	assert_memory_equal(&sum, "\x22\x0d", 2);
	/* In parts of even length, and with a last byte that has no partner. */
	for (size_t i = 0; i <= sizeof(example); i += 2) {
		uint32_t first = csum_add(0, example, i);

		assert_int_equal(csum_fold(csum_add(first, example + i, sizeof(example) - i)), sum);
	}
	assert_int_equal(csum_fold(csum_add(0, "\xab", 1)), csum_fold(csum_add(0, "\xab\0", 2)));
	assert_int_equal(csum_fold(csum_add(0, NULL, 0)), 0xffff);
	memset(ones, 0xff, sizeof(ones));
	assert_int_equal(csum_fold(csum_add(UINT32_MAX, ones, sizeof(ones))), 0);
}

/* --- Ethernet ------------------------------------------------------------------------------ */

static void test_cards(void **state)
{
	static const uint8_t many[2][6] = {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
					   {0x33, 0x33, 0, 0, 0, 1}};

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		for (size_t at = 0; at < 12; at++) {
			kinds[i].make();
			made.p[ETH_AT + at] ^= 0x80;
			assert_int_equal(parse(), PACKET_FOREIGN);
		}
		/* One that says to come from everybody. */
		kinds[i].make();
		memset(made.p + ETH_AT + 6, 0xff, 6);
		assert_int_equal(parse(), PACKET_FOREIGN);
		for (size_t j = 0; j < ARRAY_SIZE(many); j++) {
			kinds[i].make();
			memcpy(made.p + ETH_AT, many[j], 6);
			sound(kinds[i].kind);
		}
	}
}

static void test_other_protocols(void **state)
{
	static const uint16_t types[] = {0, 46, 0x0801, 0x8035, 0x8100, 0x86dc, 0x88a8, 0xffff};

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		udp4();
		put16(made.p + ETH_AT + 12, types[i]);
		ignored();
	}
	make_frame(0x88cc, "", 0);
	ignored();
	/* One version of IP behind the type of the other. */
	udp4();
	put16(made.p + ETH_AT + 12, ETH_P_IPV6);
	malformed();
	udp6();
	put16(made.p + ETH_AT + 12, ETH_P_IP);
	malformed();
	/* Each ICMP belongs to its own version; others are not known at all. */
	make_ip(V4_SRC, V4_DST, IPPROTO_ICMPV6, "\x80\0\0\0\0\0\0\0", 8, 2);
	ignored();
	make_ip(V6_SRC, V6_DST, IPPROTO_ICMP, "\x08\0\0\0\0\0\0\0", 8, 2);
	ignored();
	for (unsigned int i = 0; i < 256; i++) {
		if (i == IPPROTO_TCP || i == IPPROTO_UDP || i == IPPROTO_ICMP ||
		    i == IPPROTO_ICMPV6)
			continue;
		make_ip(V4_SRC, V4_DST, (uint8_t)i, "\0\0\0\0\0\0\0\0", 8, 2);
		ignored();
	}
}

/* --- IPv4 ---------------------------------------------------------------------------------- */

static void spoiled4(size_t at, uint8_t value)
{
	udp4();
	made.p[IP_AT + at] = value;
	made_sum_ip4();
	malformed();
}

static void test_ip4_headers(void **state)
{
	spoiled4(0, 0x55); /* version */
	spoiled4(0, 0x44); /* header shorter than one */
	spoiled4(0, 0x4f); /* beyond the packet, or of garbage */
	spoiled4(3, 19);   /* packet shorter than its header */
	spoiled4(2, 0xff); /* longer than the frame */
	spoiled4(8, 0);    /* has lived too long */
	udp4();
	made.p[IP_AT + 8] = 1;
	made.p[IP_AT + 6] = 0x40; /* don't fragment */
	made_sum_ip4();
	sound(PACKET_UDP);
	/* No room for its own options. */
	make_ip(V4_SRC, V4_DST, IPPROTO_UDP, "\1\1\1\1", 4, 2);
	made.p[IP_AT] = 0x47;
	made_sum_ip4();
	malformed();
}

static void test_ip4_options(void **state)
{
	static const struct {
		uint8_t bytes[8];
		enum packet_fault fault;
	} cases[] = {
		{{1, 1, 1, 1, 1, 1, 1, 1}, PACKET_OK},
		{{0, 131, 7, 4, 1, 2, 3, 4}, PACKET_OK}, /* it ends before */
		{{7, 7, 4, 0, 0, 0, 0, 0}, PACKET_OK},
		{{7, 8, 4, 0, 0, 0, 0, 0}, PACKET_OK},
		{{148, 4, 0, 0, 148, 4, 0, 0}, PACKET_OK}, /* router alert */
		{{1, 1, 1, 1, 7, 2, 7, 2}, PACKET_OK},
		{{131, 7, 4, 1, 2, 3, 4, 0}, PACKET_MALFORMED},
		{{137, 7, 4, 1, 2, 3, 4, 0}, PACKET_MALFORMED},
		{{1, 131, 3, 4, 0, 0, 0, 0}, PACKET_MALFORMED},
		{{7, 3, 4, 137, 3, 4, 0, 0}, PACKET_MALFORMED},
		{{1, 1, 1, 1, 1, 1, 1, 131}, PACKET_MALFORMED},
		{{1, 1, 1, 1, 1, 1, 1, 7}, PACKET_MALFORMED}, /* no length */
		{{7, 0, 0, 0, 0, 0, 0, 0}, PACKET_MALFORMED},
		{{7, 1, 0, 0, 0, 0, 0, 0}, PACKET_MALFORMED},
		{{7, 9, 4, 0, 0, 0, 0, 0}, PACKET_MALFORMED},
		{{1, 7, 8, 4, 0, 0, 0, 0}, PACKET_MALFORMED},
		{{7, 255, 4, 0, 0, 0, 0, 0}, PACKET_MALFORMED},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		udp4();
		made_insert(cases[i].bytes, 8);
		made.p[IP_AT] = 0x47;
		made_sum_ip4();
		assert_int_equal(parse(), cases[i].fault);
		if (cases[i].fault == PACKET_OK)
			assert_int_equal(p.payload_len, 33);
	}
}

static void test_ip4_fragments(void **state)
{
	static const uint16_t bits[] = {0x2000, 0x0001, 0x1fff, 0x3fff, 0x6000, 0xa001};

	for (size_t i = 0; i < ARRAY_SIZE(bits); i++) {
		udp6();
		sound(PACKET_UDP);
		udp4();
		put16(made.p + IP_AT + 6, bits[i]);
		made_sum_ip4();
		assert_int_equal(parse(), PACKET_FRAGMENT);
		/* Whoever tells of it tells of this one, not of the one before. */
		assert_false(p.v6);
		assert_true(is_at(&p.src, V4_SRC));
		assert_true(is_at(&p.dst, V4_DST));
		assert_int_equal(p.dport, 0);
		assert_int_equal(p.kind, PACKET_OTHER);
	}
}

/* --- IPv6 ---------------------------------------------------------------------------------- */

static void test_ip6_headers(void **state)
{
	udp6();
	made.p[IP_AT] = 0x70;
	malformed();
	udp6();
	made.p[IP_AT + 7] = 0;
	malformed();
	udp6();
	put16(made.p + IP_AT + 4, 0);
	malformed();
	udp6();
	memset(made.p + IP_AT + 1, 0xff, 3); /* class and flow label are of no interest */
	sound(PACKET_UDP);
}

static void test_mapped_addresses(void **state)
{
	static const uint8_t mapped[16] = {[10] = 0xff, 0xff, 1, 2, 3, 4};

	for (size_t at = 8; at <= 24; at += 16) {
		udp6();
		made.p[0] = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		sound(PACKET_UDP);
		memcpy(made.p + IP_AT + at, mapped, sizeof(mapped));
		malformed();
	}
}

/* What comes of a datagram behind one header of 8 bytes times `units`. */
static enum packet_fault behind(uint8_t kind, const uint8_t *header, size_t units)
{
	make_udp(V6_SRC, V6_DST, 7, 10);
	made_insert(header, units * 8);
	made.p[IP_AT + 6] = kind;
	return parse();
}

static void test_extension_headers(void **state)
{
	static const uint8_t kinds_over[] = {0, 60};
	uint8_t header[400] = {IPPROTO_UDP};

	for (size_t i = 0; i < ARRAY_SIZE(kinds_over); i++) {
		uint8_t kind = kinds_over[i];

		header[0] = IPPROTO_UDP;
		header[1] = 0;
		assert_int_equal(behind(kind, header, 1), PACKET_OK);
		assert_int_equal(p.kind, PACKET_UDP);
		assert_int_equal(p.payload_len, 10);
		header[1] = 4; /* more than there is */
		assert_int_equal(behind(kind, header, 1), PACKET_MALFORMED);
		header[1] = 255;
		assert_int_equal(behind(kind, header, 1), PACKET_MALFORMED);
		header[1] = 40; /* the transport header is not in the copy */
		assert_int_equal(behind(kind, header, 41), PACKET_MALFORMED);
		header[0] = 60; /* nor is the next one */
		assert_int_equal(behind(kind, header, 41), PACKET_MALFORMED);
		header[1] = 0;
		header[0] = 59; /* nothing follows */
		assert_int_equal(behind(kind, header, 1), PACKET_OK);
		assert_int_equal(p.kind, PACKET_OTHER);
		header[0] = 43;
		assert_int_equal(behind(kind, header, 1), PACKET_MALFORMED);
		header[0] = 44;
		assert_int_equal(behind(kind, header, 1), PACKET_FRAGMENT);
		assert_true(is_at(&p.dst, V6_DST));
	}
	header[0] = IPPROTO_UDP;
	assert_int_equal(behind(43, header, 1), PACKET_MALFORMED);
	assert_int_equal(behind(44, header, 1), PACKET_FRAGMENT);
	/* Ones that we do not look into. */
	assert_int_equal(behind(50, header, 1), PACKET_OK);
	assert_int_equal(p.kind, PACKET_OTHER);
	assert_int_equal(behind(51, header, 1), PACKET_OK);
	assert_int_equal(p.kind, PACKET_OTHER);
}

static void test_extensions_that_fill_the_packet(void **state)
{
	const uint8_t last[8] = {IPPROTO_UDP};
	const uint8_t endless[8] = {60};

	make_ip(V6_SRC, V6_DST, 60, last, 8, 2);
	malformed(); /* no room for the transport header */
	made.n = IP_AT + IP6_LEN;
	put16(made.p + IP_AT + 4, 0);
	malformed(); /* not even for the extension */
	made.n++;
	put16(made.p + IP_AT + 4, 1);
	malformed();
	udp6();
	for (int i = 0; i < 100; i++)
		made_insert(endless, sizeof(endless));
	made.p[IP_AT + 6] = 60;
	malformed();
}

/* --- transport ----------------------------------------------------------------------------- */

static void test_tcp_headers(void **state)
{
	for (size_t words = 0; words < 16; words++) {
		make_tcp(V4_SRC, V4_DST, TCP_LEN, 20);
		made.p[0] = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		made.p[IP_AT + IP4_LEN + 12] = (uint8_t)(words << 4);
		if (words < 5 || words > 10) {
			malformed();
			continue;
		}
		sound(PACKET_TCP);
		assert_int_equal(p.l4_len, words * 4);
		assert_int_equal(p.payload_len, 40 - words * 4);
	}
}

static void test_udp_lengths(void **state)
{
	for (uint32_t said = 0; said < 60; said++) {
		make_udp(V4_SRC, V4_DST, 7, 33);
		made.p[0] = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		put16(made.p + IP_AT + IP4_LEN + 4, said);
		if (said < UDP_LEN || said > UDP_LEN + 33) {
			malformed();
			continue;
		}
		sound(PACKET_UDP);
		assert_int_equal(p.payload_len, said - UDP_LEN);
	}
	/* The sum covers what the datagram says to be. */
	make_udp(V4_SRC, V4_DST, 7, 33);
	made.p[made.n] = 0xee;
	made.n++;
	put16(made.p + IP_AT + 2, IP4_LEN + UDP_LEN + 34);
	made_sum_ip4();
	sound(PACKET_UDP);
	assert_int_equal(p.payload_len, 33);
}

/* What a segmented frame says of its segments changes nothing. */
static void test_segmented(void **state)
{
	static const uint8_t types[] = {VIRTIO_NET_HDR_GSO_NONE, VIRTIO_NET_HDR_GSO_TCPV4,
					VIRTIO_NET_HDR_GSO_UDP, VIRTIO_NET_HDR_GSO_TCPV6, 0xff};

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		struct virtio_net_hdr_v1 vnet = {
			.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
			.gso_type = types[i],
			.gso_size = i % 2 ? 1460 : 0,
			.hdr_len = i % 2 ? 54 : 0xffff,
			.csum_start = i % 2 ? 34 : 0xffff,
			.csum_offset = i % 2 ? 16 : 0xffff,
		};

		make_tcp(V4_SRC, V4_DST, TCP_LEN, 60000);
		memcpy(made.p, &vnet, sizeof(vnet));
		sound(PACKET_TCP);
		assert_int_equal(p.payload_len, 60000);
		make_tcp(V6_SRC, V6_DST, TCP_LEN, 65515);
		memcpy(made.p, &vnet, sizeof(vnet));
		sound(PACKET_TCP);
		assert_int_equal(p.payload_len, 65515);
	}
}

/* --- building ------------------------------------------------------------------------------ */

/* A packet of ours; the guest's offloads as its kernel would apply them. */
static void build(bool v6, uint8_t protocol, size_t len, size_t mss)
{
	static uint8_t data[65536];
	struct packet_link link;
	struct addr src = at(v6 ? V6_SRC : V4_SRC), dst = at(v6 ? V6_DST : V4_DST);
	size_t head = protocol == IPPROTO_TCP ? TCP_LEN : UDP_LEN;
	uint8_t *l4;

	for (size_t i = 0; i < len; i++)
		data[i] = (uint8_t)(i * 7);
	memcpy(link.guest_mac, card_ours, 6);
	memcpy(link.our_mac, card_guest, 6);
	memset(made.p, 0xaa, sizeof(made.p)); /* room in a ring is never clean */
	l4 = packet_begin(made.p, &link, &src, &dst, protocol, head + len);
	assert_ptr_equal(l4, made.p + packet_overhead(&dst));
	memset(l4, 0, head);
	put16(l4, 4000);
	put16(l4 + 2, 7);
	if (protocol == IPPROTO_TCP)
		l4[12] = 0x50;
	else
		put16(l4 + 4, (uint32_t)(head + len));
	memcpy(l4 + head, data, len);
	packet_finish(made.p, l4, protocol, head + len, mss);
	made.n = packet_overhead(&dst) + head + len;
	sound(protocol == IPPROTO_TCP ? PACKET_TCP : PACKET_UDP);
	assert_int_equal(p.v6, v6);
	assert_true(addr_equal(&p.src, &src) && addr_equal(&p.dst, &dst));
	assert_int_equal(p.sport, 4000);
	assert_int_equal(p.dport, 7);
	assert_int_equal(p.payload_len, len);
	assert_memory_equal(p.payload, data, len);
}

static void complete_sum(void)
{
	struct virtio_net_hdr_v1 vnet;
	size_t start;
	uint16_t sum;

	memcpy(&vnet, made.p, sizeof(vnet));
	assert_int_equal(vnet.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
	assert_int_equal(vnet.num_buffers, 1);
	start = VNET_LEN + vnet.csum_start;
	assert_int_equal(start, VNET_LEN + (size_t)(p.l4 - p.head));
	sum = csum_fold(csum_add(0, made.p + start, made.n - start));
	memcpy(made.p + start + vnet.csum_offset, &sum, sizeof(sum));
	made.p[0] = 0;
}

static void test_built_packets_are_sound(void **state)
{
	static const size_t lengths[] = {0, 1, 2, 7, 200, 201, 1460, 60001};
	static const uint8_t protocols[] = {IPPROTO_TCP, IPPROTO_UDP};

	for (int v6 = 0; v6 < 2; v6++)
		for (size_t i = 0; i < ARRAY_SIZE(protocols); i++)
			for (size_t j = 0; j < ARRAY_SIZE(lengths); j++) {
				build(v6, protocols[i], lengths[j], 0);
				complete_sum();
				sound(i == 0 ? PACKET_TCP : PACKET_UDP);
				assert_int_equal(p.payload_len, lengths[j]);
			}
}

static void test_built_segments(void **state)
{
	for (int v6 = 0; v6 < 2; v6++) {
		struct virtio_net_hdr_v1 vnet;

		build(v6, IPPROTO_TCP, 1400, 1400);
		memcpy(&vnet, made.p, sizeof(vnet));
		assert_int_equal(vnet.gso_type, VIRTIO_NET_HDR_GSO_NONE);
		assert_int_equal(vnet.gso_size, 0);
		build(v6, IPPROTO_TCP, 1401, 1400);
		memcpy(&vnet, made.p, sizeof(vnet));
		assert_int_equal(vnet.gso_type,
				 v6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4);
		assert_int_equal(vnet.gso_size, 1400);
		assert_int_equal(vnet.hdr_len, ETH_HLEN + (v6 ? IP6_LEN : IP4_LEN) + TCP_LEN);
		complete_sum();
		/* A datagram is never taken apart this way. */
		build(v6, IPPROTO_UDP, 1401, 1400);
		memcpy(&vnet, made.p, sizeof(vnet));
		assert_int_equal(vnet.gso_type, VIRTIO_NET_HDR_GSO_NONE);
	}
}

static void test_built_ip4_header(void **state)
{
	const uint8_t *ip = made.p + IP_AT;

	build(false, IPPROTO_UDP, 100, 0);
	assert_int_equal(csum_fold(csum_add(0, ip, IP4_LEN)), 0);
	assert_memory_equal(ip, "\x45\0\0\x80\0\0\x40\0\x40\x11", 10);
	assert_int_equal(packet_overhead(&p.dst), IP_AT + IP4_LEN);
	build(true, IPPROTO_UDP, 100, 0);
	assert_memory_equal(ip, "\x60\0\0\0\0\x6c\x11\x40", 8);
	assert_int_equal(packet_overhead(&p.dst), IP_AT + IP6_LEN);
}

#define CASE(name) cmocka_unit_test_teardown(name, release)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_sound),
		CASE(test_cut),
		CASE(test_cut_with_right_length),
		CASE(test_padding),
		CASE(test_nothing_is_left_of_the_last),
		CASE(test_every_bit_counts),
		CASE(test_sums_that_need_not_hold),
		CASE(test_datagrams_without_sum),
		CASE(test_long_sums),
		CASE(test_sum_itself),
		CASE(test_cards),
		CASE(test_other_protocols),
		CASE(test_ip4_headers),
		CASE(test_ip4_options),
		CASE(test_ip4_fragments),
		CASE(test_ip6_headers),
		CASE(test_mapped_addresses),
		CASE(test_extension_headers),
		CASE(test_extensions_that_fill_the_packet),
		CASE(test_tcp_headers),
		CASE(test_udp_lengths),
		CASE(test_segmented),
		CASE(test_built_packets_are_sound),
		CASE(test_built_segments),
		CASE(test_built_ip4_header),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
