/* SPDX-License-Identifier: Apache-2.0 */
#include "net/dial.h"

#include "base/clock.h"
#include "base/util.h"
#include "net/inspect_stream.h"
#include "net/proxy_stream.h"
#include "net/socket_stream.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct addr loopback6 = {{[15] = 1}};

static bool is_gateway(const struct dial *d, const struct addr *a)
{
	return addr_equal(a, &d->spec->v4.gateway) || addr_equal(a, &d->spec->v6.gateway);
}

/* Where a connection to an address that is allowed really goes. */
static void resolve_target(const struct dial *d, struct dial_target *t)
{
	if (!is_gateway(d, &t->addr))
		return;
	/* The gateway stands for the host, and that for what listens there on the loopback
	 * interface. */
	if (addr_is_v4(&t->addr))
		t->addr = addr_from_v4((struct in_addr){htonl(INADDR_LOOPBACK)});
	else
		t->addr = loopback6;
}

void dial_decide(const struct dial *d, enum policy_protocol protocol, const struct flow_key *key,
		 enum policy_claim claim, const char *claimed, uint64_t now,
		 struct dial_target *ret)
{
	const char *names[PINS_PER_ADDR_MAX];
	struct policy_query q = {
		.direction = POLICY_EGRESS,
		.protocol = protocol,
		.addr = key->remote,
		.port = key->remote_port,
		.is_host = is_gateway(d, &key->remote) || host_addrs_has(d->host, &key->remote),
		.pinned = names,
		.claim = claim,
		.claimed = claimed,
	};

	ret->addr = key->remote;
	ret->port = key->remote_port;
	q.n_pinned = pins_find(d->pins, &key->remote, now, names);
	policy_flow(&d->spec->policy, &q, d->spec->proxy.kind != PROXY_NONE, &ret->flow);
	if (ret->flow.route == FLOW_ALLOW)
		resolve_target(d, ret);
}

void dial_denied(const struct dial *d, const char *proto, const struct flow_key *key,
		 const char *claimed, const char *why)
{
	char endpoint[ENDPOINT_LEN], what[ENDPOINT_LEN + DOMAIN_LEN + 4];

	if (key->remote_port)
		endpoint_format(&key->remote, key->remote_port, endpoint);
	else
		addr_format(&key->remote, endpoint);
	snprintf(what, sizeof(what), "%s%s%s%s", endpoint, claimed && *claimed ? " (" : "",
		 claimed ? claimed : "", claimed && *claimed ? ")" : "");
	d->denied(d->ctx, proto, what, why);
}

/* The connection itself; NULL with errno. */
static struct stream *connect_to(struct dial *d, const struct dial_target *t)
{
	/* The host's own services are not behind a proxy. */
	if (d->spec->proxy.kind != PROXY_NONE && !addr_equal(&t->addr, &loopback6) &&
	    addr_class(&t->addr) != ADDR_LOOPBACK)
		return proxy_stream_connect(d->loop, &d->spec->proxy, &t->addr, t->port);
	return socket_stream_connect(d->loop, &t->addr, t->port);
}

/* What an inspected connection has to remember; see inspect_stream_new. */
struct inspected {
	struct dial *dial;
	struct flow_key key;
};

static_assert(sizeof(struct inspected) <= INSPECT_TOKEN_MAX, "it is handed on as a token");

static struct stream *decide_claim(void *ctx, enum policy_claim claim, const char *claimed)
{
	const struct inspected *i = ctx;
	struct dial_target t;

	dial_decide(i->dial, PROTO_TCP, &i->key, claim, claimed, clock_mono_ns(), &t);
	if (t.flow.route == FLOW_ALLOW)
		return connect_to(i->dial, &t);
	dial_denied(i->dial, "tcp", &i->key, claimed, t.flow.why);
	errno = EPERM;
	return NULL;
}

void dial_tcp(struct dial *d, struct tcp_conn *c, const struct flow_key *key, uint64_t now)
{
	struct inspected inspected = {d, *key};
	struct stream *far = NULL;
	struct dial_target t;

	dial_decide(d, PROTO_TCP, key, CLAIM_UNKNOWN, NULL, now, &t);
	switch (t.flow.route) {
	case FLOW_DENY:
		dial_denied(d, "tcp", key, NULL, t.flow.why);
		tcp_refuse(c, UNREACH_PROHIBITED);
		return;
	case FLOW_RESOLVER:
		far = resolver_stream(d->resolver);
		break;
	case FLOW_ALLOW:
		far = connect_to(d, &t);
		break;
	case FLOW_WAIT:
		far = inspect_stream_new(d->loop, decide_claim, &inspected, sizeof(inspected));
		break;
	}
	if (far)
		tcp_attach(c, far);
	else
		tcp_refuse(c, unreachable_reason(errno));
}
