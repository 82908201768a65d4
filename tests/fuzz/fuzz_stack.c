/* SPDX-License-Identifier: Apache-2.0 */
/* The stack: frames of any kind, far ends that do as the input says, room for frames that comes and
 * goes. */
#include "fuzz.h"

#include "net/stack_internal.h"

#include <arpa/inet.h>
#include <errno.h>

enum {
	OP_FRAME,   /* u16 length, bytes: as they are */
	OP_SEGMENT, /* u8 connection, u8 flags, i8 seq, i8 ack, u16 window, u16 length: near what is
		       expected */
	OP_SYN,     /* u8 connection */
	OP_OPENED,  /* u8 connection, u8 error */
	OP_FAR,     /* u8 connection, u8 what: readable, writable, failed, and its limits */
	OP_ROOM,    /* u8 frames that fit */
	OP_TIME,    /* u16 ms */
	OP_UDP,     /* u16 length to the guest */
	OP_INBOUND, /* u8 connection */
	OPS,
};

#define CONNS 8
#define FRAME 70000

struct far {
	struct stream stream;
	unsigned int number;
	size_t writes, says;
	bool eof, shut, in_use, told;
	int error;
};

struct target {
	struct stack *s;
	struct stack_config c;
	struct far far[CONNS];
	uint8_t frame[FRAME], out[FRAME];
	size_t reserved;
	unsigned int room;
	uint64_t now;
	uint32_t seq[CONNS], ack[CONNS]; /* what the guest sends next, and expects */
};

static struct target t;

static ssize_t far_write(struct stream *s, const struct iovec *iov, int n)
{
	struct far *f = container_of(s, struct far, stream);
	size_t done = 0;

	CHECK(f->in_use && !f->shut);
	for (int i = 0; i < n; i++) {
		size_t len = MIN(iov[i].iov_len, f->writes);

		memcpy(t.out, iov[i].iov_base, MIN(len, sizeof(t.out)));
		f->writes -= len;
		done += len;
	}
	return f->error ? f->error : (ssize_t)done;
}

static void far_shut(struct stream *s)
{
	struct far *f = container_of(s, struct far, stream);

	CHECK(f->in_use && !f->shut);
	f->shut = true;
}

static ssize_t far_read(struct stream *s, const struct iovec *iov, int n)
{
	struct far *f = container_of(s, struct far, stream);
	size_t done = 0;

	CHECK(f->in_use);
	for (int i = 0; i < n; i++) {
		size_t len = MIN(iov[i].iov_len, f->says);

		memset(iov[i].iov_base, 0xaa, len);
		f->says -= len;
		done += len;
	}
	if (done)
		return (ssize_t)done;
	return f->error ? f->error : f->eof ? 0 : -EAGAIN;
}

static void far_close(struct stream *s, bool reset)
{
	struct far *f = container_of(s, struct far, stream);

	CHECK(f->in_use);
	f->in_use = false;
}

static const struct stream_ops far_ops = {far_write, far_shut, far_read, far_close};

static uint8_t *frame_reserve(void *ctx, size_t len)
{
	CHECK(len <= FRAME);
	if (t.room == 0)
		return NULL;
	t.reserved = len;
	return t.out;
}

/* What is sent has to be sound: the guest's side can parse it. */
static void frame_commit(void *ctx, size_t len)
{
	static struct packet p;
	struct packet_link link;

	CHECK(len <= t.reserved);
	t.room--;
	memcpy(link.guest_mac, t.c.our_mac, 6);
	memcpy(link.our_mac, t.c.guest_mac, 6);
	enum packet_fault fault = packet_parse(&p, t.out, len, &link);

	CHECK(fault == PACKET_OK || fault == PACKET_FRAGMENT);
	if (p.kind == PACKET_TCP && p.dport >= 1000 && p.dport < 1000 + CONNS) {
		unsigned int i = p.dport - 1000u;
		uint32_t seq = (uint32_t)p.l4[4] << 24 | (uint32_t)p.l4[5] << 16 |
			       (uint32_t)p.l4[6] << 8 | p.l4[7];

		t.ack[i] = seq + (uint32_t)p.payload_len + !!(p.l4[13] & TCP_SYN) +
			   !!(p.l4[13] & TCP_FIN);
	}
}

static bool attach(unsigned int i)
{
	struct far *f = &t.far[i];

	if (f->in_use)
		return false;
	*f = (struct far){.stream.ops = &far_ops, .number = i, .in_use = true, .writes = 1000};
	return true;
}

static void tcp_open(void *ctx, struct tcp_conn *c, const struct flow_key *key)
{
	unsigned int i = key->guest_port % CONNS;

	if (attach(i))
		tcp_attach(c, &t.far[i].stream);
	else
		tcp_refuse(c, key->remote_port % 4);
}

static void got_udp(void *ctx, const struct flow_key *key, const uint8_t *data, size_t len)
{
	memcpy(t.out, data, MIN(len, sizeof(t.out)));
	if (len % 3 == 0)
		stack_send_unreachable(t.s, key, PROTO_UDP, len % 4);
}

static void got_echo(void *ctx, const struct flow_key *key, uint16_t seq, const uint8_t *data,
		     size_t len)
{
	static uint8_t copy[FRAME];

	memcpy(copy, data, len);
	stack_send_echo_reply(t.s, key, seq, copy, len);
}

static void dropped(void *ctx, const struct packet *p, const char *why)
{
	CHECK(why);
}

static const struct stack_ops ops = {frame_reserve, frame_commit, tcp_open,
				     got_udp,       got_echo,     dropped};

/* --- operations ---------------------------------------------------------------------------- */

static void put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
	put16(p, v >> 16);
	put16(p + 2, v);
}

static void segment(unsigned int i, uint8_t flags, uint32_t seq, uint32_t ack, uint16_t window,
		    size_t len)
{
	struct packet_link link;
	uint8_t *l4;

	memcpy(link.guest_mac, t.c.our_mac, 6);
	memcpy(link.our_mac, t.c.guest_mac, 6);
	len = MIN(len, (size_t)60000);
	l4 = packet_begin(t.frame, &link, &t.c.v4.guest, &t.c.v4.gateway, IPPROTO_TCP,
			  TCP_LEN + len);
	memset(l4, 0, TCP_LEN + len);
	put16(l4, 1000 + i);
	put16(l4 + 2, 80);
	put32(l4 + 4, seq);
	put32(l4 + 8, ack);
	l4[12] = 0x50;
	l4[13] = flags;
	put16(l4 + 14, window);
	packet_finish(t.frame, l4, IPPROTO_TCP, TCP_LEN + len, 0);
	stack_input(t.s, t.frame, packet_overhead(&t.c.v4.guest) + TCP_LEN + len, t.now);
}

static void near_segment(struct input *in)
{
	unsigned int i = take8(in) % CONNS;
	uint8_t flags = take8(in);
	int8_t seq = (int8_t)take8(in), ack = (int8_t)take8(in);
	uint16_t window = take16(in), len = take16(in);

	segment(i, flags, t.seq[i] + (uint32_t)(seq / 8), t.ack[i] + (uint32_t)(ack / 8), window,
		len);
	t.seq[i] += len + !!(flags & TCP_SYN) + !!(flags & TCP_FIN);
}

static void far_acts(struct input *in)
{
	struct far *f = &t.far[take8(in) % CONNS];
	uint8_t what = take8(in);

	if (!f->in_use || !f->told)
		return;
	f->writes = what & 1 ? 100000 : what & 2 ? 10 : 0;
	f->says += what & 4 ? 3000 : what & 8 ? 200000 : 0;
	f->eof |= (what & 48) == 48;
	f->error = (what & 192) == 192 ? -EIO : 0;
	if (what & 128 && what & 32 && what & 16)
		f->stream.user->failed(f->stream.ctx, -ECONNRESET);
	else if (what & 64)
		f->stream.user->writable(f->stream.ctx);
	else
		f->stream.user->readable(f->stream.ctx);
}

static void opened(struct input *in)
{
	struct far *f = &t.far[take8(in) % CONNS];
	uint8_t error = take8(in);

	if (!f->in_use || f->told)
		return;
	f->told = true;
	f->stream.user->opened(f->stream.ctx, error % 4 == 1   ? -ECONNREFUSED
					      : error % 8 == 2 ? -EHOSTUNREACH
							       : 0);
}

static void inbound(struct input *in)
{
	unsigned int i = take8(in) % CONNS;
	struct flow_key key = {t.c.v4.guest, t.c.v4.gateway, (uint16_t)(1000 + i), 80};

	if (attach(i) && tcp_connect_guest(t.s, &key, &t.far[i].stream, t.now) < 0)
		t.far[i].in_use = false;
}

static void step(struct input *in)
{
	struct flow_key key = {t.c.v4.guest, t.c.v4.gateway, 1000, 53};
	size_t len;

	switch (take8(in) % OPS) {
	case OP_FRAME:
		len = MIN((size_t)take16(in), in->n);
		memcpy(t.frame, in->p, len);
		in->p += len;
		in->n -= len;
		stack_input(t.s, t.frame, len, t.now);
		break;
	case OP_SEGMENT:
		near_segment(in);
		break;
	case OP_SYN:
		len = take8(in) % CONNS;
		segment((unsigned int)len, TCP_SYN, t.seq[len]++, 0, 60000, 0);
		break;
	case OP_OPENED:
		opened(in);
		break;
	case OP_FAR:
		far_acts(in);
		break;
	case OP_ROOM:
		t.room = take8(in);
		stack_room(t.s, t.now);
		break;
	case OP_TIME:
		t.now += take16(in) * NSEC_PER_MSEC;
		stack_tick(t.s, t.now);
		break;
	case OP_UDP:
		len = take16(in);
		stack_send_udp(t.s, &key, t.frame, len);
		break;
	case OP_INBOUND:
		inbound(in);
		break;
	}
	stack_flush(t.s, t.now);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct input in = {data, n};

	memset(t.far, 0, sizeof(t.far));
	memset(t.seq, 0, sizeof(t.seq));
	t.now = 1000 * NSEC_PER_SEC;
	t.room = 100;
	t.c = (struct stack_config){
		.guest_mac = {2, 0, 0, 0, 0, 2},
		.our_mac = {2, 0, 0, 0, 0, 1},
		.mtu = 1500,
		.max_connections = CONNS / 2,
	};
	t.c.v4.on = t.c.v6.on = true;
	CHECK(addr_parse("172.16.0.6", &t.c.v4.guest) == 0 &&
	      addr_parse("172.16.0.5", &t.c.v4.gateway) == 0);
	CHECK(addr_parse("fd42::2", &t.c.v6.guest) == 0 &&
	      addr_parse("fd42::1", &t.c.v6.gateway) == 0);
	t.s = stack_new(&t.c, &ops, NULL);
	CHECK(t.s);
	while (in.n)
		step(&in);
	CHECK(stack_tcp_count(t.s) <= CONNS / 2);
	stack_free(t.s);
	for (unsigned int i = 0; i < CONNS; i++)
		CHECK(!t.far[i].in_use);
	return 0;
}
