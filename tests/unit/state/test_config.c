/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include "state/config.h"

static void put_config(const struct fixture *f, const char *text)
{
	_cleanup_free_ char *path = home_path(&f->home, "config.json");

	put_file(path, text);
}

static void test_missing(void **state)
{
	struct fixture *f = *state;
	struct config c;

	assert_ok(config_load(&f->home, &c, &f->e), &f->e);
	assert_int_equal(c.n_registries, 0);
	assert_null(c.ca_certs);
	assert_null(config_find_registry(&c, "docker.io"));
	config_release(&c);
	/* A file that was named must be there. */
	setenv("MSB_CONFIG_PATH", "/nonexistent/msb.json", 1);
	assert_err(config_load(&f->home, &c, &f->e), &f->e, ERR_SYSTEM);
	unsetenv("MSB_CONFIG_PATH");
}

static void test_everything(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *own = home_path(&f->home, "own/ca.pem");
	const struct config_registry *r;
	struct config c;

	put_config(f, "{\"log_level\": [1, {}], \"registries\": {\"ca_certs\": \"own/ca.pem\","
		      "\"hosts\": {"
		      "\"Index.Docker.IO\": {\"mirrors\": [\"m.io:5000\", \"https://n.io/a/b/\","
		      "  \"http://[::1]:5/\"]},"
		      "\"r.io:5000\": {\"insecure\": true, \"ca_certs\": \"/etc/ca.pem\","
		      "  \"auth\": {\"username\": \"u\", \"password_env\": \"V\"}},"
		      "\"s.io\": {\"auth\": {\"username\": \"u\", \"store\": \"file\"}}}}}");
	assert_ok(config_load(&f->home, &c, &f->e), &f->e);
	assert_string_equal(c.ca_certs, own);
	assert_int_equal(c.n_registries, 3);
	r = config_find_registry(&c, "docker.io");
	assert_int_equal(r->n_mirrors, 3);
	assert_null(r->mirrors[0].scheme);
	assert_string_equal(r->mirrors[0].host, "m.io:5000");
	assert_string_equal(r->mirrors[0].prefix, "");
	assert_string_equal(r->mirrors[1].scheme, "https");
	assert_string_equal(r->mirrors[1].host, "n.io");
	assert_string_equal(r->mirrors[1].prefix, "a/b/");
	assert_string_equal(r->mirrors[2].scheme, "http");
	assert_string_equal(r->mirrors[2].host, "[::1]:5");
	assert_false(r->insecure);
	assert_null(r->username);
	r = config_find_registry(&c, "r.io:5000");
	assert_true(r->insecure);
	assert_string_equal(r->ca_certs, "/etc/ca.pem");
	assert_string_equal(r->username, "u");
	assert_string_equal(r->password_env, "V");
	r = config_find_registry(&c, "s.io");
	assert_string_equal(r->username, "u");
	assert_null(r->password_env);
	assert_null(config_find_registry(&c, "r.io"));
	config_release(&c);
}

static void test_wrong(void **state)
{
	static const struct {
		const char *text, *saying;
	} cases[] = {
		{"", "line 1"},
		{"{\n\"registries\":\n{,}}", "line 3"},
		{"{\"registries\": {}, \"registries\": {}}", "duplicate"},
		{"{\"registries\": {}} x", "line 1"},
		{"[]", "an object is expected"},
		{"{\"registries\": []}", "registries: an object"},
		{"{\"registries\": {\"ca_certs\": 1}}", "'ca_certs' must be a text"},
		{"{\"registries\": {\"ca_certs\": \"\"}}", "'ca_certs' must be a text"},
		{"{\"registries\": {\"mirrors\": []}}", "unknown key 'mirrors'"},
		{"{\"registries\": {\"hosts\": []}}", "registries.hosts: an object"},
		{"{\"registries\": {\"hosts\": {\"r.io\": 1}}}", "hosts.r.io: an object"},
		{"{\"registries\": {\"hosts\": {\"https://r.io\": {}}}}", "not the name"},
		{"{\"registries\": {\"hosts\": {\"docker.io\": {}, \"index.docker.io\": {}}}}",
		 "again"},
		{"{\"registries\": {\"hosts\": {\"r.io\": {\"insecure\": 1}}}}", "'insecure'"},
		{"{\"registries\": {\"hosts\": {\"r.io\": {\"x\": 1}}}}", "unknown key 'x'"},
		{"{\"registries\": {\"hosts\": {\"r.io\": {\"mirrors\": {}}}}}", "a list"},
		{"{\"registries\": {\"hosts\": {\"r.io\": {\"mirrors\": [1]}}}}", "bad mirror"},
		{"{\"registries\": {\"hosts\": {\"r.io\": {\"mirrors\": [\"\"]}}}}", "bad mirror"},
		{"{\"registries\": {\"hosts\": {\"r.io\": {\"mirrors\": [\"ftp://m\"]}}}}",
		 "bad mirror"},
		{"{\"registries\": {\"hosts\": {\"r.io\": {\"mirrors\": [\"m.io/../x\"]}}}}",
		 "bad mirror"},
		{"{\"registries\": {\"hosts\": {\"r.io\": {\"mirrors\": [\"m.io//x\"]}}}}",
		 "bad mirror"},
		{"{\"registries\": {\"hosts\": {\"r.io\": {\"mirrors\": [\"m.io/x?y\"]}}}}",
		 "bad mirror"},
		{"{\"registries\": {\"hosts\": {\"r.io\": {\"mirrors\": [\"u:p@m.io\"]}}}}",
		 "bad mirror"},
		{"{\"registries\": {\"hosts\": {\"r.io\": {\"auth\": {}}}}}", "'username'"},
		{"{\"registries\": {\"hosts\": {\"r.io\": {\"auth\": {\"username\": \"u\"}}}}}",
		 "either"},
		{"{\"registries\": {\"hosts\": {\"r.io\": {\"auth\": {\"username\": \"u\","
		 " \"store\": \"file\", \"password_env\": \"V\"}}}}}",
		 "either"},
		{"{\"registries\": {\"hosts\": {\"r.io\": {\"auth\": {\"username\": \"u\","
		 " \"store\": \"keyring\"}}}}}",
		 "only 'store'"},
		{"{\"registries\": {\"hosts\": {\"r.io\": {\"auth\": {\"password\": \"u\"}}}}}",
		 "unknown key 'password'"},
	};
	struct fixture *f = *state;
	_cleanup_free_ char *path = home_path(&f->home, "config.json");

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct config c;

		put_config(f, cases[i].text);
		if (config_load(&f->home, &c, &f->e) == 0)
			fail_msg("%s was accepted", cases[i].text);
		assert_int_equal(f->e.code, ERR_INVALID);
		if (!strstr(f->e.msg, cases[i].saying) || !strstr(f->e.msg, path))
			fail_msg("%s: %s", cases[i].text, f->e.msg);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		home_test(test_missing),
		home_test(test_everything),
		home_test(test_wrong),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
