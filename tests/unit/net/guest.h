/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests of the stack: a guest that sends frames and looks at those it gets, far ends that do as
 * they are told, and a clock that stands still until it is moved.
 */
#pragma once

#include "net/stack_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define GUEST_MTU       1500
#define FRAMES_MAX      4096
#define GUEST_FRAME_MAX ((size_t)65536 + 64)

struct frame {
	uint8_t *data;
	size_t len;
};

/* What a far end was told and has to say. */
struct far {
	struct stream stream;
	uint8_t *got; /* by write */
	size_t n_got;
	size_t write_max; /* in one call; 0: takes nothing */
	int write_error, read_error;
	const uint8_t *says;
	size_t n_says;
	bool eof; /* after what it says */
	bool shut, closed, reset;
};

struct guest {
	struct stack *stack;
	struct stack_config config;
	struct packet_link link; /* from the guest's side */
	uint64_t now;
	/* Frames that came, oldest first. */
	struct frame frames[FRAMES_MAX];
	size_t first, n;
	uint8_t *room;   /* of the frame that is being made */
	size_t capacity; /* frames that fit before there is no room; SIZE_MAX: any number */
	/* What the stack has told its owner. */
	struct tcp_conn *opened; /* by the last SYN */
	struct flow_key key;     /* of the last opening, datagram or echo request */
	unsigned int n_opened, n_udp, n_echo, n_dropped;
	uint8_t data[GUEST_FRAME_MAX];
	size_t data_len;
	uint16_t seq;
	const char *why;
	struct packet p; /* of the frame taken last */
	struct frame taken;
};

/* --- far ends ------------------------------------------------------------------------------ */

static inline ssize_t far_write(struct stream *s, const struct iovec *iov, int n)
{
	struct far *f = container_of(s, struct far, stream);
	size_t done = 0;

	if (f->write_error)
		return f->write_error;
	for (int i = 0; i < n && done < f->write_max; i++) {
		size_t len = MIN(iov[i].iov_len, f->write_max - done);

		f->got = xreallocarray(f->got, f->n_got + len, 1);
		memcpy(f->got + f->n_got, iov[i].iov_base, len);
		f->n_got += len;
		done += len;
	}
	return (ssize_t)done;
}

static inline void far_shut(struct stream *s)
{
	container_of(s, struct far, stream)->shut = true;
}

static inline ssize_t far_read(struct stream *s, const struct iovec *iov, int n)
{
	struct far *f = container_of(s, struct far, stream);
	size_t done = 0;

	for (int i = 0; i < n && f->n_says; i++) {
		size_t len = MIN(iov[i].iov_len, f->n_says);

		memcpy(iov[i].iov_base, f->says, len);
		f->says += len;
		f->n_says -= len;
		done += len;
	}
	if (done)
		return (ssize_t)done;
	if (f->read_error)
		return f->read_error;
	return f->eof ? 0 : -EAGAIN;
}

static inline void far_close(struct stream *s, bool reset)
{
	struct far *f = container_of(s, struct far, stream);

	assert_false(f->closed);
	f->closed = true;
	f->reset = reset;
}

static const struct stream_ops far_ops = {far_write, far_shut, far_read, far_close};

static inline void far_init(struct far *f)
{
	*f = (struct far){.stream.ops = &far_ops, .write_max = SIZE_MAX};
}

static inline void far_release(struct far *f)
{
	free(f->got);
	f->got = NULL;
	f->n_got = 0;
}

/* The far end has something to say, or nothing more. */
static inline void far_says(struct far *f, const void *data, size_t len)
{
	f->says = data;
	f->n_says = len;
	f->stream.user->readable(f->stream.ctx);
}

static inline void far_ends(struct far *f)
{
	f->eof = true;
	f->stream.user->readable(f->stream.ctx);
}

/* --- the stack's owner --------------------------------------------------------------------- */

static inline uint8_t *owner_reserve(void *ctx, size_t len)
{
	struct guest *g = ctx;

	assert_true(len <= GUEST_FRAME_MAX);
	if (g->n - g->first >= g->capacity)
		return NULL;
	free(g->room);
	g->room = xmalloc(len);
	return g->room;
}

static inline void owner_commit(void *ctx, size_t len)
{
	struct guest *g = ctx;

	assert_non_null(g->room);
	assert_true(g->n < FRAMES_MAX);
	g->frames[g->n++] = (struct frame){g->room, len};
	g->room = NULL;
}

static inline void owner_tcp_open(void *ctx, struct tcp_conn *c, const struct flow_key *key)
{
	struct guest *g = ctx;

	g->opened = c;
	g->key = *key;
	g->n_opened++;
}

static inline void owner_udp(void *ctx, const struct flow_key *key, const uint8_t *data, size_t len)
{
	struct guest *g = ctx;

	g->key = *key;
	memcpy(g->data, data, len);
	g->data_len = len;
	g->n_udp++;
}

static inline void owner_echo(void *ctx, const struct flow_key *key, uint16_t seq,
			      const uint8_t *data, size_t len)
{
	struct guest *g = ctx;

	owner_udp(ctx, key, data, len);
	g->n_udp--;
	g->n_echo++;
	g->seq = seq;
}

static inline void owner_dropped(void *ctx, const struct packet *p, const char *why)
{
	struct guest *g = ctx;

	g->n_dropped++;
	g->why = why;
}

static const struct stack_ops owner_ops = {
	owner_reserve, owner_commit, owner_tcp_open, owner_udp, owner_echo, owner_dropped,
};

/* --- set-up -------------------------------------------------------------------------------- */

static inline struct addr at(const char *text)
{
	struct addr a;

	assert_int_equal(addr_parse(text, &a), 0);
	return a;
}

static inline void guest_start(struct guest *g)
{
	g->stack = stack_new(&g->config, &owner_ops, g);
	assert_non_null(g->stack);
}

static inline int guest_setup(void **state)
{
	struct guest *g = xcalloc(1, sizeof(*g));

	g->config = (struct stack_config){
		.guest_mac = {2, 0, 0, 0, 0, 2},
		.our_mac = {2, 0, 0, 0, 0, 1},
		.mtu = GUEST_MTU,
		.v4 = {true, at("172.16.0.6"), at("172.16.0.5"), 30},
		.v6 = {true, at("fd42::2"), at("fd42::1"), 64},
		.max_connections = 64,
		.secret = "a secret of ours",
	};
	memcpy(g->link.guest_mac, g->config.our_mac, 6);
	memcpy(g->link.our_mac, g->config.guest_mac, 6);
	g->now = 1000 * NSEC_PER_SEC;
	g->capacity = SIZE_MAX;
	guest_start(g);
	*state = g;
	return 0;
}

static inline void drop_frames(struct guest *g)
{
	while (g->first < g->n)
		free(g->frames[g->first++].data);
	g->first = g->n = 0;
}

static inline int guest_teardown(void **state)
{
	struct guest *g = *state;

	stack_free(g->stack);
	drop_frames(g);
	free(g->taken.data);
	free(g->room);
	free(g);
	return 0;
}

/* --- frames -------------------------------------------------------------------------------- */

static inline void send_frame(struct guest *g, const uint8_t *frame, size_t len)
{
	stack_input(g->stack, frame, len, g->now);
	stack_flush(g->stack, g->now);
}

/* Time passes. */
static inline void wait_ns(struct guest *g, uint64_t ns)
{
	g->now += ns;
	stack_tick(g->stack, g->now);
	stack_flush(g->stack, g->now);
}

static inline void flush(struct guest *g)
{
	stack_flush(g->stack, g->now);
}

static inline bool has_frame(const struct guest *g)
{
	return g->first < g->n;
}

/* The next frame, which has to be a sound one, in g->p. */
static inline void take_frame(struct guest *g)
{
	assert_true(has_frame(g));
	free(g->taken.data);
	g->taken = g->frames[g->first++];
	if (g->first == g->n)
		g->first = g->n = 0;
	assert_int_equal(packet_parse(&g->p, g->taken.data, g->taken.len, &g->link), PACKET_OK);
}

static inline void no_frame(const struct guest *g)
{
	assert_false(has_frame(g));
}

/* --- TCP ----------------------------------------------------------------------------------- */

/* One end as the guest keeps it. */
struct peer {
	struct guest *g;
	struct addr guest, remote;
	uint16_t port, remote_port;
	uint32_t seq, ack; /* what it sends next, what it expects next */
	uint16_t window;
};

static inline void put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline void put32(uint8_t *p, uint32_t v)
{
	put16(p, v >> 16);
	put16(p + 2, v);
}

static inline uint32_t get32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Sends a segment whatever sense it makes. */
static inline void send_raw(const struct peer *p, uint8_t flags, uint32_t seq, uint32_t ack,
			    const uint8_t *options, size_t n_options, const void *data, size_t len)
{
	size_t l4_len = TCP_LEN + n_options + len, total = packet_overhead(&p->guest) + l4_len;
	uint8_t *frame = xmalloc(total);
	uint8_t *l4 = packet_begin(frame, &p->g->link, &p->guest, &p->remote, IPPROTO_TCP, l4_len);

	memset(l4, 0, TCP_LEN);
	put16(l4, p->port);
	put16(l4 + 2, p->remote_port);
	put32(l4 + 4, seq);
	put32(l4 + 8, ack);
	l4[12] = (uint8_t)((TCP_LEN + n_options) / 4 << 4);
	l4[13] = flags;
	put16(l4 + 14, p->window);
	if (n_options)
		memcpy(l4 + TCP_LEN, options, n_options);
	if (len)
		memcpy(l4 + TCP_LEN + n_options, data, len);
	packet_finish(frame, l4, IPPROTO_TCP, l4_len, 0);
	stack_input(p->g->stack, frame, total, p->g->now);
	free(frame);
}

/* The next thing in order. */
static inline void send_segment(struct peer *p, uint8_t flags, const void *data, size_t len)
{
	send_raw(p, flags, p->seq, p->ack, NULL, 0, data, len);
	p->seq += (uint32_t)len + !!(flags & TCP_SYN) + !!(flags & TCP_FIN);
	flush(p->g);
}

/* What the taken frame says. */
struct heard {
	uint32_t seq, ack;
	uint8_t flags;
	uint32_t window;
};

static inline struct heard hear(struct guest *g)
{
	take_frame(g);
	assert_int_equal(g->p.kind, PACKET_TCP);
	return (struct heard){
		get32(g->p.l4 + 4),
		get32(g->p.l4 + 8),
		g->p.l4[13],
		(uint32_t)g->p.l4[14] << 8 | g->p.l4[15],
	};
}

/* The next frame has to be this; what it brings is taken note of. */
static inline struct heard expect_segment(struct peer *p, uint8_t flags, size_t len)
{
	struct heard h = hear(p->g);

	assert_int_equal(h.flags & ~TCP_PSH, flags);
	assert_int_equal(p->g->p.payload_len, len);
	assert_true(addr_equal(&p->g->p.src, &p->remote) && addr_equal(&p->g->p.dst, &p->guest));
	assert_int_equal(p->g->p.sport, p->remote_port);
	assert_int_equal(p->g->p.dport, p->port);
	if (flags & TCP_SYN)
		p->ack = h.seq;
	assert_int_equal(h.seq, p->ack);
	if (flags & TCP_ACK)
		assert_int_equal(h.ack, p->seq);
	p->ack += (uint32_t)len + !!(flags & TCP_SYN) + !!(flags & TCP_FIN);
	return h;
}

static inline void peer_init(struct peer *p, struct guest *g, const char *remote, uint16_t port)
{
	struct addr a = at(remote);

	*p = (struct peer){
		.g = g,
		.guest = addr_is_v4(&a) ? g->config.v4.guest : g->config.v6.guest,
		.remote = a,
		.port = 40000,
		.remote_port = port,
		.seq = 7000,
		.window = 65535,
	};
}

static inline void send_syn(struct peer *p)
{
	/* MSS 1460, window scale 7. */
	static const uint8_t options[] = {2, 4, 1460 >> 8, 1460 & 255, 1, 3, 3, 7};

	send_raw(p, TCP_SYN, p->seq, 0, options, sizeof(options), NULL, 0);
	p->seq++;
	flush(p->g);
}

/* A connection of the guest, open on both sides. Windows are in units of 128 bytes afterwards. */
static inline void connect_to(struct peer *p, struct far *f)
{
	far_init(f);
	send_syn(p);
	tcp_attach(p->g->opened, &f->stream);
	f->stream.user->opened(f->stream.ctx, 0);
	flush(p->g);
	expect_segment(p, TCP_SYN | TCP_ACK, 0);
	p->window = 512;
	send_segment(p, TCP_ACK, NULL, 0);
	no_frame(p->g);
}
