/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 *	ring -> stack_input -> packet.c: headers copied, checked
 *	                          |-> neighbour.c: who has this address? We do.
 *	                          |-> icmp.c: echo requests -> ops->echo
 *	                          |-> udp.c: datagrams -> ops->udp
 *	                          `-> tcp.c: connections -> ops->tcp_open, struct stream
 *	ring <- ops->frame_reserve, frame_commit <- tcp_output.c, udp.c, icmp.c, neighbour.c
 *
 * The guest is alone on its link and sends everything to us: we answer for every address but its
 * own, and take what comes from no other than its own. So there is no routing and no neighbour
 * table, and the only state is that of TCP connections. Datagrams and echo requests are their
 * receivers' business, which keep what state they need.
 *
 * The link loses nothing and keeps the order: a frame that is in the ring arrives. What does get
 * lost is what we could not put there, for want of room, and the stack knows that: a connection
 * that found no room waits in `waiting` until stack_room. Hence TCP without congestion control;
 * retransmission is for guests that drop frames themselves.
 *
 * Time comes with each call (stack->now), nothing here asks a clock. Every connection has one
 * deadline, in a heap (flow.c), and stack_tick deals with those that are due.
 *
 * Acknowledgements that nothing else carries are put off to the end of a round of events
 * (stack_flush): one then does for all frames of the round.
 *
 * Memory: connections are bounded by the configuration, their buffers by TCP_SEND_BUFFER and
 * TCP_RECEIVE_BUFFER, and those are allocated as bytes come that have to wait.
 */
#include "net/stack_internal.h"

#include <stdlib.h>
#include <string.h>

struct stack *stack_new(const struct stack_config *c, const struct stack_ops *ops, void *ctx)
{
	struct stack *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->config = *c;
	s->ops = ops;
	s->ctx = ctx;
	memcpy(s->link.guest_mac, c->guest_mac, sizeof(s->link.guest_mac));
	memcpy(s->link.our_mac, c->our_mac, sizeof(s->link.our_mac));
	TAILQ_INIT(&s->to_flush);
	TAILQ_INIT(&s->waiting);
	if (flow_table_init(&s->tcp, c->max_connections, c->secret) < 0) {
		free(s);
		return NULL;
	}
	return s;
}

struct stack *stack_free(struct stack *s)
{
	if (!s)
		return NULL;
	tcp_free_all(s);
	flow_table_release(&s->tcp);
	free(s);
	return NULL;
}

static bool is_link_local(const struct addr *a)
{
	return a->b[0] == 0xfe && (a->b[1] & 0xc0) == 0x80;
}

/*
 * What the guest may send from: its own addresses, and for the neighbour protocol the address that
 * it gave itself on the link, or none.
 */
static bool source_ok(const struct stack *s, const struct packet *p)
{
	if (!p->v6)
		return s->config.v4.on && addr_equal(&p->src, &s->config.v4.guest);
	if (!s->config.v6.on)
		return false;
	if (addr_equal(&p->src, &s->config.v6.guest))
		return true;
	return p->kind == PACKET_ICMP6 && (is_link_local(&p->src) || addr_is_unspecified(&p->src));
}

static bool is_multicast(const struct addr *a)
{
	return addr_class(a) == ADDR_MULTICAST;
}

static void dispatch(struct stack *s, const struct packet *p)
{
	switch (p->kind) {
	case PACKET_TCP:
		if (!is_multicast(&p->dst))
			tcp_input(s, p);
		break;
	case PACKET_UDP:
		udp_input(s, p);
		break;
	case PACKET_ICMP6:
		if (neighbour_icmp6(s, p))
			break;
		/* Beyond the link itself only its own address will do. */
		if (!addr_equal(&p->src, &s->config.v6.guest))
			break;
		icmp_input(s, p);
		break;
	case PACKET_ICMP4:
		icmp_input(s, p);
		break;
	case PACKET_ARP:
	case PACKET_OTHER:
		break;
	}
}

void stack_input(struct stack *s, const uint8_t *frame, size_t len, uint64_t now)
{
	struct packet *p = &s->packet;

	s->now = now;
	switch (packet_parse(p, frame, len, &s->link)) {
	case PACKET_OK:
		break;
	case PACKET_FRAGMENT:
		s->ops->dropped(s->ctx, p, "fragments are not put together");
		return;
	case PACKET_FOREIGN:
	case PACKET_MALFORMED:
		return;
	}
	if (p->kind == PACKET_ARP) {
		if (s->config.v4.on)
			neighbour_arp(s, p);
		return;
	}
	if (p->kind == PACKET_OTHER)
		return;
	if (!source_ok(s, p)) {
		s->ops->dropped(s->ctx, p, "the source address is not the sandbox's");
		return;
	}
	/* It would come straight back. */
	if (addr_equal(&p->dst, p->v6 ? &s->config.v6.guest : &s->config.v4.guest))
		return;
	dispatch(s, p);
}

void stack_room(struct stack *s, uint64_t now)
{
	struct tcp_conn *c, *last = TAILQ_LAST(&s->waiting, tcp_waiting);
	bool done = false;

	s->now = now;
	/* Each once: whoever finds no room again goes to the end. */
	while (!done && (c = TAILQ_FIRST(&s->waiting))) {
		TAILQ_REMOVE(&s->waiting, c, room_link);
		c->in_room = false;
		done = c == last;
		tcp_output(c);
	}
}

void stack_tick(struct stack *s, uint64_t now)
{
	struct flow *f;

	s->now = now;
	while ((f = flow_first(&s->tcp)) && f->deadline <= now)
		tcp_deadline(container_of(f, struct tcp_conn, flow));
}

uint64_t stack_next_deadline(const struct stack *s)
{
	const struct flow *f = flow_first(&s->tcp);

	return f ? f->deadline : UINT64_MAX;
}

void stack_flush(struct stack *s, uint64_t now)
{
	struct tcp_conn *c;

	s->now = now;
	while ((c = TAILQ_FIRST(&s->to_flush))) {
		TAILQ_REMOVE(&s->to_flush, c, flush_link);
		c->in_flush = false;
		tcp_output(c);
	}
}

unsigned int stack_tcp_count(const struct stack *s)
{
	return s->tcp.n;
}
