/* SPDX-License-Identifier: Apache-2.0 */
#include "../testing.h"

#include "base/util.h"

static void test_parse_u64(void **state)
{
	static const struct {
		const char *text;
		uint64_t max;
		int result;
		uint64_t value;
	} cases[] = {
		{"0", 0, 0, 0},
		{"7", 7, 0, 7},
		{"007", 7, 0, 7},
		{"8", 7, -ERANGE, 0},
		{"18446744073709551615", UINT64_MAX, 0, UINT64_MAX},
		{"18446744073709551616", UINT64_MAX, -ERANGE, 0},
		{"99999999999999999999999", UINT64_MAX, -ERANGE, 0},
		{"", UINT64_MAX, -EINVAL, 0},
		{" 1", UINT64_MAX, -EINVAL, 0},
		{"1 ", UINT64_MAX, -EINVAL, 0},
		{"+1", UINT64_MAX, -EINVAL, 0},
		{"-1", UINT64_MAX, -EINVAL, 0},
		{"0x10", UINT64_MAX, -EINVAL, 0},
		{"1e3", UINT64_MAX, -EINVAL, 0},
		{"\xd9\xa1", UINT64_MAX, -EINVAL, 0}, /* a digit, but not one of ours */
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t n = 4711;

		assert_int_equal(parse_u64(cases[i].text, cases[i].max, &n), cases[i].result);
		assert_int_equal(n, cases[i].result ? 4711 : cases[i].value);
	}
}

static void test_hex_encode(void **state)
{
	char out[9];

	hex_encode("\x00\x7f\xab\xff", 4, out);
	assert_string_equal(out, "007fabff");
	hex_encode("", 0, out);
	assert_string_equal(out, "");
}

static void test_strv(void **state)
{
	struct strv sv = {0};

	strv_release(&sv);
	for (int i = 0; i < 100; i++) {
		char *s = xasprintf("%d", i);

		if (i % 2) {
			strv_take(&sv, s);
		} else {
			strv_add(&sv, s);
			free(s);
		}
		assert_int_equal(sv.n, i + 1);
		assert_null(sv.v[sv.n]);
	}
	assert_string_equal(sv.v[0], "0");
	assert_string_equal(sv.v[99], "99");
	strv_release(&sv);
	assert_null(sv.v);
	assert_int_equal(sv.n, 0);
	strv_release(&sv);
}

static void test_strings(void **state)
{
	assert_true(str_starts_with("abc", "ab"));
	assert_true(str_starts_with("abc", ""));
	assert_true(str_starts_with("abc", "abc"));
	assert_false(str_starts_with("ab", "abc"));
	assert_true(str_ends_with("abc", "bc"));
	assert_true(str_ends_with("abc", ""));
	assert_false(str_ends_with("bc", "abc"));
	assert_true(str_eq("a", "a"));
	assert_false(str_eq("a", "b"));
	assert_false(str_eq("a", NULL));
	assert_false(str_eq(NULL, "a"));
	assert_true(str_eq(NULL, NULL));
}

static void test_allocation_of_nothing(void **state)
{
	void *a = xmalloc(0), *b = xcalloc(0, 8), *c = xreallocarray(NULL, 0, 8);
	char *d = xstrndup("abcdef", 3);

	assert_non_null(a);
	assert_non_null(b);
	assert_non_null(c);
	assert_string_equal(d, "abc");
	free(a);
	free(b);
	free(c);
	free(d);
}

static void test_printable(void **state)
{
	static const struct {
		const char *text, *shown;
	} cases[] = {
		{"", ""},
		{"plain 'text' \\ ~", "plain 'text' \\ ~"},
		{"caf\xc3\xa9 \xe6\x97\xa5 \xf0\x9f\x98\x80",
		 "caf\xc3\xa9 \xe6\x97\xa5 \xf0\x9f\x98\x80"},
		{"a\nb\tc\r\x7f", "a\\x0ab\\x09c\\x0d\\x7f"},
		{"\033[31mred", "\\x1b[31mred"},
		{"\xc2\x9b"
		 "31m",
		 "\\xc2\\x9b31m"}, /* a control sequence in one character */
		{"\xc2\xa0", "\xc2\xa0"},
		{"bad \xff\xc3", "bad \\xff\\xc3"},
		{"\xc0\x9b\xe0\x80\x9b", "\\xc0\\x9b\\xe0\\x80\\x9b"}, /* too long forms */
		{"\xed\xa0\x80", "\\xed\\xa0\\x80"},
		{"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"},
		{"\xe6\x97", "\\xe6\\x97"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char *shown = str_printable(cases[i].text);

		assert_string_equal(shown, cases[i].shown);
		free(shown);
	}
}

struct outer {
	int before;
	int member;
};

static void test_macros(void **state)
{
	struct outer o;
	char *p = xstrdup("x"), *taken = steal_ptr(&p);
	int fd = 17;

	assert_ptr_equal(container_of(&o.member, struct outer, member), &o);
	assert_int_equal(ALIGN_UP(0, 8), 0);
	assert_int_equal(ALIGN_UP(1, 8), 8);
	assert_int_equal(ALIGN_UP(8, 8), 8);
	assert_int_equal(ALIGN_UP((uint64_t)1 << 40 | 1, 4096), ((uint64_t)1 << 40) + 4096);
	assert_null(p);
	assert_string_equal(taken, "x");
	free(taken);
	assert_int_equal(steal_fd(&fd), 17);
	assert_int_equal(fd, -1);
	close_fd(&fd);
	assert_int_equal(fd, -1);
}

static void test_base64(void **state)
{
	static const char *const pairs[][2] = {
		{"", ""},        {"f", "Zg=="},        {"fo", "Zm8="},
		{"foo", "Zm9v"}, {"foob", "Zm9vYg=="}, {"\xff\xfe\xfd", "//79"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
		size_t len = strlen(pairs[i][0]), used;
		char text[16] = "";
		uint8_t back[16];

		assert_ptr_equal(base64_encode(text, pairs[i][0], len), text + BASE64_LEN(len));
		assert_string_equal(text, pairs[i][1]);
		assert_int_equal(base64_decode(text, strlen(text), back, &used), len);
		assert_memory_equal(back, pairs[i][0], len);
		assert_int_equal(used, strcspn(text, "="));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_base64),
		cmocka_unit_test(test_parse_u64),
		cmocka_unit_test(test_hex_encode),
		cmocka_unit_test(test_strv),
		cmocka_unit_test(test_strings),
		cmocka_unit_test(test_printable),
		cmocka_unit_test(test_allocation_of_nothing),
		cmocka_unit_test(test_macros),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
