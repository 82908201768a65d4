/* SPDX-License-Identifier: Apache-2.0 */
/* TCP with time: what is sent again, when it is given up, and how it all ends well on a bad link.
 */
#include "guest.h"

#define FIXTURE                   \
	struct guest *g = *state; \
	struct peer p;            \
	static struct far f;      \
	peer_init(&p, g, "1.2.3.4", 80)

#define MS(n)      ((n)*NSEC_PER_MSEC)
#define SECONDS(n) ((n)*NSEC_PER_SEC)

/* Moves to the next deadline; how long that took. */
static uint64_t wait_deadline(struct guest *g)
{
	uint64_t at_ns = stack_next_deadline(g->stack), passed;

	assert_true(at_ns != UINT64_MAX && at_ns >= g->now);
	passed = at_ns - g->now;
	wait_ns(g, passed);
	return passed;
}

static void test_nothing_to_wait_for(void **state)
{
	struct guest *g = *state;

	assert_true(stack_next_deadline(g->stack) == UINT64_MAX);
}

static void test_syn_ack_again(void **state)
{
	FIXTURE;
	uint64_t expected = SECONDS(1);

	far_init(&f);
	send_syn(&p);
	tcp_attach(g->opened, &f.stream);
	f.stream.user->opened(f.stream.ctx, 0);
	flush(g);
	expect_segment(&p, TCP_SYN | TCP_ACK, 0);
	for (int i = 0; i < 5; i++) {
		assert_int_equal(wait_deadline(g), expected);
		expect_segment(&p, TCP_SYN | TCP_ACK, 0);
		no_frame(g);
		expected *= 2;
	}
	wait_deadline(g);
	assert_true(f.closed && f.reset);
	assert_int_equal(hear(g).flags, TCP_RST | TCP_ACK);
	assert_int_equal(stack_tcp_count(g->stack), 0);
}

static void test_syn_again(void **state)
{
	FIXTURE;
	struct flow_key key;

	p.remote = g->config.v4.gateway;
	key = (struct flow_key){p.guest, p.remote, p.port, p.remote_port};
	far_init(&f);
	assert_int_equal(tcp_connect_guest(g->stack, &key, &f.stream, g->now), 0);
	f.stream.user->opened(f.stream.ctx, 0);
	flush(g);
	expect_segment(&p, TCP_SYN, 0);
	for (int i = 0; i < 5; i++) {
		wait_deadline(g);
		expect_segment(&p, TCP_SYN, 0);
	}
	wait_deadline(g);
	assert_true(f.closed && f.reset);
	/* There is nobody to be told. */
	no_frame(g);
}

static void test_data_again(void **state)
{
	FIXTURE;
	static uint8_t data[20000];
	uint64_t expected = SECONDS(1);

	connect_to(&p, &f);
	far_says(&f, data, sizeof(data));
	flush(g);
	hear(g);
	assert_int_equal(g->p.payload_len, sizeof(data));
	/* One segment again, not all of it. */
	for (int i = 0; i < 3; i++) {
		assert_int_equal(wait_deadline(g), expected);
		assert_int_equal(hear(g).seq, p.ack);
		assert_int_equal(g->p.payload_len, 1460);
		no_frame(g);
		expected *= 2;
	}
	/* The guest has all of it: nothing is left. */
	p.ack += sizeof(data);
	send_segment(&p, TCP_ACK, NULL, 0);
	no_frame(g);
	far_release(&f);
}

static void test_go_back(void **state)
{
	FIXTURE;
	static uint8_t data[20000];
	size_t got = 0;

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i % 251);
	connect_to(&p, &f);
	far_says(&f, data, sizeof(data));
	flush(g);
	hear(g); /* and is lost */
	wait_deadline(g);
	/* From here on in order, more with each answer. */
	while (got < sizeof(data)) {
		while (has_frame(g)) {
			assert_int_equal(hear(g).seq, p.ack);
			assert_memory_equal(g->p.payload, data + got, g->p.payload_len);
			got += g->p.payload_len;
			p.ack += (uint32_t)g->p.payload_len;
		}
		send_segment(&p, TCP_ACK, NULL, 0);
	}
	no_frame(g);
	far_release(&f);
}

static void test_giving_up(void **state)
{
	FIXTURE;
	unsigned int n = 0;

	connect_to(&p, &f);
	far_says(&f, (const uint8_t *)"hello", 5);
	flush(g);
	hear(g);
	while (!f.closed) {
		wait_deadline(g);
		drop_frames(g);
		assert_true(++n < 50);
	}
	assert_int_equal(n, 13);
	assert_true(f.reset);
	assert_int_equal(stack_tcp_count(g->stack), 0);
}

static void test_rto_follows_the_guest(void **state)
{
	FIXTURE;

	connect_to(&p, &f);
	for (int i = 0; i < 30; i++) {
		far_says(&f, (const uint8_t *)"x", 1);
		flush(g);
		expect_segment(&p, TCP_ACK, 1);
		g->now += MS(1);
		send_segment(&p, TCP_ACK, NULL, 0);
	}
	far_says(&f, (const uint8_t *)"x", 1);
	flush(g);
	expect_segment(&p, TCP_ACK, 1);
	assert_int_equal(wait_deadline(g), MS(200)); /* never less */
	far_release(&f);
}

static void test_fast_retransmit(void **state)
{
	FIXTURE;
	static uint8_t data[20000];

	connect_to(&p, &f);
	far_says(&f, data, sizeof(data));
	flush(g);
	hear(g);
	for (int i = 0; i < 2; i++)
		send_segment(&p, TCP_ACK, NULL, 0);
	no_frame(g);
	send_segment(&p, TCP_ACK, NULL, 0);
	assert_int_equal(hear(g).seq, p.ack);
	assert_int_equal(g->p.payload_len, 1460);
	/* Once, however often it is said. */
	for (int i = 0; i < 5; i++)
		send_segment(&p, TCP_ACK, NULL, 0);
	no_frame(g);
	far_release(&f);
}

static void test_window_probes(void **state)
{
	FIXTURE;
	uint64_t expected = SECONDS(1);

	connect_to(&p, &f);
	p.window = 0;
	send_segment(&p, TCP_ACK, NULL, 0);
	far_says(&f, (const uint8_t *)"hello", 5);
	flush(g);
	no_frame(g);
	/* For ever, as long as the guest says that it is shut. */
	for (int i = 0; i < 100; i++) {
		assert_int_equal(wait_deadline(g), MIN(expected, SECONDS(60)));
		assert_int_equal(hear(g).seq, p.ack);
		assert_int_equal(g->p.payload_len, 1);
		no_frame(g);
		send_segment(&p, TCP_ACK, NULL, 0);
		expected *= 2;
		if (expected > SECONDS(60))
			expected = SECONDS(60);
	}
	/* One that is taken. */
	wait_deadline(g);
	hear(g);
	p.ack++;
	p.window = 512;
	send_segment(&p, TCP_ACK, NULL, 0);
	expect_segment(&p, TCP_ACK, 4);
	assert_memory_equal(g->p.payload, "ello", 4);
	far_release(&f);
}

static void test_fin_again(void **state)
{
	FIXTURE;

	connect_to(&p, &f);
	far_ends(&f);
	flush(g);
	assert_int_equal(hear(g).flags & TCP_FIN, TCP_FIN);
	wait_deadline(g);
	expect_segment(&p, TCP_FIN | TCP_ACK, 0);
	send_segment(&p, TCP_ACK, NULL, 0);
	no_frame(g);
	/* Half closed, it waits for the guest, and looks after it. */
	assert_int_equal(wait_deadline(g), SECONDS(7200));
	assert_int_equal(hear(g).seq, p.ack - 1);
	far_release(&f);
}

static void test_keepalive(void **state)
{
	FIXTURE;
	uint64_t passed;

	connect_to(&p, &f);
	assert_int_equal(wait_deadline(g), SECONDS(7200));
	assert_int_equal(hear(g).seq, p.ack - 1);
	assert_int_equal(g->p.payload_len, 0);
	/* It is there. */
	send_segment(&p, TCP_ACK, NULL, 0);
	for (passed = 0; !has_frame(g);)
		passed += wait_deadline(g);
	assert_int_equal(passed, SECONDS(7200));
	hear(g);
	for (int i = 0; i < 8; i++) {
		assert_int_equal(wait_deadline(g), SECONDS(75));
		hear(g);
	}
	assert_int_equal(wait_deadline(g), SECONDS(75));
	assert_true(f.closed && f.reset);
}

static void test_far_that_never_opens(void **state)
{
	FIXTURE;

	far_init(&f);
	send_syn(&p);
	tcp_attach(g->opened, &f.stream);
	wait_deadline(g);
	assert_true(f.closed);
	assert_int_equal(hear(g).flags, TCP_RST | TCP_ACK);
}

/* --- a bad link ---------------------------------------------------------------------------- */

/* xorshift: the same numbers each time. */
static uint32_t next_number(uint32_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 17;
	*x ^= *x << 5;
	return *x;
}

#define BULK ((size_t)3 << 20)

struct bulk {
	struct peer p;
	struct far f;
	uint32_t random;
	uint8_t *up, *down; /* what the guest and the far end send */
	size_t down_got;
	uint32_t first, sent; /* sequence numbers of the first byte, and of the furthest */
	bool fin;
};

/* Frames for the guest, of which some get lost and some are acknowledged late. */
static void guest_hears(struct bulk *b)
{
	struct guest *g = b->p.g;

	while (has_frame(g)) {
		struct heard h = hear(g);
		uint32_t skip;

		assert_false(h.flags & TCP_RST);
		if (next_number(&b->random) % 20 == 0)
			continue;
		/* Nothing is acknowledged that was not sent; from there on it goes on. */
		assert_true(seq_le(h.ack, b->sent));
		b->p.seq = h.ack;
		skip = b->p.ack - h.seq;
		if (skip > g->p.payload_len || (skip == g->p.payload_len && !(h.flags & TCP_FIN)))
			continue;
		assert_memory_equal(g->p.payload + skip, b->down + b->down_got,
				    g->p.payload_len - skip);
		b->down_got += g->p.payload_len - skip;
		b->p.ack += (uint32_t)(g->p.payload_len - skip);
		if (h.flags & TCP_FIN && !b->fin) {
			b->fin = true;
			b->p.ack++;
		}
	}
}

static void guest_speaks(struct bulk *b)
{
	size_t at_byte = b->p.seq - b->first;
	size_t len = MIN(next_number(&b->random) % 30000, BULK - at_byte);

	send_segment(&b->p, TCP_ACK, b->up + at_byte, len);
	if (seq_lt(b->sent, b->p.seq))
		b->sent = b->p.seq;
}

static void far_acts(struct bulk *b)
{
	static size_t said;
	struct far *f = &b->f;

	if (f->n_says == 0 && !f->eof) {
		size_t len = MIN(next_number(&b->random) % 200000, BULK - said);

		f->says = b->down + said;
		f->n_says = len;
		said += len;
		f->eof = said == BULK;
	}
	f->write_max = next_number(&b->random) % 3 ? next_number(&b->random) % 50000 : 0;
	if (f->closed)
		return;
	f->stream.user->readable(f->stream.ctx);
	if (f->write_max && !f->closed)
		f->stream.user->writable(f->stream.ctx);
}

static void test_bad_link(void **state)
{
	struct guest *g = *state;
	static struct bulk b;

	b = (struct bulk){.random = 4711, .up = xmalloc(BULK), .down = xmalloc(BULK)};
	for (size_t i = 0; i < BULK; i++) {
		b.up[i] = (uint8_t)next_number(&b.random);
		b.down[i] = (uint8_t)next_number(&b.random);
	}
	peer_init(&b.p, g, "1.2.3.4", 80);
	connect_to(&b.p, &b.f);
	b.first = b.sent = b.p.seq;
	for (unsigned int round = 0; b.f.n_got < BULK || b.down_got < BULK || !b.fin; round++) {
		assert_true(round < 200000);
		g->capacity = next_number(&b.random) % 4 ? SIZE_MAX : next_number(&b.random) % 3;
		guest_speaks(&b);
		far_acts(&b);
		flush(g);
		stack_room(g->stack, g->now);
		guest_hears(&b);
		g->now += MS(next_number(&b.random) % 100);
		stack_tick(g->stack, g->now);
	}
	g->capacity = SIZE_MAX;
	assert_memory_equal(b.f.got, b.up, BULK);
	drop_frames(g);
	send_segment(&b.p, TCP_FIN | TCP_ACK, NULL, 0);
	stack_room(g->stack, g->now);
	for (int i = 0; stack_tcp_count(g->stack) && i < 20; i++) {
		b.f.write_max = SIZE_MAX;
		wait_deadline(g);
		drop_frames(g);
		send_raw(&b.p, TCP_ACK, b.p.seq, b.p.ack, NULL, 0, NULL, 0);
		flush(g);
	}
	assert_int_equal(stack_tcp_count(g->stack), 0);
	assert_true(b.f.closed && !b.f.reset);
	far_release(&b.f);
	free(b.up);
	free(b.down);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, guest_setup, guest_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_nothing_to_wait_for),
		CASE(test_syn_ack_again),
		CASE(test_syn_again),
		CASE(test_data_again),
		CASE(test_go_back),
		CASE(test_giving_up),
		CASE(test_rto_follows_the_guest),
		CASE(test_fast_retransmit),
		CASE(test_window_probes),
		CASE(test_fin_again),
		CASE(test_keepalive),
		CASE(test_far_that_never_opens),
		CASE(test_bad_link),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
