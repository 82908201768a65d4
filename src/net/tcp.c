/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation: TCP as the guest's peer (RFC 9293)
 *
 *	guest --segments--> tcp_input.c --> receive buffer --> stream_write --> far end
 *	guest <--segments-- tcp_output.c <-- send buffer <-- stream_read <-- far end
 *
 * A connection of the guest is first OPENING: its SYN waits for the far end. Only when that is
 * open is the SYN answered, so a guest's connect() tells the truth; if it cannot be, the answer
 * is a RST. One that we open for a published port has its far end from the start.
 *
 * Bytes of the guest go straight from the frame to the far end as long as that takes them, and
 * into the receive buffer otherwise. The window that we announce is the room of that buffer and
 * nothing else: what was acknowledged is stored or delivered. Bytes for the guest are read from
 * the far end into the send buffer and stay there until they are acknowledged.
 *
 * The link keeps the order and loses nothing, so there is no reassembly (a segment after a gap is
 * dropped and answered with what we expect), no congestion control and no selective
 * acknowledgement. For the same reason there is no TIME-WAIT: when our last acknowledgement is in
 * the ring, it arrives, and nothing old can come after it. A guest that did lose it gets a RST
 * for its FIN, which ends it as well.
 *
 * Nothing is sent from within a callback of the far end: the connection is put in line for
 * stack_flush, which knows the time and sends once for all that has happened in a round.
 *
 * Lifetime: whatever calls into the far end may come back here and end the connection. Such calls
 * are made between tcp_hold and tcp_release.
 */
#include "net/siphash.h"
#include "net/stack_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define RTO_INITIAL   NSEC_PER_SEC
#define RTO_MAX       (60 * NSEC_PER_SEC)
#define RETRIES_MAX   12
#define SYN_TRIES_MAX 5
/* The kernel gives up connecting earlier; this is for far ends that forget us. */
#define OPENING_MAX      (180 * NSEC_PER_SEC)
#define KEEPALIVE_IDLE   (7200 * NSEC_PER_SEC)
#define KEEPALIVE_EVERY  (75 * NSEC_PER_SEC)
#define KEEPALIVE_PROBES 9

#define PULL_MIN ((size_t)16 << 10)

#define MSS_DEFAULT4 536
#define MSS_DEFAULT6 1220
#define MSS_MIN      64
#define SCALE_MAX    14

/* --- lifetime ------------------------------------------------------------------------------ */

/* RFC 6528: a clock of 4 us and what nobody else can compute. */
static uint32_t new_iss(const struct stack *s, const struct flow_key *key)
{
	return (uint32_t)siphash(s->config.secret, key, FLOW_KEY_BYTES) + (uint32_t)(s->now / 4000);
}

/* NULL with errno: -EMFILE, -EADDRINUSE, -ENOMEM. */
static struct tcp_conn *conn_new(struct stack *s, const struct flow_key *key, enum tcp_state state)
{
	struct tcp_conn *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return NULL;
	c->flow.key = *key;
	r = flow_add(&s->tcp, &c->flow);
	if (r < 0) {
		free(c);
		errno = -r;
		return NULL;
	}
	c->stack = s;
	c->state = state;
	c->iss = c->snd_una = c->snd_nxt = c->snd_max = new_iss(s, key);
	c->mss = addr_is_v4(&key->guest) ? MSS_DEFAULT4 : MSS_DEFAULT6;
	c->rto = RTO_INITIAL;
	c->rexmit_at = UINT64_MAX;
	c->heard_at = s->now;
	byte_ring_init(&c->send, TCP_SEND_BUFFER);
	byte_ring_init(&c->receive, TCP_RECEIVE_BUFFER);
	return c;
}

void tcp_hold(struct tcp_conn *c)
{
	c->holds++;
}

bool tcp_release(struct tcp_conn *c)
{
	bool dead = c->dead;

	if (--c->holds == 0 && dead)
		free(c);
	return !dead;
}

void tcp_end(struct tcp_conn *c, bool reset)
{
	struct stack *s = c->stack;
	struct stream *far = c->far;

	if (c->dead)
		return;
	c->dead = true;
	tcp_hold(c);
	if (c->in_flush)
		TAILQ_REMOVE(&s->to_flush, c, flush_link);
	if (c->in_room)
		TAILQ_REMOVE(&s->waiting, c, room_link);
	flow_remove(&s->tcp, &c->flow);
	byte_ring_release(&c->send);
	byte_ring_release(&c->receive);
	c->far = NULL;
	if (far)
		stream_close(far, reset);
	tcp_release(c);
}

void tcp_free_all(struct stack *s)
{
	struct flow *f;

	while ((f = flow_first(&s->tcp)))
		tcp_abort(container_of(f, struct tcp_conn, flow));
}

void tcp_abort(struct tcp_conn *c)
{
	tcp_send_reset(c);
	tcp_end(c, true);
}

/* --- opening ------------------------------------------------------------------------------- */

void tcp_take_syn(struct tcp_conn *c, const struct tcp_segment *g)
{
	size_t headers = (addr_is_v4(&c->flow.key.guest) ? IP4_LEN : IP6_LEN) + TCP_LEN;

	if (g->mss)
		c->mss = g->mss < MSS_MIN ? MSS_MIN : g->mss;
	if (c->mss > c->stack->config.mtu - headers)
		c->mss = (uint16_t)(c->stack->config.mtu - headers);
	c->scaling = g->scale >= 0;
	if (c->scaling)
		c->snd_scale = (uint8_t)MIN(g->scale, SCALE_MAX);
	c->irs = g->seq;
	c->rcv_nxt = c->rcv_adv = g->seq + 1;
	/* Not scaled in a SYN. */
	c->snd_wnd = g->window;
	c->snd_wl1 = g->seq;
	c->snd_wl2 = c->snd_una;
}

void tcp_open_guest(struct stack *s, const struct flow_key *key, const struct tcp_segment *g,
		    const struct packet *p)
{
	struct tcp_conn *c = conn_new(s, key, TCP_OPENING);

	if (!c) {
		s->ops->dropped(s->ctx, p, "too many connections");
		tcp_reset_packet(s, p, g);
		return;
	}
	tcp_take_syn(c, g);
	tcp_arm(c);
	s->ops->tcp_open(s->ctx, c, &c->flow.key);
}

void tcp_refuse(struct tcp_conn *c, enum unreachable why)
{
	/* By the sequence number of its SYN the guest knows which connection it is about. */
	if (why != UNREACH_PORT)
		icmp_unreachable(c->stack, &c->flow.key, PROTO_TCP, c->irs, why);
	tcp_abort(c);
}

static void on_opened(void *ctx, int error)
{
	struct tcp_conn *c = ctx;

	if (error && c->state == TCP_OPENING) {
		tcp_refuse(c, unreachable_reason(-error));
		return;
	}
	if (error) {
		tcp_abort(c);
		return;
	}
	c->far_open = true;
	if (c->state == TCP_OPENING) {
		c->state = TCP_SYN_RECEIVED;
		c->syn_due = true;
		tcp_flush_later(c);
	} else if (c->state != TCP_SYN_SENT) {
		tcp_established(c);
	}
}

static void on_readable(void *ctx)
{
	struct tcp_conn *c = ctx;

	c->far_readable = true;
	tcp_hold(c);
	tcp_pull(c);
	tcp_release(c);
}

static void on_writable(void *ctx)
{
	struct tcp_conn *c = ctx;

	c->far_blocked = false;
	tcp_hold(c);
	tcp_drain(c);
	tcp_release(c);
}

static void on_failed(void *ctx, int error)
{
	tcp_abort(ctx);
}

static const struct stream_user_ops user_ops = {on_opened, on_readable, on_writable, on_failed};

void tcp_attach(struct tcp_conn *c, struct stream *far)
{
	c->far = far;
	far->user = &user_ops;
	far->ctx = c;
}

int tcp_connect_guest(struct stack *s, const struct flow_key *key, struct stream *far, uint64_t now)
{
	struct tcp_conn *c;

	if (!(addr_is_v4(&key->guest) ? s->config.v4.on : s->config.v6.on))
		return -ENETUNREACH;
	s->now = now;
	c = conn_new(s, key, TCP_SYN_SENT);
	if (!c)
		return -errno;
	tcp_attach(c, far);
	c->syn_due = true;
	tcp_flush_later(c);
	return 0;
}

void tcp_established(struct tcp_conn *c)
{
	tcp_hold(c);
	tcp_drain(c);
	if (!c->dead)
		tcp_pull(c);
	tcp_release(c);
}

/* --- the far end --------------------------------------------------------------------------- */

static bool can_send(const struct tcp_conn *c)
{
	return c->state == TCP_ESTABLISHED || c->state == TCP_CLOSE_WAIT;
}

void tcp_far_done(struct tcp_conn *c)
{
	struct stream *far = c->far;

	if (!far || !c->far_eof || !c->far_shut)
		return;
	c->far = NULL;
	stream_close(far, false);
}

void tcp_pull(struct tcp_conn *c)
{
	while (c->far && c->far_open && c->far_readable && !c->far_eof && can_send(c)) {
		struct iovec iov[2];
		/* Little at first, soon more: most connections never have much to say. */
		size_t want = MAX(PULL_MIN, 4 * c->send.len);
		int n = byte_ring_room(&c->send, MIN(want, TCP_SEND_BUFFER - c->send.len), iov);
		ssize_t r;

		/* Without room it goes on when the guest has acknowledged something. */
		if (n == 0)
			break;
		r = stream_read(c->far, iov, n);
		if (c->dead)
			return;
		if (r > 0) {
			byte_ring_added(&c->send, (size_t)r);
		} else if (r == 0) {
			c->far_eof = true;
			tcp_far_done(c);
		} else if (r == -EAGAIN) {
			c->far_readable = false;
			break;
		} else {
			tcp_abort(c);
			return;
		}
		tcp_flush_later(c);
	}
}

void tcp_drain(struct tcp_conn *c)
{
	if (!c->far || !c->far_open || c->far_shut)
		return;
	while (c->receive.len && !c->far_blocked) {
		struct iovec iov[2];
		int n = byte_ring_data(&c->receive, 0, c->receive.len, iov);
		ssize_t r = stream_write(c->far, iov, n);

		if (c->dead)
			return;
		if (r < 0) {
			tcp_abort(c);
			return;
		}
		byte_ring_drop(&c->receive, (size_t)r);
		c->far_blocked = r == 0;
		/* The window may have to be announced again. */
		tcp_flush_later(c);
	}
	if (c->receive.len)
		return;
	byte_ring_idle(&c->receive);
	if (c->fin_received) {
		c->far_shut = true;
		stream_shut(c->far);
		if (!c->dead)
			tcp_far_done(c);
	}
}

/* --- deadlines ----------------------------------------------------------------------------- */

static uint64_t idle_limit(const struct tcp_conn *c)
{
	return c->state == TCP_OPENING ? OPENING_MAX : KEEPALIVE_IDLE;
}

void tcp_arm(struct tcp_conn *c)
{
	uint64_t idle = c->heard_at + idle_limit(c);

	if (c->rexmit_at == UINT64_MAX && c->retries)
		idle = c->heard_at + KEEPALIVE_IDLE + c->retries * KEEPALIVE_EVERY;
	flow_set_deadline(&c->stack->tcp, &c->flow, MIN(c->rexmit_at, idle));
}

/* Nothing was heard for long: is the guest still there? */
static void keep_alive(struct tcp_conn *c)
{
	if (c->heard_at + idle_limit(c) > c->stack->now) {
		tcp_arm(c); /* it was heard of meanwhile */
		return;
	}
	if (c->state == TCP_OPENING || c->retries >= KEEPALIVE_PROBES) {
		tcp_abort(c);
		return;
	}
	c->retries++;
	tcp_probe(c);
	tcp_arm(c);
}

void tcp_deadline(struct tcp_conn *c)
{
	bool syn = c->state == TCP_SYN_SENT || c->state == TCP_SYN_RECEIVED;

	if (c->rexmit_at > c->stack->now) {
		keep_alive(c);
		return;
	}
	if (c->retries >= (syn ? SYN_TRIES_MAX : RETRIES_MAX)) {
		tcp_abort(c);
		return;
	}
	c->retries++;
	c->rto = MIN(c->rto * 2, RTO_MAX);
	c->rtt_start = 0; /* what is sent twice measures nothing (Karn) */
	if (syn)
		c->syn_due = true;
	else
		tcp_probe(c);
	c->rexmit_at = c->stack->now + c->rto;
	tcp_hold(c);
	tcp_output(c);
	if (!c->dead)
		tcp_arm(c);
	tcp_release(c);
}
