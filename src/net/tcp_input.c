/* SPDX-License-Identifier: Apache-2.0 */
/* TCP: segments of the guest, in the order of RFC 9293 3.10.7. */
#include "net/be.h"
#include "net/stack_internal.h"

#include <string.h>

#define RTO_MIN (200 * NSEC_PER_MSEC)
#define RTO_MAX (60 * NSEC_PER_SEC)
/* Answers to segments that somebody may have guessed (RFC 5961 7). */
#define CHALLENGES_PER_SEC 100
#define DUP_ACKS           3

static void parse_options(struct tcp_segment *g, const uint8_t *p, const uint8_t *end)
{
	while (p < end && *p) {
		if (*p == 1) {
			p++;
			continue;
		}
		if (end - p < 2 || p[1] < 2 || p[1] > end - p)
			return;
		if (p[0] == 2 && p[1] == 4)
			g->mss = load16(p + 2);
		else if (p[0] == 3 && p[1] == 3)
			g->scale = p[2];
		p += p[1];
	}
}

static void parse(struct tcp_segment *g, const struct packet *p)
{
	*g = (struct tcp_segment){
		.seq = load32(p->l4 + 4),
		.ack = load32(p->l4 + 8),
		.window = load16(p->l4 + 14),
		.flags = p->l4[13],
		.scale = -1,
		.data = p->payload,
		.len = p->payload_len,
	};
	if (g->flags & TCP_SYN)
		parse_options(g, p->l4 + TCP_LEN, p->l4 + p->l4_len);
}

/* An acknowledgement where the segment itself says nothing that could be trusted. */
static void challenge(struct tcp_conn *c)
{
	struct stack *s = c->stack;

	if (s->challenges_refilled == 0 || s->now - s->challenges_refilled >= NSEC_PER_SEC) {
		s->challenges_refilled = s->now;
		s->challenges_left = CHALLENGES_PER_SEC;
	}
	if (s->challenges_left == 0)
		return;
	s->challenges_left--;
	c->ack_due = true;
	tcp_flush_later(c);
}

/* --- acknowledgements ---------------------------------------------------------------------- */

/* RFC 6298, with a lower bound for guests that are hardly ever late. */
static void measured(struct tcp_conn *c, uint64_t rtt)
{
	if (c->srtt == 0) {
		c->srtt = rtt;
		c->rttvar = rtt / 2;
	} else {
		uint64_t delta = c->srtt > rtt ? c->srtt - rtt : rtt - c->srtt;

		c->rttvar += delta / 4 - c->rttvar / 4;
		c->srtt += rtt / 8 - c->srtt / 8;
	}
	c->rto = MIN(MAX(c->srtt + 4 * c->rttvar, RTO_MIN), RTO_MAX);
}

static void fin_acked(struct tcp_conn *c)
{
	if (c->state == TCP_FIN_WAIT_1)
		c->state = TCP_FIN_WAIT_2;
	else if (c->state == TCP_CLOSING || c->state == TCP_LAST_ACK)
		c->state = TCP_DONE;
}

static void acked(struct tcp_conn *c, uint32_t ack)
{
	uint32_t n = ack - c->snd_una;
	bool fin = c->fin_sent && ack == c->snd_una + (uint32_t)c->send.len + 1;

	if (c->rtt_start && seq_le(c->rtt_seq, ack)) {
		measured(c, c->stack->now - c->rtt_start);
		c->rtt_start = 0;
	}
	byte_ring_drop(&c->send, MIN(n, c->send.len));
	c->snd_una = ack;
	if (seq_lt(c->snd_nxt, ack))
		c->snd_nxt = ack;
	c->retries = c->dup_acks = 0;
	c->rexmit_at = UINT64_MAX; /* anew with the next output */
	if (c->burst)
		c->burst = seq_lt(ack, c->recover) ? c->burst * 2 : 0;
	if (c->send.len == 0)
		byte_ring_idle(&c->send);
	if (fin)
		fin_acked(c);
	tcp_flush_later(c);
}

static void take_window(struct tcp_conn *c, const struct tcp_segment *g)
{
	uint32_t window = g->flags & TCP_SYN ? g->window : g->window << c->snd_scale;

	if (!seq_lt(c->snd_wl1, g->seq) && !(c->snd_wl1 == g->seq && seq_le(c->snd_wl2, g->ack)))
		return;
	if (window > c->snd_wnd)
		tcp_flush_later(c);
	c->snd_wnd = window;
	c->snd_wl1 = g->seq;
	c->snd_wl2 = g->ack;
}

/* The guest says again that something is missing. */
static void duplicate_ack(struct tcp_conn *c)
{
	if (++c->dup_acks != DUP_ACKS)
		return;
	c->rtt_start = 0;
	tcp_probe(c);
	tcp_flush_later(c);
}

/* False when nothing else of the segment counts. */
static bool take_ack(struct tcp_conn *c, const struct tcp_segment *g)
{
	bool same = g->len == 0 && !(g->flags & TCP_FIN) && g->window << c->snd_scale == c->snd_wnd;

	if (seq_lt(c->snd_max, g->ack)) {
		challenge(c); /* of what was never sent */
		return false;
	}
	if (seq_lt(c->snd_una, g->ack))
		acked(c, g->ack);
	else if (g->ack == c->snd_una && same && c->snd_max != c->snd_una && c->snd_wnd)
		duplicate_ack(c);
	if (seq_le(c->snd_una, g->ack))
		take_window(c, g);
	/* A window that stays shut is no reason to give up as long as it is said so. */
	if (c->snd_wnd == 0)
		c->retries = 0;
	return true;
}

/* --- data ---------------------------------------------------------------------------------- */

/* Into the receive buffer; how many found room. */
static size_t store(struct tcp_conn *c, const uint8_t *data, size_t len)
{
	struct iovec iov[2];
	size_t done = 0;
	int n = byte_ring_room(&c->receive, MIN(len, TCP_RECEIVE_BUFFER - c->receive.len), iov);

	for (int i = 0; i < n; i++) {
		memcpy(iov[i].iov_base, data + done, iov[i].iov_len);
		done += iov[i].iov_len;
	}
	byte_ring_added(&c->receive, done);
	c->squeezed = true;
	return done;
}

/* Takes bytes that are next in order; how many, -1 when the connection has ended. */
static ssize_t deliver(struct tcp_conn *c, const uint8_t *data, size_t len)
{
	size_t direct = 0;

	if (c->receive.len == 0 && c->far_open && !c->far_blocked) {
		struct iovec iov = {(void *)data, len};
		ssize_t r = stream_write(c->far, &iov, 1);

		if (c->dead)
			return -1;
		if (r < 0) {
			tcp_abort(c);
			return -1;
		}
		direct = (size_t)r;
		c->far_blocked = direct < len;
	}
	return (ssize_t)(direct + (direct < len ? store(c, data + direct, len - direct) : 0));
}

static bool receives(const struct tcp_conn *c)
{
	return c->state == TCP_ESTABLISHED || c->state == TCP_FIN_WAIT_1 ||
	       c->state == TCP_FIN_WAIT_2;
}

static void take_fin(struct tcp_conn *c)
{
	c->rcv_nxt++;
	/* FIN may be just beyond the window. */
	if (seq_lt(c->rcv_adv, c->rcv_nxt))
		c->rcv_adv = c->rcv_nxt;
	c->fin_received = true;
	if (c->state == TCP_ESTABLISHED)
		c->state = TCP_CLOSE_WAIT;
	else
		c->state = c->state == TCP_FIN_WAIT_1 ? TCP_CLOSING : TCP_DONE;
	tcp_drain(c);
}

static void take_data(struct tcp_conn *c, const struct tcp_segment *g)
{
	bool fin = g->flags & TCP_FIN;
	size_t skip = c->rcv_nxt - g->seq, len = g->len, room = c->rcv_adv - c->rcv_nxt;
	ssize_t taken = 0;

	if (len == 0 && !fin)
		return;
	c->ack_due = true;
	tcp_flush_later(c);
	/* What comes after a gap has to come again. */
	if (!receives(c) || seq_lt(c->rcv_nxt, g->seq))
		return;
	if (len > skip) {
		len = MIN(len - skip, room);
		taken = deliver(c, g->data + skip, len);
		if (taken < 0)
			return;
		c->rcv_nxt += (uint32_t)taken;
	}
	if (fin && c->rcv_nxt == g->seq + (uint32_t)g->len)
		take_fin(c);
}

/* --- segments ------------------------------------------------------------------------------ */

/* RFC 9293 3.10.7.4, first: does any of it lie in the window? */
static bool acceptable(const struct tcp_conn *c, const struct tcp_segment *g)
{
	uint32_t len = (uint32_t)g->len + !!(g->flags & TCP_SYN) + !!(g->flags & TCP_FIN);
	uint32_t window = c->rcv_adv - c->rcv_nxt, first = g->seq - c->rcv_nxt,
		 last = g->seq + len - 1 - c->rcv_nxt;

	if (len == 0)
		return window ? first < window : first == 0;
	return window && (first < window || last < window);
}

static void in_syn_sent(struct tcp_conn *c, const struct tcp_segment *g, const struct packet *p)
{
	if ((g->flags & TCP_ACK) && g->ack != c->iss + 1) {
		tcp_reset_packet(c->stack, p, g);
		return;
	}
	if (g->flags & TCP_RST) {
		if (g->flags & TCP_ACK)
			tcp_end(c, true);
		return;
	}
	/* Two that open to each other at once have no place here: our port is made up. */
	if ((g->flags & (TCP_SYN | TCP_ACK)) != (TCP_SYN | TCP_ACK))
		return;
	c->snd_una = g->ack;
	c->rexmit_at = UINT64_MAX;
	c->retries = 0;
	tcp_take_syn(c, g);
	c->state = TCP_ESTABLISHED;
	c->ack_due = true;
	tcp_flush_later(c);
	tcp_established(c);
}

/* False when the segment has been dealt with. */
static bool check_segment(struct tcp_conn *c, const struct tcp_segment *g, const struct packet *p)
{
	if (!acceptable(c, g)) {
		if (!(g->flags & TCP_RST)) {
			c->ack_due = true;
			/* A SYN that comes again has not had its answer. */
			c->syn_due = c->state == TCP_SYN_RECEIVED && (g->flags & TCP_SYN);
			tcp_flush_later(c);
		}
		return false;
	}
	if (g->flags & TCP_RST) {
		if (g->seq == c->rcv_nxt)
			tcp_end(c, true);
		else
			challenge(c);
		return false;
	}
	if (g->flags & TCP_SYN) {
		challenge(c);
		return false;
	}
	if (!(g->flags & TCP_ACK))
		return false;
	if (c->state == TCP_SYN_RECEIVED && g->ack != c->iss + 1) {
		tcp_reset_packet(c->stack, p, g);
		return false;
	}
	return true;
}

static void in_connection(struct tcp_conn *c, const struct tcp_segment *g, const struct packet *p)
{
	if (!check_segment(c, g, p))
		return;
	if (c->state == TCP_SYN_RECEIVED) {
		c->state = TCP_ESTABLISHED;
		c->snd_una = g->ack;
		c->snd_wnd = g->window << c->snd_scale;
		c->snd_wl1 = g->seq;
		c->snd_wl2 = g->ack;
		c->rexmit_at = UINT64_MAX;
		c->retries = 0;
		tcp_arm(c);
		tcp_established(c);
		if (c->dead)
			return;
	} else if (!take_ack(c, g)) {
		return;
	}
	take_data(c, g);
	/* There may be room for more from the far end now. */
	if (!c->dead && c->far_readable)
		tcp_pull(c);
	if (!c->dead && c->state == TCP_DONE)
		tcp_flush_later(c);
}

static void in_opening(struct tcp_conn *c, const struct tcp_segment *g)
{
	/* It gives up; a SYN that comes again waits like the first. */
	if ((g->flags & TCP_RST) && g->seq == c->rcv_nxt)
		tcp_end(c, true);
}

void tcp_input(struct stack *s, const struct packet *p)
{
	const struct flow_key key = {p->src, p->dst, p->sport, p->dport};
	struct tcp_segment g;
	struct tcp_conn *c;
	struct flow *f;

	if (p->sport == 0 || p->dport == 0)
		return;
	parse(&g, p);
	f = flow_find(&s->tcp, &key);
	if (!f) {
		if ((g.flags & (TCP_SYN | TCP_ACK | TCP_RST)) == TCP_SYN)
			tcp_open_guest(s, &key, &g, p);
		else
			tcp_reset_packet(s, p, &g);
		return;
	}
	c = container_of(f, struct tcp_conn, flow);
	c->heard_at = s->now;
	if (c->rexmit_at == UINT64_MAX)
		c->retries = 0; /* of looking whether it is still there */
	tcp_hold(c);
	if (c->state == TCP_OPENING)
		in_opening(c, &g);
	else if (c->state == TCP_SYN_SENT)
		in_syn_sent(c, &g, p);
	else
		in_connection(c, &g, p);
	tcp_release(c);
}
