/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gateway's resolver. Every question of the guest to port 53 of any address, over UDP or TCP,
 * ends here: the name is checked against the policy, asked for upstream, the answer is checked for
 * rebinding, its addresses are pinned to the names of the chain, and a new answer is written.
 * Theory of operation: resolver.c.
 */
#pragma once

#include "base/loop.h"
#include "net/pins.h"
#include "net/spec.h"
#include "net/stream.h"

struct resolver;

struct resolver_config {
	const struct policy *policy;
	struct net_server servers[NET_NAMESERVERS_MAX]; /* upstream, tried in order */
	unsigned int n_servers;
	bool rebind_protection;
	struct addr gateway[2]; /* what NET_HOST_NAME stands for */
	unsigned int n_gateway;
	struct pins *pins;
	/* Whether an address is one of the host's own (host_addrs.h). */
	bool (*is_host)(void *ctx, const struct addr *a);
	/* A name or an answer was denied; `why` as of policy_why, or "rebinding protection: ...".
	 */
	void (*denied)(void *ctx, const char *name, const char *why);
	void *ctx;
	uint8_t secret[16];
};

/* NULL with errno. */
struct resolver *resolver_new(struct loop *loop, const struct resolver_config *c);
/* After its streams were closed. */
struct resolver *resolver_free(struct resolver *r);

/*
 * A question, over TCP or in a datagram; it may change while it is looked at. `reply` gets the
 * answer, perhaps before this returns; `token` says whose it is (copied, at most RESOLVER_TOKEN_MAX
 * bytes). 0, or -EBADMSG: it is not worth an answer, and there will be none.
 */
#define RESOLVER_TOKEN_MAX 64
typedef void resolver_reply_fn(void *ctx, const void *token, const uint8_t *msg, size_t len);
int resolver_ask(struct resolver *r, const uint8_t *msg, size_t len, bool tcp, const void *token,
		 size_t token_len, resolver_reply_fn *reply, void *ctx);
/* The far end of a TCP connection to port 53 (RFC 7766); NULL: no memory. opened(0) follows by the
 * loop. */
struct stream *resolver_stream(struct resolver *r);

/* The name servers of a resolv.conf's text (zones such as %eth0 are left out); how many. */
unsigned int resolv_conf_parse(const char *text, struct net_server out[NET_NAMESERVERS_MAX]);
