/* SPDX-License-Identifier: Apache-2.0 */
#include "../testing.h"

#include "base/util.h"
#include "net/addr.h"

#include <errno.h>
#include <string.h>

static struct addr parsed(const char *s)
{
	struct addr a;

	if (addr_parse(s, &a) < 0)
		fail_msg("'%s' should be an address", s);
	return a;
}

static void test_text(void **state)
{
	static const char *const same[] = {
		"0.0.0.0",
		"127.0.0.1",
		"255.255.255.255",
		"172.16.0.5",
		"::",
		"::1",
		"fd42:6d73:62:1::2",
		"2001:db8:1:2:3:4:5:6",
		"fe80::1",
		"ff02::1:ff00:1",
	};
	char out[ADDR_LEN];

	for (size_t i = 0; i < ARRAY_SIZE(same); i++) {
		struct addr a = parsed(same[i]);

		addr_format(&a, out);
		assert_string_equal(out, same[i]);
		assert_int_equal(addr_is_v4(&a), strchr(same[i], ':') == NULL);
	}
}

static void test_text_bad(void **state)
{
	static const char *const bad[] = {
		"",          "1",          "1.2.3",
		"127.1",     "0x7f000001", "0177.0.0.1",
		"1.2.3.04",  "1.2.3.256",  "1.2.3.4.5",
		"1.2.3.4 ",  " 1.2.3.4",   "1.2.3.-4",
		"fe80::1%1", "[::1]",      ":::",
		"1::2::3",   "g::",        "2130706433",
		"1.2.3.4.",  "::1.2.3",    "::ffff:1.2.3.04",
		"12345::",   "1.2.3.4/32",
	};
	struct addr a;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (addr_parse(bad[i], &a) != -EINVAL)
			fail_msg("'%s' should be no address", bad[i]);
}

static void test_mapped_is_v4(void **state)
{
	struct addr a = parsed("::ffff:10.0.0.1"), b = parsed("10.0.0.1");

	assert_true(addr_equal(&a, &b));
	assert_true(addr_is_v4(&a));
	assert_int_equal(addr_v4(&a).s_addr, htonl(0x0a000001));
}

static void test_unspecified(void **state)
{
	struct addr a = parsed("0.0.0.0"), b = parsed("::"), c = parsed("::1"),
		    d = parsed("0.0.0.1");

	assert_true(addr_is_unspecified(&a));
	assert_true(addr_is_unspecified(&b));
	assert_false(addr_is_unspecified(&c));
	assert_false(addr_is_unspecified(&d));
}

static void test_prefixes(void **state)
{
	static const struct {
		const char *prefix, *addr;
		bool in;
	} t[] = {
		{"10.0.0.0/8", "10.255.255.255", true},
		{"10.0.0.0/8", "11.0.0.0", false},
		{"10.0.0.0/8", "9.255.255.255", false},
		{"192.0.2.7", "192.0.2.7", true},
		{"192.0.2.7", "192.0.2.6", false},
		{"192.0.2.6/31", "192.0.2.7", true},
		{"192.0.2.6/31", "192.0.2.8", false},
		{"0.0.0.0/0", "1.2.3.4", true},
		{"0.0.0.0/0", "::1", false},
		{"0.0.0.0/0", "2001:db8::1", false},
		{"::/0", "2001:db8::1", true},
		{"::/0", "1.2.3.4", false},
		{"::/80", "1.2.3.4", false},
		{"::ffff:0.0.0.0/96", "1.2.3.4", true},
		{"fc00::/7", "fdff::1", true},
		{"fc00::/7", "fe00::1", false},
		{"2001:db8::/127", "2001:db8::1", true},
		{"2001:db8::/127", "2001:db8::2", false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct addr a = parsed(t[i].addr);
		struct prefix p;

		assert_int_equal(prefix_parse(t[i].prefix, &p), 0);
		if (addr_in(&a, &p) != t[i].in)
			fail_msg("%s in %s", t[i].addr, t[i].prefix);
	}
}

static void test_prefixes_bad(void **state)
{
	static const char *const bad[] = {
		"10.0.0.1/8",
		"10.0.0.0/33",
		"10.0.0.0/",
		"10.0.0.0/-1",
		"10.0.0.0/8/8",
		"/8",
		"2001:db8::1/64",
		"::/129",
		"10.0.0.0/ 8",
		"10/8",
		"fe80::1%eth0/64",
		"::ffff:1.2.3.4/95",
		"00000000000000000000000000000000000000000000000000000/8",
	};
	struct prefix p;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (prefix_parse(bad[i], &p) != -EINVAL)
			fail_msg("'%s' should be no prefix", bad[i]);
}

static void test_endpoints(void **state)
{
	static const char *const same[] = {"1.2.3.4:80", "[::1]:65535", "0.0.0.0:0"};
	static const char *const bad[] = {
		"1.2.3.4",    "1.2.3.4:", "1.2.3.4:65536", "::1:80",    "[1.2.3.4]:80",
		"[::1]80",    "[::1:80",  "[]:80",         ":80",       "[:80",
		"1.2.3.4:+1", "",         "]:80",          "[::1]]:80",
	};
	char out[ENDPOINT_LEN];
	struct addr a;
	uint16_t port;

	for (size_t i = 0; i < ARRAY_SIZE(same); i++) {
		assert_int_equal(endpoint_parse(same[i], &a, &port), 0);
		endpoint_format(&a, port, out);
		assert_string_equal(out, same[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (endpoint_parse(bad[i], &a, &port) != -EINVAL)
			fail_msg("'%s' should be no endpoint", bad[i]);
}

static void test_sockaddr(void **state)
{
	static const char *const texts[] = {"192.0.2.1", "2001:db8::1"};
	struct sockaddr_storage ss;
	struct addr back;
	uint16_t port;

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct addr a = parsed(texts[i]);

		assert_int_equal(addr_to_sockaddr(&a, 443, &ss),
				 i ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in));
		assert_int_equal(ss.ss_family, i ? AF_INET6 : AF_INET);
		assert_true(addr_from_sockaddr(&ss, &back, &port));
		assert_true(addr_equal(&a, &back));
		assert_int_equal(port, 443);
	}
	ss.ss_family = AF_UNIX;
	assert_false(addr_from_sockaddr(&ss, &back, &port));
}

static void test_classes(void **state)
{
	static const struct {
		const char *addr;
		enum addr_class class;
	} t[] = {
		{"1.1.1.1", ADDR_PUBLIC},
		{"9.255.255.255", ADDR_PUBLIC},
		{"10.0.0.0", ADDR_PRIVATE},
		{"11.0.0.0", ADDR_PUBLIC},
		{"100.63.255.255", ADDR_PUBLIC},
		{"100.64.0.0", ADDR_PRIVATE},
		{"100.128.0.0", ADDR_PUBLIC},
		{"172.15.255.255", ADDR_PUBLIC},
		{"172.16.0.1", ADDR_PRIVATE},
		{"172.32.0.0", ADDR_PUBLIC},
		{"192.168.255.255", ADDR_PRIVATE},
		{"192.169.0.0", ADDR_PUBLIC},
		{"126.255.255.255", ADDR_PUBLIC},
		{"127.255.255.255", ADDR_LOOPBACK},
		{"169.254.0.1", ADDR_LINK_LOCAL},
		{"169.254.169.253", ADDR_LINK_LOCAL},
		{"169.254.169.254", ADDR_METADATA},
		{"224.0.0.1", ADDR_MULTICAST},
		{"239.255.255.255", ADDR_MULTICAST},
		{"255.255.255.255", ADDR_MULTICAST},
		{"0.0.0.0", ADDR_UNSPECIFIED},
		{"0.1.2.3", ADDR_UNSPECIFIED},
		{"::", ADDR_UNSPECIFIED},
		{"::1", ADDR_LOOPBACK},
		{"2606:4700::1", ADDR_PUBLIC},
		{"fbff::1", ADDR_PUBLIC},
		{"fc00::1", ADDR_PRIVATE},
		{"fdff::1", ADDR_PRIVATE},
		{"fd00:ec2::254", ADDR_METADATA},
		{"fd00:ec2::255", ADDR_PRIVATE},
		{"fe7f::1", ADDR_PUBLIC},
		{"fe80::1", ADDR_LINK_LOCAL},
		{"febf::1", ADDR_LINK_LOCAL},
		{"fec0::1", ADDR_PRIVATE},
		{"ff02::1", ADDR_MULTICAST},
		/* Those that carry another. */
		{"::ffff:127.0.0.1", ADDR_LOOPBACK},
		{"64:ff9b::8.8.8.8", ADDR_PUBLIC},
		{"64:ff9b::127.0.0.1", ADDR_LOOPBACK},
		{"64:ff9b::169.254.169.254", ADDR_METADATA},
		{"64:ff9b:1::8.8.8.8", ADDR_PRIVATE},
		{"64:ff9b:1::127.0.0.1", ADDR_LOOPBACK},
		{"64:ff9b:2::127.0.0.1", ADDR_PUBLIC},
		{"2002:a00:1::1", ADDR_PRIVATE},
		{"2002:808:808::1", ADDR_PUBLIC},
		{"2001:0:a00:1::1", ADDR_PRIVATE},            /* a private Teredo server */
		{"2001:0:808:808::80ff:fffe", ADDR_LOOPBACK}, /* 127.0.0.1, disguised */
		{"2001:0:808:808::f7f7:f7f7", ADDR_PUBLIC},   /* 8.8.8.8 */
		{"::127.0.0.1", ADDR_LOOPBACK},
		{"::10.0.0.1", ADDR_PRIVATE},
		{"::2", ADDR_UNSPECIFIED}, /* 0.0.0.2 */
		{"::ffff:0:10.0.0.1", ADDR_PRIVATE},
	};

	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct addr a = parsed(t[i].addr);

		if (addr_class(&a) != t[i].class)
			fail_msg("%s is %s", t[i].addr, addr_class_name(addr_class(&a)));
	}
}

static void test_special(void **state)
{
	static const char *const special[] = {
		"0.0.0.0",
		"10.0.0.1",
		"100.64.0.1",
		"127.0.0.1",
		"169.254.1.1",
		"172.31.0.1",
		"192.0.0.8",
		"192.0.2.1",
		"192.88.99.1",
		"192.168.0.1",
		"198.18.0.1",
		"198.19.0.1",
		"198.51.100.1",
		"203.0.113.1",
		"224.0.0.1",
		"240.0.0.1",
		"::",
		"::1",
		"100::1",
		"2001:db8::1",
		"3fff::1",
		"fd00::1",
		"fe80::1",
		"fec0::1",
		"ff02::1",
		"64:ff9b:1::1",
		"::ffff:192.168.0.1",
		"64:ff9b::10.0.0.1",
		"169.254.169.254",
	};
	static const char *const plain[] = {
		"8.8.8.8",          "192.0.1.0",    "192.0.3.0",       "198.17.255.255",
		"198.20.0.0",       "203.0.114.0",  "223.255.255.255", "2606:4700::1",
		"64:ff9b::8.8.8.8", "100:0:0:1::1", "2001:db9::1",     "3fff:1000::1",
	};

	for (size_t i = 0; i < ARRAY_SIZE(special); i++) {
		struct addr a = parsed(special[i]);

		if (!addr_is_special(&a))
			fail_msg("%s should be special", special[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(plain); i++) {
		struct addr a = parsed(plain[i]);

		if (addr_is_special(&a))
			fail_msg("%s should not be special", plain[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),         cmocka_unit_test(test_text_bad),
		cmocka_unit_test(test_mapped_is_v4), cmocka_unit_test(test_unspecified),
		cmocka_unit_test(test_prefixes),     cmocka_unit_test(test_prefixes_bad),
		cmocka_unit_test(test_endpoints),    cmocka_unit_test(test_sockaddr),
		cmocka_unit_test(test_classes),      cmocka_unit_test(test_special),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
