/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a flow of the guest to a socket, by way of the policy: the only place that decides about
 * egress. Nothing is opened for what is denied.
 */
#pragma once

#include "net/host_addrs.h"
#include "net/pins.h"
#include "net/resolver.h"
#include "net/stack.h"

/* Where verdicts go; see net_log.h. `proto`: "tcp", "udp", "icmp". `what`: "1.2.3.4:80 (name)". */
typedef void dial_denied_fn(void *ctx, const char *proto, const char *what, const char *why);

struct dial {
	struct loop *loop;
	const struct net_spec *spec;
	struct pins *pins;
	struct host_addrs *host;
	struct resolver *resolver;
	dial_denied_fn *denied;
	void *ctx;
};

struct dial_target {
	struct policy_flow flow;
	struct addr
		addr; /* what to connect to: for the gateway's own address the host's loopback */
	uint16_t port;
};

/* What is to become of a flow of the guest. */
void dial_decide(const struct dial *d, enum policy_protocol protocol, const struct flow_key *key,
		 enum policy_claim claim, const char *claimed, uint64_t now,
		 struct dial_target *ret);
/* Tells of a denial; `claimed`: NULL, or the name that the guest meant. */
void dial_denied(const struct dial *d, const char *proto, const struct flow_key *key,
		 const char *claimed, const char *why);
/* stack_ops.tcp_open's work: decides, attaches or refuses. */
void dial_tcp(struct dial *d, struct tcp_conn *c, const struct flow_key *key, uint64_t now);
