/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the stack share: stack.c, neighbour.c, icmp.c, udp.c, flow.c, tcp.c,
 * tcp_output.c. */
#pragma once

#include "net/byte_ring.h"
#include "net/stack.h"

#include "base/clock.h"

#include <sys/queue.h>

/* --- Flow table (flow.c): TCP connections by key, with one deadline each. */

/* Embedded in what is kept. */
struct flow {
	struct flow_key key;
	LIST_ENTRY(flow) bucket;
	uint64_t deadline;     /* UINT64_MAX: none */
	unsigned int heap_pos; /* in the heap of deadlines */
};

struct flow_table {
	LIST_HEAD(, flow) * buckets;
	unsigned int n_buckets; /* a power of two */
	struct flow **heap;     /* binary heap by deadline */
	unsigned int n, max;
	uint8_t secret[16];
};

/* 0 or -ENOMEM. */
int flow_table_init(struct flow_table *t, unsigned int max, const uint8_t secret[16]);
void flow_table_release(struct flow_table *t);
struct flow *flow_find(const struct flow_table *t, const struct flow_key *key);
/* f->key is set. -EMFILE when the table is full, -EADDRINUSE when the key is there. */
int flow_add(struct flow_table *t, struct flow *f);
void flow_remove(struct flow_table *t, struct flow *f);
void flow_set_deadline(struct flow_table *t, struct flow *f, uint64_t deadline);
/* The one with the nearest deadline; NULL when the table is empty. */
struct flow *flow_first(const struct flow_table *t);

/* --- Neighbours (neighbour.c): ARP and NDP. We know the guest's MAC address; it asks for all
 * others. */
void neighbour_arp(struct stack *s, const struct packet *p);
/* Neighbour and router solicitations; true when it was one. */
bool neighbour_icmp6(struct stack *s, const struct packet *p);

/* --- ICMP (icmp.c) and UDP (udp.c). */
void icmp_input(struct stack *s, const struct packet *p);
void udp_input(struct stack *s, const struct packet *p);
/* An ICMP error about packet `p` of the guest. */
void icmp_error(struct stack *s, const struct packet *p, enum unreachable why);

/* --- TCP (tcp.c: input, states, timers; tcp_output.c: what is sent). */

enum tcp_state {
	TCP_OPENING,      /* the guest's SYN is here, the far end is not yet open */
	TCP_SYN_RECEIVED, /* we answered it */
	TCP_SYN_SENT,     /* we opened: published ports */
	TCP_ESTABLISHED,
	TCP_CLOSE_WAIT, /* the guest has sent FIN */
	TCP_FIN_WAIT_1, /* we have sent FIN */
	TCP_FIN_WAIT_2,
	TCP_CLOSING,
	TCP_LAST_ACK,
	TCP_TIME_WAIT,
};

/* From our buffer to the guest, bytes it has not acknowledged; and from it, what the far end did
 * not take. */
#define TCP_SEND_BUFFER    ((size_t)512 << 10)
#define TCP_RECEIVE_BUFFER ((size_t)512 << 10)

struct tcp_conn {
	struct flow flow; /* first */
	struct stack *stack;
	enum tcp_state state;
	struct stream *far; /* NULL: before tcp_attach and after its end */
	bool far_open, far_eof, far_shut;
	bool decided; /* tcp_attach or tcp_refuse was called */
	/* Sequence space, names of RFC 9293 3.3.1; we are the peer, `iss` is ours. */
	uint32_t iss, snd_una, snd_nxt, snd_max, snd_wnd, snd_wl1, snd_wl2;
	uint32_t irs, rcv_nxt, rcv_adv; /* rcv_adv: right edge that we have announced */
	uint8_t snd_scale, rcv_scale;
	uint16_t mss; /* what the guest takes, without headers */
	bool scaling, fin_sent, fin_received;
	bool ack_now, ack_pending, output_pending; /* see stack_flush */
	unsigned int dup_acks, retries;
	uint64_t rto, rtt_started;
	uint32_t rtt_seq;
	uint64_t srtt, rttvar;
	uint64_t last_heard;
	struct byte_ring send, receive;
	TAILQ_ENTRY(tcp_conn) flush_link; /* in stack->to_flush */
	TAILQ_ENTRY(tcp_conn) room_link;  /* in stack->waiting for room for frames */
	bool in_flush, in_room;
};

void tcp_input(struct stack *s, const struct packet *p);
void tcp_deadline(struct tcp_conn *c);
/* Sends what can be sent now: data, FIN, an acknowledgement. */
void tcp_output(struct tcp_conn *c);
/* Puts it in line for stack_flush. */
void tcp_flush_later(struct tcp_conn *c);
/* A RST in answer to a packet that belongs to no connection (RFC 9293 3.10.7.1). */
void tcp_reset_packet(struct stack *s, const struct packet *p);
/* A connection's own RST. */
void tcp_send_reset(struct tcp_conn *c);
/* Forgets it. */
void tcp_free(struct tcp_conn *c);
void tcp_free_all(struct stack *s);

struct stack {
	struct stack_config config;
	struct packet_link link;
	const struct stack_ops *ops;
	void *ctx;
	uint64_t now; /* as the last caller said */
	struct flow_table tcp;
	TAILQ_HEAD(, tcp_conn) to_flush;
	TAILQ_HEAD(, tcp_conn) waiting; /* for room for frames */
	/* Tokens for ICMP errors and challenge ACKs. */
	uint64_t errors_refilled, challenges_refilled;
	unsigned int errors_left, challenges_left;
	uint16_t ip_id;
	struct packet packet; /* the one that is looked at; not on the stack for its size */
};
