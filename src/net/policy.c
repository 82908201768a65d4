/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * A decision is one walk over the rules. Those that speak of addresses match or do not. One that
 * speaks of a domain needs a name, for which there are two witnesses: the addresses that our
 * resolver gave out for it (pins), and what the guest says in its first bytes (the claim). Neither
 * is worth much alone: many domains share an address, and a guest may claim what it likes. So a
 * rule that allows wants both, and one that denies is content with either.
 *
 * Before the first bytes of a TCP connection are there, a rule can be undecided. The walk then goes
 * on and remembers which ends are possible; only when they differ is the answer to wait. Protocols
 * without a claim go by the pins.
 *
 * Whether names may be asked for is another question with another walk: address rules have no say
 * in it, as which addresses a name has is not known then.
 */
#include "net/policy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DNS_PORT 53

void policy_release(struct policy *p)
{
	for (size_t i = 0; i < p->n_rules; i++)
		policy_rule_release(&p->rules[i]);
	free(p->rules);
	*p = (struct policy){0};
}

static bool is_domain_rule(const struct policy_rule *r)
{
	return r->kind == TARGET_DOMAIN || r->kind == TARGET_SUFFIX;
}

int policy_add(struct policy *p, struct policy_rule *r, struct err *e)
{
	if (p->n_rules >= POLICY_RULES_MAX)
		return err_set(e, ERR_INVALID, "more than %d network rules", POLICY_RULES_MAX);
	p->rules = xreallocarray(p->rules, p->n_rules + 1, sizeof(*p->rules));
	p->rules[p->n_rules++] = *r;
	p->has_domains = p->has_domains || is_domain_rule(r);
	*r = (struct policy_rule){0};
	return 0;
}

static const struct preset {
	const char *name;
	enum policy_action egress, ingress;
	const char *rules[4];
} presets[] = {
	{"none", POLICY_DENY, POLICY_DENY, {NULL}},
	{"public-only", POLICY_DENY, POLICY_ALLOW, {"allow@dns", "allow@public"}},
	{"nonlocal", POLICY_DENY, POLICY_ALLOW, {"allow@dns", "allow@public", "allow@private"}},
	{"allow-all", POLICY_ALLOW, POLICY_ALLOW, {NULL}},
};

static int take_preset(struct policy *p, const struct preset *preset, struct err *e)
{
	p->egress = preset->egress;
	p->ingress = preset->ingress;
	for (size_t i = 0; preset->rules[i]; i++) {
		struct policy_rule r;

		if (policy_rule_parse(preset->rules[i], &r, e) < 0)
			return -1;
		if (policy_add(p, &r, e) < 0) {
			policy_rule_release(&r);
			return -1;
		}
	}
	return 0;
}

int policy_preset(struct policy *p, const char *name, struct err *e)
{
	for (size_t i = 0; i < ARRAY_SIZE(presets); i++)
		if (strcmp(presets[i].name, name) == 0)
			return take_preset(p, &presets[i], e);
	err_set(e, ERR_INVALID, "unknown network policy '%s'", name);
	return err_hint(e, "the policies are none, public-only, nonlocal and allow-all");
}

/* Of a name that is not NULL. */
static bool covers_name(const struct policy_rule *r, const char *name)
{
	if (r->kind == TARGET_DOMAIN)
		return strcmp(name, r->domain) == 0;
	return domain_under(name, r->domain);
}

static bool is_pinned(const struct policy_rule *r, const struct policy_query *q)
{
	for (size_t i = 0; i < q->n_pinned; i++)
		if (covers_name(r, q->pinned[i]))
			return true;
	return false;
}

enum match { MATCH_NO, MATCH_YES, MATCH_MAYBE };

static enum match match_domain(const struct policy_rule *r, const struct policy_query *q)
{
	bool pinned = is_pinned(r, q), can_claim = q->protocol == PROTO_TCP;
	bool unknown = can_claim && q->claim == CLAIM_UNKNOWN;
	bool claimed = can_claim && q->claim == CLAIM_NAME && covers_name(r, q->claimed);

	if (q->direction == POLICY_INGRESS)
		return MATCH_NO;
	if (r->action == POLICY_DENY) {
		if (pinned || claimed)
			return MATCH_YES;
		return unknown ? MATCH_MAYBE : MATCH_NO;
	}
	if (!pinned)
		return MATCH_NO;
	if (unknown)
		return MATCH_MAYBE;
	return claimed || !can_claim || q->claim == CLAIM_NONE ? MATCH_YES : MATCH_NO;
}

static bool covers_direction(const struct policy_rule *r, enum policy_direction d)
{
	return r->direction == POLICY_ANY || r->direction == d;
}

static bool covers_port(const struct policy_rule *r, uint16_t port)
{
	return port >= r->port_lo && port <= r->port_hi;
}

static bool all_ports(const struct policy_rule *r)
{
	return r->port_lo == 0 && r->port_hi == UINT16_MAX;
}

static bool covers_service(const struct policy_rule *r, const struct policy_query *q)
{
	if (r->protocol != PROTO_ANY && r->protocol != q->protocol)
		return false;
	if (q->protocol == PROTO_TCP || q->protocol == PROTO_UDP)
		return covers_port(r, q->port);
	return all_ports(r);
}

/* Of rules that speak of addresses. What is the host's is in no range but those spelled out. */
static bool covers_addr(const struct policy_rule *r, const struct addr *a, bool is_host)
{
	switch (r->kind) {
	case TARGET_ANY:
		return true;
	case TARGET_CLASS:
		return !is_host && addr_class(a) == r->class;
	case TARGET_HOST:
		return is_host;
	case TARGET_PREFIX:
		return addr_in(a, &r->prefix);
	case TARGET_DNS:
	case TARGET_DOMAIN:
	case TARGET_SUFFIX:
		break;
	}
	return false;
}

static enum match match_rule(const struct policy_rule *r, const struct policy_query *q)
{
	if (!covers_direction(r, q->direction) || !covers_service(r, q))
		return MATCH_NO;
	if (is_domain_rule(r))
		return match_domain(r, q);
	return covers_addr(r, &q->addr, q->is_host) ? MATCH_YES : MATCH_NO;
}

static struct policy_verdict verdict(enum policy_action action, const struct policy_rule *rule)
{
	return (struct policy_verdict){
		action == POLICY_ALLOW ? POLICY_SAYS_ALLOW : POLICY_SAYS_DENY, rule};
}

struct policy_verdict policy_decide(const struct policy *p, const struct policy_query *q)
{
	struct policy_verdict end =
		verdict(q->direction == POLICY_INGRESS ? p->ingress : p->egress, NULL);
	const struct policy_rule *maybe[2] = {NULL, NULL}; /* by action, the first of each */

	for (size_t i = 0; i < p->n_rules; i++) {
		const struct policy_rule *r = &p->rules[i];
		enum match m = match_rule(r, q);

		if (m == MATCH_YES) {
			end = verdict(r->action, r);
			break;
		}
		if (m == MATCH_MAYBE && !maybe[r->action])
			maybe[r->action] = r;
	}
	/* The rule that could make it end otherwise is what is waited for. */
	if (end.answer == POLICY_SAYS_ALLOW && maybe[POLICY_DENY])
		return (struct policy_verdict){POLICY_SAYS_WAIT, maybe[POLICY_DENY]};
	if (end.answer == POLICY_SAYS_DENY && maybe[POLICY_ALLOW])
		return (struct policy_verdict){POLICY_SAYS_WAIT, maybe[POLICY_ALLOW]};
	return end;
}

static bool covers_dns(const struct policy_rule *r)
{
	if (r->protocol != PROTO_ANY && r->protocol != PROTO_UDP && r->protocol != PROTO_TCP)
		return false;
	return covers_port(r, DNS_PORT);
}

static bool covers_question(const struct policy_rule *r, const char *name)
{
	switch (r->kind) {
	case TARGET_DOMAIN:
	case TARGET_SUFFIX:
		return *name && covers_name(r, name);
	case TARGET_ANY:
	case TARGET_DNS:
		return covers_dns(r);
	case TARGET_HOST:
		/* Who speaks of the host at large does not mean the resolver. */
		return covers_dns(r) && !all_ports(r);
	case TARGET_CLASS:
	case TARGET_PREFIX:
		break;
	}
	return false;
}

struct policy_verdict policy_decide_name(const struct policy *p, const char *name)
{
	for (size_t i = 0; i < p->n_rules; i++) {
		const struct policy_rule *r = &p->rules[i];

		if (covers_direction(r, POLICY_EGRESS) && covers_question(r, name))
			return verdict(r->action, r);
	}
	return verdict(p->egress, NULL);
}

bool policy_allows_address(const struct policy *p, const struct addr *a, bool is_host)
{
	for (size_t i = 0; i < p->n_rules; i++) {
		const struct policy_rule *r = &p->rules[i];
		bool whole = r->protocol == PROTO_ANY && all_ports(r);

		if (!covers_direction(r, POLICY_EGRESS) || !covers_addr(r, a, is_host))
			continue;
		/*
		 * "Anything may be talked to" names no address, and "the internet" none that it
		 * does not have; a part of it forbids no other.
		 */
		if (r->action == POLICY_ALLOW && r->kind != TARGET_ANY &&
		    !(r->kind == TARGET_CLASS && r->class == ADDR_PUBLIC))
			return true;
		if (r->action == POLICY_DENY && whole)
			return false;
	}
	return false;
}

void policy_why(const struct policy *p, const struct policy_verdict *v, enum policy_direction d,
		char out[POLICY_WHY_LEN])
{
	if (v->rule)
		snprintf(out, POLICY_WHY_LEN, "rule %zu, %s", (size_t)(v->rule - p->rules) + 1,
			 v->rule->text);
	else
		snprintf(out, POLICY_WHY_LEN, "the default for %s",
			 d == POLICY_INGRESS ? "ingress" : "egress");
}

/* DNS over TLS, multicast DNS, LLMNR, NetBIOS: what is asked there cannot be checked. */
static bool is_name_port(uint16_t port)
{
	return port == 853 || port == 5353 || port == 5355 || port == 137;
}

static bool by_address(const struct policy_verdict *v)
{
	return v->rule && (v->rule->kind == TARGET_PREFIX || v->rule->kind == TARGET_HOST);
}

static void end_flow(struct policy_flow *f, enum flow_route route, const char *why)
{
	f->route = route;
	if (why)
		snprintf(f->why, sizeof(f->why), "%s", why);
}

void policy_flow(const struct policy *p, const struct policy_query *q, bool proxied,
		 struct policy_flow *ret)
{
	bool has_port = q->protocol == PROTO_TCP || q->protocol == PROTO_UDP;
	struct policy_verdict v;

	if (addr_is_unspecified(&q->addr)) {
		end_flow(ret, FLOW_DENY, "no address");
		return;
	}
	if (has_port && q->port == DNS_PORT) {
		end_flow(ret, FLOW_RESOLVER, "the resolver decides about each name");
		return;
	}
	v = policy_decide(p, q);
	policy_why(p, &v, POLICY_EGRESS, ret->why);
	if (v.answer == POLICY_SAYS_DENY)
		end_flow(ret, FLOW_DENY, NULL);
	else if (has_port && is_name_port(q->port) && !by_address(&v))
		end_flow(ret, FLOW_DENY, "names are asked for at the gateway only");
	else if (v.answer == POLICY_SAYS_WAIT)
		end_flow(ret, FLOW_WAIT, NULL);
	else if (proxied && q->protocol != PROTO_TCP && !q->is_host)
		end_flow(ret, FLOW_DENY, "it does not go through the proxy");
	else
		end_flow(ret, FLOW_ALLOW, NULL);
}
