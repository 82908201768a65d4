/* SPDX-License-Identifier: Apache-2.0 */
/* The keys that detach: how they are written, and finding them in what is typed. */
#include "../testing.h"

#include "cli/detach_keys.h"

static void test_parse(void **state)
{
	static const struct {
		const char *text, *keys;
	} good[] = {
		{"", ""},
		{"ctrl-]", "\x1d"},
		{"ctrl-p,ctrl-q", "\x10\x11"},
		{"ctrl-P", "\x10"},
		{"a,b,ctrl-_,ctrl-^,ctrl-\\,ctrl-[", "ab\x1f\x1e\x1c\x1b"},
		{",", ","},
		{",,a", ",a"},
		{"a,,,b", "a,b"},
	};
	static const char *const bad[] = {
		"ctrl-",  "ctrl-ab",  "ctrl-1",
		"ab",     "a,",       "ctrl-p,",
		"meta-a", "\xc3\xa4", "a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a",
	};

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		struct detach_keys k = {0};
		struct err e = {0};

		assert_int_equal(opt_detach_keys(good[i].text, &k, &e), 0);
		assert_int_equal(k.n, strlen(good[i].keys));
		assert_memory_equal(k.keys, good[i].keys, k.n);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct detach_keys k = {.n = 77};
		struct err e = {0};

		assert_int_equal(opt_detach_keys(bad[i], &k, &e), -1);
		assert_int_equal(k.n, 77);
	}
}

static void test_default(void **state)
{
	struct detach_keys k = {0}, none = {0};
	struct err e = {0};

	detach_keys_default(&k);
	assert_int_equal(k.n, 1);
	assert_int_equal(k.keys[0], 0x1d);
	assert_int_equal(opt_detach_keys("", &none, &e), 0);
	detach_keys_default(&none);
	assert_int_equal(none.n, 0);
}

/* Whatever the pieces are in which it is typed, the program gets the same. */
static void test_filter(void **state)
{
	static const struct {
		const char *keys, *typed, *passed;
		bool detached;
	} cases[] = {
		{"", "anything\x1d", "anything\x1d", false},
		{"ctrl-]", "ls\r\x1dx", "ls\r", true},
		{"ctrl-p,ctrl-q", "a\x10z\x10\x11more", "a\x10z", true},
		{"ctrl-p,ctrl-q", "a\x10", "a", false}, /* held back: the next key decides */
		{"ctrl-p,ctrl-q", "\x10\x10\x10\x11", "\x10\x10", true},
		{"a,a,b", "aaab", "a", true},
		{"a,b,a,c", "ababac", "ab", true},
		{"a,b,a,c", "abababd", "abababd", false},
		{"a,a,a,a", "aaabaaaa", "aaab", true},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		size_t n = strlen(cases[i].typed);

		for (size_t piece = 1; piece <= n; piece++) {
			struct detach_keys k = {0};
			uint8_t out[64 + DETACH_KEYS_MAX];
			size_t len = 0;
			bool detached = false;
			struct err e = {0};

			assert_int_equal(opt_detach_keys(cases[i].keys, &k, &e), 0);
			for (size_t at = 0; at < n && !detached; at += piece)
				len += detach_keys_filter(&k, (const uint8_t *)cases[i].typed + at,
							  MIN(piece, n - at), out + len, &detached);
			assert_int_equal(detached, cases[i].detached);
			assert_int_equal(len, strlen(cases[i].passed));
			assert_memory_equal(out, cases[i].passed, len);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_default),
		cmocka_unit_test(test_filter),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
