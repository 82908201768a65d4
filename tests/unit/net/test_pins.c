/* SPDX-License-Identifier: Apache-2.0 */
#include "net/pins.h"

#include "base/util.h"
#include "net/siphash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const uint8_t secret[16] = {1};

static struct addr number(unsigned int i)
{
	struct in_addr a = {htonl(0x05000000 + i)};

	return addr_from_v4(a);
}

static bool has(struct pins *p, const struct addr *a, uint64_t now, const char *name)
{
	const char *names[PINS_PER_ADDR_MAX];
	unsigned int n = pins_find(p, a, now, names);

	for (unsigned int i = 0; i < n; i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return false;
}

static void test_times(void **state)
{
	struct pins *p = pins_new(secret);
	struct addr a = number(1), b = number(2);

	pins_add(p, &a, "one.example", 100, 200);
	assert_true(has(p, &a, 199, "one.example"));
	assert_false(has(p, &a, 200, "one.example"));
	assert_false(has(p, &b, 199, "one.example"));
	assert_false(has(p, &a, 199, "two.example"));
	/* Longer, never shorter. */
	pins_add(p, &a, "one.example", 100, 300);
	pins_add(p, &a, "one.example", 100, 150);
	assert_true(has(p, &a, 299, "one.example"));
	pins_add(p, &a, "two.example", 100, 200);
	assert_true(has(p, &a, 199, "one.example") && has(p, &a, 199, "two.example"));
	pins_free(p);
}

static void test_bounds(void **state)
{
	struct pins *p = pins_new(secret);
	struct addr a = number(0);
	const char *names[PINS_PER_ADDR_MAX];
	char name[32];

	/* Of one address: the one that ends first goes. */
	for (unsigned int i = 0; i < 3 * PINS_PER_ADDR_MAX; i++) {
		snprintf(name, sizeof(name), "n%u.example", i);
		pins_add(p, &a, name, 0, 1000 + i);
	}
	assert_int_equal(pins_find(p, &a, 1, names), PINS_PER_ADDR_MAX);
	assert_true(has(p, &a, 1, name));
	assert_false(has(p, &a, 1, "n0.example"));
	/* Of all: the one confirmed longest ago. */
	for (unsigned int i = 1; i <= PINS_MAX; i++) {
		struct addr other = number(i);

		pins_add(p, &other, "x.example", 0, 1000);
	}
	assert_int_equal(pins_find(p, &a, 1, names), 0);
	a = number(PINS_MAX);
	assert_true(has(p, &a, 1, "x.example"));
	pins_free(p);
}

/* The vectors of the algorithm's authors. */
static void test_siphash(void **state)
{
	uint8_t key[16], data[15];

	for (unsigned int i = 0; i < sizeof(key); i++)
		key[i] = (uint8_t)i;
	for (unsigned int i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)i;
	assert_true(siphash(key, data, 15) == 0xa129ca6149be45e5);
	assert_true(siphash(key, data, 0) == 0x726fdb47dd0e0e31);
	assert_true(siphash(key, data, 8) == 0x93f5f5799a932462);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_times),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_siphash),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
