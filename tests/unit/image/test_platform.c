/* SPDX-License-Identifier: Apache-2.0 */
#include "../testing.h"

#include "image/platform.h"

static void test_parse(void **state)
{
	static const struct {
		const char *text, *usual;
	} cases[] = {
		{"linux/amd64", "linux/amd64"},
		{"linux/amd64/v1", "linux/amd64"},
		{"linux/amd64/v3", "linux/amd64/v3"},
		{"linux/x86_64", "linux/amd64"},
		{"Linux/X86-64", "linux/amd64"},
		{"linux/aarch64", "linux/arm64"},
		{"linux/arm64/v8", "linux/arm64"},
		{"linux/arm64/8", "linux/arm64"},
		{"linux/arm64/v8.2", "linux/arm64/v8.2"},
		{"linux/arm", "linux/arm/v7"},
		{"linux/arm/v7", "linux/arm/v7"},
		{"linux/arm/6", "linux/arm/v6"},
		{"linux/armhf", "linux/arm/v7"},
		{"linux/armel", "linux/arm/v6"},
		{"linux/i686", "linux/386"},
		{"linux/riscv64", "linux/riscv64"},
		{"windows/amd64", "windows/amd64"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char text[PLATFORM_TEXT_LEN];
		struct platform p;
		struct err e = {0};

		assert_int_equal(platform_parse(cases[i].text, &p, &e), 0);
		platform_format(&p, text);
		assert_string_equal(text, cases[i].usual);
	}
}

static void test_parse_nonsense(void **state)
{
	static const char *const bad[] = {
		"",
		"linux",
		"amd64",
		"/",
		"linux/",
		"/amd64",
		"linux//v7",
		"linux/arm/",
		"linux/arm/v7/x",
		"linux/arm/v7/",
		" linux/arm",
		"linux/arm v7",
		"linux/\033[31m",
		"linux/abcdefghijklmnopqrstuvwxyz012345",
		"linux/*",
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct platform p;
		struct err e = {0};

		if (platform_parse(bad[i], &p, &e) == 0)
			fail_msg("'%s' is taken", bad[i]);
		assert_int_equal(e.code, ERR_INVALID);
		assert_true(e.hint[0]);
	}
}

/* What an image says of itself is hostile, and may be missing. */
static void test_set(void **state)
{
	char longest[64], text[PLATFORM_TEXT_LEN];
	struct platform p;

	memset(longest, 'x', sizeof(longest));
	longest[63] = '\0';
	platform_set(&p, longest, "\033[2J", NULL);
	assert_string_equal(p.os, "");
	assert_string_equal(p.architecture, "");
	assert_string_equal(p.variant, "");
	longest[PLATFORM_PART_LEN - 1] = '\0';
	platform_set(&p, longest, longest, longest);
	platform_format(&p, text);
	assert_int_equal(strlen(text), 3 * (PLATFORM_PART_LEN - 1) + 2);
	/* Digits that fill everything leave no room for the v before them. */
	memset(longest, '1', PLATFORM_PART_LEN - 1);
	platform_set(&p, "linux", "arm", longest);
	assert_string_equal(p.variant, longest);
}

static void test_score(void **state)
{
	struct platform amd64, v3, unsaid, host;

	platform_set(&amd64, "linux", "amd64", NULL);
	platform_set(&v3, "linux", "amd64", "v3");
	platform_set(&unsaid, NULL, NULL, NULL);
	assert_true(platform_score(&amd64, &amd64) > 0);
	assert_int_equal(platform_score(&amd64, &v3), 0);
	assert_true(platform_score(&v3, &v3) > platform_score(&v3, &amd64));
	assert_true(platform_score(&v3, &amd64) > 0);
	assert_true(platform_score(&v3, &unsaid) > 0);
	platform_host(&host);
	assert_true(platform_score(&host, &host) > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_parse_nonsense),
		cmocka_unit_test(test_set),
		cmocka_unit_test(test_score),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
