/* SPDX-License-Identifier: Apache-2.0 */
/* Limits, scripts, profile and init: from the command line to the boot configuration. */
#include "../testing.h"

#include "cli/guest_options.c"

#include "cli/opt.h"

#define OPTIONS(...) (&(struct sandbox_options){__VA_ARGS__})
#define TEXT(s)      ((char *)(uintptr_t)(s))

static void test_rlimit(void **state)
{
	static const struct {
		const char *text;
		int resource; /* -1: refused */
		rlim_t soft, hard;
	} cases[] = {
		{"nofile=1024", RLIMIT_NOFILE, 1024, 1024},
		{"NoFile=1024:4096", RLIMIT_NOFILE, 1024, 4096},
		{"RLIMIT_CORE=0", RLIMIT_CORE, 0, 0},
		{"rlimit_as=1:unlimited", RLIMIT_AS, 1, RLIM_INFINITY},
		{"rttime=unlimited", RLIMIT_RTTIME, RLIM_INFINITY, RLIM_INFINITY},
		{"cpu=9223372036854775807", RLIMIT_CPU, INT64_MAX, INT64_MAX},
		{"cpu=9223372036854775808", -1, 0, 0},
		{"cpu=2:1", -1, 0, 0},
		{"cpu=unlimited:1", -1, 0, 0},
		{"cpu=", -1, 0, 0},
		{"cpu=1:", -1, 0, 0},
		{"cpu=:1", -1, 0, 0},
		{"cpu=1:2:3", -1, 0, 0},
		{"cpu=-1", -1, 0, 0},
		{"cpu=1k", -1, 0, 0},
		{"cpu=UNLIMITED", -1, 0, 0},
		{"cpu", -1, 0, 0},
		{"=1", -1, 0, 0},
		{"RLIMIT_=1", -1, 0, 0},
		{"files=1", -1, 0, 0},
		{"", -1, 0, 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct rlimit_options o = {0};
		struct err e = {0};
		int r = opt_rlimit(cases[i].text, &o, &e);

		if (r != (cases[i].resource < 0 ? -1 : 0))
			fail_msg("'%s' is %s", cases[i].text, r ? "refused" : "accepted");
		assert_int_equal(o.n, r == 0);
		if (r < 0)
			continue;
		assert_int_equal(o.v[0].resource, cases[i].resource);
		assert_true(o.v[0].soft == cases[i].soft && o.v[0].hard == cases[i].hard);
	}
}

static void test_rlimits_of_all_resources(void **state)
{
	struct rlimit_options o = {0};
	struct err e = {0};

	for (int i = 0; i < RLIM_NLIMITS; i++) {
		_cleanup_free_ char *text = xasprintf("%s=%d", rlimit_name(i), i);

		assert_int_equal(opt_rlimit(text, &o, &e), 0);
	}
	assert_int_equal(o.n, EXEC_RLIMIT_MAX);
	/* The last one of a resource counts. */
	assert_int_equal(opt_rlimit("fsize=77", &o, &e), 0);
	assert_int_equal(o.n, EXEC_RLIMIT_MAX);
	assert_int_equal(o.v[RLIMIT_FSIZE].soft, 77);
	assert_null(rlimit_name(RLIM_NLIMITS));
	assert_null(rlimit_name(-1));
}

/* --- scripts ------------------------------------------------------------------------------- */

static void test_script_values(void **state)
{
	char name[BOOT_SCRIPT_NAME_MAX + 3];
	struct strv list = {0};
	static const struct {
		const char *text, *says;
	} bad[] = {
		{"x", "script must be in format NAME=BODY"},
		{"", "script must be in format NAME=BODY"},
		{"=x", "script name must not be empty (NAME=BODY)"},
		{"a/b=x", "script name"},
		{".=x", "script name"},
		{"..=x", "script name"},
		{"a\nb=x", "printable"},
		{"a\xff=x", "printable"},
	};
	struct err e = {0};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(opt_script(bad[i].text, &list, &e), -1);
		if (!strstr(e.msg, bad[i].says))
			fail_msg("'%s' is refused for '%s'", bad[i].text, e.msg);
	}
	memset(name, 'n', sizeof(name));
	name[BOOT_SCRIPT_NAME_MAX + 1] = '=';
	name[BOOT_SCRIPT_NAME_MAX + 2] = '\0';
	assert_int_equal(opt_script(name, &list, &e), -1);
	assert_int_equal(opt_script(name + 1, &list, &e), 0);
	assert_int_equal(opt_script("ä b=", &list, &e), 0);
	assert_int_equal(opt_script_path("x", &list, &e), -1);
	assert_non_null(strstr(e.msg, "script must be in format NAME:PATH"));
	assert_int_equal(opt_script_path(":/x", &list, &e), -1);
	assert_int_equal(opt_script_path("x:", &list, &e), -1);
	assert_int_equal(opt_script_path("x:/a:b", &list, &e), 0);
	assert_int_equal(list.n, 3);
	strv_release(&list);
}

static void test_script_bodies(void **state)
{
	static const struct {
		const char *body, *shell, *want;
	} cases[] = {
		{"echo", "/bin/sh", "#!/bin/sh\necho\n"},
		{"echo\\n", "/bin/sh", "#!/bin/sh\necho\n"},
		{"", "/bin/sh", "#!/bin/sh\n\n"},
		{"a\\tb\\r\\\\\\\"\\'", "/bin/sh", "#!/bin/sh\na\tb\r\\\"'\n"},
		{"a\\xb\\0\\", "/bin/sh", "#!/bin/sh\na\\xb\\0\\\n"},
		{"\\\\n", "/bin/sh", "#!/bin/sh\n\\n\n"},
		{"echo", "bash", "#!/usr/bin/env bash\necho\n"},
		{"echo", "/opt/zsh", "#!/opt/zsh\necho\n"},
		{"#!/usr/bin/awk -f\\nx", "/bin/sh", "#!/usr/bin/awk -f\nx\n"},
		{" #!/x", "/bin/sh", "#!/bin/sh\n #!/x\n"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct boot_script s = {0};

		decode_body(cases[i].body, cases[i].shell, &s);
		assert_string_equal((char *)s.data, cases[i].want);
		assert_int_equal(s.len, strlen(cases[i].want));
		boot_script_release(&s);
	}
}

static json_t *stored(const struct sandbox_options *o)
{
	json_t *config = json_object();
	struct err e = {.code = ERR_NOT_FOUND}; /* as an earlier attempt may leave it */

	assert_int_equal(guest_options_check(o, &e), 0);
	assert_int_equal(guest_options_store(o, config, &e), 0);
	return config;
}

static void test_scripts_to_the_guest(void **state)
{
	_cleanup_free_ char *file = xasprintf("%s/f", (char *)*state),
			    *path = xasprintf("p:%s", file);
	struct sandbox_options o = {.shell = TEXT("bash")};
	struct boot_config boot = {0};
	struct err e = {0};
	json_t *config;

	assert_int_equal(write_file_atomic(AT_FDCWD, file, "\0\xff", 2, 0600), 0);
	strv_add(&o.scripts, "a=echo");
	strv_add(&o.raw_scripts, "b=x\\n");
	strv_add(&o.raw_scripts, "empty=");
	strv_add(&o.script_paths, path);
	config = stored(&o);
	assert_int_equal(guest_boot(config, &boot, &e), 0);
	assert_int_equal(boot.n_scripts, 4);
	assert_string_equal(boot.scripts[0].name, "a");
	assert_memory_equal(boot.scripts[0].data, "#!/usr/bin/env bash\necho\n",
			    boot.scripts[0].len);
	assert_int_equal(boot.scripts[1].len, 3);
	assert_memory_equal(boot.scripts[1].data, "x\\n", 3);
	assert_int_equal(boot.scripts[2].len, 0);
	assert_string_equal(boot.scripts[3].name, "p");
	assert_int_equal(boot.scripts[3].len, 2);
	assert_memory_equal(boot.scripts[3].data, "\0\xff", 2);
	boot_config_release(&boot);
	json_decref(config);
	strv_release(&o.scripts);
	strv_release(&o.raw_scripts);
	strv_release(&o.script_paths);
}

static void refused(const struct sandbox_options *o, enum err_code code, const char *says)
{
	struct err e = {0};

	assert_int_equal(guest_options_check(o, &e), -1);
	assert_int_equal(e.code, code);
	if (!strstr(e.msg, says))
		fail_msg("refused for '%s', not for '%s'", e.msg, says);
}

static void test_scripts_that_do_not_fit(void **state)
{
	struct sandbox_options o = {0};
	char *big = xmalloc(BOOT_SCRIPTS_BYTES_MAX + 3);

	strv_add(&o.scripts, "a=x");
	strv_add(&o.raw_scripts, "a=y");
	refused(&o, ERR_INVALID, "duplicate script name: 'a'");
	strv_release(&o.scripts);
	strv_release(&o.raw_scripts);
	strv_add(&o.script_paths, "a:/nonexistent/file");
	refused(&o, ERR_SYSTEM, "/nonexistent/file");
	strv_release(&o.script_paths);
	memset(big, 'x', BOOT_SCRIPTS_BYTES_MAX + 2);
	memcpy(big, "a=", 2);
	big[BOOT_SCRIPTS_BYTES_MAX + 2] = '\0';
	strv_take(&o.raw_scripts, big);
	assert_int_equal(guest_options_check(&o, &(struct err){0}), 0);
	strv_add(&o.raw_scripts, "b=1");
	refused(&o, ERR_INVALID, "too long");
	strv_release(&o.raw_scripts);
	for (int i = 0; i <= BOOT_SCRIPTS_MAX; i++)
		strv_take(&o.raw_scripts, xasprintf("%d=", i));
	refused(&o, ERR_INVALID, "too many scripts");
	strv_release(&o.raw_scripts);
}

/* --- the rest ------------------------------------------------------------------------------ */

static void test_init_options(void **state)
{
	struct sandbox_options o = {0};

	refused(OPTIONS(.init = TEXT("sbin/init")), ERR_INVALID,
		"--init must be an absolute path or `auto`, got: sbin/init");
	refused(OPTIONS(.init = TEXT("")), ERR_INVALID, "`auto`, got: ");
	strv_add(&o.init_args, "-x");
	refused(&o, ERR_USAGE, "--init-arg");
	o.init = TEXT("auto");
	assert_int_equal(guest_options_check(&o, &(struct err){0}), 0);
	strv_release(&o.init_args);
	o.init = NULL;
	strv_add(&o.init_env, "A=1");
	refused(&o, ERR_USAGE, "--init-env");
	strv_release(&o.init_env);
}

static void test_stored(void **state)
{
	struct sandbox_options o = {.security = TEXT("restricted"), .init = TEXT("auto")};
	struct boot_config boot = {0};
	struct err e = {0};
	char *text;
	json_t *config = stored(OPTIONS());

	text = json_dumps(config, JSON_COMPACT);
	assert_string_equal(text, "{\"security\":\"default\"}");
	free(text);
	assert_int_equal(guest_boot(config, &boot, &e), 0);
	assert_false(boot.restricted);
	assert_false(guest_has_init(config));
	json_decref(config);

	assert_int_equal(opt_rlimit("nofile=3:unlimited", &o.rlimits, &e), 0);
	strv_add(&o.init_args, "--log");
	strv_add(&o.init_env, "K=V");
	config = stored(&o);
	text = json_dumps(config, JSON_COMPACT);
	assert_string_equal(text,
			    "{\"security\":\"restricted\",\"rlimits\":[{\"resource\":\"nofile\","
			    "\"soft\":3,\"hard\":\"unlimited\"}],\"init\":{\"path\":\"auto\","
			    "\"args\":[\"--log\"],\"env\":[\"K=V\"]}}");
	free(text);
	assert_int_equal(guest_boot(config, &boot, &e), 0);
	assert_true(boot.restricted);
	assert_int_equal(boot.n_rlimits, 1);
	assert_int_equal(boot.rlimits[0].resource, RLIMIT_NOFILE);
	assert_int_equal(boot.rlimits[0].soft, 3);
	assert_true(boot.rlimits[0].hard == RLIM_INFINITY);
	assert_true(guest_has_init(config));
	json_decref(config);
	strv_release(&o.init_args);
	strv_release(&o.init_env);
}

static void test_not_utf8(void **state)
{
	struct sandbox_options o = {.init = TEXT("auto")};
	json_t *config = json_object();
	struct err e = {0};

	strv_add(&o.init_args, "\xff");
	assert_int_equal(guest_options_store(&o, config, &e), -1);
	assert_non_null(strstr(e.msg, "UTF-8"));
	json_decref(config);
	strv_release(&o.init_args);
}

/* What a hand in the database may have left there. */
static void test_damaged(void **state)
{
	static const char *const configs[] = {
		"{\"rlimits\":[{\"resource\":\"x\",\"soft\":1,\"hard\":1}]}",
		"{\"rlimits\":[{\"resource\":\"cpu\",\"soft\":1}]}",
		"{\"rlimits\":[7]}",
		"{\"scripts\":[{\"name\":\"../x\",\"text\":\"\"}]}",
		"{\"scripts\":[{\"name\":\"x\"}]}",
	};

	for (size_t i = 0; i < ARRAY_SIZE(configs); i++) {
		json_t *config = json_loads(configs[i], 0, NULL);
		struct boot_config boot = {0};
		struct err e = {0};

		assert_int_equal(guest_boot(config, &boot, &e), -1);
		assert_true(e.msg[0]);
		boot_config_release(&boot);
		json_decref(config);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rlimit),
		cmocka_unit_test(test_rlimits_of_all_resources),
		cmocka_unit_test(test_script_values),
		cmocka_unit_test(test_script_bodies),
		temp_test(test_scripts_to_the_guest),
		cmocka_unit_test(test_scripts_that_do_not_fit),
		cmocka_unit_test(test_init_options),
		cmocka_unit_test(test_stored),
		cmocka_unit_test(test_not_utf8),
		cmocka_unit_test(test_damaged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
