/* SPDX-License-Identifier: Apache-2.0 */
/* TCP without time: opening, data, closing. */
#include "guest.h"

#define FIXTURE                   \
	struct guest *g = *state; \
	struct peer p;            \
	static struct far f;      \
	peer_init(&p, g, "1.2.3.4", 80)

/* --- opening ------------------------------------------------------------------------------- */

static void test_handshake(void **state)
{
	static const char *const remotes[] = {"1.2.3.4", "2001:db8::9"};

	for (size_t i = 0; i < ARRAY_SIZE(remotes); i++) {
		struct guest *g = *state;
		struct peer p;
		static struct far f;
		struct heard h;

		peer_init(&p, g, remotes[i], 80);
		far_init(&f);
		send_syn(&p);
		assert_int_equal(g->n_opened, i + 1);
		assert_true(addr_equal(&g->key.remote, &p.remote));
		assert_int_equal(g->key.remote_port, 80);
		assert_int_equal(g->key.guest_port, 40000);
		/* Nothing before the far end is open. */
		no_frame(g);
		tcp_attach(g->opened, &f.stream);
		flush(g);
		no_frame(g);
		f.stream.user->opened(f.stream.ctx, 0);
		no_frame(g);
		flush(g);
		h = expect_segment(&p, TCP_SYN | TCP_ACK, 0);
		assert_int_equal(h.window, 65535);
		/* MSS of the link, and our scale. */
		assert_int_equal(g->p.l4_len, TCP_LEN + 8);
		assert_int_equal(g->p.l4[TCP_LEN], 2);
		assert_int_equal(g->p.l4[TCP_LEN + 2] << 8 | g->p.l4[TCP_LEN + 3], i ? 1440 : 1460);
		assert_int_equal(g->p.l4[TCP_LEN + 4], 3);
		send_segment(&p, TCP_ACK, NULL, 0);
		no_frame(g);
		assert_int_equal(stack_tcp_count(g->stack), 1);
		tcp_abort(g->opened);
		assert_true(f.closed && f.reset);
		expect_segment(&p, TCP_RST | TCP_ACK, 0);
		assert_int_equal(stack_tcp_count(g->stack), 0);
		far_release(&f);
	}
}

static void test_guest_without_options(void **state)
{
	FIXTURE;
	static const uint8_t data[4000] = {1};

	far_init(&f);
	send_segment(&p, TCP_SYN, NULL, 0);
	tcp_attach(g->opened, &f.stream);
	f.stream.user->opened(f.stream.ctx, 0);
	flush(g);
	expect_segment(&p, TCP_SYN | TCP_ACK, 0);
	assert_int_equal(g->p.l4_len, TCP_LEN + 4); /* no scale */
	send_segment(&p, TCP_ACK, NULL, 0);
	far_says(&f, data, sizeof(data));
	flush(g);
	expect_segment(&p, TCP_ACK, sizeof(data));
	/* The default MSS of RFC 9293 3.7.1. */
	assert_int_equal(((struct virtio_net_hdr_v1 *)g->taken.data)->gso_size, 536);
	far_release(&f);
}

static void test_repeated_syn(void **state)
{
	FIXTURE;

	far_init(&f);
	send_syn(&p);
	p.seq--;
	send_syn(&p);
	assert_int_equal(g->n_opened, 1);
	tcp_attach(g->opened, &f.stream);
	f.stream.user->opened(f.stream.ctx, 0);
	flush(g);
	expect_segment(&p, TCP_SYN | TCP_ACK, 0);
	/* Its answer got lost. */
	p.seq--;
	send_syn(&p);
	expect_segment(&p, TCP_SYN | TCP_ACK, 0);
	send_segment(&p, TCP_ACK, NULL, 0);
	no_frame(g);
	far_release(&f);
}

static void test_refusals(void **state)
{
	static const struct {
		int error;
		int code; /* of the ICMP error before the RST; -1: there is none */
	} cases[] = {
		{-ECONNREFUSED, -1}, {-ECONNRESET, -1},  {-EPERM, 13},
		{-ENETUNREACH, 0},   {-EHOSTUNREACH, 1}, {-ETIMEDOUT, 1},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		FIXTURE;
		struct heard h;

		far_init(&f);
		send_syn(&p);
		tcp_attach(g->opened, &f.stream);
		f.stream.user->opened(f.stream.ctx, cases[i].error);
		assert_true(f.closed);
		if (cases[i].code >= 0) {
			take_frame(g);
			assert_int_equal(g->p.kind, PACKET_ICMP4);
			assert_int_equal(g->p.l4[0], 3);
			assert_int_equal(g->p.l4[1], cases[i].code);
			/* The guest knows by the sequence number that it is meant. */
			assert_int_equal(get32(g->p.l4 + ICMP_LEN + IP4_LEN + 4), p.seq - 1);
		}
		h = hear(g);
		assert_int_equal(h.flags, TCP_RST | TCP_ACK);
		assert_int_equal(h.ack, p.seq);
		no_frame(g);
		assert_int_equal(stack_tcp_count(g->stack), 0);
	}
}

static void test_denied(void **state)
{
	FIXTURE;

	send_syn(&p);
	tcp_refuse(g->opened, UNREACH_PROHIBITED);
	take_frame(g);
	assert_int_equal(g->p.kind, PACKET_ICMP4);
	assert_int_equal(hear(g).flags, TCP_RST | TCP_ACK);
	(void)f;
}

static void test_guest_gives_up(void **state)
{
	FIXTURE;

	send_syn(&p);
	send_raw(&p, TCP_RST, p.seq + 1, 0, NULL, 0, NULL, 0); /* not this one */
	assert_int_equal(stack_tcp_count(g->stack), 1);
	send_segment(&p, TCP_RST, NULL, 0);
	assert_int_equal(stack_tcp_count(g->stack), 0);
	no_frame(g);
	(void)f;
}

static void test_max_connections(void **state)
{
	FIXTURE;

	for (unsigned int i = 0; i < g->config.max_connections; i++) {
		p.port++;
		send_syn(&p);
		no_frame(g);
	}
	p.port++;
	send_syn(&p);
	assert_int_equal(g->n_opened, g->config.max_connections);
	assert_int_equal(g->n_dropped, 1);
	assert_int_equal(hear(g).flags, TCP_RST | TCP_ACK);
	(void)f;
}

static void test_segments_for_nobody(void **state)
{
	FIXTURE;
	struct heard h;

	p.ack = 12345;
	send_segment(&p, TCP_ACK, "hello", 5);
	h = hear(g);
	assert_int_equal(h.flags, TCP_RST);
	assert_int_equal(h.seq, 12345);
	send_segment(&p, TCP_FIN, "hello", 5);
	h = hear(g);
	assert_int_equal(h.flags, TCP_RST | TCP_ACK);
	assert_int_equal(h.ack, p.seq);
	send_segment(&p, TCP_RST, NULL, 0);
	send_segment(&p, TCP_RST | TCP_ACK, NULL, 0);
	no_frame(g);
	(void)f;
}

static struct flow_key inbound(const struct guest *g, const struct peer *p)
{
	return (struct flow_key){p->guest, g->config.v4.gateway, p->port, p->remote_port};
}

static void test_connection_to_guest(void **state)
{
	FIXTURE;
	struct flow_key key;

	p.remote = g->config.v4.gateway;
	key = inbound(g, &p);
	far_init(&f);
	assert_int_equal(tcp_connect_guest(g->stack, &key, &f.stream, g->now), 0);
	assert_int_equal(tcp_connect_guest(g->stack, &key, &f.stream, g->now), -EADDRINUSE);
	f.stream.user->opened(f.stream.ctx, 0);
	far_says(&f, (const uint8_t *)"early", 5);
	flush(g);
	expect_segment(&p, TCP_SYN, 0);
	/* The wrong acknowledgement is reset, the connection goes on. */
	send_raw(&p, TCP_SYN | TCP_ACK, p.seq, p.ack + 1, NULL, 0, NULL, 0);
	assert_int_equal(hear(g).flags, TCP_RST);
	send_segment(&p, TCP_SYN | TCP_ACK, NULL, 0);
	expect_segment(&p, TCP_ACK, 5);
	assert_memory_equal(g->p.payload, "early", 5);
	far_release(&f);
}

static void test_guest_refuses(void **state)
{
	FIXTURE;
	struct flow_key key;

	p.remote = g->config.v4.gateway;
	key = inbound(g, &p);
	far_init(&f);
	assert_int_equal(tcp_connect_guest(g->stack, &key, &f.stream, g->now), 0);
	flush(g);
	expect_segment(&p, TCP_SYN, 0);
	send_segment(&p, TCP_RST | TCP_ACK, NULL, 0);
	assert_true(f.closed && f.reset);
	no_frame(g);
	g->config.v4.on = false;
	assert_int_equal(stack_tcp_count(g->stack), 0);
}

/* --- data ---------------------------------------------------------------------------------- */

static void test_data_to_far(void **state)
{
	FIXTURE;

	connect_to(&p, &f);
	send_segment(&p, TCP_ACK, "hello", 5);
	assert_int_equal(f.n_got, 5);
	assert_memory_equal(f.got, "hello", 5);
	expect_segment(&p, TCP_ACK, 0);
	/* Several frames of one round have one answer. */
	send_raw(&p, TCP_ACK, p.seq, p.ack, NULL, 0, "a", 1);
	send_raw(&p, TCP_ACK, p.seq + 1, p.ack, NULL, 0, "b", 1);
	p.seq += 2;
	flush(g);
	expect_segment(&p, TCP_ACK, 0);
	no_frame(g);
	assert_memory_equal(f.got, "helloab", 7);
	far_release(&f);
}

static void test_old_and_new(void **state)
{
	FIXTURE;

	connect_to(&p, &f);
	send_segment(&p, TCP_ACK, "abc", 3);
	expect_segment(&p, TCP_ACK, 0);
	/* Wholly old. */
	send_raw(&p, TCP_ACK, p.seq - 3, p.ack, NULL, 0, "XYZ", 3);
	flush(g);
	expect_segment(&p, TCP_ACK, 0);
	/* Half old. */
	send_raw(&p, TCP_ACK, p.seq - 3, p.ack, NULL, 0, "XYZdef", 6);
	p.seq += 3;
	flush(g);
	expect_segment(&p, TCP_ACK, 0);
	/* After a gap. */
	send_raw(&p, TCP_ACK, p.seq + 1, p.ack, NULL, 0, "hij", 3);
	flush(g);
	expect_segment(&p, TCP_ACK, 0);
	assert_int_equal(f.n_got, 6);
	assert_memory_equal(f.got, "abcdef", 6);
	far_release(&f);
}

static void test_window_closes_and_opens(void **state)
{
	FIXTURE;
	static uint8_t data[64 * KIB];
	size_t sent = 0;
	struct heard h;

	connect_to(&p, &f);
	f.write_max = 0;
	for (;;) {
		send_segment(&p, TCP_ACK, data, 60000);
		sent += 60000;
		h = hear(g);
		assert_true(h.ack <= p.seq);
		if (h.ack != p.seq)
			break;
	}
	/* What was acknowledged is the whole of the buffer, to the byte. */
	assert_int_equal(sent - (p.seq - h.ack), TCP_RECEIVE_BUFFER);
	assert_int_equal(h.window, 0);
	p.seq = h.ack;
	/* A probe of the window gets an answer and nothing more. */
	send_raw(&p, TCP_ACK, p.seq, p.ack, NULL, 0, data, 1);
	flush(g);
	assert_int_equal(expect_segment(&p, TCP_ACK, 0).window, 0);
	/* A little room is not announced. */
	f.write_max = 100;
	f.stream.user->writable(f.stream.ctx);
	f.write_max = SIZE_MAX;
	f.stream.user->writable(f.stream.ctx);
	flush(g);
	h = expect_segment(&p, TCP_ACK, 0);
	assert_true(h.window << 4 > TCP_RECEIVE_BUFFER / 2);
	assert_int_equal(f.n_got, TCP_RECEIVE_BUFFER);
	send_segment(&p, TCP_ACK, "x", 1);
	expect_segment(&p, TCP_ACK, 0);
	assert_int_equal(f.n_got, TCP_RECEIVE_BUFFER + 1);
	far_release(&f);
}

static void test_beyond_the_window(void **state)
{
	FIXTURE;

	connect_to(&p, &f);
	/* 65535 were announced so far. */
	send_raw(&p, TCP_ACK, p.seq + 65535, p.ack, NULL, 0, "x", 1);
	flush(g);
	expect_segment(&p, TCP_ACK, 0);
	assert_int_equal(f.n_got, 0);
	far_release(&f);
}

static void test_data_to_guest(void **state)
{
	FIXTURE;
	static uint8_t data[200 * KIB];
	size_t got = 0;

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7);
	connect_to(&p, &f);
	far_says(&f, data, sizeof(data));
	no_frame(g);
	flush(g);
	/* As much as the guest's window of 64 KiB allows, in frames of whole segments. */
	while (has_frame(g)) {
		struct heard h = hear(g);

		assert_int_equal(h.seq, p.ack);
		assert_memory_equal(g->p.payload, data + got, g->p.payload_len);
		assert_int_equal(((struct virtio_net_hdr_v1 *)g->taken.data)->gso_size, 1460);
		got += g->p.payload_len;
		p.ack += (uint32_t)g->p.payload_len;
	}
	/* A crumb that the window would still have had room for is not worth a frame. */
	assert_in_range(got, 64 * KIB - 1460, 64 * KIB);
	while (got < sizeof(data)) {
		send_segment(&p, TCP_ACK, NULL, 0);
		assert_true(has_frame(g));
		while (has_frame(g)) {
			hear(g);
			assert_memory_equal(g->p.payload, data + got, g->p.payload_len);
			got += g->p.payload_len;
			p.ack += (uint32_t)g->p.payload_len;
		}
	}
	send_segment(&p, TCP_ACK, NULL, 0);
	no_frame(g);
	far_release(&f);
}

static void test_no_room_for_frames(void **state)
{
	FIXTURE;
	static const uint8_t data[100 * KIB] = {9};
	size_t got = 0;

	connect_to(&p, &f);
	p.window = 2048;
	send_segment(&p, TCP_ACK, NULL, 0);
	g->capacity = 0;
	far_says(&f, data, sizeof(data));
	flush(g);
	no_frame(g);
	while (got < sizeof(data)) {
		g->capacity = 1;
		stack_room(g->stack, g->now);
		hear(g);
		got += g->p.payload_len;
	}
	no_frame(g);
	far_release(&f);
}

static void test_guest_window_of_zero(void **state)
{
	FIXTURE;

	connect_to(&p, &f);
	p.window = 0;
	send_segment(&p, TCP_ACK, NULL, 0);
	far_says(&f, (const uint8_t *)"hello", 5);
	flush(g);
	no_frame(g);
	p.window = 512;
	send_segment(&p, TCP_ACK, NULL, 0);
	expect_segment(&p, TCP_ACK, 5);
	far_release(&f);
}

static void test_bad_acknowledgements(void **state)
{
	FIXTURE;

	connect_to(&p, &f);
	far_says(&f, (const uint8_t *)"hello", 5);
	flush(g);
	expect_segment(&p, TCP_ACK, 5);
	/* Of what was never sent: the data with it do not count either. */
	send_raw(&p, TCP_ACK, p.seq, p.ack + 1, NULL, 0, "data", 4);
	flush(g);
	expect_segment(&p, TCP_ACK, 0);
	assert_int_equal(f.n_got, 0);
	/* An old one does no harm. */
	send_raw(&p, TCP_ACK, p.seq, p.ack - 5, NULL, 0, "data", 4);
	p.seq += 4;
	flush(g);
	expect_segment(&p, TCP_ACK, 0);
	assert_int_equal(f.n_got, 4);
	far_release(&f);
}

static void test_wrap(void **state)
{
	FIXTURE;
	static uint8_t data[40000];

	p.seq = UINT32_MAX - 20000;
	connect_to(&p, &f);
	send_segment(&p, TCP_ACK, data, sizeof(data));
	expect_segment(&p, TCP_ACK, 0);
	assert_true(p.seq < 40000);
	assert_int_equal(f.n_got, sizeof(data));
	far_release(&f);
}

/* --- resets -------------------------------------------------------------------------------- */

static void test_resets(void **state)
{
	FIXTURE;

	connect_to(&p, &f);
	/* In the window, but not exactly next: asked back (RFC 5961 3.2). */
	send_raw(&p, TCP_RST, p.seq + 10, 0, NULL, 0, NULL, 0);
	flush(g);
	expect_segment(&p, TCP_ACK, 0);
	/* Out of the window: nothing. */
	send_raw(&p, TCP_RST, p.seq - 10, 0, NULL, 0, NULL, 0);
	flush(g);
	no_frame(g);
	/* A SYN in the middle (RFC 5961 4). */
	send_raw(&p, TCP_SYN, p.seq, 0, NULL, 0, NULL, 0);
	flush(g);
	expect_segment(&p, TCP_ACK, 0);
	assert_false(f.closed);
	send_segment(&p, TCP_RST, NULL, 0);
	assert_true(f.closed && f.reset);
	no_frame(g);
	assert_int_equal(stack_tcp_count(g->stack), 0);
}

static void test_challenges_are_limited(void **state)
{
	FIXTURE;
	unsigned int n = 0;

	connect_to(&p, &f);
	for (int i = 0; i < 500; i++) {
		send_raw(&p, TCP_SYN, p.seq, 0, NULL, 0, NULL, 0);
		flush(g);
		for (; has_frame(g); n++)
			hear(g);
	}
	assert_int_equal(n, 100);
	far_release(&f);
}

/* --- closing ------------------------------------------------------------------------------- */

static void test_guest_closes_first(void **state)
{
	FIXTURE;

	connect_to(&p, &f);
	send_segment(&p, TCP_FIN | TCP_ACK, "bye", 3);
	assert_memory_equal(f.got, "bye", 3);
	assert_true(f.shut && !f.closed);
	expect_segment(&p, TCP_ACK, 0);
	/* The other direction goes on. */
	far_says(&f, (const uint8_t *)"still", 5);
	flush(g);
	expect_segment(&p, TCP_ACK, 5);
	far_ends(&f);
	assert_true(f.closed && !f.reset);
	flush(g);
	expect_segment(&p, TCP_FIN | TCP_ACK, 0);
	assert_int_equal(stack_tcp_count(g->stack), 1);
	send_segment(&p, TCP_ACK, NULL, 0);
	assert_int_equal(stack_tcp_count(g->stack), 0);
	no_frame(g);
	far_release(&f);
}

static void test_far_closes_first(void **state)
{
	FIXTURE;

	connect_to(&p, &f);
	f.says = (const uint8_t *)"last";
	f.n_says = 4;
	far_ends(&f);
	flush(g);
	expect_segment(&p, TCP_FIN | TCP_ACK, 4);
	send_segment(&p, TCP_ACK, "more", 4);
	assert_memory_equal(f.got, "more", 4);
	expect_segment(&p, TCP_ACK, 0);
	assert_false(f.closed);
	send_segment(&p, TCP_FIN | TCP_ACK, NULL, 0);
	assert_true(f.shut && f.closed && !f.reset);
	expect_segment(&p, TCP_ACK, 0);
	assert_int_equal(stack_tcp_count(g->stack), 0);
	/* A FIN that comes again belongs to nobody. */
	p.seq--;
	send_segment(&p, TCP_FIN | TCP_ACK, NULL, 0);
	assert_int_equal(hear(g).flags, TCP_RST);
	far_release(&f);
}

static void test_both_close_at_once(void **state)
{
	FIXTURE;
	uint32_t before;

	connect_to(&p, &f);
	before = p.ack;
	far_ends(&f);
	flush(g);
	expect_segment(&p, TCP_FIN | TCP_ACK, 0);
	send_raw(&p, TCP_FIN | TCP_ACK, p.seq, before, NULL, 0, NULL, 0);
	p.seq++;
	flush(g);
	expect_segment(&p, TCP_ACK, 0);
	assert_int_equal(stack_tcp_count(g->stack), 1);
	send_segment(&p, TCP_ACK, NULL, 0);
	assert_int_equal(stack_tcp_count(g->stack), 0);
	no_frame(g);
	far_release(&f);
}

static void test_fin_waits_for_the_buffer(void **state)
{
	FIXTURE;

	connect_to(&p, &f);
	f.write_max = 0;
	send_segment(&p, TCP_FIN | TCP_ACK, "held", 4);
	assert_false(f.shut);
	expect_segment(&p, TCP_ACK, 0);
	f.write_max = SIZE_MAX;
	f.stream.user->writable(f.stream.ctx);
	assert_true(f.shut);
	assert_memory_equal(f.got, "held", 4);
	far_release(&f);
}

/* The guest is through, but what it has sent is not yet with the far end. */
static void test_far_is_slow_to_the_end(void **state)
{
	FIXTURE;

	connect_to(&p, &f);
	f.write_max = 0;
	send_segment(&p, TCP_FIN | TCP_ACK, "held", 4);
	expect_segment(&p, TCP_ACK, 0);
	far_ends(&f);
	flush(g);
	expect_segment(&p, TCP_FIN | TCP_ACK, 0);
	send_segment(&p, TCP_ACK, NULL, 0);
	no_frame(g);
	assert_false(f.closed);
	f.write_max = SIZE_MAX;
	f.stream.user->writable(f.stream.ctx);
	flush(g);
	assert_memory_equal(f.got, "held", 4);
	assert_true(f.shut && f.closed && !f.reset);
	assert_int_equal(stack_tcp_count(g->stack), 0);
	no_frame(g);
	far_release(&f);
}

static void test_far_fails(void **state)
{
	for (int i = 0; i < 3; i++) {
		FIXTURE;

		connect_to(&p, &f);
		if (i == 0) {
			f.stream.user->failed(f.stream.ctx, -ECONNRESET);
		} else if (i == 1) {
			f.read_error = -ECONNRESET;
			f.stream.user->readable(f.stream.ctx);
		} else {
			f.write_error = -EPIPE;
			send_segment(&p, TCP_ACK, "x", 1);
			p.seq--;
		}
		assert_true(f.closed && f.reset);
		expect_segment(&p, TCP_RST | TCP_ACK, 0);
		no_frame(g);
		assert_int_equal(stack_tcp_count(g->stack), 0);
	}
}

static void test_free_resets_all(void **state)
{
	FIXTURE;
	static struct far other;
	struct peer q = p;

	connect_to(&p, &f);
	q.port++;
	far_init(&other);
	send_syn(&q);
	tcp_attach(g->opened, &other.stream);
	stack_free(g->stack);
	assert_true(f.closed && other.closed);
	guest_start(g);
}

/* --- much ---------------------------------------------------------------------------------- */

static void test_many_connections(void **state)
{
	FIXTURE;

	for (int i = 0; i < 10000; i++) {
		p.port = (uint16_t)(1024 + i % 60000);
		p.seq = (uint32_t)i * 100000;
		p.window = 65535;
		connect_to(&p, &f);
		send_segment(&p, TCP_ACK, "ping", 4);
		expect_segment(&p, TCP_ACK, 0);
		f.says = (const uint8_t *)"pong";
		f.n_says = 4;
		far_ends(&f);
		flush(g);
		expect_segment(&p, TCP_FIN | TCP_ACK, 4);
		send_segment(&p, TCP_FIN | TCP_ACK, NULL, 0);
		expect_segment(&p, TCP_ACK, 0);
		assert_true(f.closed);
		far_release(&f);
	}
	assert_int_equal(stack_tcp_count(g->stack), 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, guest_setup, guest_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_handshake),
		CASE(test_guest_without_options),
		CASE(test_repeated_syn),
		CASE(test_refusals),
		CASE(test_denied),
		CASE(test_guest_gives_up),
		CASE(test_max_connections),
		CASE(test_segments_for_nobody),
		CASE(test_connection_to_guest),
		CASE(test_guest_refuses),
		CASE(test_data_to_far),
		CASE(test_old_and_new),
		CASE(test_window_closes_and_opens),
		CASE(test_beyond_the_window),
		CASE(test_data_to_guest),
		CASE(test_no_room_for_frames),
		CASE(test_guest_window_of_zero),
		CASE(test_bad_acknowledgements),
		CASE(test_wrap),
		CASE(test_resets),
		CASE(test_challenges_are_limited),
		CASE(test_guest_closes_first),
		CASE(test_far_closes_first),
		CASE(test_both_close_at_once),
		CASE(test_fin_waits_for_the_buffer),
		CASE(test_far_is_slow_to_the_end),
		CASE(test_far_fails),
		CASE(test_free_resets_all),
		CASE(test_many_connections),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
