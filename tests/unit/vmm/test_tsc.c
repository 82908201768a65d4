/* SPDX-License-Identifier: Apache-2.0 */
#include "../testing.h"

#include "base/clock.h"
#include "vmm/tsc.h"

static uint32_t measure(uint64_t baseline)
{
	struct tsc_sample s = tsc_sample_take();

	return tsc_khz(&s, baseline);
}

/* The short measurement agrees with a long one to 100 parts in a million, even on a busy host. */
static void test_short_against_long(void **state)
{
	uint32_t exact = measure(100 * NSEC_PER_MSEC);

	assert_in_range(exact, 100000, 10000000);
	for (int i = 0; i < 5; i++) {
		uint32_t khz = measure(TSC_BASELINE_NS);
		uint32_t slack = exact / 10000;

		assert_in_range(khz, exact - slack, exact + slack);
	}
}

/* What CPUID says is used as it is; then it has to be right as well. */
static void test_cpuid(void **state)
{
	uint32_t said = tsc_khz_from_cpuid();
	struct tsc_sample a, b;
	uint64_t khz;

	if (!said)
		skip();
	a = tsc_sample_take();
	usleep(50000);
	b = tsc_sample_take();
	khz = (b.tsc - a.tsc) * 1000000 / (b.ns - a.ns);
	assert_in_range(said, khz - khz / 1000, khz + khz / 1000);
}

static void test_elapsed_time_is_used(void **state)
{
	struct tsc_sample s = tsc_sample_take();
	uint64_t before;

	usleep(3000);
	before = clock_mono_ns();
	assert_int_not_equal(tsc_khz(&s, 2 * NSEC_PER_MSEC), 0);
	/* No need to wait again; the limit is generous because of other load. */
	assert_in_range(clock_mono_ns() - before, 0, 100 * NSEC_PER_MSEC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_short_against_long),
		cmocka_unit_test(test_cpuid),
		cmocka_unit_test(test_elapsed_time_is_used),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
