/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's peer on its link: every address but the guest's own is ours. Terminates TCP, hands
 * UDP datagrams and echo requests on, answers ARP, NDP and errors. Knows no policy, no socket and
 * no clock: frames go in with the time, decisions are asked for through struct stack_ops, and
 * frames come out through it. Theory of operation: stack.c.
 */
#pragma once

#include "net/packet.h"
#include "net/spec.h"
#include "net/stream.h"

#include <assert.h>

struct stack;
struct tcp_conn;

/* Both ends of one conversation as the guest sees it: `remote` is the address it talks to. */
struct flow_key {
	struct addr guest, remote;
	uint16_t guest_port, remote_port; /* ICMP: the identifier, 0 */
};

/* Compared and hashed as bytes: it has no gaps but at its end. */
#define FLOW_KEY_BYTES (offsetof(struct flow_key, remote_port) + sizeof(uint16_t))
static_assert(FLOW_KEY_BYTES == 2 * sizeof(struct addr) + 2 * sizeof(uint16_t), "no gaps");

/* Why a destination cannot be reached, in what the guest gets to see of it. */
enum unreachable {
	UNREACH_PROHIBITED, /* policy: ICMP communication administratively prohibited */
	UNREACH_HOST,
	UNREACH_NET,
	UNREACH_PORT,
};

/* What an error of a socket (positive) is to the guest. */
enum unreachable unreachable_reason(int error);

struct stack_ops {
	/* Room for a frame of `len` bytes to the guest in one piece, NULL when there is none now.
	 */
	uint8_t *(*frame_reserve)(void *ctx, size_t len);
	void (*frame_commit)(void *ctx, size_t len);
	/*
	 * The guest opens a connection. The callee calls exactly one of tcp_attach, by which the
	 * guest has its answer as soon as the stream is open, and tcp_refuse.
	 */
	void (*tcp_open)(void *ctx, struct tcp_conn *c, const struct flow_key *key);
	/* A datagram; the payload may change while it is looked at. */
	void (*udp)(void *ctx, const struct flow_key *key, const uint8_t *data, size_t len);
	/* An echo request: identifier in key->guest_port; `data` follows the ICMP header's 8 bytes.
	 */
	void (*echo)(void *ctx, const struct flow_key *key, uint16_t seq, const uint8_t *data,
		     size_t len);
	/* Something was dropped that a person may want to know of, at most a few per second. */
	void (*dropped)(void *ctx, const struct packet *p, const char *why);
};

struct stack_config {
	uint8_t guest_mac[6], our_mac[6];
	unsigned int mtu;
	struct net_family v4, v6;
	unsigned int max_connections; /* TCP flows at once; SYNs beyond are dropped */
	uint8_t secret[16];           /* for hashes and initial sequence numbers */
};

/* NULL when there is no memory. */
struct stack *stack_new(const struct stack_config *c, const struct stack_ops *ops, void *ctx);
/* Resets what is open. */
struct stack *stack_free(struct stack *s);

/* A frame of the guest, in memory that may change meanwhile. `now`: any clock that does not go
 * back, ns. */
void stack_input(struct stack *s, const uint8_t *frame, size_t len, uint64_t now);
/* There is room for frames to the guest again: sends what had to wait. */
void stack_room(struct stack *s, uint64_t now);
/* Does what is due by `now`. */
void stack_tick(struct stack *s, uint64_t now);
/* When stack_tick has something to do next; UINT64_MAX: never. */
uint64_t stack_next_deadline(const struct stack *s);
/*
 * To be called after each round of events: sends acknowledgements and window updates that were put
 * off so that one of them does for several frames.
 */
void stack_flush(struct stack *s, uint64_t now);

/* --- TCP, by whoever answers tcp_open. */

/* The far end; the stream's user is set to the connection, which closes it at its end. */
void tcp_attach(struct tcp_conn *c, struct stream *far);
/* Refuses it: with a RST, or for `why` other than UNREACH_PORT with the ICMP error and a RST. */
void tcp_refuse(struct tcp_conn *c, enum unreachable why);
/*
 * Opens a connection to the guest, as from key->remote. `far` is attached, and its bytes wait till
 * the guest has accepted; if it does not, `far` is closed with a reset. 0 or -errno (`far` is not
 * taken then): -EADDRINUSE, -EMFILE past the limit, -ENETUNREACH for a family that is not there.
 */
int tcp_connect_guest(struct stack *s, const struct flow_key *key, struct stream *far,
		      uint64_t now);
/* Ends a connection at once, with a RST to the guest and a reset of the far end. */
void tcp_abort(struct tcp_conn *c);
/* Connections at this moment / of them those that are not yet or not any more established. */
unsigned int stack_tcp_count(const struct stack *s);

/* --- Datagrams to the guest. False when they had to be dropped (no room, too long). */

/* From key->remote to key->guest. Longer than the MTU: in IP fragments. */
bool stack_send_udp(struct stack *s, const struct flow_key *key, const void *data, size_t len);
bool stack_send_echo_reply(struct stack *s, const struct flow_key *key, uint16_t seq,
			   const void *data, size_t len);
/*
 * An ICMP error about a datagram or echo request that the guest had sent to key->remote; limited in
 * rate (RFC 4443 2.4 (f)). From the gateway.
 */
void stack_send_unreachable(struct stack *s, const struct flow_key *key,
			    enum policy_protocol protocol, enum unreachable why);
