/* SPDX-License-Identifier: Apache-2.0 */
#include "capture.h"

#include "base/clock.h"
#include "cli/cli.h"

static void test_format_bytes(void **state)
{
	static const struct {
		uint64_t n;
		const char *text;
	} cases[] = {
		{0, "0 B"},
		{1, "1 B"},
		{1023, "1023 B"},
		{1024, "1.0 KiB"},
		{1536, "1.5 KiB"},
		{MIB, "1.0 MiB"},
		{MIB * 5 / 2, "2.5 MiB"},
		{GIB, "1.0 GiB"},
		{1024 * GIB, "1.0 TiB"},
		{4096 * 1024 * GIB, "4096.0 TiB"},
		{UINT64_MAX, "16777216.0 TiB"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *text = format_bytes(cases[i].n);

		assert_string_equal(text, cases[i].text);
	}
}

static void print_rows(void *arg)
{
	struct table t;

	table_init(&t, 3, "NAME", "IMAGE", "STATUS");
	for (int i = 0; i < *(int *)arg; i++) {
		table_add(&t, xasprintf("%d", i));
		table_add(&t, xstrdup(i ? "an image" : ""));
		table_add(&t, xstrdup("Running"));
	}
	table_print(&t);
}

static void test_table(void **state)
{
	int rows = 2;
	_cleanup_free_ char *two = capture(stdout, print_rows, &rows), *none = NULL;

	assert_string_equal(two, "NAME    IMAGE       STATUS\n"
				 "0                   Running\n"
				 "1       an image    Running\n");
	rows = 0;
	none = capture(stdout, print_rows, &rows);
	assert_string_equal(none, "");
}

static void print_wide_rows(void *arg)
{
	struct table t;

	table_init(&t, 2, "A", "B");
	table_add(&t, xstrdup("\xc3\xa4\xe2\x82\xac\xc3\xa4"));
	table_add(&t, xstrdup("x"));
	table_add(&t, xstrdup("abcd"));
	table_add(&t, xstrdup("x"));
	table_print(&t);
}

/* Columns are as wide as what is seen, not as its bytes. */
static void test_wide_table(void **state)
{
	_cleanup_free_ char *text = capture(stdout, print_wide_rows, NULL);

	assert_string_equal(text, "A       B\n"
				  "\xc3\xa4\xe2\x82\xac\xc3\xa4     x\n"
				  "abcd    x\n");
}

static void assert_shortened(const char *s, size_t max, const char *want)
{
	_cleanup_free_ char *text = shorten(s, max);

	assert_string_equal(text, want);
}

static void test_shorten(void **state)
{
	assert_shortened("", 8, "");
	assert_shortened("12345678", 8, "12345678");
	assert_shortened("123456789", 8, "12345...");
	/* Never within a character, and control characters count as they are shown. */
	assert_shortened("\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4", 8,
			 "\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4");
	assert_shortened("\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4", 5,
			 "\xc3\xa4\xc3\xa4...");
	assert_shortened("a\nb", 8, "a\\x0ab");
	assert_shortened("a\nbcdef", 8, "a\\x0a...");
}

static void print_value(void *arg)
{
	print_json(json_pack("{s:s, s:[i]}", "a", "ä", "b", 1));
}

static void test_json(void **state)
{
	_cleanup_free_ char *text = capture(stdout, print_value, NULL);

	assert_string_equal(text, "{\n  \"a\": \"ä\",\n  \"b\": [\n    1\n  ]\n}\n");
}

static void assert_text(const char *s, const char *want)
{
	json_t *j = json_text(s);

	assert_string_equal(json_string_value(j), want);
	json_decref(j);
}

static void test_json_text(void **state)
{
	assert_text("", "");
	assert_text("a\n\xc3\xa4", "a\n\xc3\xa4");
	assert_text("cut \xc3", "cut \\xc3");
	assert_true(json_is_null(json_text(NULL)));
}

static void print_pairs(void *arg)
{
	print_key_value(2, 6, "Key:", "a\033[2J");
	print_key_value(0, 0, "", NULL);
}

static void test_key_value(void **state)
{
	_cleanup_free_ char *text = capture(stdout, print_pairs, NULL);

	assert_string_equal(text, "  Key:  a\\x1b[2J\n\n");
}

static void print_successes(void *arg)
{
	print_success(true, "Unseen", "x", 0);
	print_success(false, "Stopped", "box", 0);
	print_success(false, "Pulled", "alpine", 1250 * NSEC_PER_MSEC);
	print_success(false, "Pulled", "alpine", 125 * NSEC_PER_SEC);
	print_warning("%s %d", "number", 1);
}

static void test_messages(void **state)
{
	_cleanup_free_ char *text = capture(stderr, print_successes, NULL);

	assert_string_equal(text, "   ✓ Stopped      box\n"
				  "   ✓ Pulled       alpine (1.2s)\n"
				  "   ✓ Pulled       alpine (2m5s)\n"
				  "warn: number 1\n");
}

static void test_format_option(void **state)
{
	struct err e = {0};

	assert_int_equal(check_format(NULL, &e), 0);
	assert_int_equal(check_format("json", &e), 0);
	assert_int_equal(check_format("yaml", &e), -1);
	assert_int_equal(e.code, ERR_USAGE);
	assert_int_equal(check_format("", &e), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_format_bytes),  cmocka_unit_test(test_table),
		cmocka_unit_test(test_json),          cmocka_unit_test(test_messages),
		cmocka_unit_test(test_format_option), cmocka_unit_test(test_json_text),
		cmocka_unit_test(test_key_value),     cmocka_unit_test(test_wide_table),
		cmocka_unit_test(test_shorten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
