/* SPDX-License-Identifier: Apache-2.0 */
/* Sources and destinations of `msb copy`. */
#include "../testing.h"

#include "cli/copy_endpoint.h"
#include "proto/fs_message.h"

static void test_endpoints(void **state)
{
	static const struct {
		const char *arg, *sandbox, *path;
	} cases[] = {
		{"box:/a/b", "box", "/a/b"},
		{"box:/", "box", "/"},
		{"a.b-c_1:/x:y", "a.b-c_1", "/x:y"},
		{"C:/Users", "C", "/Users"},
		{"file", NULL, "file"},
		{"./box:/a", NULL, "./box:/a"},
		{"/box:/a", NULL, "/box:/a"},
		{"dir/box:/a", NULL, "dir/box:/a"},
		{":/a", NULL, ":/a"},
		{"two words:/a", NULL, "two words:/a"},
		{"-x:/a", NULL, "-x:/a"}, /* no name of a sandbox */
		{"..", NULL, ".."},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct copy_endpoint ep;
		struct err e;

		assert_int_equal(copy_endpoint_parse(cases[i].arg, &ep, &e), 0);
		assert_true(str_eq(ep.sandbox, cases[i].sandbox));
		assert_string_equal(ep.path, cases[i].path);
		copy_endpoint_release(&ep);
	}
}

static void test_bad_endpoints(void **state)
{
	static const char *const bad[] = {"", "box:", "box:a", "box:./a", "box:~"};
	_cleanup_free_ char *longest = xcalloc(1, TREE_PATH_MAX + 2);
	struct copy_endpoint ep;
	struct err e = {0};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(copy_endpoint_parse(bad[i], &ep, &e), -1);
		assert_int_equal(e.code, ERR_USAGE);
	}
	memset(longest, 'x', TREE_PATH_MAX + 1);
	assert_int_equal(copy_endpoint_parse(longest, &ep, &e), -1);
	longest[TREE_PATH_MAX] = '\0';
	assert_int_equal(copy_endpoint_parse(longest, &ep, &e), 0);
	copy_endpoint_release(&ep);
}

static void test_source_names(void **state)
{
	static const struct {
		const char *path, *name;
	} cases[] = {
		{"a", "a"},     {"/a/b", "b"},  {"a/b///", "b"},    {"./a", "a"}, {"/...", "..."},
		{"a/.", NULL},  {"a/./", NULL}, {".", NULL},        {"/", NULL},  {"//", NULL},
		{"a/..", NULL}, {"..", NULL},   {"a b\n", "a b\n"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *name = copy_source_name(cases[i].path);

		assert_true(str_eq(name, cases[i].name));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_endpoints),
		cmocka_unit_test(test_bad_endpoints),
		cmocka_unit_test(test_source_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
