/* SPDX-License-Identifier: Apache-2.0 */
/* The text of a network's specification: what is accepted comes back as the same. */
#include "fuzz.h"

#include "net/spec.h"

/* Decisions of any accepted policy end, and only TCP waits. */
static void decide(const struct policy *p)
{
	static const char *const pinned[] = {"a.example", "b.example"};
	struct policy_query q = {.port = 443, .pinned = pinned, .n_pinned = 2};

	for (int protocol = PROTO_TCP; protocol <= PROTO_ICMPV6; protocol++) {
		q.protocol = (enum policy_protocol)protocol;
		CHECK(protocol == PROTO_TCP || policy_decide(p, &q).answer != POLICY_SAYS_WAIT);
	}
	q.protocol = PROTO_TCP;
	q.claim = CLAIM_NAME;
	q.claimed = "a.example";
	CHECK(policy_decide(p, &q).answer != POLICY_SAYS_WAIT);
	CHECK(policy_decide_name(p, "a.example").answer != POLICY_SAYS_WAIT);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t n)
{
	char *text = xstrndup((const char *)input, n), *once, *twice;
	struct net_spec s, again;
	struct err e;

	net_spec_init(&s);
	if (net_spec_parse(&s, text, &e) == 0) {
		once = net_spec_format(&s);
		net_spec_init(&again);
		CHECK(net_spec_parse(&again, once, &e) == 0);
		twice = net_spec_format(&again);
		CHECK(strcmp(once, twice) == 0);
		decide(&again.policy);
		net_spec_release(&again);
		free(once);
		free(twice);
	}
	net_spec_release(&s);
	free(text);
	return 0;
}
