/* SPDX-License-Identifier: Apache-2.0 */
#include "../testing.h"

#include "base/clock.h"
#include "vmm/drain.h"

struct fixture {
	struct loop *loop;
	struct drain drain;
	unsigned int looks, idle_at; /* idle from this look on; 0: never */
	unsigned int n_done;
};

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));

	f->loop = loop_new();
	*state = f;
	return f->loop ? 0 : -1;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	loop_free(f->loop);
	free(f);
	return 0;
}

static bool idle(void *ctx)
{
	struct fixture *f = ctx;

	f->looks++;
	return f->idle_at && f->looks >= f->idle_at;
}

static void done(void *ctx)
{
	struct fixture *f = ctx;

	f->n_done++;
	loop_stop(f->loop);
}

static void start(struct fixture *f, uint64_t max_ns)
{
	drain_start(&f->drain, f->loop, max_ns, idle, done, f);
}

static void test_idle_at_once(void **state)
{
	struct fixture *f = *state;

	f->idle_at = 1;
	start(f, 3600 * NSEC_PER_SEC);
	assert_int_equal(f->n_done, 1);
	assert_false(f->drain.timer.active);
}

static void test_idle_later(void **state)
{
	struct fixture *f = *state;

	f->idle_at = 4;
	start(f, 3600 * NSEC_PER_SEC);
	assert_int_equal(f->n_done, 0);
	assert_int_equal(loop_run(f->loop), 0);
	assert_int_equal(f->n_done, 1);
	assert_int_equal(f->looks, 4);
	assert_false(f->drain.timer.active);
}

/* A reader that takes nothing holds nobody up for longer than that. */
static void test_never_idle(void **state)
{
	struct fixture *f = *state;
	uint64_t before = clock_mono_ns();

	start(f, 20 * NSEC_PER_MSEC);
	assert_int_equal(loop_run(f->loop), 0);
	assert_true(clock_mono_ns() - before >= 20 * NSEC_PER_MSEC);
	assert_int_equal(f->n_done, 1);
}

static void test_no_time(void **state)
{
	struct fixture *f = *state;

	start(f, 0);
	assert_int_equal(f->looks, 1);
	assert_int_equal(f->n_done, 1);
}

static void test_cancel(void **state)
{
	struct fixture *f = *state;

	drain_cancel(&f->drain); /* not started yet */
	start(f, 3600 * NSEC_PER_SEC);
	assert_true(f->drain.timer.active);
	drain_cancel(&f->drain);
	assert_false(f->drain.timer.active);
	drain_cancel(&f->drain);
	assert_int_equal(f->n_done, 0);
}

#define drain_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		drain_test(test_idle_at_once), drain_test(test_idle_later),
		drain_test(test_never_idle),   drain_test(test_no_time),
		drain_test(test_cancel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
