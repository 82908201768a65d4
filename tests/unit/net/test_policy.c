/* SPDX-License-Identifier: Apache-2.0 */
#include "../testing.h"

#include "net/policy.h"

/* A policy of rules with spaces between; "ALLOW" and "DENY" are the default for both ways. */
static struct policy policy_of(const char *text)
{
	struct policy p = {0};
	_cleanup_free_ char *copy = xstrdup(text);
	char *save = NULL;

	for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save)) {
		struct policy_rule r;
		struct err e = {0};

		if (strcmp(w, "ALLOW") == 0) {
			p.egress = p.ingress = POLICY_ALLOW;
			continue;
		}
		if (strcmp(w, "DENY") == 0)
			continue;
		if (policy_rule_parse(w, &r, &e) < 0)
			fail_msg("%s", e.msg);
		assert_int_equal(policy_add(&p, &r, &e), 0);
	}
	return p;
}

static struct policy preset(const char *name)
{
	struct policy p = {0};
	struct err e = {0};

	assert_int_equal(policy_preset(&p, name, &e), 0);
	return p;
}

static struct policy_query tcp(const char *addr, uint16_t port)
{
	struct policy_query q = {.protocol = PROTO_TCP, .port = port};

	assert_int_equal(addr_parse(addr, &q.addr), 0);
	return q;
}

static const char *const answers[] = {"deny", "allow", "wait"};

static void expect(const struct policy *p, const struct policy_query *q, enum policy_answer want,
		   const char *what)
{
	struct policy_verdict v = policy_decide(p, q);

	if (v.answer != want)
		fail_msg("%s: %s, not %s", what, answers[v.answer], answers[want]);
}

#define D POLICY_SAYS_DENY
#define A POLICY_SAYS_ALLOW
#define W POLICY_SAYS_WAIT

static void test_presets(void **state)
{
	static const char *const names[] = {"none", "public-only", "nonlocal", "allow-all"};
	static const struct {
		const char *addr;
		bool is_host;
		enum policy_answer want[4];
	} t[] = {
		{"8.8.8.8", false, {D, A, A, A}},
		{"2606:4700::1", false, {D, A, A, A}},
		{"10.1.2.3", false, {D, D, A, A}},
		{"100.64.0.1", false, {D, D, A, A}},
		{"fd12::1", false, {D, D, A, A}},
		{"127.0.0.1", false, {D, D, D, A}},
		{"::1", false, {D, D, D, A}},
		{"::ffff:127.0.0.1", false, {D, D, D, A}},
		{"64:ff9b::7f00:1", false, {D, D, D, A}},
		{"169.254.1.1", false, {D, D, D, A}},
		{"169.254.169.254", false, {D, D, D, A}},
		{"fd00:ec2::254", false, {D, D, D, A}},
		{"224.0.0.1", false, {D, D, D, A}},
		{"0.0.0.0", false, {D, D, D, A}},
		{"172.16.0.5", true, {D, D, D, A}},
		{"192.168.1.10", true, {D, D, D, A}},
		{"203.0.114.7", true, {D, D, D, A}},
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct policy p = preset(names[i]);

		for (size_t j = 0; j < ARRAY_SIZE(t); j++) {
			struct policy_query q = tcp(t[j].addr, 80);

			q.is_host = t[j].is_host;
			expect(&p, &q, t[j].want[i], t[j].addr);
			q.protocol = PROTO_UDP;
			expect(&p, &q, t[j].want[i], t[j].addr);
			q.protocol = PROTO_ICMPV4;
			q.port = 0;
			expect(&p, &q, t[j].want[i], t[j].addr);
		}
		assert_int_equal(policy_decide_name(&p, "example.com").answer, i == 0 ? D : A);
		assert_int_equal(p.ingress, i == 0 ? POLICY_DENY : POLICY_ALLOW);
		policy_release(&p);
	}
}

static void test_preset_unknown(void **state)
{
	struct policy p = {0};
	struct err e = {0};

	assert_int_equal(policy_preset(&p, "public", &e), -1);
	assert_non_null(strstr(e.msg, "'public'"));
	assert_non_null(strstr(e.hint, "none, public-only, nonlocal and allow-all"));
	policy_release(&p);
}

/* One rule set against one address and port each. */
static void test_addresses(void **state)
{
	static const struct {
		const char *rules, *addr;
		enum policy_protocol protocol;
		uint16_t port;
		bool is_host;
		enum policy_answer want;
	} t[] = {
		/* The first that matches. */
		{"deny@8.8.8.8 allow@any", "8.8.8.8", PROTO_TCP, 80, false, D},
		{"allow@any deny@8.8.8.8", "8.8.8.8", PROTO_TCP, 80, false, A},
		{"deny@8.8.8.8 allow@any", "8.8.8.9", PROTO_TCP, 80, false, A},
		/* Protocol and ports. */
		{"allow@any:tcp:80-90", "8.8.8.8", PROTO_TCP, 79, false, D},
		{"allow@any:tcp:80-90", "8.8.8.8", PROTO_TCP, 80, false, A},
		{"allow@any:tcp:80-90", "8.8.8.8", PROTO_TCP, 90, false, A},
		{"allow@any:tcp:80-90", "8.8.8.8", PROTO_TCP, 91, false, D},
		{"allow@any:tcp:80-90", "8.8.8.8", PROTO_UDP, 80, false, D},
		{"allow@any:any:80", "8.8.8.8", PROTO_UDP, 80, false, A},
		{"allow@any:any:80", "8.8.8.8", PROTO_ICMPV4, 0, false, D},
		{"allow@any:icmpv4", "8.8.8.8", PROTO_ICMPV4, 0, false, A},
		{"allow@any:icmpv6", "8.8.8.8", PROTO_ICMPV4, 0, false, D},
		/* Families do not leak into one another. */
		{"allow@[::/0]", "8.8.8.8", PROTO_TCP, 80, false, D},
		{"allow@0.0.0.0/0", "2606:4700::1", PROTO_TCP, 80, false, D},
		/* What is the host's is in no class. */
		{"allow@private", "10.0.0.1", PROTO_TCP, 80, true, D},
		{"allow@public", "8.8.8.8", PROTO_TCP, 80, true, D},
		{"allow@loopback", "127.0.0.1", PROTO_TCP, 80, true, D},
		{"allow@host", "10.0.0.1", PROTO_TCP, 80, true, A},
		{"allow@host", "10.0.0.1", PROTO_TCP, 80, false, D},
		{"allow@10.0.0.0/8", "10.0.0.1", PROTO_TCP, 80, true, A},
		{"deny@host allow@any", "10.0.0.1", PROTO_TCP, 80, true, D},
		/* Metadata is not link-local, unspecified is nothing. */
		{"allow@link-local", "169.254.169.254", PROTO_TCP, 80, false, D},
		{"allow@meta", "169.254.169.254", PROTO_TCP, 80, false, A},
		{"allow@169.254.0.0/16", "169.254.169.254", PROTO_TCP, 80, false, A},
		{"allow@public allow@private allow@loopback", "0.0.0.0", PROTO_TCP, 1, false, D},
		/* Ingress rules are of no concern here; `any` is of both. */
		{"allow:ingress@any", "8.8.8.8", PROTO_TCP, 80, false, D},
		{"allow:any@any", "8.8.8.8", PROTO_TCP, 80, false, A},
		{"allow@dns", "8.8.8.8", PROTO_UDP, 53, false, D},
		{"ALLOW", "8.8.8.8", PROTO_TCP, 80, false, A},
		{"DENY", "8.8.8.8", PROTO_TCP, 80, false, D},
	};

	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct policy p = policy_of(t[i].rules);
		struct policy_query q = tcp(t[i].addr, t[i].port);

		q.protocol = t[i].protocol;
		q.is_host = t[i].is_host;
		expect(&p, &q, t[i].want, t[i].rules);
		policy_release(&p);
	}
}

static void test_ingress(void **state)
{
	struct policy p =
		policy_of("ALLOW deny:ingress@private:tcp:80 deny@8.8.8.8 deny:any@9.9.9.9 "
			  "deny:any@domain=example.com");
	struct policy_query q = tcp("10.0.0.1", 80);

	q.direction = POLICY_INGRESS;
	expect(&p, &q, D, "a private peer");
	q.port = 81;
	expect(&p, &q, A, "another port");
	q = tcp("8.8.8.8", 80);
	q.direction = POLICY_INGRESS;
	expect(&p, &q, A, "an egress rule");
	q = tcp("9.9.9.9", 80);
	q.direction = POLICY_INGRESS;
	expect(&p, &q, D, "a rule for both");
	policy_release(&p);
}

/* With names: which are pinned (one), what is claimed. */
static void test_domains(void **state)
{
	static const struct {
		const char *rules, *pinned;
		enum policy_claim claim;
		const char *claimed;
		enum policy_protocol protocol;
		enum policy_answer want;
	} t[] = {
		/* To allow takes the pin and a claim that agrees. */
		{"allow@good.example", "good.example", CLAIM_UNKNOWN, NULL, PROTO_TCP, W},
		{"allow@good.example", "good.example", CLAIM_NAME, "good.example", PROTO_TCP, A},
		{"allow@good.example", "good.example", CLAIM_NAME, "evil.example", PROTO_TCP, D},
		{"allow@good.example", "good.example", CLAIM_HIDDEN, NULL, PROTO_TCP, D},
		{"allow@good.example", "good.example", CLAIM_NONE, NULL, PROTO_TCP, A},
		{"allow@good.example", "good.example", CLAIM_UNKNOWN, NULL, PROTO_UDP, A},
		{"allow@good.example", "good.example", CLAIM_UNKNOWN, NULL, PROTO_ICMPV4, A},
		/* A claim on an address that is not the name's proves nothing, at once. */
		{"allow@good.example", NULL, CLAIM_UNKNOWN, NULL, PROTO_TCP, D},
		{"allow@good.example", NULL, CLAIM_NAME, "good.example", PROTO_TCP, D},
		{"allow@good.example", "evil.example", CLAIM_NAME, "good.example", PROTO_TCP, D},
		{"allow@good.example", "evil.example", CLAIM_NONE, NULL, PROTO_TCP, D},
		{"allow@good.example:tcp:443", "good.example", CLAIM_NAME, "good.example",
		 PROTO_TCP, D},
		/* To deny, either is enough. */
		{"ALLOW deny@evil.example", "evil.example", CLAIM_UNKNOWN, NULL, PROTO_TCP, D},
		{"ALLOW deny@evil.example", NULL, CLAIM_UNKNOWN, NULL, PROTO_TCP, W},
		{"ALLOW deny@evil.example", NULL, CLAIM_NAME, "evil.example", PROTO_TCP, D},
		{"ALLOW deny@evil.example", "good.example", CLAIM_NAME, "evil.example", PROTO_TCP,
		 D},
		{"ALLOW deny@evil.example", "evil.example", CLAIM_NAME, "good.example", PROTO_TCP,
		 D},
		{"ALLOW deny@evil.example", NULL, CLAIM_NAME, "good.example", PROTO_TCP, A},
		{"ALLOW deny@evil.example", NULL, CLAIM_HIDDEN, NULL, PROTO_TCP, A},
		{"ALLOW deny@evil.example", NULL, CLAIM_NONE, NULL, PROTO_TCP, A},
		{"ALLOW deny@evil.example", NULL, CLAIM_UNKNOWN, NULL, PROTO_UDP, A},
		{"ALLOW deny@evil.example", "evil.example", CLAIM_UNKNOWN, NULL, PROTO_UDP, D},
		{"ALLOW deny@evil.example:tcp:443", NULL, CLAIM_UNKNOWN, NULL, PROTO_TCP, A},
		/* Nothing is waited for that changes nothing. */
		{"deny@evil.example", NULL, CLAIM_UNKNOWN, NULL, PROTO_TCP, D},
		{"ALLOW allow@good.example", "good.example", CLAIM_UNKNOWN, NULL, PROTO_TCP, A},
		{"allow@8.8.8.8 deny@evil.example", NULL, CLAIM_UNKNOWN, NULL, PROTO_TCP, A},
		{"allow@good.example allow@8.8.8.8", "good.example", CLAIM_UNKNOWN, NULL, PROTO_TCP,
		 A},
		{"deny@evil.example deny@8.8.8.8 allow@any", NULL, CLAIM_UNKNOWN, NULL, PROTO_TCP,
		 D},
		/* One that comes later may decide as well. */
		{"allow@good.example deny@any", "good.example", CLAIM_UNKNOWN, NULL, PROTO_TCP, W},
		{"deny@evil.example allow@8.8.8.8", NULL, CLAIM_UNKNOWN, NULL, PROTO_TCP, W},
		{"deny@good.example allow@good.example", "good.example", CLAIM_UNKNOWN, NULL,
		 PROTO_TCP, D},
		/* Suffixes. */
		{"allow@suffix=example", "good.example", CLAIM_NAME, "good.example", PROTO_TCP, A},
		{"allow@*.good.example", "good.example", CLAIM_NAME, "good.example", PROTO_TCP, A},
		{"allow@*.good.example", "a.good.example", CLAIM_NAME, "a.good.example", PROTO_TCP,
		 A},
		{"allow@*.good.example", "a.good.example", CLAIM_NAME, "notgood.example", PROTO_TCP,
		 D},
		{"ALLOW deny@*.evil.example", NULL, CLAIM_NAME, "a.b.evil.example", PROTO_TCP, D},
		{"ALLOW deny@*.evil.example", NULL, CLAIM_NAME, "notevil.example", PROTO_TCP, A},
	};

	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct policy p = policy_of(t[i].rules);
		struct policy_query q = tcp("8.8.8.8", 80);

		q.protocol = t[i].protocol;
		q.pinned = &t[i].pinned;
		q.n_pinned = t[i].pinned ? 1 : 0;
		q.claim = t[i].claim;
		q.claimed = t[i].claimed;
		assert_true(p.has_domains);
		expect(&p, &q, t[i].want, t[i].rules);
		policy_release(&p);
	}
}

static void test_several_pins(void **state)
{
	static const char *const pinned[] = {"a.example", "b.example"};
	struct policy p = policy_of("deny@b.example allow@a.example");
	struct policy_query q = tcp("8.8.8.8", 443);

	q.pinned = pinned;
	q.n_pinned = 1;
	q.claim = CLAIM_NAME;
	q.claimed = "a.example";
	expect(&p, &q, A, "the allowed name");
	q.n_pinned = 2;
	expect(&p, &q, D, "an address that a denied name has, too");
	policy_release(&p);
}

static void test_names(void **state)
{
	static const struct {
		const char *rules, *name;
		enum policy_answer want;
	} t[] = {
		{"allow@dns", "example.com", A},
		{"DENY", "example.com", D},
		{"ALLOW", "example.com", A},
		{"ALLOW deny@dns", "example.com", D},
		{"allow@example.com", "example.com", A},
		{"allow@example.com:tcp:443", "example.com", A},
		{"allow@example.com", "www.example.com", D},
		{"allow@*.example.com", "www.example.com", A},
		{"deny@*.example.com allow@dns", "example.com", D},
		{"deny@*.example.com allow@dns", "example.org", A},
		{"allow@dns deny@example.com", "example.com", A},
		{"allow@any", "example.com", A},
		{"allow@any:tcp:443", "example.com", D},
		{"ALLOW deny@any:tcp:25", "example.com", A},
		{"ALLOW deny@any", "example.com", D},
		{"allow@host:udp:53", "example.com", A},
		{"allow@host:tcp:80", "example.com", D},
		{"ALLOW deny@host", "example.com", A},
		{"allow@public allow@172.16.0.0/12", "example.com", D},
		{"ALLOW deny@public deny@8.8.8.8", "example.com", A},
		{"allow:ingress@any", "example.com", D},
		{"allow@suffix=com", "", D},
		{"allow@dns", "", A},
	};

	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct policy p = policy_of(t[i].rules);

		if (policy_decide_name(&p, t[i].name).answer != t[i].want)
			fail_msg("%s: %s", t[i].rules, t[i].name);
		policy_release(&p);
	}
}

static void test_allows_address(void **state)
{
	static const struct {
		const char *rules;
		bool is_host, want;
	} t[] = {
		{"allow@private", false, true},
		{"allow@private", true, false},
		{"allow@host", true, true},
		{"allow@10.0.0.0/8", false, true},
		{"allow@10.0.0.0/8:tcp:80", false, true},
		{"allow@11.0.0.0/8", false, false},
		{"allow@any", false, false},
		{"ALLOW", false, false},
		{"allow@example.com", false, false},
		{"allow:ingress@private", false, false},
		{"deny@10.0.0.1 allow@private", false, false},
		{"deny@any allow@private", false, false},
		{"deny@10.0.0.1:tcp:25 allow@private", false, true},
		{"allow@any allow@private", false, true},
	};
	struct addr a;

	assert_int_equal(addr_parse("10.0.0.1", &a), 0);
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct policy p = policy_of(t[i].rules);

		if (policy_allows_address(&p, &a, t[i].is_host) != t[i].want)
			fail_msg("%s", t[i].rules);
		policy_release(&p);
	}
}

/* What no rule can change, and what only some can. */
static void test_flows(void **state)
{
	static const struct {
		const char *rules, *addr;
		enum policy_protocol protocol;
		uint16_t port;
		bool is_host, proxied;
		enum flow_route want;
		const char *why;
	} t[] = {
		{"ALLOW", "8.8.8.8", PROTO_TCP, 80, false, false, FLOW_ALLOW, "the default"},
		{"deny@8.8.8.8", "8.8.8.8", PROTO_TCP, 80, false, false, FLOW_DENY, "rule 1, "},
		{"ALLOW", "0.0.0.0", PROTO_TCP, 80, false, false, FLOW_DENY, "no address"},
		{"ALLOW", "::", PROTO_UDP, 80, false, false, FLOW_DENY, "no address"},
		{"DENY", "8.8.8.8", PROTO_UDP, 53, false, false, FLOW_RESOLVER, "resolver"},
		{"DENY", "8.8.8.8", PROTO_TCP, 53, false, false, FLOW_RESOLVER, "resolver"},
		{"ALLOW", "8.8.8.8", PROTO_TCP, 853, false, false, FLOW_DENY, "at the gateway"},
		{"allow@any", "8.8.8.8", PROTO_UDP, 5353, false, false, FLOW_DENY,
		 "at the gateway"},
		{"allow@public", "8.8.8.8", PROTO_UDP, 5355, false, false, FLOW_DENY, "gateway"},
		{"ALLOW", "8.8.8.8", PROTO_UDP, 137, false, false, FLOW_DENY, "at the gateway"},
		{"allow@8.8.8.8", "8.8.8.8", PROTO_TCP, 853, false, false, FLOW_ALLOW, "rule 1"},
		{"allow@host", "10.0.0.1", PROTO_TCP, 853, true, false, FLOW_ALLOW, "rule 1"},
		{"ALLOW deny@a.b", "8.8.8.8", PROTO_TCP, 853, false, false, FLOW_DENY, "gateway"},
		{"ALLOW deny@a.b", "8.8.8.8", PROTO_TCP, 80, false, false, FLOW_WAIT, "rule 1"},
		{"ALLOW", "8.8.8.8", PROTO_TCP, 80, false, true, FLOW_ALLOW, "the default"},
		{"ALLOW", "8.8.8.8", PROTO_UDP, 80, false, true, FLOW_DENY, "the proxy"},
		{"ALLOW", "8.8.8.8", PROTO_ICMPV4, 0, false, true, FLOW_DENY, "the proxy"},
		{"ALLOW", "10.0.0.1", PROTO_UDP, 80, true, true, FLOW_ALLOW, "the default"},
		{"DENY", "8.8.8.8", PROTO_ICMPV4, 0, false, false, FLOW_DENY, "the default"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct policy p = policy_of(t[i].rules);
		struct policy_query q = tcp(t[i].addr, t[i].port);
		struct policy_flow f = {0};

		q.protocol = t[i].protocol;
		q.is_host = t[i].is_host;
		policy_flow(&p, &q, t[i].proxied, &f);
		if (f.route != t[i].want || !strstr(f.why, t[i].why))
			fail_msg("%s: %s %u: %d, %s", t[i].rules, t[i].addr, t[i].port, f.route,
				 f.why);
		policy_release(&p);
	}
}

static void test_why(void **state)
{
	struct policy p = policy_of("deny@10.0.0.1 allow@public");
	struct policy_query q = tcp("8.8.8.8", 80);
	struct policy_verdict v = policy_decide(&p, &q);
	char why[POLICY_WHY_LEN];

	policy_why(&p, &v, POLICY_EGRESS, why);
	assert_string_equal(why, "rule 2, allow@public");
	q = tcp("10.0.0.2", 80);
	v = policy_decide(&p, &q);
	policy_why(&p, &v, POLICY_EGRESS, why);
	assert_string_equal(why, "the default for egress");
	policy_why(&p, &v, POLICY_INGRESS, why);
	assert_string_equal(why, "the default for ingress");
	policy_release(&p);
}

static void test_too_many(void **state)
{
	struct policy p = {0};
	struct policy_rule r;
	struct err e = {0};

	for (size_t i = 0; i < POLICY_RULES_MAX; i++) {
		assert_int_equal(policy_rule_parse("allow@any", &r, &e), 0);
		assert_int_equal(policy_add(&p, &r, &e), 0);
		assert_null(r.text);
	}
	assert_int_equal(policy_rule_parse("allow@any", &r, &e), 0);
	assert_int_equal(policy_add(&p, &r, &e), -1);
	assert_non_null(r.text);
	policy_rule_release(&r);
	policy_release(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_presets),   cmocka_unit_test(test_preset_unknown),
		cmocka_unit_test(test_addresses), cmocka_unit_test(test_ingress),
		cmocka_unit_test(test_domains),   cmocka_unit_test(test_several_pins),
		cmocka_unit_test(test_names),     cmocka_unit_test(test_allows_address),
		cmocka_unit_test(test_flows),     cmocka_unit_test(test_why),
		cmocka_unit_test(test_too_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
