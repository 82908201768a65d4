/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rounds of the network: real frame rings, of which the test is msb-vmm's side, a real loop, and a
 * stack and sockets that only note what they are asked for.
 */
#include "../testing.h"

#include "base/clock.h"
#include "base/frame_ring.h"
#include "net/dial.h"
#include "net/net.h"
#include "net/outside.h"
#include "net/ports.h"

#include <sys/eventfd.h>

/* --- The fake parts. */

struct stack {
	const struct stack_ops *ops;
	void *ctx;
	struct stack_config config;
};

static struct fake {
	struct stack stack;
	unsigned int inputs, flushes, ticks, rooms;
	size_t last_len;
	uint64_t deadline;
	size_t answer;           /* length of a frame sent for each one that comes; 0: none */
	unsigned int answers;    /* sent */
	unsigned int unsent;     /* there was no room for */
	unsigned int stop_after; /* flushes */
	bool fail_outside, busy_port, to_ports;
	unsigned int udp_ports, udp_outside, echoes, tcp;
	unsigned int alive; /* parts that were made and not freed */
	struct resolver_config resolver;
	struct dial *dial;
	ports_visitor_fn *visitor;
	void *visitor_ctx;
} fake;

static struct loop *loop;

static void *part(void)
{
	fake.alive++;
	return &fake;
}

static void *gone(const void *p)
{
	if (p)
		fake.alive--;
	return NULL;
}

struct stack *stack_new(const struct stack_config *c, const struct stack_ops *ops, void *ctx)
{
	part();
	fake.stack = (struct stack){ops, ctx, *c};
	return &fake.stack;
}

struct stack *stack_free(struct stack *s)
{
	return gone(s);
}

static void send_frame(void)
{
	uint8_t *frame = fake.stack.ops->frame_reserve(fake.stack.ctx, fake.answer);

	if (!frame) {
		fake.unsent++;
		return;
	}
	memset(frame, 'a', fake.answer);
	fake.stack.ops->frame_commit(fake.stack.ctx, fake.answer);
	fake.answers++;
}

void stack_input(struct stack *s, const uint8_t *frame, size_t len, uint64_t now)
{
	fake.inputs++;
	fake.last_len = len;
	if (fake.answer)
		send_frame();
}

/* What had to wait is sent. */
void stack_room(struct stack *s, uint64_t now)
{
	unsigned int n = fake.unsent;

	fake.rooms++;
	fake.unsent = 0;
	while (n--)
		send_frame();
}

void stack_tick(struct stack *s, uint64_t now)
{
	fake.ticks++;
	assert_true(now >= fake.deadline);
	fake.deadline = UINT64_MAX;
}

uint64_t stack_next_deadline(const struct stack *s)
{
	return fake.deadline;
}

void stack_flush(struct stack *s, uint64_t now)
{
	if (++fake.flushes == fake.stop_after)
		loop_stop(loop);
}

struct host_addrs *host_addrs_new(struct loop *l)
{
	return part();
}

struct host_addrs *host_addrs_free(struct host_addrs *h)
{
	return gone(h);
}

bool host_addrs_has(const struct host_addrs *h, const struct addr *a)
{
	return a->b[15] == 1;
}

struct pins *pins_new(const uint8_t secret[16])
{
	return part();
}

struct pins *pins_free(struct pins *p)
{
	return gone(p);
}

struct resolver *resolver_new(struct loop *l, const struct resolver_config *c)
{
	fake.resolver = *c;
	return part();
}

struct resolver *resolver_free(struct resolver *r)
{
	return gone(r);
}

void dial_tcp(struct dial *d, struct tcp_conn *c, const struct flow_key *key, uint64_t now)
{
	fake.tcp++;
	d->denied(d->ctx, "tcp", "192.0.2.1:80", "rule 1, deny@any");
}

struct outside *outside_new(struct loop *l, struct dial *dial, struct stack *stack)
{
	fake.dial = dial;
	if (fake.fail_outside) {
		errno = EMFILE;
		return NULL;
	}
	return part();
}

struct outside *outside_free(struct outside *o)
{
	return gone(o);
}

void outside_udp(struct outside *o, const struct flow_key *key, const uint8_t *data, size_t len)
{
	fake.udp_outside++;
}

void outside_echo(struct outside *o, const struct flow_key *key, uint16_t seq, const uint8_t *data,
		  size_t len)
{
	fake.echoes++;
}

struct ports *ports_new(struct loop *l, const struct net_spec *spec, uint16_t *chosen,
			struct err *e)
{
	if (fake.busy_port) {
		err_set(e, ERR_BUSY, "port 127.0.0.1:80/tcp is already in use");
		return NULL;
	}
	for (unsigned int i = 0; i < spec->n_publish; i++)
		chosen[i] = spec->publish[i].host_port ? spec->publish[i].host_port : 40000;
	return part();
}

void ports_start(struct ports *p, struct stack *stack, ports_visitor_fn *visitor, void *ctx)
{
	fake.visitor = visitor;
	fake.visitor_ctx = ctx;
}

struct ports *ports_free(struct ports *p)
{
	return gone(p);
}

bool ports_udp(struct ports *p, const struct flow_key *key, const uint8_t *data, size_t len)
{
	fake.udp_ports += fake.to_ports;
	return fake.to_ports;
}

/* --- The test's side. */

static struct frame_rings vmm;
static struct net_fds fds;
static struct net_spec spec;
static struct net *net;
static char *events; /* lines that were told */

static void on_event(void *ctx, const char *line)
{
	char *all = xasprintf("%s%s\n", events, line);

	assert_ptr_equal(ctx, &events);
	free(events);
	events = all;
}

static int setup(void **state)
{
	fake = (struct fake){.deadline = UINT64_MAX};
	events = xstrdup("");
	loop = loop_new();
	net_spec_init(&spec);
	net_spec_set_slot(&spec, 1);
	fds.rings_fd = frame_rings_create();
	fds.wake_fd = eventfd(0, EFD_CLOEXEC);
	fds.call_fd = eventfd(0, EFD_CLOEXEC);
	return loop ? frame_rings_map(&vmm, fds.rings_fd, FRAME_SIDE_VMM) : -1;
}

static int teardown(void **state)
{
	net = net_free(net);
	assert_int_equal(fake.alive, 0);
	frame_rings_unmap(&vmm);
	close_fd(&fds.rings_fd);
	close_fd(&fds.wake_fd);
	close_fd(&fds.call_fd);
	net_spec_release(&spec);
	loop = loop_free(loop);
	free(events);
	return 0;
}

static void start(void)
{
	struct err e = {};

	net = net_new(loop, &spec, &fds, on_event, &events, &e);
	if (!net)
		fail_msg("%s", e.msg);
}

/* Runs so many rounds. The stop is asked for within the last, which ends as usual. */
static void run_rounds(unsigned int n)
{
	fake.stop_after = fake.flushes + n;
	assert_int_equal(loop_run(loop), 0);
}

/* The guest sends frames; whether msb-net has to be woken for them. */
static bool guest_sends(unsigned int n, size_t len)
{
	while (n--) {
		uint8_t *frame = frame_ring_reserve(&vmm.out, len);

		assert_non_null(frame);
		memset(frame, 'g', len);
		frame_ring_commit(&vmm.out, len);
	}
	return frame_ring_publish(&vmm.out);
}

/* How many frames the guest gets. */
static unsigned int guest_gets(void)
{
	const uint8_t *frame;
	unsigned int n = 0;

	while (frame_ring_next(&vmm.in, &frame) > 0) {
		assert_int_equal(frame[0], 'a');
		frame_ring_done(&vmm.in);
		n++;
	}
	return n;
}

/* How often msb-vmm was woken since the last time. */
static unsigned int calls(void)
{
	uint64_t n = 0;

	return read(fds.call_fd, &n, sizeof(n)) == sizeof(n) ? (unsigned int)n : 0;
}

static void test_frames_from_before(void **state)
{
	guest_sends(3, 100);
	start();
	run_rounds(1);
	assert_int_equal(fake.inputs, 3);
	assert_int_equal(fake.last_len, 100);
}

static void test_wake_and_answer(void **state)
{
	start();
	run_rounds(1);
	assert_int_equal(fake.inputs, 0);
	assert_false(frame_ring_await_frame(&vmm.in));
	fake.answer = 60;
	/* It sleeps by now and asked to be woken; msb-vmm is woken once for all answers. */
	assert_true(guest_sends(10, 64));
	calls();
	event_signal(fds.wake_fd);
	run_rounds(1);
	assert_int_equal(fake.inputs, 10);
	assert_int_equal(calls(), 1);
	assert_int_equal(guest_gets(), 10);
	/* And asks again. */
	assert_true(guest_sends(1, 64));
}

static void test_no_needless_call(void **state)
{
	start();
	/* Nobody waits for a frame or room. */
	fake.answer = 60;
	guest_sends(1, 64);
	run_rounds(1);
	calls();
	guest_sends(1, 64);
	event_signal(fds.wake_fd);
	run_rounds(1);
	assert_int_equal(fake.answers, 2);
	assert_int_equal(calls(), 0);
}

/* The sockets get their turn, and what is left comes without being woken. */
static void test_budget(void **state)
{
	guest_sends(1000, 64);
	start();
	run_rounds(1);
	assert_in_range(fake.inputs, 1, 999);
	while (fake.inputs < 1000)
		run_rounds(1);
	assert_int_equal(fake.inputs, 1000);
}

static void test_no_room(void **state)
{
	unsigned int got = 0;

	start();
	/* More than the ring holds. */
	fake.answer = 60000;
	guest_sends(20, 64);
	run_rounds(1);
	assert_int_equal(fake.inputs, 20);
	assert_in_range(fake.answers, 2, 18);
	assert_int_equal(fake.answers + fake.unsent, 20);
	got += guest_gets();
	/* It asked to be woken. */
	assert_true(frame_ring_release(&vmm.in));
	event_signal(fds.wake_fd);
	while (fake.unsent) {
		run_rounds(1);
		got += guest_gets();
		if (frame_ring_release(&vmm.in))
			event_signal(fds.wake_fd);
	}
	assert_int_equal(got, 20);
	assert_true(fake.rooms >= 1);
}

static void test_stack_deadline(void **state)
{
	start();
	fake.deadline = 1;
	run_rounds(1);
	assert_int_equal(fake.ticks, 1);
	/* From the round that hears of it on it comes by itself: nothing else would wake us. */
	fake.deadline = clock_mono_ns() + NSEC_PER_MSEC;
	event_signal(fds.wake_fd);
	while (fake.ticks < 2)
		run_rounds(1);
	assert_int_equal(fake.deadline, UINT64_MAX);
}

/* What is sent too fast stays in the ring. */
static void test_egress_rate(void **state)
{
	spec.egress.packets = 1;
	start();
	guest_sends(100, 64);
	run_rounds(1);
	assert_in_range(fake.inputs, 1, 20);
	/* It does not run in circles until then: a round comes only by an event. */
	event_signal(fds.wake_fd);
	run_rounds(1);
	assert_in_range(fake.inputs, 1, 20);
}

static void test_ingress_rate(void **state)
{
	spec.ingress.bytes = 1500;
	start();
	fake.answer = 10000;
	guest_sends(5, 64);
	run_rounds(1);
	/* One goes, although it is more than a burst, the rest has to wait. */
	assert_int_equal(fake.inputs, 5);
	assert_int_equal(fake.answers, 1);
	assert_int_equal(fake.unsent, 4);
	event_signal(fds.wake_fd);
	run_rounds(1);
	assert_int_equal(fake.answers, 1);
	assert_int_equal(fake.rooms, 0);
}

static void test_segments_count(void **state)
{
	spec.egress.packets = 1000;
	start();
	/* Each stands for some forty packets, of which a burst has a hundred. */
	guest_sends(7, 60000);
	run_rounds(1);
	assert_int_equal(fake.inputs, 3);
}

static void test_broken_ring(void **state)
{
	struct err e = {};
	uint8_t *frame;

	start();
	/* A record that says it is longer than the whole ring. */
	frame = frame_ring_reserve(&vmm.out, 64);
	assert_non_null(frame);
	frame_ring_commit(&vmm.out, 64);
	((uint32_t *)(void *)frame)[-1] = 0x7fffffff;
	frame_ring_publish(&vmm.out);
	assert_int_equal(loop_run(loop), 0);
	assert_int_equal(fake.inputs, 0);
	assert_int_equal(net_failure(net, &e), -1);
	assert_string_equal(e.msg, "the machine broke the rules of the frame rings");
}

static void test_ports(void **state)
{
	spec.n_publish = 2;
	spec.publish[0] = (struct net_publish){.protocol = PROTO_TCP, .guest_port = 80};
	spec.publish[1] =
		(struct net_publish){.protocol = PROTO_UDP, .host_port = 5353, .guest_port = 53};
	assert_int_equal(addr_parse("127.0.0.1", &spec.publish[0].addr), 0);
	assert_int_equal(addr_parse("::1", &spec.publish[1].addr), 0);
	start();
	assert_string_equal(events, "port tcp 127.0.0.1:40000 80\nport udp [::1]:5353 53\n");
}

static void test_log_lines(void **state)
{
	struct flow_key key = {};
	struct addr peer;

	start();
	fake.stack.ops->tcp_open(fake.stack.ctx, NULL, &key);
	fake.stack.ops->tcp_open(fake.stack.ctx, NULL, &key);
	fake.resolver.denied(fake.resolver.ctx, "evil.example", "rule 2, deny@evil.example");
	assert_int_equal(addr_parse("192.0.2.9", &peer), 0);
	fake.visitor(fake.visitor_ctx, "tcp", &peer, 1234, 80, NULL);
	fake.visitor(fake.visitor_ctx, "tcp", &peer, 1235, 80, "the default for ingress");
	assert_string_equal(events, "deny tcp 192.0.2.1:80: rule 1, deny@any\n"
				    "deny dns evil.example: rule 2, deny@evil.example\n"
				    "visit tcp 192.0.2.9:1234 to port 80\n"
				    "deny visit tcp 192.0.2.9:1235 to port 80: the default for "
				    "ingress\n");
	/* What was counted is told at the end. */
	net = net_free(net);
	assert_non_null(strstr(events, "deny tcp 192.0.2.1:80: rule 1, deny@any (1 more)\n"));
}

static void test_dispatch(void **state)
{
	struct flow_key key = {};
	struct addr a = {};

	start();
	fake.stack.ops->udp(fake.stack.ctx, &key, NULL, 0);
	fake.to_ports = true;
	fake.stack.ops->udp(fake.stack.ctx, &key, NULL, 0);
	fake.stack.ops->echo(fake.stack.ctx, &key, 0, NULL, 0);
	assert_int_equal(fake.udp_outside, 1);
	assert_int_equal(fake.udp_ports, 1);
	assert_int_equal(fake.echoes, 1);
	assert_false(fake.resolver.is_host(fake.resolver.ctx, &a));
	a.b[15] = 1;
	assert_true(fake.resolver.is_host(fake.resolver.ctx, &a));
	assert_int_equal(fake.resolver.n_gateway, spec.v4.on + spec.v6.on);
	assert_memory_equal(fake.stack.config.guest_mac, spec.mac, 6);
	assert_memory_equal(fake.stack.config.our_mac, spec.gateway_mac, 6);
	/* Keys of hashes are not shared. */
	assert_memory_not_equal(fake.stack.config.secret, fake.resolver.secret, 16);
}

static void refused(enum err_code code, const char *saying)
{
	struct err e = {};

	assert_null(net_new(loop, &spec, &fds, on_event, &events, &e));
	assert_int_equal(e.code, code);
	assert_non_null(strstr(e.msg, saying));
	/* Whatever was made is gone again. */
	assert_int_equal(fake.alive, 0);
	assert_string_equal(events, "");
}

static void test_refusals(void **state)
{
	_cleanup_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int rings = fds.rings_fd;

	fake.busy_port = true;
	refused(ERR_BUSY, "is already in use");
	fake.fail_outside = true;
	refused(ERR_SYSTEM, "cannot set up the network: Too many open files");
	fds.rings_fd = null;
	refused(ERR_SYSTEM, "cannot map the frame rings");
	fds.rings_fd = rings;
	close_fd(&fds.wake_fd);
	refused(ERR_SYSTEM, "cannot watch the frame rings");
}

#define net_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		net_test(test_frames_from_before),
		net_test(test_wake_and_answer),
		net_test(test_no_needless_call),
		net_test(test_budget),
		net_test(test_no_room),
		net_test(test_stack_deadline),
		net_test(test_egress_rate),
		net_test(test_ingress_rate),
		net_test(test_segments_count),
		net_test(test_broken_ring),
		net_test(test_ports),
		net_test(test_log_lines),
		net_test(test_dispatch),
		net_test(test_refusals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
