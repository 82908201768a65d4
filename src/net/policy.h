/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The policy: ordered rules, the first that matches decides, else the default of the direction.
 * Pure functions of their arguments, so that `msb net explain` and msb-net cannot disagree.
 *
 * A domain rule needs to know which name the guest means. Evidence: names pinned to the address by
 * answers of our resolver, and the name that the guest itself says in TLS or HTTP. To allow, both
 * have to agree (a claim alone proves nothing about the address); to deny, one is enough.
 */
#pragma once

#include "base/err.h"
#include "net/addr.h"
#include "net/domain.h"

#define POLICY_RULES_MAX 1024

enum policy_action { POLICY_DENY, POLICY_ALLOW };
enum policy_direction { POLICY_EGRESS, POLICY_INGRESS, POLICY_ANY };
enum policy_protocol { PROTO_ANY, PROTO_TCP, PROTO_UDP, PROTO_ICMPV4, PROTO_ICMPV6 };

enum target_kind {
	TARGET_ANY,
	TARGET_DNS,    /* names may be asked for: port 53 of the gateway */
	TARGET_CLASS,  /* public, private, loopback, link-local, meta, multicast */
	TARGET_HOST,   /* the machine that runs the sandbox: gateway addresses and its own */
	TARGET_PREFIX, /* address or CIDR */
	TARGET_DOMAIN, /* exactly this name */
	TARGET_SUFFIX, /* this name and all below it */
};

struct policy_rule {
	enum policy_action action;
	enum policy_direction direction;
	enum target_kind kind;
	enum addr_class class;
	struct prefix prefix;
	char *domain; /* normalized, owned */
	enum policy_protocol protocol;
	uint16_t port_lo, port_hi; /* 0, 65535: any */
	char *text;                /* as people write it, canonical; owned */
};

struct policy {
	struct policy_rule *rules;
	size_t n_rules;
	enum policy_action egress, ingress; /* defaults */
	/*
	 * Any rule of a domain that could decide about traffic: what a guest says in its first
	 * bytes has to be looked at.
	 */
	bool has_domains;
};

void policy_release(struct policy *p);

/*
 * <allow|deny>[:egress|ingress|any]@TARGET[:PROTOCOL[:PORTS]], reference grammar; see
 * docs/network.md. 0, or -1 with a message that says what is wrong and a hint.
 */
int policy_rule_parse(const char *s, struct policy_rule *ret, struct err *e);
void policy_rule_release(struct policy_rule *r);
/* Appends the rule, which is the policy's then. -1 past POLICY_RULES_MAX. */
int policy_add(struct policy *p, struct policy_rule *r, struct err *e);

#define POLICY_PRESETS "none public-only nonlocal allow-all"
/* Sets defaults and rules of a preset. 0, or -1 for an unknown word, which names the four. */
int policy_preset(struct policy *p, const char *name, struct err *e);

/* What is known about the name that the guest itself says, in TLS or HTTP. */
enum policy_claim {
	CLAIM_UNKNOWN, /* no bytes have been looked at; of UDP and ICMP none ever will be */
	CLAIM_NONE,    /* neither TLS nor HTTP: the address is all there is to go by */
	CLAIM_HIDDEN,  /* TLS or HTTP that hides it or is ambiguous; agrees with nothing */
	CLAIM_NAME,    /* `claimed` */
};

/* What is asked: one flow, before any socket exists for it. */
struct policy_query {
	enum policy_direction direction; /* egress or ingress */
	enum policy_protocol protocol;   /* never any */
	struct addr addr;                /* egress: destination; ingress: the peer */
	uint16_t port;                   /* destination's; 0 for ICMP */
	bool is_host;                    /* the address is the gateway's or one of the host's own */
	/* Names our resolver gave this address for; normalized. */
	const char *const *pinned;
	size_t n_pinned;
	enum policy_claim claim;
	const char *claimed; /* normalized; only with CLAIM_NAME */
};

enum policy_answer {
	POLICY_SAYS_DENY,
	POLICY_SAYS_ALLOW,
	/*
	 * Depends on what the guest claims in its first bytes: a domain rule could still match.
	 * Only for egress by TCP with CLAIM_UNKNOWN.
	 */
	POLICY_SAYS_WAIT,
};

struct policy_verdict {
	enum policy_answer answer;
	const struct policy_rule *rule; /* NULL: the default decided */
};

struct policy_verdict policy_decide(const struct policy *p, const struct policy_query *q);
/* May this name be asked for at our resolver? Address rules never match a question. */
struct policy_verdict policy_decide_name(const struct policy *p, const char *name);
/*
 * Does an address rule (prefix, class, host) allow egress to this address itself? Then an answer of
 * the resolver that contains it is no rebinding.
 */
bool policy_allows_address(const struct policy *p, const struct addr *a, bool is_host);

/* "tcp" and so on, as in rules. */
const char *policy_protocol_name(enum policy_protocol p);

/* "rule 3, allow@public" or "the default for egress"; what denials are logged with. */
#define POLICY_WHY_LEN 320
void policy_why(const struct policy *p, const struct policy_verdict *v, enum policy_direction d,
		char out[POLICY_WHY_LEN]);

/*
 * What becomes of a flow out of the sandbox, with what no rule can change: port 53 is the
 * resolver's, other ways to ask for names are shut unless a rule opens that very address or the
 * host, and only TCP goes through a proxy (`proxied`).
 */
enum flow_route { FLOW_DENY, FLOW_ALLOW, FLOW_WAIT, FLOW_RESOLVER };

struct policy_flow {
	enum flow_route route;
	char why[POLICY_WHY_LEN];
};

void policy_flow(const struct policy *p, const struct policy_query *q, bool proxied,
		 struct policy_flow *ret);
