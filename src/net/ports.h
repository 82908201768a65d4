/* SPDX-License-Identifier: Apache-2.0 */
/* Published ports: listening sockets of the host whose clients become connections or datagrams to
 * the guest. */
#pragma once

#include "net/dial.h"

struct ports;

/* A client came: `proto`, its address and that of the listener; `why`: NULL, or the denial. */
typedef void ports_visitor_fn(void *ctx, const char *proto, const struct addr *peer,
			      uint16_t peer_port, uint16_t guest_port, const char *why);

/*
 * Binds all ports of the spec; spec->publish[i].host_port of 0 is answered in `chosen[i]`. NULL
 * with an error: ERR_BUSY names the port and hints at another. Listening is from ports_start on.
 */
struct ports *ports_new(struct loop *loop, const struct net_spec *spec, uint16_t *chosen,
			struct err *e);
/* 0 or -errno. */
int ports_start(struct ports *p, struct stack *stack, ports_visitor_fn *visitor, void *ctx);
struct ports *ports_free(struct ports *p);
/* A datagram of the guest that answers a client of a published UDP port; false: it is none. */
bool ports_udp(struct ports *p, const struct flow_key *key, const uint8_t *data, size_t len);
