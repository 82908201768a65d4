/* SPDX-License-Identifier: Apache-2.0 */
#include "../testing.h"

#include "net/spec.h"

#define HEAD                              \
	"mac 02:6d:73:00:01:02\n"         \
	"gateway-mac 02:6d:73:00:01:01\n" \
	"mtu 1500\n"                      \
	"ip4 172.16.0.6/30 172.16.0.5\n"  \
	"ip6 fd42:6d73:62:1::2/64 fd42:6d73:62:1::1\n"

static const char full[] = HEAD "default egress deny\n"
				"default ingress allow\n"
				"rule deny@suffix=example.com\n"
				"rule allow@public:tcp:443\n"
				"max-connections 10\n"
				"rate egress 1000000\n"
				"packets egress 5\n"
				"rate ingress 2000000\n"
				"packets ingress 6\n"
				"rebind-protection off\n"
				"nameserver 192.0.2.1:53\n"
				"nameserver [2001:db8::1]:5353\n"
				"publish tcp 127.0.0.1:8080 80\n"
				"publish udp [::1]:0 53\n"
				"proxy socks5://me:a%3ab%40@192.0.2.7:1080\n";

/* The text comes back as it is. */
static void test_round_trip(void **state)
{
	_cleanup_free_ char *text = NULL;
	struct net_spec s;
	struct err e = {0};

	net_spec_init(&s);
	if (net_spec_parse(&s, full, &e) < 0)
		fail_msg("%s", e.msg);
	assert_int_equal(s.policy.n_rules, 2);
	assert_true(s.policy.has_domains);
	assert_int_equal(s.policy.egress, POLICY_DENY);
	assert_int_equal(s.policy.ingress, POLICY_ALLOW);
	assert_int_equal(s.max_connections, 10);
	assert_int_equal(s.egress.bytes, 1000000);
	assert_int_equal(s.ingress.packets, 6);
	assert_false(s.rebind_protection);
	assert_int_equal(s.n_nameservers, 2);
	assert_int_equal(s.nameservers[1].port, 5353);
	assert_int_equal(s.n_publish, 2);
	assert_int_equal(s.publish[0].host_port, 8080);
	assert_int_equal(s.publish[1].protocol, PROTO_UDP);
	assert_int_equal(s.proxy.kind, PROXY_SOCKS5);
	assert_string_equal(s.proxy.user, "me");
	assert_string_equal(s.proxy.password, "a:b@");
	text = net_spec_format(&s);
	assert_string_equal(text, full);
	net_spec_release(&s);
}

static void test_defaults(void **state)
{
	struct net_spec s;
	struct err e = {0};

	net_spec_init(&s);
	assert_int_equal(net_spec_parse(&s, HEAD, &e), 0);
	assert_int_equal(s.policy.egress, POLICY_DENY);
	assert_int_equal(s.policy.ingress, POLICY_DENY);
	assert_int_equal(s.max_connections, NET_CONNECTIONS_DEFAULT);
	assert_true(s.rebind_protection);
	assert_int_equal(s.proxy.kind, PROXY_NONE);
	net_spec_release(&s);
}

static void test_bad_lines(void **state)
{
	static const char *const bad[] = {
		"",
		"nothing",
		"mtu",
		"mtu 1500 1",
		"mtu  1500",
		"mtu 1279",
		"mtu 65521",
		"mac 02:6d:73:00:01",
		"mac 02:6d:73:00:01:02:03",
		"mac 03:6d:73:00:01:02",
		"mac 0g:6d:73:00:01:02",
		"mac ",
		"mac 02",
		"ip4 172.16.0.6 172.16.0.5",
		"ip4 172.16.0.6/33 172.16.0.5",
		"ip4 172.16.0.6/30 172.16.0.9",
		"ip4 172.16.0.6/30 172.16.0.6",
		"ip4 fd00::1/64 fd00::2",
		"ip6 172.16.0.6/30 172.16.0.5",
		"ip6 fd00::1/129 fd00::2",
		"default egress",
		"default egress maybe",
		"default both deny",
		"rule allow@foo",
		"rule allow @public",
		"max-connections 0",
		"max-connections 4097",
		"rate egress 0",
		"rate egress -1",
		"rate sideways 1",
		"packets ingress 9223372036854775808",
		"rebind-protection yes",
		"nameserver 192.0.2.1",
		"nameserver 192.0.2.1:0",
		"publish sctp 127.0.0.1:80 80",
		"publish tcp 127.0.0.1:80 0",
		"publish tcp 127.0.0.1 80",
		"publish tcp 127.0.0.1:80 65536",
		"publish tcp 127.0.0.1:80 80 80",
		"proxy socks6://192.0.2.7",
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		_cleanup_free_ char *text = xasprintf(HEAD "%s\nmtu 1500\n", bad[i]);
		struct net_spec s;
		struct err e = {0};

		net_spec_init(&s);
		if (net_spec_parse(&s, text, &e) == 0)
			fail_msg("'%s' should be refused", bad[i]);
		if (!strstr(e.msg, "line 6 of the network"))
			fail_msg("%s", e.msg);
		net_spec_release(&s);
	}
}

static void test_bounds(void **state)
{
	static const struct {
		const char *line;
		size_t max;
	} t[] = {
		{"nameserver 192.0.2.1:53\n", NET_NAMESERVERS_MAX},
		{"publish tcp 127.0.0.1:0 80\n", NET_PUBLISH_MAX},
		{"rule allow@any\n", POLICY_RULES_MAX},
	};

	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		for (size_t more = 0; more < 2; more++) {
			size_t n = t[i].max + more, len = strlen(t[i].line);
			_cleanup_free_ char *text = xcalloc(1, sizeof(HEAD) + n * len);
			struct net_spec s;

			memcpy(text, HEAD, sizeof(HEAD));
			for (size_t j = 0; j < n; j++)
				memcpy(text + sizeof(HEAD) - 1 + j * len, t[i].line, len);
			net_spec_init(&s);
			assert_int_equal(net_spec_parse(&s, text, NULL), more ? -1 : 0);
			net_spec_release(&s);
		}
	}
}

static void test_incomplete(void **state)
{
	static const char *const bad[] = {
		"",
		"mac 02:6d:73:00:01:02\nip4 172.16.0.6/30 172.16.0.5\n",
		"mac 02:6d:73:00:01:02\ngateway-mac 02:6d:73:00:01:01\n",
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct net_spec s;

		net_spec_init(&s);
		assert_int_equal(net_spec_parse(&s, bad[i], NULL), -1);
		net_spec_release(&s);
	}
}

static void check_slot(unsigned int slot, const char *guest4, const char *gateway4,
		       const char *guest6, uint8_t hi, uint8_t lo)
{
	const uint8_t mac[6] = {0x02, 0x6d, 0x73, hi, lo, 0x02};
	struct net_spec s;
	char a[ADDR_LEN];

	net_spec_init(&s);
	net_spec_set_slot(&s, slot);
	addr_format(&s.v4.guest, a);
	assert_string_equal(a, guest4);
	addr_format(&s.v4.gateway, a);
	assert_string_equal(a, gateway4);
	addr_format(&s.v6.guest, a);
	assert_string_equal(a, guest6);
	assert_memory_equal(s.mac, mac, 6);
	assert_int_equal(s.gateway_mac[5], 1);
	net_spec_release(&s);
}

static void test_slots(void **state)
{
	check_slot(1, "172.16.0.6", "172.16.0.5", "fd42:6d73:62:1::2", 0, 1);
	check_slot(258, "172.16.4.10", "172.16.4.9", "fd42:6d73:62:102::2", 1, 2);
	check_slot(NET_SLOT_MAX, "172.19.255.254", "172.19.255.253", "fd42:6d73:62:ffff::2", 255,
		   255);
}

static void test_proxy(void **state)
{
	static const struct {
		const char *url, *shown;
	} t[] = {
		{"socks4://192.0.2.7", "socks4://192.0.2.7:1080"},
		{"socks4a://me@192.0.2.7:1", "socks4a://me@192.0.2.7:1"},
		{"socks5://[2001:db8::7]", "socks5://[2001:db8::7]:1080"},
		{"http://192.0.2.7/", "http://192.0.2.7:3128"},
		{"http://[::1]:8080/", "http://[::1]:8080"},
		{"http://me:p%40ss@192.0.2.7:8080", "http://me:***@192.0.2.7:8080"},
		{"http://me:p@ss@192.0.2.7:8080", "http://me:***@192.0.2.7:8080"},
		{"socks5://%C3%a9@192.0.2.7:1", "socks5://%c3%a9@192.0.2.7:1"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		_cleanup_free_ char *shown = NULL, *whole = NULL;
		struct net_proxy p, again;
		struct err e = {0};

		if (net_proxy_parse(t[i].url, &p, &e) < 0)
			fail_msg("%s: %s", t[i].url, e.msg);
		shown = net_proxy_format(&p, false);
		assert_string_equal(shown, t[i].shown);
		whole = net_proxy_format(&p, true);
		assert_int_equal(net_proxy_parse(whole, &again, &e), 0);
		assert_true(str_eq(p.password, again.password) && str_eq(p.user, again.user));
		assert_true(addr_equal(&p.addr, &again.addr) && p.port == again.port);
		net_proxy_release(&p);
		net_proxy_release(&again);
	}
}

static void test_proxy_bad(void **state)
{
	static const char *const bad[] = {
		"",
		"192.0.2.7:1080",
		"https://192.0.2.7",
		"socks://192.0.2.7",
		"SOCKS5://192.0.2.7",
		"socks5://",
		"socks5://proxy.example:1080",
		"socks5://192.0.2.7:0",
		"socks5://192.0.2.7:65536",
		"socks5://2001:db8::7",
		"socks5://[2001:db8::7",
		"socks5://[192.0.2.7]",
		"socks5://192.0.2.7/path",
		"socks5://@192.0.2.7",
		"socks5://me:@192.0.2.7",
		"socks5://:secret@192.0.2.7",
		"socks5://me:sec%2ret@192.0.2.7",
		"socks5://me:secret%0a@192.0.2.7",
		"socks5://me:secret%00@192.0.2.7",
		"socks5://me:secret%@192.0.2.7",
		"socks5://me:secret%4@192.0.2.7",
		"socks4://me:secret@192.0.2.7",
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct net_proxy p;
		struct err e = {0};

		if (net_proxy_parse(bad[i], &p, &e) == 0)
			fail_msg("'%s' should be refused", bad[i]);
		if (strstr(e.msg, "sec") || strstr(e.hint, "sec"))
			fail_msg("a password shows: %s", e.msg);
		assert_null(p.user);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip), cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_bad_lines),  cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_incomplete), cmocka_unit_test(test_slots),
		cmocka_unit_test(test_proxy),      cmocka_unit_test(test_proxy_bad),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
