/* SPDX-License-Identifier: Apache-2.0 */
#include "../testing.h"

#include "base/clock.h"

#include <time.h>

static void test_rfc3339(void **state)
{
	static const struct {
		uint64_t ns;
		const char *text;
	} cases[] = {
		{0, "1970-01-01T00:00:00.000000000+00:00"},
		{1, "1970-01-01T00:00:00.000000001+00:00"},
		{999999999, "1970-01-01T00:00:00.999999999+00:00"},
		{951782400 * NSEC_PER_SEC, "2000-02-29T00:00:00.000000000+00:00"},
		{1769860800 * NSEC_PER_SEC + 123456789, "2026-01-31T12:00:00.123456789+00:00"},
		{UINT64_MAX, "2554-07-21T23:34:33.709551615+00:00"},
	};

	/* The time zone has no say in it. */
	setenv("TZ", "TST-5", 1);
	tzset();
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char out[RFC3339_LEN];

		rfc3339_format(cases[i].ns, out);
		assert_string_equal(out, cases[i].text);
	}
}

static void test_local(void **state)
{
	char out[RFC3339_LEN];

	setenv("TZ", "TST-1", 1);
	tzset();
	local_time_format(1769860800 * NSEC_PER_SEC + 5, out);
	assert_string_equal(out, "2026-01-31 13:00:00");
	setenv("TZ", "UTC0", 1);
	tzset();
	local_time_format(1769860800 * NSEC_PER_SEC, out);
	assert_string_equal(out, "2026-01-31 12:00:00");
}

static void test_clocks(void **state)
{
	uint64_t a = clock_mono_ns(), b = clock_mono_ns();

	assert_true(a > 0);
	assert_true(b >= a);
	assert_true(clock_real_ns() > 1577836800 * NSEC_PER_SEC); /* later than 2020 */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rfc3339),
		cmocka_unit_test(test_local),
		cmocka_unit_test(test_clocks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
