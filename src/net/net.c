/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation. Everything happens on one loop, in rounds:
 *
 *	events     sockets are read and written: far ends of the guest's connections, datagrams,
 *	           answers for the resolver, clients of published ports. What is for the guest goes
 *	           into the outgoing ring, unpublished. When msb-vmm has woken us it is noted.
 *	timers     of sockets, the resolver, and ours, which stands for the stack's nearest
 *	           deadline, the log's, and the moment when a limited rate allows more
 *	the end    (on_round) frames of the guest are taken out of the incoming ring, so many at
 *	           most, and given to the stack; the stack does what is due and sends the
 *	           acknowledgements that were put off; all frames are published and all room
 *	           is given back at once; msb-vmm is woken at most once, and only if it asked
 *
 * Frames stay in the ring when the budget of a round is used up (the next round follows at once,
 * after the sockets had their turn) or when the rate of what the guest sends is limited, so a
 * guest that sends too much waits for us in its own queue. What it gets is limited in the same
 * way: there is no room for a frame then, and connections wait for it.
 *
 * A ring that is broken, or whose other side is, ends the network and with it the sandbox:
 * msb-vmm is the only one that could have broken it.
 */
#include "net/net.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/frame_ring.h"
#include "base/io.h"
#include "base/log.h"
#include "net/dial.h"
#include "net/net_log.h"
#include "net/outside.h"
#include "net/ports.h"
#include "net/token_bucket.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* Frames of the guest in one round. */
#define ROUND_FRAMES 256
/* A limited rate allows what comes in this part of a second at once, and a frame in any case. */
#define BURST_PART   10
#define BURST_FRAMES 16

/* Bytes and packets per second in one direction. */
struct limit {
	struct token_bucket bytes, packets;
	size_t packet_len;
};

struct net {
	struct loop *loop;
	const struct net_spec *spec;
	net_event_fn *event;
	void *ctx;
	struct frame_rings rings;
	bool mapped;
	struct ev wake_ev;
	int call_fd;
	struct timer timer;
	uint64_t now; /* of the round */
	bool input;   /* there may be frames of the guest */
	bool full;    /* there was no room for a frame to it */
	struct limit egress, ingress;
	struct net_log *log;
	struct host_addrs *host;
	struct pins *pins;
	struct resolver *resolver;
	struct dial dial;
	struct stack *stack;
	struct outside *outside;
	struct ports *ports;
};

/* --- Rates. */

static void limit_init(struct limit *l, const struct net_rate *r, unsigned int mtu)
{
	token_bucket_init(&l->bytes, r->bytes, MAX(r->bytes / BURST_PART, (uint64_t)mtu));
	token_bucket_init(&l->packets, r->packets,
			  MAX(r->packets / BURST_PART, (uint64_t)BURST_FRAMES));
	l->packet_len = mtu + sizeof(struct ethhdr);
}

static bool limit_ready(const struct limit *l, uint64_t now)
{
	return token_bucket_ready(&l->bytes, now) && token_bucket_ready(&l->packets, now);
}

static uint64_t limit_when(const struct limit *l)
{
	return MAX(token_bucket_when(&l->bytes), token_bucket_when(&l->packets));
}

/* A frame that stands for several packets, to be segmented later, counts as so many. */
static void limit_take(struct limit *l, size_t frame_len, uint64_t now)
{
	size_t len = frame_len > VNET_LEN ? frame_len - VNET_LEN : 0;
	size_t packets = (len + l->packet_len - 1) / l->packet_len;

	token_bucket_take(&l->bytes, (uint32_t)len, now);
	token_bucket_take(&l->packets, (uint32_t)MAX(packets, (size_t)1), now);
}

/* --- What the stack asks for. */

static uint8_t *frame_reserve(void *ctx, size_t len)
{
	struct net *n = ctx;
	uint8_t *frame = NULL;

	if (limit_ready(&n->ingress, n->now))
		frame = frame_ring_reserve(&n->rings.out, len);
	if (!frame)
		n->full = true;
	return frame;
}

static void frame_commit(void *ctx, size_t len)
{
	struct net *n = ctx;

	frame_ring_commit(&n->rings.out, len);
	limit_take(&n->ingress, len, n->now);
}

static void on_tcp_open(void *ctx, struct tcp_conn *c, const struct flow_key *key)
{
	struct net *n = ctx;

	dial_tcp(&n->dial, c, key, n->now);
}

static void on_udp(void *ctx, const struct flow_key *key, const uint8_t *data, size_t len)
{
	struct net *n = ctx;

	if (!ports_udp(n->ports, key, data, len))
		outside_udp(n->outside, key, data, len);
}

static void on_echo(void *ctx, const struct flow_key *key, uint16_t seq, const uint8_t *data,
		    size_t len)
{
	struct net *n = ctx;

	outside_echo(n->outside, key, seq, data, len);
}

static void on_dropped(void *ctx, const struct packet *p, const char *why)
{
	static const char *const protocols[] = {
		[PACKET_OTHER] = "frame", [PACKET_ARP] = "arp",    [PACKET_TCP] = "tcp",
		[PACKET_UDP] = "udp",     [PACKET_ICMP4] = "icmp", [PACKET_ICMP6] = "icmp",
	};
	char to[ENDPOINT_LEN];
	struct net *n = ctx;

	endpoint_format(&p->dst, p->dport, to);
	net_log_line(n->log, clock_mono_ns(), "deny %s %s: %s", protocols[p->kind], to, why);
}

static const struct stack_ops stack_ops = {
	.frame_reserve = frame_reserve,
	.frame_commit = frame_commit,
	.tcp_open = on_tcp_open,
	.udp = on_udp,
	.echo = on_echo,
	.dropped = on_dropped,
};

/* --- What goes to the log. */

static void on_log(void *ctx, const char *line)
{
	struct net *n = ctx;

	n->event(n->ctx, line);
}

static void on_denied(void *ctx, const char *proto, const char *what, const char *why)
{
	struct net *n = ctx;

	net_log_line(n->log, clock_mono_ns(), "deny %s %s: %s", proto, what, why);
}

static void on_name_denied(void *ctx, const char *name, const char *why)
{
	on_denied(ctx, "dns", name, why);
}

static void on_visitor(void *ctx, const char *proto, const struct addr *peer, uint16_t peer_port,
		       uint16_t guest_port, const char *why)
{
	char from[ENDPOINT_LEN];
	struct net *n = ctx;

	endpoint_format(peer, peer_port, from);
	if (why)
		net_log_line(n->log, clock_mono_ns(), "deny visit %s %s to port %u: %s", proto,
			     from, guest_port, why);
	else
		net_log_line(n->log, clock_mono_ns(), "visit %s %s to port %u", proto, from,
			     guest_port);
}

static bool is_host(void *ctx, const struct addr *a)
{
	const struct net *n = ctx;

	return host_addrs_has(n->host, a);
}

/* --- Rounds. */

/* #syscalls:net read */
static void on_wake(struct ev *ev, uint32_t events)
{
	struct net *n = container_of(ev, struct net, wake_ev);
	uint64_t count;

	/* Taken before the rings are looked at: what comes later wakes us again. */
	if (read(ev->fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		log_debug("cannot read the eventfd of the rings");
	n->now = clock_mono_ns();
	n->input = true;
}

/* It only keeps the loop from sleeping too long: on_round looks what is due. */
static void on_timer(struct timer *t)
{
}

/* Gives frames of the guest to the stack. False: there may be more, for the next round. */
static bool take_frames(struct net *n)
{
	const uint8_t *frame;

	for (int i = 0; i < ROUND_FRAMES; i++) {
		int len = frame_ring_next(&n->rings.in, &frame);

		if (len <= 0)
			return true;
		limit_take(&n->egress, (size_t)len, n->now);
		stack_input(n->stack, frame, (size_t)len, n->now);
		frame_ring_done(&n->rings.in);
		if (!limit_ready(&n->egress, n->now))
			return false;
	}
	return false;
}

static void take_input(struct net *n)
{
	if (!n->input || !limit_ready(&n->egress, n->now) || !take_frames(n))
		return;
	n->input = frame_ring_await_frame(&n->rings.in);
}

/* Lets the stack go on with what had to wait for room. */
static void use_room(struct net *n)
{
	if (!n->full || !limit_ready(&n->ingress, n->now) || !frame_ring_await_room(&n->rings.out))
		return;
	n->full = false;
	stack_room(n->stack, n->now);
}

/*
 * Both ways at once; msb-vmm is woken once for both.
 *
 * #syscalls:net write
 */
static void hand_over(struct net *n)
{
	bool published = frame_ring_publish(&n->rings.out);
	bool released = frame_ring_release(&n->rings.in);

	if (published || released)
		event_signal(n->call_fd);
}

/*
 * When there is something to do without being woken. Comes after hand_over: room is asked for when
 * msb-vmm can see all frames, else it could wait for them while we wait for room.
 */
static uint64_t next_deadline(struct net *n)
{
	uint64_t next = MIN(stack_next_deadline(n->stack), net_log_next_deadline(n->log));

	if (n->input)
		next = MIN(next, limit_when(&n->egress));
	if (n->full && !limit_ready(&n->ingress, n->now))
		next = MIN(next, limit_when(&n->ingress));
	else if (n->full && frame_ring_await_room(&n->rings.out))
		next = 0;
	return next;
}

static void set_timer(struct net *n)
{
	uint64_t next = next_deadline(n);

	if (next == UINT64_MAX)
		timer_cancel(n->loop, &n->timer);
	else if (!n->timer.active || n->timer.deadline != next)
		timer_set(n->loop, &n->timer, next);
}

static void on_round(void *arg)
{
	struct net *n = arg;

	n->now = clock_mono_ns();
	take_input(n);
	if (stack_next_deadline(n->stack) <= n->now)
		stack_tick(n->stack, n->now);
	use_room(n);
	stack_flush(n->stack, n->now);
	hand_over(n);
	net_log_tick(n->log, n->now);
	set_timer(n);
	/* Only msb-vmm can have done it, and it has no use for a network then. */
	if (n->rings.in.broken || n->rings.out.broken)
		loop_stop(n->loop);
}

/* --- Making it. */

static int make_resolver(struct net *n, const uint8_t secret[16])
{
	const struct net_spec *s = n->spec;
	struct resolver_config c = {
		.policy = &s->policy,
		.n_servers = s->n_nameservers,
		.rebind_protection = s->rebind_protection,
		.pins = n->pins,
		.is_host = is_host,
		.denied = on_name_denied,
		.ctx = n,
	};

	memcpy(c.servers, s->nameservers, sizeof(c.servers));
	memcpy(c.secret, secret, sizeof(c.secret));
	if (s->v4.on)
		c.gateway[c.n_gateway++] = s->v4.gateway;
	if (s->v6.on)
		c.gateway[c.n_gateway++] = s->v6.gateway;
	n->resolver = resolver_new(n->loop, &c);
	return n->resolver ? 0 : -1;
}

static int make_stack(struct net *n, const uint8_t secret[16])
{
	const struct net_spec *s = n->spec;
	struct stack_config c = {
		.mtu = s->mtu,
		.v4 = s->v4,
		.v6 = s->v6,
		.max_connections = s->max_connections,
	};

	memcpy(c.guest_mac, s->mac, sizeof(c.guest_mac));
	memcpy(c.our_mac, s->gateway_mac, sizeof(c.our_mac));
	memcpy(c.secret, secret, sizeof(c.secret));
	n->stack = stack_new(&c, &stack_ops, n);
	return n->stack ? 0 : -1;
}

/* What needs no more than memory and sockets; -1 with errno. */
static int make_parts(struct net *n)
{
	uint8_t secrets[3][16];

	if (getrandom(secrets, sizeof(secrets), 0) != sizeof(secrets))
		return -1;
	n->log = net_log_new(on_log, n);
	n->host = n->log ? host_addrs_new(n->loop) : NULL;
	n->pins = n->host ? pins_new(secrets[0]) : NULL;
	if (!n->pins || make_resolver(n, secrets[1]) < 0 || make_stack(n, secrets[2]) < 0)
		return -1;
	n->dial = (struct dial){
		.loop = n->loop,
		.spec = n->spec,
		.pins = n->pins,
		.host = n->host,
		.resolver = n->resolver,
		.denied = on_denied,
		.ctx = n,
	};
	n->outside = outside_new(n->loop, &n->dial, n->stack);
	return n->outside ? 0 : -1;
}

static void tell_ports(struct net *n, const uint16_t *chosen)
{
	for (unsigned int i = 0; i < n->spec->n_publish; i++) {
		const struct net_publish *p = &n->spec->publish[i];
		char at[ENDPOINT_LEN], line[ENDPOINT_LEN + 32];

		endpoint_format(&p->addr, chosen[i], at);
		snprintf(line, sizeof(line), "port %s %s %u",
			 p->protocol == PROTO_UDP ? "udp" : "tcp", at, p->guest_port);
		n->event(n->ctx, line);
	}
}

static int make_ports(struct net *n, struct err *e)
{
	uint16_t chosen[NET_PUBLISH_MAX] = {};

	n->ports = ports_new(n->loop, n->spec, chosen, e);
	if (!n->ports)
		return -1;
	tell_ports(n, chosen);
	ports_start(n->ports, n->stack, on_visitor, n);
	return 0;
}

static int open_rings(struct net *n, const struct net_fds *fds, struct err *e)
{
	int r = frame_rings_map(&n->rings, fds->rings_fd, FRAME_SIDE_NET);

	if (r < 0)
		return err_sys(e, -r, "cannot map the frame rings");
	n->mapped = true;
	r = fd_set_nonblock(fds->wake_fd, true);
	if (r == 0)
		r = fd_set_nonblock(fds->call_fd, true);
	if (r == 0)
		r = loop_add(n->loop, &n->wake_ev, EPOLLIN);
	return r < 0 ? err_sys(e, -r, "cannot watch the frame rings") : 0;
}

static int make(struct net *n, const struct net_fds *fds, struct err *e)
{
	if (open_rings(n, fds, e) < 0)
		return -1;
	if (make_parts(n) < 0)
		return err_sys(e, errno, "cannot set up the network");
	if (make_ports(n, e) < 0)
		return -1;
	loop_on_round(n->loop, on_round, n);
	/* What came before we were there: the first round looks, and asks to be woken. */
	n->input = true;
	timer_set(n->loop, &n->timer, 0);
	return 0;
}

struct net *net_new(struct loop *loop, const struct net_spec *spec, const struct net_fds *fds,
		    net_event_fn *event, void *ctx, struct err *e)
{
	struct net *n = calloc(1, sizeof(*n));

	if (!n) {
		err_sys(e, ENOMEM, "cannot set up the network");
		return NULL;
	}
	n->loop = loop;
	n->spec = spec;
	n->event = event;
	n->ctx = ctx;
	n->wake_ev = (struct ev){.fd = fds->wake_fd, .fn = on_wake};
	n->call_fd = fds->call_fd;
	n->timer.fn = on_timer;
	n->now = clock_mono_ns();
	limit_init(&n->egress, &spec->egress, spec->mtu);
	limit_init(&n->ingress, &spec->ingress, spec->mtu);
	if (make(n, fds, e) < 0)
		return net_free(n);
	return n;
}

/*
 * The stack goes first: it closes far ends, which belong to the others.
 *
 * #syscalls:net munmap close
 */
struct net *net_free(struct net *n)
{
	if (!n)
		return NULL;
	stack_free(n->stack);
	ports_free(n->ports);
	outside_free(n->outside);
	resolver_free(n->resolver);
	pins_free(n->pins);
	host_addrs_free(n->host);
	net_log_free(n->log);
	loop_on_round(n->loop, NULL, NULL);
	timer_cancel(n->loop, &n->timer);
	loop_del(n->loop, &n->wake_ev);
	if (n->mapped)
		frame_rings_unmap(&n->rings);
	free(n);
	return NULL;
}

int net_failure(const struct net *n, struct err *e)
{
	return err_set(e, ERR_CORRUPT, "%s",
		       n->rings.in.broken || n->rings.out.broken
			       ? "the machine broke the rules of the frame rings"
			       : "the network stopped");
}
