/* SPDX-License-Identifier: Apache-2.0 */
/* A connection through a SOCKS or HTTP proxy as a stream: opened when the proxy says that it is. */
#pragma once

#include "base/loop.h"
#include "net/spec.h"
#include "net/stream.h"

/* The proxy is asked for the address, which is what was decided about. NULL with errno. */
struct stream *proxy_stream_connect(struct loop *loop, const struct net_proxy *proxy,
				    const struct addr *addr, uint16_t port);
