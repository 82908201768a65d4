/* SPDX-License-Identifier: Apache-2.0 */
/* Options of sandboxes and what is made of them; images and machines are stubs. */
#include "../testing.h"

#include "cli/sandbox_options.c"
#include "cli/start.c"

int image_pull(struct cli *cli, const char *reference, const struct image_fetch *f, json_t **ret,
	       struct err *e)
{
	return err_set(e, ERR_INTERNAL, "not in this test");
}

int image_find(struct cli *cli, const char *reference, struct image_row *ret, struct err *e)
{
	return err_set(e, ERR_INTERNAL, "not in this test");
}

int image_from_dir(struct cli *cli, const char *dir, const char *out, struct err *e)
{
	return err_set(e, ERR_INTERNAL, "not in this test");
}

int network_launch(json_t *network, unsigned slot, struct launch_spec *ret, struct err *e)
{
	ret->net = network ? xasprintf("slot %u", slot) : NULL;
	return 0;
}

int registry_ca_certs_check(const char *path, struct err *e)
{
	return 0;
}

int image_fetch_options(const char *progress, bool json_allowed, const char *platform,
			struct image_fetch *f, struct err *e)
{
	assert_false(json_allowed); /* standard output is the command's */
	return 0;
}

int platform_check_runnable(const char *text, struct err *e)
{
	return strcmp(text, "linux/good") == 0 ? 0 : err_set(e, ERR_UNSUPPORTED, "a platform");
}

int image_check_runnable(const char *reference, json_t *record, struct err *e)
{
	return err_set(e, ERR_INTERNAL, "not in this test");
}

bool image_is_for(json_t *record, const char *platform)
{
	return false;
}

int lock_cache(const struct cli *cli, bool exclusive, bool quiet, struct err *e)
{
	return err_set(e, ERR_INTERNAL, "not in this test");
}

int machine_choose(const char *wanted, bool quiet, enum machine_kind *ret, char **ret_qemu,
		   struct err *e)
{
	*ret = MACHINE_QEMU;
	*ret_qemu = NULL;
	return 0;
}

static void test_env(void **state)
{
	struct strv env = {0};
	struct err e = {0};

	setenv("TEST_SET", "from outside", 1);
	setenv("TEST_EMPTY", "", 1);
	unsetenv("TEST_UNSET");
	assert_int_equal(opt_env("A=1", &env, &e), 0);
	assert_int_equal(opt_env("B=", &env, &e), 0);
	assert_int_equal(opt_env("C=1=2", &env, &e), 0);
	assert_int_equal(opt_env("TEST_SET", &env, &e), 0);
	assert_int_equal(opt_env("TEST_EMPTY", &env, &e), 0);
	assert_int_equal(opt_env("TEST_UNSET", &env, &e), -1);
	assert_non_null(strstr(e.msg, "TEST_UNSET"));
	assert_int_equal(opt_env("=1", &env, &e), -1);
	assert_int_equal(opt_env("", &env, &e), -1);
	assert_int_equal(env.n, 5);
	assert_string_equal(env.v[0], "A=1");
	assert_string_equal(env.v[1], "B=");
	assert_string_equal(env.v[2], "C=1=2");
	assert_string_equal(env.v[3], "TEST_SET=from outside");
	assert_string_equal(env.v[4], "TEST_EMPTY=");
	strv_release(&env);
}

static void test_image_is_path(void **state)
{
	static const char *const paths[] = {"/", "/srv/root", "./x", "../x", ".", ".."};
	static const char *const images[] = {"alpine", "alpine:3", "a.b/c", ".x",
					     "..x",    "x/./y",    ""};

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		assert_true(image_is_path(paths[i]));
	for (size_t i = 0; i < ARRAY_SIZE(images); i++)
		assert_false(image_is_path(images[i]));
}

static void check(const struct sandbox_options *o, const char *image, enum err_code want)
{
	struct err e = {0};
	int r = sandbox_options_check(o, image, &e);

	assert_int_equal(r, want == ERR_NONE ? 0 : -1);
	assert_string_equal(err_code_name(e.code), err_code_name(want));
}

#define OPTIONS(...) (&(struct sandbox_options){__VA_ARGS__})
#define TEXT(s)      ((char *)(uintptr_t)(s))

static void test_options_check(void **state)
{
	const char *dir = *state;
	_cleanup_free_ char *file = xasprintf("%s/f", dir);
	char host[66];

	put_file(file, "");
	memset(host, 'h', sizeof(host) - 1);
	host[65] = '\0';
	check(OPTIONS(), "alpine", ERR_NONE);
	check(OPTIONS(), dir, ERR_NONE);
	check(OPTIONS(), "UPPER case", ERR_INVALID);
	check(OPTIONS(), file, ERR_UNSUPPORTED);
	check(OPTIONS(), "/nonexistent", ERR_SYSTEM);
	check(OPTIONS(.name = TEXT("-x")), "alpine", ERR_INVALID);
	check(OPTIONS(.name = TEXT("")), "alpine", ERR_INVALID);
	check(OPTIONS(.memory = 63 * MIB), "alpine", ERR_INVALID);
	check(OPTIONS(.memory = 64 * MIB), "alpine", ERR_NONE);
	check(OPTIONS(.memory = 1025 * 1024 * GIB), "alpine", ERR_INVALID);
	check(OPTIONS(.workdir = TEXT("srv")), "alpine", ERR_INVALID);
	check(OPTIONS(.workdir = TEXT("/srv")), "alpine", ERR_NONE);
	check(OPTIONS(.shell = TEXT("bash")), "alpine", ERR_NONE);
	check(OPTIONS(.shell = TEXT("/bin/bash")), "alpine", ERR_NONE);
	check(OPTIONS(.shell = TEXT("bin/bash")), "alpine", ERR_INVALID);
	check(OPTIONS(.shell = TEXT("ba sh")), "alpine", ERR_INVALID);
	check(OPTIONS(.shell = TEXT("")), "alpine", ERR_INVALID);
	check(OPTIONS(.shell = TEXT("/")), "alpine", ERR_INVALID);
	check(OPTIONS(.hostname = TEXT("")), "alpine", ERR_INVALID);
	check(OPTIONS(.hostname = TEXT("a b")), "alpine", ERR_INVALID);
	check(OPTIONS(.hostname = host), "alpine", ERR_INVALID);
	check(OPTIONS(.hostname = host + 1), "alpine", ERR_NONE);
	check(OPTIONS(.entrypoint = TEXT("")), "alpine", ERR_INVALID);
	check(OPTIONS(.pull = TEXT("never")), "alpine", ERR_NONE);
	check(OPTIONS(.platform = TEXT("linux/good")), "alpine", ERR_NONE);
	check(OPTIONS(.platform = TEXT("linux/bad")), "alpine", ERR_UNSUPPORTED);
	check(OPTIONS(.machine = TEXT("auto")), "alpine", ERR_NONE);
	check(OPTIONS(.log_level = TEXT("trace")), "alpine", ERR_NONE);
}

/* --- configuration ------------------------------------------------------------------------- */

static json_t *image_record(void)
{
	json_t *j = json_loads(
		"{\"config\": {\"Env\": [\"PATH=/bin\", \"A=image\", \"broken\", 7],"
		" \"Entrypoint\": [\"/entry\"], \"Cmd\": [\"serve\"], \"WorkingDir\": \"/srv\","
		" \"User\": \"web\"}, \"disk\": [\"images/x\"]}",
		0, NULL);

	assert_non_null(j);
	return j;
}

static char *config_text(const struct sandbox_options *o, json_t *record, const char *key)
{
	json_t *j = sandbox_config_build(o, record);
	char *text;

	assert_non_null(j);
	text = json_dumps(json_object_get(j, key), JSON_COMPACT | JSON_ENCODE_ANY);
	json_decref(j);
	return text;
}

static void assert_config(const struct sandbox_options *o, const char *key, const char *want)
{
	json_t *record = image_record();
	_cleanup_free_ char *text = config_text(o, record, key);

	json_decref(record);
	assert_string_equal(text ? text : "absent", want);
}

static void test_config_of_an_image(void **state)
{
	struct sandbox_options env = {0};

	assert_config(OPTIONS(), "cpus", "1");
	assert_config(OPTIONS(), "memory_mib", "512");
	assert_config(OPTIONS(.memory = 2 * GIB, .cpus = 4), "memory_mib", "2048");
	assert_config(OPTIONS(.cpus = 4), "cpus", "4");
	assert_config(OPTIONS(), "workdir", "\"/srv\"");
	assert_config(OPTIONS(.workdir = TEXT("/w")), "workdir", "\"/w\"");
	assert_config(OPTIONS(), "user", "\"web\"");
	assert_config(OPTIONS(.user = TEXT("root")), "user", "\"root\"");
	assert_config(OPTIONS(), "entrypoint", "[\"/entry\"]");
	assert_config(OPTIONS(.entrypoint = TEXT("sh")), "entrypoint", "[\"sh\"]");
	assert_config(OPTIONS(), "cmd", "[\"serve\"]");
	assert_config(OPTIONS(), "hostname", "absent");
	/* The image's variables come first, what is none of them is left out. */
	strv_add(&env.env, "A=mine");
	assert_config(&env, "env", "[\"PATH=/bin\",\"A=image\",\"A=mine\"]");
	strv_release(&env.env);
}

static void test_config_of_a_directory(void **state)
{
	_cleanup_free_ char *image = config_text(OPTIONS(), NULL, "image");
	_cleanup_free_ char *entrypoint = config_text(OPTIONS(), NULL, "entrypoint");
	_cleanup_free_ char *env = config_text(OPTIONS(), NULL, "env");

	assert_string_equal(image, "null");
	assert_null(entrypoint);
	assert_string_equal(env, "[]");
}

/* Options that JSON cannot carry are refused, not dropped. */
static void test_config_of_bad_utf8(void **state)
{
	struct sandbox_options o = {0};
	json_t *record = image_record();

	strv_add(&o.env, "A=\xff");
	assert_null(sandbox_config_build(&o, record));
	strv_release(&o.env);
	assert_null(sandbox_config_build(OPTIONS(.user = TEXT("\xff")), record));
	assert_null(sandbox_config_build(OPTIONS(.workdir = TEXT("/\xff")), record));
	assert_null(sandbox_config_build(OPTIONS(.entrypoint = TEXT("\xff")), record));
	json_decref(record);
}

static void assert_command(json_t *config, const char *given, const char *want)
{
	struct sandbox_row row = {.config = config};
	struct strv command = {0}, got = {0};
	char text[100] = "";

	if (given)
		strv_add(&command, given);
	sandbox_resolve_command(&row, &command, &got);
	for (size_t i = 0; i < got.n; i++) {
		size_t n = strlen(text);

		snprintf(text + n, sizeof(text) - n, "%s%s", i ? " " : "", got.v[i]);
	}
	assert_string_equal(text, want);
	strv_release(&command);
	strv_release(&got);
}

static void assert_command_text(json_t *config, const char *want)
{
	_cleanup_free_ char *text = sandbox_command_text(&(struct sandbox_row){.config = config});

	assert_string_equal(text, want);
}

static void test_resolve_command(void **state)
{
	json_t *both = json_pack("{s:[s], s:[s, s]}", "entrypoint", "/entry", "cmd", "a", "b");
	json_t *cmd = json_pack("{s:[s, s], s:s}", "cmd", "a", "b", "shell", "/bin/bash");
	json_t *none = json_object();

	assert_command(both, NULL, "/entry a b");
	assert_command(both, "x", "/entry x");
	assert_command(cmd, NULL, "a b");
	assert_command(cmd, "x", "x");
	assert_command(none, NULL, "");
	assert_command(none, "x", "x");
	assert_command_text(both, "/entry a b");
	assert_command_text(none, "");
	assert_string_equal(sandbox_shell(&(struct sandbox_row){.config = cmd}), "/bin/bash");
	assert_string_equal(sandbox_shell(&(struct sandbox_row){.config = none}), "/bin/sh");
	json_decref(both);
	json_decref(cmd);
	json_decref(none);
}

/* argv and whether it joins the init, of what `msb run` asks for. */
static void assert_run(json_t *config, bool running, const char *given, bool join, const char *want)
{
	struct sandbox_row row = {.config = config};
	struct exec_request q = {0};
	struct strv command = {0};
	char text[100] = "";

	if (given)
		strv_add(&command, given);
	sandbox_run_request(&row, running, &command, &q);
	for (size_t i = 0; i < q.argv.n; i++) {
		size_t n = strlen(text);

		snprintf(text + n, sizeof(text) - n, "%s%s", i ? " " : "", q.argv.v[i]);
	}
	assert_string_equal(text, want);
	assert_int_equal(q.join, join);
	exec_request_release(&q);
	strv_release(&command);
}

static void test_run_request(void **state)
{
	json_t *s6 = json_pack("{s:{s:s, s:[s]}, s:[s, s], s:[s]}", "init", "path", "auto", "args",
			       "-v", "entrypoint", "/init", "x", "cmd", "serve");
	json_t *beside = json_pack("{s:{s:s}, s:[s], s:[s]}", "init", "path", "/sbin/init",
				   "entrypoint", "/entry", "cmd", "serve");
	json_t *cmd = json_pack("{s:{s:s}, s:[s]}", "init", "path", "auto", "cmd", "/sbin/init");
	json_t *none = json_pack("{s:[s], s:[s]}", "entrypoint", "/init", "cmd", "serve");

	assert_run(s6, false, NULL, true, "/init -v x serve");
	assert_run(s6, false, "run", true, "/init -v x run");
	assert_run(s6, true, "run", false, "run");
	assert_run(s6, true, NULL, false, "");
	assert_run(beside, false, NULL, false, "/entry serve");
	assert_run(beside, true, "run", false, "/entry run");
	assert_run(cmd, false, NULL, true, "/sbin/init");
	assert_run(cmd, false, "run", false, "run");
	assert_run(none, false, NULL, false, "/init serve");
	json_decref(s6);
	json_decref(beside);
	json_decref(cmd);
	json_decref(none);
}

static void test_boot_init(void **state)
{
	json_t *config = json_pack("{s:{s:s, s:[s], s:[s]}, s:[s]}", "init", "path", "/sbin/init",
				   "args", "-a", "env", "A=1", "entrypoint", "/entry");
	struct sandbox_row row = {.config = config};
	struct boot_config boot = {0};
	struct exec_request q = {.tty = true, .join = true, .timeout_ms = 5};
	struct err e = {0};

	assert_int_equal(boot_init(&row, NULL, &boot, &e), 0);
	assert_true(boot.has_init);
	assert_int_equal(boot.init.argv.n, 2);
	assert_string_equal(boot.init.argv.v[0], "/sbin/init");
	assert_string_equal(boot.init.argv.v[1], "-a");
	assert_string_equal(boot.init.env.v[0], "A=1");
	assert_string_equal(boot.init.user, "0:0");
	assert_string_equal(boot.init.cwd, "/");
	boot_config_release(&boot);
	/* That of a command that joins it is started as the command is to run. */
	strv_add(&q.argv, "/init");
	assert_int_equal(boot_init(&row, &q, &boot, &e), 0);
	assert_string_equal(boot.init.argv.v[0], "/init");
	assert_true(boot.init.tty);
	assert_false(boot.init.join);
	assert_int_equal(boot.init.timeout_ms, 0);
	boot_config_release(&boot);
	exec_request_release(&q);
	json_object_del(config, "init");
	assert_int_equal(boot_init(&row, NULL, &boot, &e), 0);
	assert_false(boot.has_init);
	json_decref(config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_env),
		cmocka_unit_test(test_image_is_path),
		temp_test(test_options_check),
		cmocka_unit_test(test_config_of_an_image),
		cmocka_unit_test(test_config_of_a_directory),
		cmocka_unit_test(test_config_of_bad_utf8),
		cmocka_unit_test(test_resolve_command),
		cmocka_unit_test(test_run_request),
		cmocka_unit_test(test_boot_init),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
