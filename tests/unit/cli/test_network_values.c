/* SPDX-License-Identifier: Apache-2.0 */
#include "../testing.h"

#include "cli/network_values.h"

static void test_ports(void **state)
{
	static const struct {
		const char *text, *place;
		enum policy_protocol protocol;
		uint16_t guest;
	} t[] = {
		{"8080:80", "127.0.0.1:8080", PROTO_TCP, 80},
		{"0:80", "127.0.0.1:0", PROTO_TCP, 80},
		{"8080:80/tcp", "127.0.0.1:8080", PROTO_TCP, 80},
		{"53:5353/udp", "127.0.0.1:53", PROTO_UDP, 5353},
		{"0.0.0.0:65535:65535", "0.0.0.0:65535", PROTO_TCP, 65535},
		{"[::1]:8080:80", "[::1]:8080", PROTO_TCP, 80},
		{"[::]:0:80/udp", "[::]:0", PROTO_UDP, 80},
	};

	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct net_publish p;
		char place[ENDPOINT_LEN];

		assert_int_equal(network_port(t[i].text, &p, NULL), 0);
		endpoint_format(&p.addr, p.host_port, place);
		assert_string_equal(place, t[i].place);
		assert_int_equal(p.protocol, t[i].protocol);
		assert_int_equal(p.guest_port, t[i].guest);
	}
}

static void test_ports_bad(void **state)
{
	static const char *const bad[] = {
		"",
		"80",
		":80",
		"80:",
		"80:0",
		"65536:80",
		"80:65536",
		"a:80",
		"80:80/sctp",
		"80:80/",
		"80:80/tcp/",
		"1.2.3:80:80",
		"::1:80:80",
		"[::1]80:80",
		"[1.2.3.4]:80:80",
		"-1:80",
		"80:80:80",
		"1.2.3.4::80",
		"localhost:80:80",
		"80-81:80-81",
		" 80:80",
		"80:80 ",
		"127.1:80:80",
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct net_publish p;
		struct err e = {0};

		if (network_port(bad[i], &p, &e) == 0)
			fail_msg("'%s' should be refused", bad[i]);
		assert_non_null(strstr(e.msg, "HOST:GUEST[/udp] or BIND_ADDR:HOST:GUEST"));
		assert_int_equal(e.hint[0] != '\0',
				 strstr(bad[i], "80-81") != NULL || strstr(bad[i], "-1:") != NULL);
	}
}

static void test_nameservers(void **state)
{
	static const char *const good[][2] = {
		{"192.0.2.1", "192.0.2.1:53"},
		{"192.0.2.1:5353", "192.0.2.1:5353"},
		{"2001:db8::1", "[2001:db8::1]:53"},
		{"[2001:db8::1]", "[2001:db8::1]:53"},
		{"[2001:db8::1]:5353", "[2001:db8::1]:5353"},
	};
	static const char *const bad[] = {
		"",
		"dns.example",
		"192.0.2.1:",
		"192.0.2.1:0",
		"192.0.2.1:65536",
		"[192.0.2.1]",
		"[",
		"[]",
		"]",
		"[::1",
		"127.1",
		"::1%lo",
		"[::1]x",
	};
	struct net_server s;
	char text[ENDPOINT_LEN];

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		assert_int_equal(network_nameserver(good[i][0], &s, NULL), 0);
		endpoint_format(&s.addr, s.port, text);
		assert_string_equal(text, good[i][1]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (network_nameserver(bad[i], &s, NULL) == 0)
			fail_msg("'%s' should be refused", bad[i]);
}

static void test_rates(void **state)
{
	static const char *const bad[] = {
		"",
		"0",
		"0K",
		"K",
		"10MB",
		"10P",
		"-1",
		"1.5M",
		"10 M",
		"9223372036854775808",
		"9223372036854775807K",
		"8388608T",
	};
	uint64_t n;

	assert_int_equal(network_rate("1", &n, NULL), 0);
	assert_int_equal(n, 1);
	assert_int_equal(network_rate("500K", &n, NULL), 0);
	assert_int_equal(n, 500 * KIB);
	assert_int_equal(network_rate("10m", &n, NULL), 0);
	assert_int_equal(n, 10 * MIB);
	assert_int_equal(network_rate("8388607T", &n, NULL), 0);
	assert_int_equal(n, (uint64_t)8388607 << 40);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (network_rate(bad[i], &n, NULL) == 0)
			fail_msg("'%s' should be refused", bad[i]);
}

static void test_policy_words(void **state)
{
	static const char *const t[][2] = {
		{"none", "none"},         {"public-only", "public-only"}, {"public", "public-only"},
		{"nonlocal", "nonlocal"}, {"public,private", "nonlocal"}, {"all", "allow-all"},
		{"open", "allow-all"},    {"allow-all", "allow-all"},
	};
	struct err e = {0};

	for (size_t i = 0; i < ARRAY_SIZE(t); i++)
		assert_string_equal(network_policy_word(t[i][0], &e), t[i][1]);
	assert_null(network_policy_word("Public", &e));
	assert_non_null(strstr(e.hint, "public-only"));
	assert_null(network_policy_word("", &e));
}

static void test_rules(void **state)
{
	_cleanup_free_ char *rule = network_rule("allow@Example.com:tcp:443", NULL);
	_cleanup_free_ char *domain = network_deny_domain("Example.COM.", false, NULL);
	_cleanup_free_ char *suffix = network_deny_domain(".Example.com", true, NULL);
	_cleanup_free_ char *star = network_deny_domain("*.example.com", true, NULL);
	_cleanup_free_ char *label = network_deny_domain("localhost", false, NULL);

	assert_string_equal(rule, "allow@domain=example.com:tcp:443");
	assert_string_equal(domain, "deny@domain=example.com");
	assert_string_equal(suffix, "deny@suffix=example.com");
	assert_string_equal(star, "deny@suffix=example.com");
	assert_string_equal(label, "deny@domain=localhost");
	assert_null(network_rule("allow@foo", NULL));
	assert_null(network_deny_domain(".example.com", false, NULL));
	assert_null(network_deny_domain("", true, NULL));
	assert_null(network_deny_domain("127.0.0.1", false, NULL));
}

/* Where the library is; without it there is a message instead. */
static void test_letters(void **state)
{
	static const char *const t[][2] = {
		{"allow@b\xc3\xbc"
		 "cher.example:tcp:443",
		 "allow@domain=xn--bcher-kva.example:tcp:443"},
		{"deny@*.B\xc3\x9c"
		 "CHER.example",
		 "deny@suffix=xn--bcher-kva.example"},
		{"deny@suffix=.b\xc3\xbc"
		 "cher.example",
		 "deny@suffix=xn--bcher-kva.example"},
		{"deny@domain=b\xc3\xbc"
		 "cher",
		 "deny@domain=xn--bcher-kva"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct err e = {0};
		_cleanup_free_ char *rule = network_rule(t[i][0], &e);

		if (rule)
			assert_string_equal(rule, t[i][1]);
		else
			assert_non_null(strstr(e.hint, "install libidn2"));
	}
	assert_null(network_rule("allow@\xff\xff.example", NULL));
	assert_null(network_rule("\xc3\xbc", NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ports),        cmocka_unit_test(test_ports_bad),
		cmocka_unit_test(test_nameservers),  cmocka_unit_test(test_rates),
		cmocka_unit_test(test_policy_words), cmocka_unit_test(test_rules),
		cmocka_unit_test(test_letters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
