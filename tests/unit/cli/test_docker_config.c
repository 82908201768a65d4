/* SPDX-License-Identifier: Apache-2.0 */
/* Docker's configuration and its credential helpers, which are shell scripts here. */
#include "../testing.h"

#include "cli/docker_config.c"

#include <signal.h>

static void put_config(const char *dir, const char *text)
{
	_cleanup_free_ char *path = xasprintf("%s/config.json", dir);

	setenv("DOCKER_CONFIG", dir, 1);
	put_file(path, text);
}

static void put_helper(const char *dir, const char *name, const char *script)
{
	_cleanup_free_ char *path = xasprintf("%s/docker-credential-%s", dir, name);
	_cleanup_free_ char *text = xasprintf("#!/bin/sh\n%s\n", script);
	_cleanup_free_ char *search = xasprintf("%s:/usr/bin:/bin", dir);

	put_file(path, text);
	assert_int_equal(chmod(path, 0700), 0);
	setenv("PATH", search, 1);
}

/* "USER:PASSWORD", "TOKEN", "" for none, or the error's code; owned. */
static char *look_up(const char *host)
{
	struct login l;
	struct err e = {0};
	int r = docker_config_login(host, &l, &e);
	char *text;

	if (r < 0)
		text = xstrdup(err_code_name(e.code));
	else if (r == 0)
		text = xstrdup("");
	else if (l.identity_token)
		text = xstrdup(l.identity_token);
	else
		text = xasprintf("%s:%s", l.username, l.password);
	login_release(&l);
	return text;
}

static void assert_login(const char *host, const char *want)
{
	_cleanup_free_ char *got = look_up(host);

	if (strcmp(got, want) != 0)
		fail_msg("%s: '%s' instead of '%s'", host, got, want);
}

static void test_base64(void **state)
{
	static const struct {
		const char *text, *decoded;
	} cases[] = {
		{"", ""},           {"YQ==", "a"},        {"YWI=", "ab"}, {"YWJj", "abc"},
		{"YWJjZA", "abcd"}, {"/+8=", "\xff\xef"}, {"Y", NULL},    {"YQ===", NULL},
		{"YQ=a", NULL},     {"Y Q=", NULL},       {"YQ-_", NULL}, {"AGE=", NULL},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *text = base64_text(cases[i].text);

		if (!str_eq(text, cases[i].decoded))
			fail_msg("'%s' gives '%s'", cases[i].text, text ? text : "nothing");
	}
}

static void test_file(void **state)
{
	/* u:p:q, x:y */
	put_config(*state, "{\"auths\": {\"a.io\": {\"auth\": \"dTpwOnE=\"},"
			   "\"https://b.io/v2/\": {\"username\": \"u\", \"password\": \"p\"},"
			   "\"c.io/v1x\": {\"auth\": \"dTpwOnE=\"},"
			   "\"d.io\": {}, \"e.io\": {\"auth\": \"eDp5\", \"identitytoken\": \"t\"},"
			   "\"f.io\": {\"auth\": \"eHk=\"}, \"g.io\": {\"auth\": \"OnA=\"},"
			   "\"https://index.docker.io/v1/\": {\"auth\": \"eDp5\"}}}");
	assert_login("a.io", "u:p:q");
	assert_login("b.io", "u:p");
	assert_login("c.io", "");
	assert_login("d.io", "");
	assert_login("e.io", "t");
	assert_login("f.io", "corrupt");
	assert_login("g.io", "corrupt");
	assert_login("h.io", "");
	assert_login("docker.io", "x:y");
}

static void test_no_file(void **state)
{
	_cleanup_free_ char *dir = xasprintf("%s/none", (char *)*state);

	setenv("DOCKER_CONFIG", dir, 1);
	assert_login("a.io", "");
	unsetenv("DOCKER_CONFIG");
	setenv("HOME", *state, 1);
	assert_login("a.io", "");
	put_config(*state, "{\"auths\": [], \"credHelpers\": 1}");
	assert_login("a.io", "");
	put_config(*state, "[\"geheim\"");
	assert_login("a.io", "corrupt");
}

static void test_helpers(void **state)
{
	put_helper(*state, "echo",
		   "[ $1 = get ] && read s; echo '{\"Username\": \"u\", \"Secret\": \"'$s'\"}'");
	put_helper(*state, "none", "echo credentials not found in native keychain; exit 1");
	put_helper(*state, "fails", "exit 1");
	put_helper(*state, "deaf", "exec 0<&-; echo '{\"Username\": \"u\", \"Secret\": \"\"}'");
	put_config(*state, "{\"credsStore\": \"echo\", \"credHelpers\": {\"n.io\": \"none\","
			   "\"f.io\": \"fails\", \"d.io\": \"deaf\", \"m.io\": \"missing\","
			   "\"x.io\": \"../echo\"},"
			   "\"auths\": {\"f.io\": {\"auth\": \"eDp5\"}}}");
	assert_login("a.io:5000", "u:a.io:5000");
	assert_login("docker.io", "u:https://index.docker.io/v1/");
	assert_login("n.io", "");
	assert_login("d.io", "");
	assert_login("m.io", "not_found");
	assert_login("x.io", "invalid");
	/* What is in the file makes up for the helper. */
	assert_login("f.io", "x:y");
}

static void test_helper_limits(void **state)
{
	struct login l;
	struct err e = {0};

	put_helper(*state, "sleeps", "exec sleep 1000");
	assert_int_equal(credential_helper_get("sleeps", "x", 50, &l, &e), -1);
	assert_int_equal(e.code, ERR_TIMEOUT);
	put_helper(*state, "babbles", "exec yes");
	assert_int_equal(credential_helper_get("babbles", "x", 60000, &l, &e), -1);
	assert_int_equal(e.code, ERR_CORRUPT);
	/* What a helper leaves behind, with the pipe open, does not hold us up. */
	put_helper(*state, "leaves",
		   "sleep 1000 & echo $! >$0.pid;"
		   "echo '{\"Username\": \"<token>\", \"Secret\": \"t\"}'");
	assert_int_equal(credential_helper_get("leaves", "x", 60000, &l, &e), 1);
	assert_string_equal(l.identity_token, "t");
	assert_null(l.username);
	login_release(&l);
	{
		_cleanup_free_ char *path =
			xasprintf("%s/docker-credential-leaves.pid", (char *)*state);
		_cleanup_free_ char *pid = get_file(path);

		kill((pid_t)strtol(pid, NULL, 10), SIGKILL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_base64), temp_test(test_file),
		temp_test(test_no_file),       temp_test(test_helpers),
		temp_test(test_helper_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
