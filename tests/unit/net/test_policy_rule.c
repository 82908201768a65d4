/* SPDX-License-Identifier: Apache-2.0 */
#include "../testing.h"

#include "net/policy.h"

/* What is written, and its canonical form. */
static void test_good(void **state)
{
	static const char *const t[][2] = {
		{"allow@public", "allow@public"},
		{"deny:egress@any", "deny@any"},
		{"allow:ingress@private", "allow:ingress@private"},
		{"deny:any@host:tcp", "deny:any@host:tcp"},
		{"allow@metadata", "allow@meta"},
		{"allow@link-local:any:any", "allow@link-local"},
		{"allow@loopback:any:80", "allow@loopback:any:80"},
		{"allow@multicast:udp:5353-5353", "allow@multicast:udp:5353"},
		{"allow@dns", "allow@dns"},
		{"allow@10.0.0.0/8:tcp:1-65535", "allow@10.0.0.0/8:tcp:1-65535"},
		{"allow@192.0.2.1/32", "allow@192.0.2.1"},
		{"allow@0.0.0.0/0", "allow@0.0.0.0/0"},
		{"allow@[::1]", "allow@[::1]"},
		{"allow@[fd00::/8]:udp:53", "allow@[fd00::/8]:udp:53"},
		{"allow@[fd00::]/8:udp", "allow@[fd00::/8]:udp"},
		{"allow@[::]/0", "allow@[::/0]"},
		{"allow@[::ffff:1.2.3.4]", "allow@1.2.3.4"},
		{"allow@Example.COM.:tcp:443", "allow@domain=example.com:tcp:443"},
		{"deny@domain=foo", "deny@domain=foo"},
		{"deny@foo.", "deny@domain=foo"},
		{"deny@suffix=.Example.com", "deny@suffix=example.com"},
		{"deny@suffix=com", "deny@suffix=com"},
		{"deny@*.example.com", "deny@suffix=example.com"},
		{"deny@domain=public", "deny@domain=public"},
		{"allow@any:icmpv4", "allow@any:icmpv4"},
		{"allow@public:icmpv6:any", "allow@public:icmpv6"},
		{"allow@127.0.0.1.nip.io", "allow@domain=127.0.0.1.nip.io"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct policy_rule r, again;
		struct err e = {0};

		if (policy_rule_parse(t[i][0], &r, &e) < 0)
			fail_msg("%s", e.msg);
		assert_string_equal(r.text, t[i][1]);
		assert_int_equal(policy_rule_parse(r.text, &again, &e), 0);
		assert_string_equal(again.text, r.text);
		policy_rule_release(&r);
		policy_rule_release(&again);
	}
}

static void test_bad(void **state)
{
	static const struct {
		const char *rule, *message, *hint;
	} t[] = {
		{"", "there is no '@'", "allow@example.com:tcp:443"},
		{"allow", "there is no '@'", ""},
		{"alow@public", "'alow' is no action", "did you mean 'allow'?"},
		{"permit@public", "'permit' is no action", "it is one of: allow deny"},
		{"Allow@public", "'Allow' is no action", "'allow'"},
		{"allow:@public", "'' is no direction", "it is one of"},
		{"allow:egres@public", "'egres' is no direction", "'egress'"},
		{"allow:egress:any@public", "'egress:any' is no direction", ""},
		{"allow@", "nothing stands for the target", ""},
		{"allow@:tcp", "nothing stands for the target", ""},
		{"allow@foo", "'foo' is ambiguous", "domain=foo"},
		{"allow@pubic", "'pubic' is ambiguous", "did you mean 'public'?"},
		{"allow@127.1", "'127.1' is no address", "four decimal numbers"},
		{"allow@2130706433", "is no address", "four decimal"},
		{"allow@0x7f000001", "is no address", "four decimal"},
		{"allow@010.0.0.1", "is no address", "four decimal"},
		{"allow@1.2.3.4.5", "is no address", ""},
		{"allow@10/8", "is no address", ""},
		{"allow@10.0.0.1/8", "'10.0.0.1/8' is no range", "10.0.0.0/8"},
		{"allow@10.0.0.0/33", "is no range", ""},
		{"allow@::1", "stands without brackets", "[::1]"},
		{"allow@fd00::/8", "stands without brackets", "[fd00::/8]"},
		{"allow@[::1", "lacks a closing bracket", ""},
		{"allow@[example.com]", "is no IPv6 address", ""},
		{"allow@[1.2.3.4]", "is no IPv6 address", ""},
		{"allow@[::1]x:tcp", "is no IPv6 address", ""},
		{"allow@[fe80::1%eth0]", "is no IPv6 address", ""},
		{"allow@*.com", "'*.com' takes in too much", ""},
		{"allow@*", "'*' is ambiguous", ""},
		{"allow@a..b", "'a..b' is no domain name", ""},
		{"allow@suffix=", "'' is no domain name", ""},
		{"allow@domain=127.0.0.1", "is no domain name", ""},
		{"allow@b\xc3\xbc.example", "letters beyond ASCII", "xn--"},
		{"allow@public:tpc", "'tpc' is no protocol", "'tcp'"},
		{"allow@public:icmp", "'icmp' is no protocol", "'icmpv4'"},
		{"allow@public:", "'' is no protocol", ""},
		{"allow@public:443", "'443' is no protocol", ""},
		{"allow@public:tcp:", "'' is no port", ""},
		{"allow@public:tcp:0", "'0' is no port", ""},
		{"allow@public:tcp:65536", "'65536' is no port", ""},
		{"allow@public:tcp:-1", "'' is no port", ""},
		{"allow@public:tcp:80-", "'' is no port", ""},
		{"allow@public:tcp:90-80", "from '90' to '80' are none", ""},
		{"allow@public:tcp:80:81", "'80:81' is no port", ""},
		{"allow@public:icmpv4:1", "'icmpv4' has no ports", ""},
		{"allow:ingress@any:icmpv4", "'icmpv4' does not come in", ""},
		{"allow:ingress@example.com", "'example.com' does not come in", ""},
		{"allow:ingress@dns", "'dns' does not come in", ""},
	};

	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct policy_rule r;
		struct err e = {0};

		if (policy_rule_parse(t[i].rule, &r, &e) == 0)
			fail_msg("'%s' should be refused", t[i].rule);
		if (!strstr(e.msg, t[i].message) || !strstr(e.hint, t[i].hint))
			fail_msg("'%s': %s (%s)", t[i].rule, e.msg, e.hint);
		assert_null(r.text);
		assert_null(r.domain);
	}
}

static void test_long(void **state)
{
	struct policy_rule r;
	char text[1024] = "allow@";

	memset(text + 6, 'a', sizeof(text) - 7);
	assert_int_equal(policy_rule_parse(text, &r, NULL), -1);
	assert_null(r.text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
