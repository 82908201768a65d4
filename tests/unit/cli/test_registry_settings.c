/* SPDX-License-Identifier: Apache-2.0 */
/* What msb-image is told about a registry. */
#include "../state/fixture.h"

#include "cli/registry_settings.c"

static json_t *settings(const struct fixture *f, const char *reference,
			const struct registry_overrides *o)
{
	struct err e = {0};
	int fd = registry_settings_for_pull(&f->home, reference, o, &e);
	json_t *root, *list;

	if (fd < 0)
		fail_msg("%s", e.msg);
	root = json_loadfd(fd, 0, NULL);
	close(fd);
	list = json_incref(json_object_get(root, "endpoints"));
	json_decref(root);
	assert_non_null(list);
	return list;
}

static void assert_settings(const struct fixture *f, const char *reference,
			    const struct registry_overrides *o, const char *want)
{
	json_t *got = settings(f, reference, o), *wanted = json_loads(want, 0, NULL);
	_cleanup_free_ char *text = json_dumps(got, JSON_COMPACT);

	assert_non_null(wanted);
	if (!json_equal(got, wanted))
		fail_msg("%s", text);
	json_decref(got);
	json_decref(wanted);
}

static void put_config(const struct fixture *f, const char *text)
{
	_cleanup_free_ char *path = home_path(&f->home, "config.json");

	setenv("DOCKER_CONFIG", f->dir, 1); /* which is the same file */
	put_file(path, text);
}

static void test_plain(void **state)
{
	const struct registry_overrides none = {0}, all = {true, "/ca.pem", "me", "pw"};

	setenv("DOCKER_CONFIG", "/nonexistent", 1);
	assert_settings(*state, "alpine", &none,
			"[{\"server\": \"docker.io\", \"prefix\": \"\", \"insecure\": false,"
			"\"ca_certs\": []}]");
	assert_settings(*state,
			"R.io:5/x@sha256:"
			"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
			&all,
			"[{\"server\": \"R.io:5\", \"prefix\": \"\", \"insecure\": true,"
			"\"ca_certs\": [\"/ca.pem\"], \"username\": \"me\","
			"\"password\": \"pw\"}]");
}

static void test_mirrors(void **state)
{
	const struct registry_overrides o = {true, "/option.pem", "me", "pw"};
	struct credential c = {.host = (char *)"second.io:5",
			       .username = (char *)"stored",
			       .password = (char *)"s"};
	struct fixture *f = *state;

	put_config(f, "{\"registries\": {\"ca_certs\": \"/all.pem\", \"hosts\": {"
		      "\"docker.io\": {\"mirrors\": [\"first.io/a\", \"http://second.io:5\"]},"
		      "\"first.io\": {\"insecure\": true, \"ca_certs\": \"/first.pem\","
		      "  \"mirrors\": [\"third.io\"],"
		      "  \"auth\": {\"username\": \"conf\", \"password_env\": \"TEST_PW\"}}}},"
		      "\"auths\": {\"first.io\": {\"auth\": \"eDp5\"}}}");
	setenv("TEST_PW", "env", 1);
	assert_int_equal(credentials_put(&f->home, &c, NULL), 0);
	assert_settings(f, "alpine", &o,
			"[{\"server\": \"first.io\", \"prefix\": \"a/\", \"insecure\": true,"
			"\"ca_certs\": [\"/all.pem\", \"/first.pem\", \"/option.pem\"],"
			"\"username\": \"conf\", \"password\": \"env\"},"
			"{\"server\": \"second.io:5\", \"prefix\": \"\", \"scheme\": \"http\","
			"\"insecure\": false, \"ca_certs\": [\"/all.pem\", \"/option.pem\"],"
			"\"username\": \"stored\", \"password\": \"s\"},"
			"{\"server\": \"docker.io\", \"prefix\": \"\", \"insecure\": true,"
			"\"ca_certs\": [\"/all.pem\", \"/option.pem\"],"
			"\"username\": \"me\", \"password\": \"pw\"}]");
}

/* Store, configuration, Docker: the first that has a login. */
static void test_order(void **state)
{
	const struct registry_overrides o = {0};
	struct credential c = {
		.host = (char *)"r.io", .username = (char *)"stored", .password = (char *)"s"};
	struct fixture *f = *state;
	static const char head[] = "[{\"server\": \"r.io\", \"prefix\": \"\", \"insecure\": false,"
				   "\"ca_certs\": [], ";
	_cleanup_free_ char *stored =
		xasprintf("%s\"username\": \"stored\", \"password\": \"s\"}]", head);
	_cleanup_free_ char *configured =
		xasprintf("%s\"username\": \"conf\", \"password\": \"env\"}]", head);
	_cleanup_free_ char *docker =
		xasprintf("%s\"username\": \"x\", \"password\": \"y\"}]", head);

	put_config(f, "{\"registries\": {\"hosts\": {\"r.io\": {"
		      "\"auth\": {\"username\": \"conf\", \"password_env\": \"TEST_PW\"}}}},"
		      "\"auths\": {\"r.io\": {\"auth\": \"eDp5\"}}}");
	setenv("TEST_PW", "env", 1);
	assert_int_equal(credentials_put(&f->home, &c, NULL), 0);
	assert_settings(f, "r.io/x", &o, stored);
	assert_int_equal(credentials_remove(&f->home, "r.io", NULL), 1);
	assert_settings(f, "r.io/x", &o, configured);
	unsetenv("TEST_PW");
	assert_settings(f, "r.io/x", &o, docker);
}

static void test_failures(void **state)
{
	const struct registry_overrides o = {.username = "\xff", .password = "x"};
	const struct registry_overrides none = {0};
	struct fixture *f = *state;
	_cleanup_free_ char *path = home_path(&f->home, "credentials.json");

	assert_err(registry_settings_for_pull(&f->home, "r.io/x", &o, &f->e), &f->e, ERR_INVALID);
	put_file(path, "{");
	assert_err(registry_settings_for_pull(&f->home, "r.io/x", &none, &f->e), &f->e,
		   ERR_CORRUPT);
	put_config(f, "{");
	assert_err(registry_settings_for_pull(&f->home, "r.io/x", &none, &f->e), &f->e,
		   ERR_INVALID);
	assert_err(registry_settings_for_login(&f->home, "r.io", &none, &f->e), &f->e, ERR_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		home_test(test_plain),
		home_test(test_mirrors),
		home_test(test_order),
		home_test(test_failures),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
