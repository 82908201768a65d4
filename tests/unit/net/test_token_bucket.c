/* SPDX-License-Identifier: Apache-2.0 */
#include "../testing.h"

#include "base/clock.h"
#include "net/token_bucket.h"

#define START (1000 * NSEC_PER_SEC)

/* How many single tokens it gives at `now`, at most `max`. */
static unsigned int drain(struct token_bucket *b, uint64_t now, unsigned int max)
{
	unsigned int n = 0;

	while (n < max && token_bucket_ready(b, now)) {
		token_bucket_take(b, 1, now);
		n++;
	}
	return n;
}

static void test_no_limit(void **state)
{
	struct token_bucket b;

	token_bucket_init(&b, 0, 10);
	for (int i = 0; i < 100; i++) {
		assert_true(token_bucket_ready(&b, 0));
		token_bucket_take(&b, UINT32_MAX, 0);
	}
	assert_int_equal(token_bucket_when(&b), 0);
}

static void test_burst_then_rate(void **state)
{
	struct token_bucket b;

	token_bucket_init(&b, 10, 5);
	assert_int_equal(drain(&b, START, 100), 5);
	/* A tenth of a second each. */
	assert_false(token_bucket_ready(&b, START));
	assert_int_equal(drain(&b, START + NSEC_PER_SEC / 10, 100), 1);
	assert_int_equal(drain(&b, START + 3 * NSEC_PER_SEC / 10, 100), 2);
	/* Never more than a burst, however long it was left alone. */
	assert_int_equal(drain(&b, START + 3600 * NSEC_PER_SEC, 100), 5);
}

static void test_debt(void **state)
{
	struct token_bucket b;
	uint64_t when;

	token_bucket_init(&b, 1000, 100);
	/* More than a burst at once: allowed, and waited for afterwards. */
	token_bucket_take(&b, 1100, START);
	when = token_bucket_when(&b);
	assert_in_range(when, START + NSEC_PER_SEC, START + NSEC_PER_SEC + 1);
	assert_false(token_bucket_ready(&b, when - 1));
	assert_true(token_bucket_ready(&b, when));
}

/* Over a long time the rate is what was asked for, whatever the sizes. */
static void test_long_run(void **state)
{
	static const uint64_t rates[] = {1, 7, 1000, 1500000, 1250000000, 40000000000};

	for (size_t i = 0; i < ARRAY_SIZE(rates); i++) {
		struct token_bucket b;
		uint64_t now = START, taken = 0;

		token_bucket_init(&b, rates[i], 1);
		for (int k = 0; k < 10000; k++) {
			uint32_t n = 1 + (uint32_t)(k * 7919 % 65550);

			now = MAX(now, token_bucket_when(&b));
			token_bucket_take(&b, n, now);
			taken += n;
		}
		now = token_bucket_when(&b);
		/* Rounded down for the bucket by less than a nanosecond each time. */
		assert_in_range((now - START) * (unsigned __int128)rates[i] / NSEC_PER_SEC,
				taken - taken / 100 - 2, taken + taken / 100 + rates[i] / 1000 + 2);
	}
}

static void test_extremes(void **state)
{
	struct token_bucket b;

	token_bucket_init(&b, UINT64_MAX, UINT64_MAX);
	assert_int_equal(drain(&b, START, 1000), 1000);
	/* The slowest there is: a burst takes an hour at most, so nothing overflows. */
	token_bucket_init(&b, 1, UINT64_MAX);
	assert_int_equal(drain(&b, START, 10000), 3600);
	token_bucket_take(&b, UINT32_MAX, START);
	assert_true(token_bucket_when(&b) > START + 4000000000 * NSEC_PER_SEC);
	/* No burst at all still lets one through at a time. */
	token_bucket_init(&b, 5, 0);
	assert_int_equal(drain(&b, START, 100), 1);
}

/* A clock that stands still or was read earlier gives nothing away. */
static void test_old_clock(void **state)
{
	struct token_bucket b;

	token_bucket_init(&b, 10, 5);
	assert_int_equal(drain(&b, START, 100), 5);
	assert_int_equal(drain(&b, START - NSEC_PER_SEC, 100), 0);
	assert_int_equal(drain(&b, START, 100), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_limit), cmocka_unit_test(test_burst_then_rate),
		cmocka_unit_test(test_debt),     cmocka_unit_test(test_long_run),
		cmocka_unit_test(test_extremes), cmocka_unit_test(test_old_clock),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
