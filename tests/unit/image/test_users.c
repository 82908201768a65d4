/* SPDX-License-Identifier: Apache-2.0 */
/* What is read from an image's list of users, which anybody may have written. */
#include "../testing.h"

#include "image/users.h"

static void assert_users(const char *text, const char *want)
{
	_cleanup_free_ char *copy = xstrdup(text), *got = NULL;
	json_t *users = passwd_parse(copy);

	got = json_dumps(users, JSON_COMPACT | JSON_SORT_KEYS);
	json_decref(users);
	assert_string_equal(got, want);
}

static void test_lines(void **state)
{
	assert_users("", "{}");
	assert_users("root:x:0:0:root:/root:/bin/sh\nweb:x:33:34::/srv:\n",
		     "{\"root\":[0,0],\"web\":[33,34]}");
	assert_users("a:x:1:2", "{\"a\":[1,2]}");
	assert_users("a::4294967294:0:", "{\"a\":[4294967294,0]}");
	/* The first one of a name counts. */
	assert_users("a:x:1:2\na:x:3:4\n", "{\"a\":[1,2]}");
}

static void test_what_is_none(void **state)
{
	assert_users("\n\n# a comment\n::\n:::::\n", "{}");
	assert_users("a\na:\na:x\na:x:1\na:x:1:\na:x::1\n", "{}");
	assert_users("a:x:-1:0\nb:x:0x1:0\nc:x:4294967295:0\nd:x:1:99999999999999999999\n", "{}");
	assert_users("\xff:x:1:2\nb:x:1:2\n", "{\"b\":[1,2]}");
	assert_users("+::::::\n+b:x:1:2\n", "{\"+b\":[1,2]}");
}

static void test_bound(void **state)
{
	_cleanup_free_ char *text = xcalloc(1, 100000);
	json_t *users;
	size_t n = 0;

	for (int i = 0; i < 2000; i++)
		n += (size_t)snprintf(text + n, 100000 - n, "u%d:x:%d:%d\n", i, i, i);
	users = passwd_parse(text);
	assert_true(json_object_size(users) >= 256 && json_object_size(users) < 2000);
	assert_non_null(json_object_get(users, "u0"));
	json_decref(users);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_what_is_none),
		cmocka_unit_test(test_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
