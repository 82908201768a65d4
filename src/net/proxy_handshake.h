/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is said to a proxy before it passes bytes on, as a machine without a socket: SOCKS4, SOCKS5
 * (RFC 1928, 1929) and HTTP CONNECT (RFC 9110 9.3.6). The proxy is always asked for an address,
 * never for a name, since an address is what was decided about.
 */
#pragma once

#include "base/buf.h"
#include "net/spec.h"

#define PROXY_REPLY_MAX 8192

enum proxy_step {
	PROXY_GREETING, /* SOCKS5: which methods */
	PROXY_PASSWORD,
	PROXY_REQUEST,
	PROXY_PASSES, /* it is through: what follows are the far side's bytes */
	PROXY_REFUSED,
};

struct proxy_handshake {
	const struct net_proxy *proxy;
	struct addr addr;
	uint16_t port;
	enum proxy_step step;
	int error;       /* of PROXY_REFUSED: -errno */
	struct buf say;  /* to be sent */
	struct buf said; /* by the proxy, and in PROXY_PASSES the first bytes of the far side */
};

/* 0; -EAFNOSUPPORT for an address that the kind of proxy knows nothing of; -ENOMEM. Release it. */
int proxy_handshake_init(struct proxy_handshake *h, const struct net_proxy *proxy,
			 const struct addr *addr, uint16_t port);
void proxy_handshake_release(struct proxy_handshake *h);
/* Acts on what is in `said`; may add to `say` and go on to another step. */
void proxy_handshake_step(struct proxy_handshake *h);
