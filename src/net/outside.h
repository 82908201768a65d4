/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Datagrams and echo requests of the guest to the host's sockets and back: one connected UDP socket
 * per flow, one unprivileged ping socket per identifier and destination, each with an idle
 * time-out, and both bounded in number (the one that was used longest ago makes room).
 */
#pragma once

#include "net/dial.h"

#define OUTSIDE_UDP_MAX  1024
#define OUTSIDE_ECHO_MAX 64

struct outside;

struct outside *outside_new(struct loop *loop, struct dial *dial,
			    struct stack *stack); /* NULL: no memory */
struct outside *outside_free(struct outside *o);
/* stack_ops.udp and stack_ops.echo. */
void outside_udp(struct outside *o, const struct flow_key *key, const uint8_t *data, size_t len);
void outside_echo(struct outside *o, const struct flow_key *key, uint16_t seq, const uint8_t *data,
		  size_t len);
