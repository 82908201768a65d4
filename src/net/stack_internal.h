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
/* As stack_send_unreachable; `seq`: of the TCP segment that it is about, by which the guest knows
 * it. */
void icmp_unreachable(struct stack *s, const struct flow_key *key, enum policy_protocol protocol,
		      uint32_t seq, enum unreachable why);

/* --- TCP (tcp.c: connections and their ends; tcp_input.c; tcp_output.c). Theory: tcp.c. */

enum tcp_state {
	TCP_OPENING,      /* the guest's SYN is here, the far end is not yet open */
	TCP_SYN_RECEIVED, /* we answer it */
	TCP_SYN_SENT,     /* we open: published ports */
	TCP_ESTABLISHED,
	TCP_CLOSE_WAIT, /* the guest has sent FIN */
	TCP_FIN_WAIT_1, /* we have sent FIN */
	TCP_FIN_WAIT_2,
	TCP_CLOSING,
	TCP_LAST_ACK,
	TCP_DONE, /* but for the last acknowledgement, which is still to be sent */
};

/* From the far end to the guest, not acknowledged; and from the guest, not taken by the far end. */
#define TCP_SEND_BUFFER    ((size_t)512 << 10)
#define TCP_RECEIVE_BUFFER ((size_t)512 << 10)

struct tcp_conn {
	struct flow flow; /* first */
	struct stack *stack;
	enum tcp_state state;

	struct stream *far; /* NULL: before tcp_attach, and when both directions are through */
	bool far_open;
	bool far_readable; /* it has said so, and not since that it has nothing */
	bool far_blocked;  /* it takes nothing until it says so */
	bool far_eof;      /* nothing more comes from it */
	bool far_shut;     /* nothing more goes to it */

	/* Sequence numbers by the names of RFC 9293 3.3.1; we are the peer, `iss` is ours. */
	uint32_t iss, snd_una, snd_nxt, snd_wnd, snd_wl1, snd_wl2;
	uint32_t
		snd_max; /* the furthest that was ever sent; snd_nxt goes back for retransmission */
	uint32_t irs, rcv_nxt;
	uint32_t rcv_adv; /* right edge of the window that we have announced */
	bool squeezed;    /* by bytes that wait here, or did until a while ago */
	uint16_t mss;     /* what the guest takes, without headers */
	bool scaling;
	uint8_t snd_scale;
	bool syn_due, ack_due, fin_sent, fin_received;

	/* Retransmission. */
	uint64_t rto, srtt, rttvar; /* ns */
	uint64_t rtt_start;         /* when rtt_seq was sent; 0: nothing is measured */
	uint32_t rtt_seq;
	uint64_t rexmit_at; /* of data or of a window probe; UINT64_MAX: not needed */
	uint64_t heard_at;
	unsigned int retries, dup_acks;
	uint32_t burst; /* bytes that may be sent again before more is acknowledged; 0: no limit */
	uint32_t recover;

	struct byte_ring send, receive;
	TAILQ_ENTRY(tcp_conn) flush_link; /* in stack->to_flush */
	TAILQ_ENTRY(tcp_conn) room_link;  /* in stack->waiting, for room for frames */
	bool in_flush, in_room;
	unsigned int holds; /* it is being worked on; if it ends meanwhile it is freed afterwards */
	bool dead;
};

/* Modular arithmetic of sequence numbers. */
static inline bool seq_lt(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) < 0;
}

static inline bool seq_le(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) <= 0;
}

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_PSH 0x08
#define TCP_ACK 0x10

/* What a segment of the guest says. */
struct tcp_segment {
	uint32_t seq, ack, window;
	uint8_t flags;
	uint16_t mss; /* 0: not said */
	int scale;    /* -1: not said */
	const uint8_t *data;
	size_t len;
};

/* --- tcp_input.c */
void tcp_input(struct stack *s, const struct packet *p);

/* --- tcp.c */
/* The guest's SYN; `p` for its refusal. */
void tcp_open_guest(struct stack *s, const struct flow_key *key, const struct tcp_segment *g,
		    const struct packet *p);
/* Takes over what the guest's SYN says about itself. */
void tcp_take_syn(struct tcp_conn *c, const struct tcp_segment *g);
/* The guest has accepted, or acknowledged that we have: data can flow. */
void tcp_established(struct tcp_conn *c);
/* Moves bytes from the far end into the send buffer / from the receive buffer to the far end. */
void tcp_pull(struct tcp_conn *c);
void tcp_drain(struct tcp_conn *c);
/* Both directions are through: the far end is not needed any more. */
void tcp_far_done(struct tcp_conn *c);
void tcp_deadline(struct tcp_conn *c);
/* Forgets it; the far end, if there still is one, is closed, `reset` as stream_close has it. */
void tcp_end(struct tcp_conn *c, bool reset);
/* It is worked on / not any more; false when it has ended meanwhile and is gone now. */
void tcp_hold(struct tcp_conn *c);
bool tcp_release(struct tcp_conn *c);
void tcp_free_all(struct stack *s);

/* --- tcp_output.c */
/* Sends what can be sent now: SYN, data, FIN, an acknowledgement. May end the connection. */
void tcp_output(struct tcp_conn *c);
/* Puts it in line for stack_flush. */
void tcp_flush_later(struct tcp_conn *c);
/* One segment again although its time has not come or the window is shut: time-outs and probes. */
void tcp_probe(struct tcp_conn *c);
/* A RST in answer to a segment that belongs to no connection (RFC 9293 3.10.7.1). */
void tcp_reset_packet(struct stack *s, const struct packet *p, const struct tcp_segment *g);
/* A connection's own RST. */
void tcp_send_reset(struct tcp_conn *c);
/* When its next deadline is, by what it waits for. */
void tcp_arm(struct tcp_conn *c);

struct stack {
	struct stack_config config;
	struct packet_link link;
	const struct stack_ops *ops;
	void *ctx;
	uint64_t now; /* as the last caller said */
	struct flow_table tcp;
	TAILQ_HEAD(, tcp_conn) to_flush;
	TAILQ_HEAD(tcp_waiting, tcp_conn) waiting; /* for room for frames */
	/* Tokens for ICMP errors and challenge ACKs. */
	uint64_t errors_refilled, challenges_refilled;
	unsigned int errors_left, challenges_left;
	uint16_t ip_id;
	struct packet packet; /* the one that is looked at; not on the stack for its size */
};
