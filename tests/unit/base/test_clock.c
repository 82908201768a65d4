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

static void test_rfc3339_parse(void **state)
{
	static const struct {
		const char *text;
		uint64_t ns;
	} good[] = {
		{"1970-01-01T00:00:00Z", 0},
		{"1970-01-01T00:00:00.000000001+00:00", 1},
		{"2000-02-29T00:00:00z", 951782400 * NSEC_PER_SEC},
		{"2026-01-31T12:00:00.123456789+00:00", 1769860800 * NSEC_PER_SEC + 123456789},
		{"2026-01-31t13:30:00+01:30", 1769860800 * NSEC_PER_SEC},
		{"2026-01-31 04:00:00.5-08:00", 1769860800 * NSEC_PER_SEC + 500000000},
		{"2026-01-31T12:00:00.1234567899999Z", 1769860800 * NSEC_PER_SEC + 123456789},
		{"2016-12-31T23:59:60Z", 1483228800 * NSEC_PER_SEC},
	};
	static const char *const bad[] = {
		"",
		"2026",
		"2026-01-31",
		"2026-01-31T12:00:00",
		"2026-01-31T12:00:00.Z",
		"2026-02-29T12:00:00Z",
		"2100-02-29T12:00:00Z",
		"2026-13-01T12:00:00Z",
		"2026-00-01T12:00:00Z",
		"2026-01-00T12:00:00Z",
		"2026-01-31T24:00:00Z",
		"2026-01-31T12:60:00Z",
		"2026-01-31T12:00:61Z",
		"2026-01-31T12:00:00Z ",
		" 2026-01-31T12:00:00Z",
		"2026-01-31T12:00:00+1:00",
		"2026-01-31T12:00:00+24:00",
		"2026-1-31T12:00:00Z",
		"1969-12-31T23:59:59Z",
		"1970-01-01T00:00:00+00:01",
		"9999-12-31T23:59:59Z",
		"2026-01-31X12:00:00Z",
		"2026-01-31T12:00:00+",
	};

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		uint64_t ns = 1;

		assert_int_equal(rfc3339_parse(good[i].text, &ns), 0);
		assert_true(ns == good[i].ns);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		uint64_t ns;

		assert_int_equal(rfc3339_parse(bad[i], &ns), -EINVAL);
	}
	/* Each day of four centuries and a bit, there and back. */
	for (uint64_t day = 0; day < 150000; day++) {
		char text[RFC3339_LEN];
		uint64_t ns;

		rfc3339_format(day * 86400 * NSEC_PER_SEC, text);
		assert_int_equal(rfc3339_parse(text, &ns), 0);
		assert_true(ns == day * 86400 * NSEC_PER_SEC);
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

static void test_duration(void **state)
{
	static const struct {
		uint64_t seconds;
		const char *text;
	} cases[] = {{0, "0s"},   {1, "1s"},    {59, "59s"},   {60, "1m"},     {90, "90s"},
		     {300, "5m"}, {3600, "1h"}, {5400, "90m"}, {86400, "24h"}, {86401, "86401s"}};
	char out[DURATION_LEN];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		duration_format(cases[i].seconds, out);
		assert_string_equal(out, cases[i].text);
	}
	duration_format(UINT64_MAX, out);
	assert_string_equal(out, "18446744073709551615s");
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
		cmocka_unit_test(test_rfc3339), cmocka_unit_test(test_rfc3339_parse),
		cmocka_unit_test(test_local),   cmocka_unit_test(test_duration),
		cmocka_unit_test(test_clocks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
