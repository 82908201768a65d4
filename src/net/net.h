/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network of one sandbox: rings, stack, policy, resolver, sockets and published ports put
 * together on one loop. Theory of operation: net.c.
 */
#pragma once

#include "base/loop.h"
#include "net/spec.h"

struct net;

struct net_fds {
	int rings_fd; /* not kept */
	int wake_fd;  /* eventfd: msb-vmm wakes us; not owned */
	int call_fd;  /* eventfd: we wake msb-vmm; not owned */
};

/*
 * Called with one line of text, without a line end, for the owner of this process: `port ...` while
 * it is made, then `deny ...` and `visit ...`, both limited in rate.
 */
typedef void net_event_fn(void *ctx, const char *line);

/*
 * Makes everything: maps the rings, opens what sockets are needed from the start and binds
 * published ports, of each of which it tells the event `port PROTOCOL ADDRESS:PORT GUESTPORT`.
 * `spec` is kept and stays the caller's. NULL with an error (ERR_BUSY for a port that is in use).
 */
struct net *net_new(struct loop *loop, const struct net_spec *spec, const struct net_fds *fds,
		    net_event_fn *event, void *ctx, struct err *e);
struct net *net_free(struct net *n);
/* When the network cannot go on it stops the loop; this says why. Returns -1. */
int net_failure(const struct net *n, struct err *e);
