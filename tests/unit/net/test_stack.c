/* SPDX-License-Identifier: Apache-2.0 */
/* The stack but for TCP: frames, neighbours, ICMP, UDP. */
#include "guest.h"

static const uint8_t guest_mac[6] = {2, 0, 0, 0, 0, 2}, our_mac[6] = {2, 0, 0, 0, 0, 1};

/* --- frames by hand ------------------------------------------------------------------------ */

struct made {
	uint8_t p[70000];
	size_t n;
};

static struct made made; /* too large for a stack */

static void add(const void *data, size_t n)
{
	memcpy(made.p + made.n, data, n);
	made.n += n;
}

static void begin(uint16_t type)
{
	const uint8_t t[2] = {(uint8_t)(type >> 8), (uint8_t)type};

	memset(made.p, 0, VNET_LEN);
	made.n = VNET_LEN;
	add(our_mac, 6);
	add(guest_mac, 6);
	add(t, 2);
}

/* A packet of the guest's with a transport part, whose checksum field is at `sum_at` of it. */
static void make_ip(struct guest *g, const char *src, const char *dst, uint8_t protocol,
		    const void *l4, size_t n, size_t sum_at)
{
	struct addr s = at(src), d = at(dst);
	uint8_t *p = packet_begin(made.p, &g->link, &s, &d, protocol, n);
	uint32_t sum = protocol == IPPROTO_ICMP ? 0 : csum_pseudo(&s, &d, protocol, n);
	uint16_t folded;

	memcpy(p, l4, n);
	folded = csum_fold(csum_add(sum, p, n));
	memcpy(p + sum_at, &folded, 2);
	made.n = (size_t)(p - made.p) + n;
}

static void send_made(struct guest *g)
{
	/* Exactly so long, so that a step beyond it is seen. */
	uint8_t *copy = malloc(made.n ? made.n : 1);

	memcpy(copy, made.p, made.n);
	send_frame(g, copy, made.n);
	free(copy);
}

static void make_udp(struct guest *g, const char *src, const char *dst, uint16_t port, size_t len)
{
	static uint8_t l4[2000];

	memset(l4, 'u', sizeof(l4));
	put16(l4, 4000);
	put16(l4 + 2, port);
	put16(l4 + 4, (uint32_t)(UDP_LEN + len));
	put16(l4 + 6, 0);
	make_ip(g, src, dst, IPPROTO_UDP, l4, UDP_LEN + len, 6);
}

static void fix_ip4_sum(void)
{
	uint8_t *ip = made.p + VNET_LEN + ETH_HLEN;
	size_t len = (size_t)(ip[0] & 15) * 4;
	uint16_t sum;

	ip[10] = ip[11] = 0;
	sum = csum_fold(csum_add(0, ip, len));
	memcpy(ip + 10, &sum, 2);
}

/* --- what is dropped ----------------------------------------------------------------------- */

static void test_sound_frames(void **state)
{
	struct guest *g = *state;

	make_udp(g, "172.16.0.6", "1.2.3.4", 7, 5);
	send_made(g);
	make_udp(g, "fd42::2", "2001:db8::1", 7, 5);
	send_made(g);
	assert_int_equal(g->n_udp, 2);
	assert_int_equal(g->data_len, 5);
	assert_true(addr_equal(&g->key.remote, &(struct addr){{0x20, 1, 0x0d, 0xb8, [15] = 1}}));
	assert_int_equal(g->key.remote_port, 7);
}

static void test_cut_frames(void **state)
{
	struct guest *g = *state;
	static const char *const pairs[][2] = {{"172.16.0.6", "1.2.3.4"},
					       {"fd42::2", "2001:db8::1"}};

	for (size_t i = 0; i < 2; i++) {
		size_t whole;

		make_udp(g, pairs[i][0], pairs[i][1], 7, 100);
		whole = made.n;
		for (made.n = 0; made.n < whole; made.n++)
			send_made(g);
	}
	assert_int_equal(g->n_udp, 0);
}

static void test_wrong_sums(void **state)
{
	struct guest *g = *state;

	make_udp(g, "172.16.0.6", "1.2.3.4", 7, 5);
	made.p[made.n - 1] ^= 1;
	send_made(g);
	make_udp(g, "172.16.0.6", "1.2.3.4", 7, 5);
	made.p[VNET_LEN + ETH_HLEN + 8] ^= 1; /* the IP header's */
	send_made(g);
	make_udp(g, "fd42::2", "2001:db8::1", 7, 5);
	put16(made.p + VNET_LEN + ETH_HLEN + IP6_LEN + 6, 0); /* none, which IPv6 does not know */
	send_made(g);
	assert_int_equal(g->n_udp, 0);
	make_udp(g, "172.16.0.6", "1.2.3.4", 7, 5);
	put16(made.p + VNET_LEN + ETH_HLEN + IP4_LEN + 6, 0);
	send_made(g);
	assert_int_equal(g->n_udp, 1);
}

static void test_sources(void **state)
{
	static const char *const pairs[][2] = {
		{"172.16.0.5", "1.2.3.4"}, {"127.0.0.1", "1.2.3.4"}, {"0.0.0.0", "1.2.3.4"},
		{"fd42::1", "2001::1"},    {"::1", "2001::1"},       {"fe80::2", "2001::1"},
	};
	struct guest *g = *state;

	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
		make_udp(g, pairs[i][0], pairs[i][1], 7, 5);
		send_made(g);
		assert_int_equal(g->n_dropped, i + 1);
	}
	make_udp(g, "172.16.0.6", "1.2.3.4", 7, 5);
	made.p[VNET_LEN + 6] ^= 4; /* another card */
	send_made(g);
	make_udp(g, "172.16.0.6", "1.2.3.4", 7, 5);
	made.p[VNET_LEN + 5] ^= 4; /* to another card */
	send_made(g);
	make_udp(g, "172.16.0.6", "172.16.0.6", 7, 5); /* to itself */
	send_made(g);
	assert_int_equal(g->n_udp, 0);
	no_frame(g);
}

static void test_fragments_and_options(void **state)
{
	struct guest *g = *state;
	uint8_t *ip = made.p + VNET_LEN + ETH_HLEN;

	make_udp(g, "172.16.0.6", "1.2.3.4", 7, 5);
	ip[6] = 0x20;
	fix_ip4_sum();
	send_made(g);
	make_udp(g, "172.16.0.6", "1.2.3.4", 7, 5);
	ip[7] = 1;
	fix_ip4_sum();
	send_made(g);
	assert_int_equal(g->n_dropped, 2);
	for (int i = 0; i < 3; i++) {
		/* A source route, an option that is none, and one that does no harm. */
		static const uint8_t options[3][4] = {{131, 4, 4, 0}, {7, 9, 0, 0}, {1, 1, 1, 0}};

		make_udp(g, "172.16.0.6", "1.2.3.4", 7, 5);
		memmove(ip + 24, ip + 20, made.n - VNET_LEN - ETH_HLEN - 20);
		memcpy(ip + 20, options[i], 4);
		made.n += 4;
		ip[0] = 0x46;
		ip[3] += 4;
		fix_ip4_sum();
		send_made(g);
		assert_int_equal(g->n_udp, i == 2);
	}
	/* Extension headers: one to pass over, a routing header, a fragment. */
	for (int i = 0; i < 3; i++) {
		static const uint8_t kinds[] = {60, 43, 44};

		make_udp(g, "fd42::2", "2001:db8::1", 7, 5);
		memmove(ip + 48, ip + 40, made.n - VNET_LEN - ETH_HLEN - 40);
		memset(ip + 40, 0, 8);
		ip[40] = IPPROTO_UDP;
		ip[6] = kinds[i];
		ip[5] += 8;
		made.n += 8;
		send_made(g);
		assert_int_equal(g->n_udp, 2);
	}
	/* An IPv4 address in IPv6. */
	make_udp(g, "fd42::2", "2001:db8::1", 7, 5);
	memset(ip + 24, 0, 10);
	ip[34] = ip[35] = 0xff;
	send_made(g);
	assert_int_equal(g->n_udp, 2);
}

/* --- neighbours ---------------------------------------------------------------------------- */

static void make_arp(const char *sender, const char *target)
{
	struct in_addr s, t;

	inet_pton(AF_INET, sender, &s);
	inet_pton(AF_INET, target, &t);
	begin(0x0806);
	add("\0\1\x08\0\6\4\0\1", 8);
	add(guest_mac, 6);
	add(&s, 4);
	add("\0\0\0\0\0\0", 6);
	add(&t, 4);
}

static void test_arp(void **state)
{
	static const char *const targets[] = {"172.16.0.5", "1.2.3.4"};
	struct guest *g = *state;

	for (size_t i = 0; i < ARRAY_SIZE(targets); i++) {
		struct in_addr t;

		inet_pton(AF_INET, targets[i], &t);
		make_arp("172.16.0.6", targets[i]);
		send_made(g);
		take_frame(g);
		assert_int_equal(g->p.kind, PACKET_ARP);
		assert_memory_equal(g->p.l3 + 6, "\0\2", 2);
		assert_memory_equal(g->p.l3 + 8, our_mac, 6);
		assert_memory_equal(g->p.l3 + 14, &t, 4);
		assert_memory_equal(g->p.l3 + 18, guest_mac, 6);
	}
	/* Its own address, for another, and not a question. */
	make_arp("172.16.0.6", "172.16.0.6");
	send_made(g);
	make_arp("0.0.0.0", "172.16.0.5");
	send_made(g);
	make_arp("172.16.0.6", "172.16.0.5");
	made.p[VNET_LEN + ETH_HLEN + 7] = 2;
	send_made(g);
	no_frame(g);
}

static void make_nd(struct guest *g, const char *src, uint8_t kind, const char *target, size_t len)
{
	uint8_t l4[64] = {kind};
	struct addr t = at(target);

	memcpy(l4 + 8, t.b, 16);
	make_ip(g, src, "ff02::1:ff00:1", IPPROTO_ICMPV6, l4, len, 2);
	made.p[VNET_LEN + ETH_HLEN + 7] = 255;
}

static void test_neighbour_solicitation(void **state)
{
	struct guest *g = *state;

	make_nd(g, "fd42::2", 135, "fd42::1", 24);
	send_made(g);
	take_frame(g);
	assert_int_equal(g->p.kind, PACKET_ICMP6);
	assert_int_equal(g->p.ttl, 255);
	assert_int_equal(g->p.l4[0], 136);
	assert_int_equal(g->p.l4[4], 0xe0); /* a router, asked, to be believed */
	assert_true(addr_equal(&g->p.dst, &g->config.v6.guest));
	/* By its link-local address as well. */
	make_nd(g, "fe80::2", 135, "fe80::1", 24);
	send_made(g);
	take_frame(g);
	/* Not: too far away, cut off, a malformed option, its own address, somebody without one. */
	make_nd(g, "fd42::2", 135, "fd42::1", 24);
	made.p[VNET_LEN + ETH_HLEN + 7] = 64;
	send_made(g);
	make_nd(g, "fd42::2", 135, "fd42::1", 20);
	send_made(g);
	make_nd(g, "fd42::2", 135, "fd42::1", 32); /* an option of length 0 */
	send_made(g);
	make_nd(g, "fd42::2", 135, "fd42::2", 24);
	send_made(g);
	make_nd(g, "::", 135, "fd42::1", 24);
	send_made(g);
	make_nd(g, "fd42::2", 135, "ff02::1", 24);
	send_made(g);
	make_nd(g, "fd42::2", 135, "::ffff:1.2.3.4", 24);
	send_made(g);
	make_nd(g, "fd42::2", 135, "::", 24);
	send_made(g);
	no_frame(g);
}

static void test_router_solicitation(void **state)
{
	struct guest *g = *state;

	make_nd(g, "fe80::2", 133, "::", 8);
	send_made(g);
	take_frame(g);
	assert_int_equal(g->p.l4[0], 134);
	assert_int_equal(g->p.payload_len + g->p.l4_len, 32);
	assert_int_equal(g->p.l4[30] << 8 | g->p.l4[31], GUEST_MTU);
}

/* --- ICMP ---------------------------------------------------------------------------------- */

static void test_echo(void **state)
{
	struct guest *g = *state;
	static const uint8_t l4[] = {8, 0, 0, 0, 0x12, 0x34, 0, 9, 'd', 'a', 't', 'a'};

	make_ip(g, "172.16.0.6", "1.2.3.4", IPPROTO_ICMP, l4, sizeof(l4), 2);
	send_made(g);
	assert_int_equal(g->n_echo, 1);
	assert_int_equal(g->key.guest_port, 0x1234);
	assert_int_equal(g->seq, 9);
	assert_int_equal(g->data_len, 4);
	assert_true(stack_send_echo_reply(g->stack, &g->key, 9, "data", 4));
	take_frame(g);
	assert_int_equal(g->p.l4[0], 0);
	assert_memory_equal(g->p.l4 + 4, "\x12\x34\0\x09", 4);
	assert_memory_equal(g->p.payload, "data", 4);
	assert_false(stack_send_echo_reply(g->stack, &g->key, 9, g->data, 1473));
	/* Replies and errors of the guest are nothing. */
	for (int kind = 0; kind < 20; kind++) {
		uint8_t other[sizeof(l4)];

		if (kind == 8)
			continue;
		memcpy(other, l4, sizeof(l4));
		other[0] = (uint8_t)kind;
		make_ip(g, "172.16.0.6", "1.2.3.4", IPPROTO_ICMP, other, sizeof(other), 2);
		send_made(g);
	}
	assert_int_equal(g->n_echo, 1);
	no_frame(g);
}

static void test_errors(void **state)
{
	static const struct {
		const char *remote;
		enum unreachable why;
		uint8_t type, code;
	} cases[] = {
		{"1.2.3.4", UNREACH_PROHIBITED, 3, 13}, {"1.2.3.4", UNREACH_PORT, 3, 3},
		{"1.2.3.4", UNREACH_HOST, 3, 1},        {"2001::1", UNREACH_PROHIBITED, 1, 1},
		{"2001::1", UNREACH_PORT, 1, 4},        {"2001::1", UNREACH_NET, 1, 0},
	};
	struct guest *g = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct flow_key key = {
			.remote = at(cases[i].remote), .guest_port = 4000, .remote_port = 53};
		bool v4 = addr_is_v4(&key.remote);

		key.guest = v4 ? g->config.v4.guest : g->config.v6.guest;
		stack_send_unreachable(g->stack, &key, PROTO_UDP, cases[i].why);
		take_frame(g);
		assert_int_equal(g->p.l4[0], cases[i].type);
		assert_int_equal(g->p.l4[1], cases[i].code);
		/* It quotes by what the guest knows its datagram. */
		assert_memory_equal(g->p.l4 + ICMP_LEN + (v4 ? IP4_LEN : IP6_LEN), "\x0f\xa0\0\x35",
				    4);
	}
}

static void test_errors_are_limited(void **state)
{
	struct guest *g = *state;
	struct flow_key key = {.guest = g->config.v4.guest,
			       .remote = at("1.2.3.4"),
			       .guest_port = 1,
			       .remote_port = 2};
	unsigned int n = 0;

	wait_ns(g, 0); /* it is told the time */
	for (int i = 0; i < 1000; i++)
		stack_send_unreachable(g->stack, &key, PROTO_UDP, UNREACH_PORT);
	for (; has_frame(g); n++)
		take_frame(g);
	assert_int_equal(n, 50);
	/* Later there are more. */
	g->now += NSEC_PER_SEC;
	wait_ns(g, 0);
	stack_send_unreachable(g->stack, &key, PROTO_UDP, UNREACH_PORT);
	take_frame(g);
	/* Never about what went to many. */
	key.remote = at("224.0.0.1");
	stack_send_unreachable(g->stack, &key, PROTO_UDP, UNREACH_PORT);
	no_frame(g);
}

/* --- UDP to the guest ---------------------------------------------------------------------- */

/* Puts the fragments of a datagram together again; the UDP length, header included. */
static size_t reassemble(struct guest *g, bool v4, uint8_t *out)
{
	size_t total = 0;

	while (has_frame(g)) {
		const uint8_t *ip;
		size_t offset, len, head;

		free(g->taken.data);
		g->taken = g->frames[g->first++];
		if (g->first == g->n)
			g->first = g->n = 0;
		assert_true(g->taken.len - VNET_LEN - ETH_HLEN <= GUEST_MTU);
		ip = g->taken.data + VNET_LEN + ETH_HLEN;
		head = v4 ? IP4_LEN : IP6_LEN + 8;
		offset = v4 ? (size_t)((ip[6] & 0x1f) << 8 | ip[7]) * 8
			    : (size_t)((ip[42] << 8 | ip[43]) & ~7);
		len = g->taken.len - VNET_LEN - ETH_HLEN - head;
		if (v4)
			assert_int_equal(csum_fold(csum_add(0, ip, IP4_LEN)), 0);
		memcpy(out + offset, ip + head, len);
		total = MAX(total, offset + len);
	}
	return total;
}

static void test_udp_of_any_length(void **state)
{
	static const size_t lengths[] = {0, 1, 1400, 1452, 1453, 1472, 1473, 1480, 3000, 65507};
	static uint8_t data[65508], out[70000];
	struct guest *g = *state;

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 13);
	for (int v6 = 0; v6 < 2; v6++) {
		struct flow_key key = {
			.guest = v6 ? g->config.v6.guest : g->config.v4.guest,
			.remote = at(v6 ? "2001::1" : "1.2.3.4"),
			.guest_port = 5,
			.remote_port = 6,
		};

		for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
			size_t n = lengths[i];

			assert_true(stack_send_udp(g->stack, &key, data, n));
			if (n + UDP_LEN + (v6 ? IP6_LEN : IP4_LEN) <= GUEST_MTU) {
				take_frame(g);
				assert_int_equal(g->p.payload_len, n);
				assert_memory_equal(g->p.payload, data, n);
				continue;
			}
			assert_int_equal(reassemble(g, !v6, out), UDP_LEN + n);
			assert_memory_equal(out + UDP_LEN, data, n);
			assert_int_equal(csum_fold(csum_add(csum_pseudo(&key.remote, &key.guest,
									IPPROTO_UDP, UDP_LEN + n),
							    out, UDP_LEN + n)),
					 0);
		}
		assert_false(stack_send_udp(g->stack, &key, data, sizeof(data)));
	}
	g->capacity = 0;
	assert_false(stack_send_udp(
		g->stack, &(struct flow_key){g->config.v4.guest, g->config.v4.gateway, 1, 2}, data,
		5));
}

static void test_families_that_are_off(void **state)
{
	struct guest *g = *state;

	stack_free(g->stack);
	g->config.v4.on = false;
	guest_start(g);
	make_udp(g, "172.16.0.6", "1.2.3.4", 7, 5);
	send_made(g);
	make_arp("172.16.0.6", "172.16.0.5");
	send_made(g);
	assert_int_equal(g->n_udp, 0);
	no_frame(g);
	make_udp(g, "fd42::2", "2001:db8::1", 7, 5);
	send_made(g);
	assert_int_equal(g->n_udp, 1);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, guest_setup, guest_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_sound_frames),
		CASE(test_cut_frames),
		CASE(test_wrong_sums),
		CASE(test_sources),
		CASE(test_fragments_and_options),
		CASE(test_arp),
		CASE(test_neighbour_solicitation),
		CASE(test_router_solicitation),
		CASE(test_echo),
		CASE(test_errors),
		CASE(test_errors_are_limited),
		CASE(test_udp_of_any_length),
		CASE(test_families_that_are_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
