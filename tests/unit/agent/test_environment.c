/* SPDX-License-Identifier: Apache-2.0 */
#include "../testing.h"

#include "agent/environment.h"

#include <stdlib.h>

static struct strv list(const char *const *items)
{
	struct strv sv = {0};

	for (; *items; items++)
		strv_add(&sv, *items);
	return sv;
}

static void test_build(void **state)
{
	struct strv sandbox = list((const char *const[]){"A=1", "PATH=/img", "B=2", "A=3", NULL});
	struct strv request = list((const char *const[]){"B=", "C=x=y", "=bad", "noequals", NULL});
	struct strv env;

	env_build(&env, &sandbox, &request, "/home/me", true);
	assert_string_equal(env_get(&env, "PATH"), "/.msb/scripts:/img");
	assert_string_equal(env_get(&env, "A"), "3");
	assert_string_equal(env_get(&env, "B"), "");
	assert_string_equal(env_get(&env, "C"), "x=y");
	assert_string_equal(env_get(&env, "HOME"), "/home/me");
	assert_string_equal(env_get(&env, "TERM"), "xterm");
	assert_int_equal(env.n, 6);
	assert_null(env.v[env.n]);
	strv_release(&env);
	strv_release(&sandbox);
	strv_release(&request);
}

static void test_defaults(void **state)
{
	struct strv none = {0}, env;
	struct strv request =
		list((const char *const[]){"PATH=/mine", "HOME=/h", "TERM=vt100", NULL});

	env_build(&env, &none, &none, "/", false);
	assert_string_equal(env_get(&env, "PATH"), "/.msb/scripts:" DEFAULT_PATH);
	assert_string_equal(env_get(&env, "HOME"), "/");
	assert_null(env_get(&env, "TERM"));
	strv_release(&env);
	/* What the request says is taken literally. */
	env_build(&env, &none, &request, "/", true);
	assert_string_equal(env_get(&env, "PATH"), "/mine");
	assert_string_equal(env_get(&env, "HOME"), "/h");
	assert_string_equal(env_get(&env, "TERM"), "vt100");
	strv_release(&env);
	strv_release(&request);
}

static void candidate(const char *command, const char *path, size_t n, const char *expected)
{
	char *s = command_candidate(command, path, n);

	if (expected)
		assert_string_equal(s, expected);
	else
		assert_null(s);
	free(s);
}

static void test_candidates(void **state)
{
	candidate("ls", "/a:/b", 0, "/a/ls");
	candidate("ls", "/a:/b", 1, "/b/ls");
	candidate("ls", "/a:/b", 2, NULL);
	candidate("ls", "", 0, "ls");
	candidate("ls", "", 1, NULL);
	candidate("ls", ":/b:", 0, "ls");
	candidate("ls", ":/b:", 2, "ls");
	candidate("ls", ":/b:", 3, NULL);
	candidate("./ls", "/a:/b", 0, "./ls");
	candidate("./ls", "/a:/b", 1, NULL);
	candidate("/bin/ls", "/a", 0, "/bin/ls");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_build),
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_candidates),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
