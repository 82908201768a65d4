/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nothing here waits: descriptors are ready before the loop runs, and timers are already due
 * (deadline 0 and small numbers are long past).
 */
#include "../testing.h"

#include "base/clock.h"
#include "base/loop.h"

#include <sys/eventfd.h>
#include <sys/socket.h>

static struct loop *loop;
static char order[64];

static int setup(void **state)
{
	order[0] = '\0';
	loop = loop_new();
	return loop ? 0 : -1;
}

static int teardown(void **state)
{
	loop = loop_free(loop);
	return 0;
}

static void note(char c)
{
	size_t n = strlen(order);

	assert_true(n + 1 < sizeof(order));
	order[n] = c;
	order[n + 1] = '\0';
}

/* A source on an eventfd that is ready, with what its callback does. */
struct source {
	struct ev ev;
	char name;
	void (*then)(struct source *s);
	struct source *other;
};

static void on_source(struct ev *ev, uint32_t events)
{
	struct source *s = container_of(ev, struct source, ev);

	note(s->name);
	if (s->then)
		s->then(s);
}

static struct source *source_new(char name, void (*then)(struct source *s))
{
	struct source *s = xcalloc(1, sizeof(*s));

	*s = (struct source){
		.ev = {.fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK), .fn = on_source},
		.name = name,
		.then = then,
	};
	assert_int_equal(loop_add(loop, &s->ev, EPOLLIN), 0);
	return s;
}

static void source_free(struct source *s)
{
	loop_del(loop, &s->ev);
	close(s->ev.fd);
	free(s);
}

static void stop(struct timer *t)
{
	loop_stop(loop);
}

/* Runs a single round: the timer is due when the first events have been delivered. */
static void run_once(void)
{
	struct timer t = {.fn = stop};

	timer_set(loop, &t, 0);
	assert_int_equal(loop_run(loop), 0);
}

static void test_add_and_del(void **state)
{
	struct source *s = source_new('a', NULL);

	assert_int_equal(loop_add(loop, &s->ev, EPOLLIN), -EEXIST);
	run_once();
	assert_string_equal(order, "a");
	source_free(s);
}

static void test_del_is_final(void **state)
{
	struct source *s = source_new('a', NULL);

	loop_del(loop, &s->ev);
	loop_del(loop, &s->ev);
	assert_int_equal(loop_mod(loop, &s->ev, EPOLLIN | EPOLLOUT), 0);
	run_once();
	assert_string_equal(order, "");
	source_free(s);
}

static void test_mod(void **state)
{
	struct source *a = source_new('a', NULL), *b = source_new('b', NULL);

	assert_int_equal(loop_mod(loop, &a->ev, 0), 0);
	assert_int_equal(loop_mod(loop, &b->ev, 0), 0);
	assert_int_equal(loop_mod(loop, &b->ev, EPOLLOUT), 0);
	run_once();
	assert_string_equal(order, "b");
	source_free(a);
	source_free(b);
}

static void test_add_errors(void **state)
{
	_cleanup_close_ int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	struct ev ev = {.fd = file};

	assert_int_equal(loop_add(loop, &ev, EPOLLIN), -EPERM);
	assert_false(ev.active);
	ev.fd = -1;
	assert_int_equal(loop_add(loop, &ev, EPOLLIN), -EBADF);
	assert_false(ev.active);
	loop_del(loop, &ev);
}

static void drop_self(struct source *s)
{
	source_free(s);
}

static void test_callback_frees_itself(void **state)
{
	source_new('a', drop_self);
	source_new('b', drop_self);
	run_once();
	assert_int_equal(strlen(order), 2);
}

static void drop_other(struct source *s)
{
	source_free(s->other);
}

/* Both are ready in one round; whichever comes first takes the other's event back. */
static void test_callback_frees_another(void **state)
{
	struct source *a = source_new('a', drop_other), *b = source_new('b', drop_other);

	a->other = b;
	b->other = a;
	run_once();
	assert_int_equal(strlen(order), 1);
	source_free(order[0] == 'a' ? a : b);
}

static void replace_other(struct source *s)
{
	struct source *o = s->other;

	/* The same address and descriptor, but a new source: its event comes in the next round. */
	loop_del(loop, &o->ev);
	o->then = NULL;
	s->then = NULL;
	assert_int_equal(loop_add(loop, &o->ev, EPOLLIN), 0);
}

static void test_replaced_source_gets_no_old_event(void **state)
{
	struct source *a = source_new('a', replace_other), *b = source_new('b', replace_other);

	a->other = b;
	b->other = a;
	run_once();
	assert_int_equal(strlen(order), 1);
	source_free(a);
	source_free(b);
}

static void stop_at_once(struct source *s)
{
	loop_stop(loop);
}

static void test_stop_ends_the_round(void **state)
{
	struct source *a = source_new('a', stop_at_once), *b = source_new('b', stop_at_once);

	assert_int_equal(loop_run(loop), 0);
	assert_int_equal(strlen(order), 1);
	source_free(a);
	source_free(b);
}

static unsigned served;

static void count_and_drop(struct source *s)
{
	order[0] = '\0';
	source_free(s);
	if (++served == 200)
		loop_stop(loop);
}

/* More sources than one round delivers. */
static void test_many_sources(void **state)
{
	served = 0;
	for (int i = 0; i < 200; i++)
		source_new('x', count_and_drop);
	assert_int_equal(loop_run(loop), 0);
	assert_int_equal(served, 200);
}

static uint32_t seen;

static void on_hangup(struct ev *ev, uint32_t events)
{
	seen = events;
	loop_stop(loop);
}

static void test_hangup_always_comes(void **state)
{
	struct ev ev = {.fn = on_hangup};
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	ev.fd = fds[0];
	assert_int_equal(loop_add(loop, &ev, 0), 0);
	close(fds[1]);
	assert_int_equal(loop_run(loop), 0);
	assert_true(seen & EPOLLHUP);
	loop_del(loop, &ev);
	close(fds[0]);
}

/* --- timers -------------------------------------------------------------------------------- */

struct named_timer {
	struct timer t;
	char name;
	struct named_timer *cancels;
};

static void on_timer(struct timer *t)
{
	struct named_timer *n = container_of(t, struct named_timer, t);

	assert_false(t->active);
	note(n->name);
	if (n->cancels)
		timer_cancel(loop, &n->cancels->t);
	if (n->name == '.')
		loop_stop(loop);
}

#define NAMED(c)                                 \
	(struct named_timer)                     \
	{                                        \
		.t = {.fn = on_timer}, .name = c \
	}

static void test_timers_run_in_order(void **state)
{
	struct named_timer a = NAMED('a'), b = NAMED('b'), c = NAMED('c'), d = NAMED('d');
	struct named_timer end = NAMED('.');

	timer_set(loop, &end.t, 100);
	timer_set(loop, &c.t, 30);
	timer_set(loop, &a.t, 10);
	timer_set(loop, &b.t, 20);
	timer_set(loop, &d.t, 30); /* equal deadlines: first come, first served */
	assert_int_equal(loop_run(loop), 0);
	assert_string_equal(order, "abcd.");
}

static void test_timer_cancel_and_replace(void **state)
{
	struct named_timer a = NAMED('a'), b = NAMED('b'), c = NAMED('c'), end = NAMED('.');

	timer_cancel(loop, &a.t); /* never set */
	timer_set(loop, &a.t, 10);
	timer_set(loop, &b.t, 20);
	timer_set(loop, &c.t, 30);
	timer_set(loop, &end.t, 100);
	timer_set(loop, &a.t, 50); /* later after all */
	timer_cancel(loop, &b.t);
	timer_cancel(loop, &b.t);
	assert_int_equal(loop_run(loop), 0);
	assert_string_equal(order, "ca.");
}

static void test_timer_cancels_one_that_is_due(void **state)
{
	struct named_timer a = NAMED('a'), b = NAMED('b'), end = NAMED('.');

	a.cancels = &b;
	timer_set(loop, &a.t, 10);
	timer_set(loop, &b.t, 20);
	timer_set(loop, &end.t, 30);
	assert_int_equal(loop_run(loop), 0);
	assert_string_equal(order, "a.");
}

static void set_again(struct timer *t)
{
	note('r');
	if (strlen(order) < 3)
		timer_set(loop, t, clock_mono_ns());
	else
		loop_stop(loop);
}

static void test_timer_sets_itself_again(void **state)
{
	struct timer t = {.fn = set_again};

	timer_set(loop, &t, 0);
	assert_int_equal(loop_run(loop), 0);
	assert_string_equal(order, "rrr");
}

/* As with sources, what comes after loop_stop is not run. */
static void test_stop_ends_the_timers(void **state)
{
	struct named_timer end = NAMED('.'), late = NAMED('x');

	timer_set(loop, &end.t, 10);
	timer_set(loop, &late.t, 20);
	assert_int_equal(loop_run(loop), 0);
	assert_string_equal(order, ".");
	timer_cancel(loop, &late.t);
}

static void test_run_again(void **state)
{
	struct named_timer end = NAMED('.'), late = NAMED('x'), again = NAMED('.');

	timer_set(loop, &end.t, 10);
	timer_set(loop, &late.t, 20);
	timer_set(loop, &again.t, 30);
	assert_int_equal(loop_run(loop), 0);
	assert_string_equal(order, ".");
	assert_int_equal(loop_run(loop), 0);
	assert_string_equal(order, ".x.");
	/* A stop before the run counts for that run. */
	loop_stop(loop);
	assert_int_equal(loop_run(loop), 0);
}

static void test_a_source_may_set_a_timer(void **state)
{
	struct named_timer far = NAMED('x');
	struct source *s = source_new('a', NULL);

	/* A far deadline does not keep events waiting. */
	timer_set(loop, &far.t, UINT64_MAX);
	s->then = stop_at_once;
	assert_int_equal(loop_run(loop), 0);
	assert_string_equal(order, "a");
	timer_cancel(loop, &far.t);
	source_free(s);
}

/* --- after each round ---------------------------------------------------------------------- */

static unsigned int rounds;

static void on_round(void *arg)
{
	note('|');
	assert_ptr_equal(arg, order);
	if (++rounds == 2)
		loop_stop(loop);
}

/* Once for all events and timers of a round, after them. */
static void test_on_round(void **state)
{
	struct source *a = source_new('x', NULL), *b = source_new('x', NULL);
	struct named_timer t = NAMED('t');

	rounds = 0;
	timer_set(loop, &t.t, 0);
	loop_on_round(loop, on_round, order);
	assert_int_equal(loop_run(loop), 0);
	assert_string_equal(order, "xxt|xx|");
	source_free(a);
	source_free(b);
}

static struct named_timer from_round = NAMED('.');

static void set_timer(void *arg)
{
	note('|');
	timer_set(loop, &from_round.t, 0);
}

/* What is due by then is not slept over. */
static void test_on_round_may_set_a_timer(void **state)
{
	struct named_timer first = NAMED('a');

	timer_set(loop, &first.t, 0);
	loop_on_round(loop, set_timer, NULL);
	assert_int_equal(loop_run(loop), 0);
	assert_string_equal(order, "a|.");
}

static void test_no_round_after_stop(void **state)
{
	struct source *a = source_new('a', stop_at_once);

	loop_on_round(loop, set_timer, NULL);
	assert_int_equal(loop_run(loop), 0);
	assert_string_equal(order, "a");
	loop_on_round(loop, NULL, NULL);
	a->then = NULL;
	run_once();
	assert_string_equal(order, "aa");
	source_free(a);
}

struct named_deferred {
	struct deferred d;
	char name;
	struct deferred *next, *cancel;
};

static void on_deferred(struct deferred *d)
{
	struct named_deferred *n = container_of(d, struct named_deferred, d);

	note(n->name);
	if (n->next)
		loop_defer(loop, n->next);
	if (n->cancel)
		loop_undefer(loop, n->cancel);
	if (!n->next)
		loop_stop(loop);
}

/* In order, once each, also what is deferred by one of them; before the end of the round. */
static void test_deferred(void **state)
{
	struct named_deferred c = {{.fn = on_deferred}, 'c', NULL, NULL};
	struct named_deferred gone = {{.fn = on_deferred}, 'x', NULL, NULL};
	struct named_deferred b = {{.fn = on_deferred}, 'b', &c.d, &gone.d};
	struct named_deferred a = {{.fn = on_deferred}, 'a', &b.d, NULL};

	loop_defer(loop, &a.d);
	loop_defer(loop, &a.d);
	loop_defer(loop, &b.d);
	loop_defer(loop, &gone.d);
	assert_int_equal(loop_run(loop), 0);
	assert_string_equal(order, "abc");
	loop_undefer(loop, &gone.d); /* harmless */
	/* The list is whole after one in its middle, and its last, went. */
	loop_defer(loop, &gone.d);
	loop_defer(loop, &c.d);
	loop_undefer(loop, &c.d);
	loop_undefer(loop, &gone.d);
	loop_defer(loop, &c.d);
	assert_int_equal(loop_run(loop), 0);
	assert_string_equal(order, "abcc");
}

/* A descriptor that is closed next needs no call to be forgotten. */
static void test_forget(void **state)
{
	struct source *a = source_new('a', NULL), *b = source_new('b', NULL);

	loop_forget(loop, &a->ev);
	assert_false(a->ev.active);
	source_free(a);
	run_once();
	assert_string_equal(order, "b");
	source_free(b);
}

#define loop_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		loop_test(test_add_and_del),
		loop_test(test_del_is_final),
		loop_test(test_mod),
		loop_test(test_add_errors),
		loop_test(test_callback_frees_itself),
		loop_test(test_callback_frees_another),
		loop_test(test_replaced_source_gets_no_old_event),
		loop_test(test_stop_ends_the_round),
		loop_test(test_many_sources),
		loop_test(test_hangup_always_comes),
		loop_test(test_timers_run_in_order),
		loop_test(test_timer_cancel_and_replace),
		loop_test(test_timer_cancels_one_that_is_due),
		loop_test(test_timer_sets_itself_again),
		loop_test(test_stop_ends_the_timers),
		loop_test(test_run_again),
		loop_test(test_a_source_may_set_a_timer),
		loop_test(test_on_round),
		loop_test(test_on_round_may_set_a_timer),
		loop_test(test_no_round_after_stop),
		loop_test(test_deferred),
		loop_test(test_forget),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
