/* SPDX-License-Identifier: Apache-2.0 */
#include "../testing.h"

#include "base/similar.h"

static void test_distance(void **state)
{
	static const struct {
		const char *a, *b;
		size_t distance;
	} t[] = {
		{"", "", 0},
		{"a", "", 1},
		{"create", "create", 0},
		{"craete", "create", 1},
		{"create", "creat", 1},
		{"kitten", "sitting", 3},
	};

	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		assert_int_equal(edit_distance(t[i].a, strlen(t[i].a), t[i].b, strlen(t[i].b)),
				 t[i].distance);
		assert_int_equal(edit_distance(t[i].b, strlen(t[i].b), t[i].a, strlen(t[i].a)),
				 t[i].distance);
	}
	assert_int_equal(edit_distance("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 33, "a", 1), SIZE_MAX);
}

static void test_word(void **state)
{
	static const struct {
		const char *word, *want;
	} t[] = {
		{"pubic", "public"},
		{"priavte", "private"},
		{"publiccc", "public"},
		{"xyz", NULL},
		{"", NULL},
		{"loop", "loopback"},
		{"publicccc", NULL},
		{"ab", "abc"},
		{"loopback", "loopback"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		size_t len = 0;
		const char *w = similar_word("public private loopback abc", t[i].word, &len);

		if (!w && !t[i].want)
			continue;
		assert_non_null(w);
		assert_non_null(t[i].want);
		assert_int_equal(len, strlen(t[i].want));
		assert_memory_equal(w, t[i].want, len);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_distance),
		cmocka_unit_test(test_word),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
