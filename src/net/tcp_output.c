/* SPDX-License-Identifier: Apache-2.0 */
/* TCP: what is sent to the guest, and when it is sent again. */
#include "net/be.h"
#include "net/stack_internal.h"

#include <string.h>

/* What we announce: RFC 7323 2.2; TCP_RECEIVE_BUFFER in units of 16 bytes fits 16 bits. */
#define RECEIVE_SCALE 4
/* Options of a SYN: MSS, window scale, padding. */
#define SYN_OPTIONS 8
/* An IP packet has 16 bits for its length. */
#define IP_MAX 65535

void tcp_flush_later(struct tcp_conn *c)
{
	if (c->in_flush || c->dead)
		return;
	c->in_flush = true;
	TAILQ_INSERT_TAIL(&c->stack->to_flush, c, flush_link);
}

static void await_room(struct tcp_conn *c)
{
	if (c->in_room)
		return;
	c->in_room = true;
	TAILQ_INSERT_TAIL(&c->stack->waiting, c, room_link);
}

/* --- segments ------------------------------------------------------------------------------ */

struct header {
	uint32_t seq, ack;
	uint8_t flags;
	uint32_t window; /* as it stands in the segment */
	size_t options;
};

static void write_header(uint8_t *l4, const struct flow_key *key, const struct header *h)
{
	memset(l4, 0, TCP_LEN);
	store16(l4, key->remote_port);
	store16(l4 + 2, key->guest_port);
	store32(l4 + 4, h->seq);
	store32(l4 + 8, h->ack);
	l4[12] = (uint8_t)((TCP_LEN + h->options) / 4 << 4);
	l4[13] = h->flags;
	store16(l4 + 14, h->window);
}

/* One without data. False when there was no room. */
static bool send_bare(struct stack *s, const struct flow_key *key, const struct header *h,
		      const uint8_t *options)
{
	size_t len = TCP_LEN + h->options, total = packet_overhead(&key->guest) + len;
	uint8_t *frame = s->ops->frame_reserve(s->ctx, total), *l4;

	if (!frame)
		return false;
	l4 = packet_begin(frame, &s->link, &key->remote, &key->guest, IPPROTO_TCP, len);
	write_header(l4, key, h);
	if (h->options)
		memcpy(l4 + TCP_LEN, options, h->options);
	packet_finish(frame, l4, IPPROTO_TCP, len, 0);
	s->ops->frame_commit(s->ctx, total);
	return true;
}

/*
 * The window for the next segment. Its right edge never goes back (RFC 9293 3.8.6), and does not
 * creep forward in small steps (3.8.6.2.2).
 */
static uint32_t window(struct tcp_conn *c)
{
	uint32_t max = c->scaling ? TCP_RECEIVE_BUFFER : 65535;
	uint32_t room = (uint32_t)(TCP_RECEIVE_BUFFER - c->receive.len);
	uint32_t announced = c->rcv_adv - c->rcv_nxt, w = MIN(room, max);
	unsigned int scale = c->scaling ? RECEIVE_SCALE : 0;

	if (w < announced + MIN((uint32_t)c->mss, max / 2))
		w = announced;
	w = MIN(w >> scale, 65535);
	/* A remainder that the scale cuts off is not taken back: it is accepted all the same. */
	if (w << scale > announced)
		c->rcv_adv = c->rcv_nxt + (w << scale);
	c->squeezed = c->receive.len > 0;
	return w;
}

static bool send_syn(struct tcp_conn *c)
{
	bool first = c->state == TCP_SYN_SENT, v4 = addr_is_v4(&c->flow.key.guest);
	size_t mss = c->stack->config.mtu - (v4 ? IP4_LEN : IP6_LEN) - TCP_LEN;
	bool scaling = first || c->scaling;
	struct header h = {
		.seq = c->iss,
		.ack = first ? 0 : c->rcv_nxt,
		.flags = first ? TCP_SYN : TCP_SYN | TCP_ACK,
		.window = 65535, /* not scaled in a SYN */
		.options = scaling ? SYN_OPTIONS : 4,
	};
	const uint8_t options[SYN_OPTIONS] = {2, 4, (uint8_t)(mss >> 8), (uint8_t)mss,
					      3, 3, RECEIVE_SCALE,       0};

	if (!send_bare(c->stack, &c->flow.key, &h, options))
		return false;
	c->snd_nxt = c->snd_max = c->iss + 1;
	if (!first)
		c->rcv_adv = c->rcv_nxt + 65535;
	return true;
}

static bool send_ack(struct tcp_conn *c, uint32_t seq)
{
	struct header h = {.seq = seq, .ack = c->rcv_nxt, .flags = TCP_ACK, .window = window(c)};

	return send_bare(c->stack, &c->flow.key, &h, NULL);
}

void tcp_send_reset(struct tcp_conn *c)
{
	bool open = c->state != TCP_OPENING && c->state != TCP_SYN_SENT;
	struct header h = {
		.seq = open ? c->snd_nxt : 0,
		.ack = c->rcv_nxt,
		.flags = TCP_RST | TCP_ACK,
	};

	/* Nobody is there whom it could tell anything. */
	if (c->state == TCP_SYN_SENT || c->state == TCP_DONE)
		return;
	send_bare(c->stack, &c->flow.key, &h, NULL);
}

void tcp_reset_packet(struct stack *s, const struct packet *p, const struct tcp_segment *g)
{
	const struct flow_key key = {p->src, p->dst, p->sport, p->dport};
	struct header h = {.flags = TCP_RST};

	if (g->flags & TCP_RST)
		return;
	if (g->flags & TCP_ACK) {
		h.seq = g->ack;
	} else {
		h.flags |= TCP_ACK;
		h.ack = g->seq + (uint32_t)g->len + !!(g->flags & TCP_SYN) + !!(g->flags & TCP_FIN);
	}
	send_bare(s, &key, &h, NULL);
}

/* `n` bytes of the send buffer from snd_nxt on, with FIN or without. */
static bool send_data(struct tcp_conn *c, size_t n, bool fin)
{
	struct stack *s = c->stack;
	const struct flow_key *key = &c->flow.key;
	size_t total = packet_overhead(&key->guest) + TCP_LEN + n, offset = c->snd_nxt - c->snd_una;
	struct header h = {.seq = c->snd_nxt, .ack = c->rcv_nxt, .flags = TCP_ACK};
	uint8_t *frame = s->ops->frame_reserve(s->ctx, total), *l4, *p;
	struct iovec iov[2];
	int pieces;

	if (!frame)
		return false;
	h.window = window(c);
	if (offset + n == c->send.len)
		h.flags |= TCP_PSH;
	if (fin)
		h.flags |= TCP_FIN;
	l4 = packet_begin(frame, &s->link, &key->remote, &key->guest, IPPROTO_TCP, TCP_LEN + n);
	write_header(l4, key, &h);
	p = l4 + TCP_LEN;
	pieces = byte_ring_data(&c->send, offset, n, iov);
	for (int i = 0; i < pieces; i++) {
		memcpy(p, iov[i].iov_base, iov[i].iov_len);
		p += iov[i].iov_len;
	}
	packet_finish(frame, l4, IPPROTO_TCP, TCP_LEN + n, c->mss);
	s->ops->frame_commit(s->ctx, total);
	c->ack_due = false;
	c->snd_nxt += (uint32_t)n + fin;
	if (seq_lt(c->snd_max, c->snd_nxt)) {
		if (!c->rtt_start) {
			c->rtt_start = s->now;
			c->rtt_seq = c->snd_nxt;
		}
		c->snd_max = c->snd_nxt;
	}
	return true;
}

/* --- what is due --------------------------------------------------------------------------- */

/* How much fits one frame, in whole segments. */
static size_t frame_room(const struct tcp_conn *c)
{
	size_t headers = TCP_LEN + (addr_is_v4(&c->flow.key.guest) ? IP4_LEN : 0);

	return (IP_MAX - headers) / c->mss * c->mss;
}

/* Bytes that may be sent now, 0 when none or when it is better to wait for more window. */
static size_t sendable(const struct tcp_conn *c)
{
	size_t sent = c->snd_nxt - c->snd_una, left, limit = c->snd_wnd, n;

	if (sent >= c->send.len)
		return 0;
	left = c->send.len - sent;
	if (c->burst)
		limit = MIN(limit, (size_t)c->burst);
	if (sent >= limit)
		return 0;
	n = MIN(left, limit - sent);
	/* A crumb, while more is on its way: the silly window of the sender (RFC 9293 3.8.6.2.1).
	 */
	if (n < left && n < c->mss && sent)
		return 0;
	return MIN(n, frame_room(c));
}

/* There is a FIN that the guest has not acknowledged. */
static bool has_fin(const struct tcp_conn *c)
{
	return c->far_eof && c->state != TCP_FIN_WAIT_2 && c->state != TCP_DONE;
}

static bool fin_due(const struct tcp_conn *c, size_t n)
{
	return has_fin(c) && c->snd_nxt - c->snd_una + n == c->send.len;
}

static void sent_fin(struct tcp_conn *c)
{
	c->fin_sent = true;
	if (c->state == TCP_ESTABLISHED)
		c->state = TCP_FIN_WAIT_1;
	else if (c->state == TCP_CLOSE_WAIT)
		c->state = TCP_LAST_ACK;
}

/* False when there is no room for a frame. */
static bool send_all(struct tcp_conn *c)
{
	for (;;) {
		size_t n = sendable(c);
		bool fin = fin_due(c, n);

		if (n == 0 && !fin)
			return true;
		if (!send_data(c, n, fin))
			return false;
		if (fin)
			sent_fin(c);
	}
}

/* Has the guest to be told that there is more room? */
static bool window_grew(const struct tcp_conn *c)
{
	size_t room =
		MIN(TCP_RECEIVE_BUFFER - c->receive.len, c->scaling ? TCP_RECEIVE_BUFFER : 65535);
	size_t announced = c->rcv_adv - c->rcv_nxt;

	/* As long as nothing has to wait here, it is told with the acknowledgements. */
	return c->squeezed && !c->fin_received && room > announced &&
	       room - announced >= MIN(TCP_RECEIVE_BUFFER / 4, room / 2);
}

static void start_timer(struct tcp_conn *c)
{
	bool waits = c->snd_max != c->snd_una || c->send.len;

	if (!waits)
		c->rexmit_at = UINT64_MAX;
	else if (c->rexmit_at == UINT64_MAX)
		c->rexmit_at = c->stack->now + c->rto;
	tcp_arm(c);
}

void tcp_output(struct tcp_conn *c)
{
	bool room = true;

	if (c->dead || c->state == TCP_OPENING)
		return;
	if (c->syn_due) {
		room = send_syn(c);
		c->syn_due = !room;
		c->ack_due = false;
	} else if (c->state != TCP_SYN_SENT && c->state != TCP_SYN_RECEIVED) {
		room = send_all(c);
	}
	if (room && c->state > TCP_SYN_SENT && (c->ack_due || window_grew(c))) {
		room = send_ack(c, c->snd_nxt);
		c->ack_due = !room;
	}
	if (!room)
		await_room(c);
	/* The guest is through with it; the far end may still have to take what waits here. */
	if (c->state == TCP_DONE && !c->ack_due && !c->far)
		tcp_end(c, false);
	else
		start_timer(c);
}

void tcp_probe(struct tcp_conn *c)
{
	if (c->send.len == 0 && !has_fin(c)) {
		/* Nothing to send: a number that was acknowledged already asks for an answer. */
		send_ack(c, c->snd_nxt - 1);
		return;
	}
	c->snd_nxt = c->snd_una;
	c->recover = c->snd_max;
	c->burst = c->mss;
	if (c->snd_wnd || c->send.len == 0)
		return; /* tcp_output sends it */
	/* A byte beyond the window: if it is not taken, the answer still tells the window. */
	if (send_data(c, 1, false))
		c->snd_nxt = c->snd_una;
	c->burst = 0;
}
