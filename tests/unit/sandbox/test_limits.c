/* SPDX-License-Identifier: Apache-2.0 */
/* A sandbox's own limits. Its end is a stub; nothing here waits for a second to pass. */
#include "../testing.h"

#include "base/clock.h"
#include "sandbox/monitor_limits.c"

static struct {
	unsigned stops;
	enum end_cause cause;
	char text[128];
} seen;

void monitor_stop_for(struct monitor *m, enum end_cause cause, const char *fmt, ...)
{
	va_list ap;

	seen.stops++;
	seen.cause = cause;
	va_start(ap, fmt);
	vsnprintf(seen.text, sizeof(seen.text), fmt, ap);
	va_end(ap);
}

static int setup(void **state)
{
	struct monitor *m = xcalloc(1, sizeof(*m));

	memset(&seen, 0, sizeof(seen));
	m->loop = loop_new();
	m->state = MONITOR_READY;
	*state = m;
	return m->loop ? 0 : -1;
}

static int teardown(void **state)
{
	struct monitor *m = *state;

	loop_free(m->loop);
	free(m);
	return 0;
}

/* What the loop does when the timer's time has come. */
static void expire(struct monitor *m, struct timer *t)
{
	assert_true(t->active);
	timer_cancel(m->loop, t);
	t->fn(t);
}

static void test_none(void **state)
{
	struct monitor *m = *state;

	limits_start(m);
	limits_used(m);
	assert_false(m->limits.lifetime.active);
	assert_false(m->limits.idle.active);
}

static void test_lifetime(void **state)
{
	struct monitor *m = *state;
	uint64_t before = clock_mono_ns();

	m->spec.max_duration_s = 300;
	limits_start(m);
	assert_false(m->limits.idle.active);
	assert_true(m->limits.lifetime.deadline >= before + 300 * NSEC_PER_SEC);
	assert_true(m->limits.lifetime.deadline <= clock_mono_ns() + 300 * NSEC_PER_SEC);
	expire(m, &m->limits.lifetime);
	assert_int_equal(seen.cause, END_MAX_DURATION);
	assert_string_equal(seen.text, "its maximum duration of 5m is over");
}

static void test_idle(void **state)
{
	struct monitor *m = *state;
	struct session program = {.is_use = true}, ping = {.next = &program};
	uint64_t first;

	m->spec.idle_timeout_s = 90;
	limits_start(m);
	first = m->limits.idle.deadline;
	assert_true(first <= clock_mono_ns() + 90 * NSEC_PER_SEC);
	limits_used(m);
	assert_true(m->limits.idle.deadline > first);

	/* While something uses it the time passes without an end, and starts anew afterwards. */
	m->sessions = &ping;
	expire(m, &m->limits.idle);
	assert_int_equal(seen.stops, 0);
	assert_false(m->limits.idle.active);
	ping.next = NULL;
	limits_used(m);
	expire(m, &m->limits.idle);
	assert_int_equal(seen.cause, END_IDLE);
	assert_string_equal(seen.text, "idle for 90s");
}

/* The time of a pause is no idle time, but part of the whole duration. */
static void test_pause(void **state)
{
	struct monitor *m = *state;

	m->spec.max_duration_s = m->spec.idle_timeout_s = 60;
	limits_start(m);
	m->pause.paused = true;
	limits_paused(m);
	assert_false(m->limits.idle.active);
	assert_true(m->limits.lifetime.active);
	limits_used(m); /* a touch */
	assert_false(m->limits.idle.active);
	m->pause.paused = false;
	limits_used(m);
	assert_true(m->limits.idle.active);
}

/* Before it is ready and while it ends there is no idle time. */
static void test_only_when_ready(void **state)
{
	struct monitor *m = *state;

	m->spec.idle_timeout_s = 1;
	m->state = MONITOR_BOOTING;
	limits_used(m);
	assert_false(m->limits.idle.active);
	m->state = MONITOR_STOPPING;
	limits_used(m);
	assert_false(m->limits.idle.active);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_none, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lifetime, setup, teardown),
		cmocka_unit_test_setup_teardown(test_idle, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pause, setup, teardown),
		cmocka_unit_test_setup_teardown(test_only_when_ready, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
