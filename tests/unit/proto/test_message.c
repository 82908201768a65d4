/* SPDX-License-Identifier: Apache-2.0 */
/* What the vectors (test_vectors.c) cannot say: struct fields, large messages, bad bytes. */
#include "../testing.h"

#include "proto/message.h"

#include <sys/resource.h>
#include <sys/socket.h>

static void test_exec_request_fields(void **state)
{
	struct exec_request r = {
		.tty = true,
		.has_stdin = true,
		.rows = 24,
		.cols = 80,
		.timeout_ms = 1500,
		.n_rlimits = 2,
		.rlimits = {{RLIMIT_NOFILE, 1024, RLIM_INFINITY}, {RLIMIT_CORE, 0, 0}},
	};
	struct exec_request back;
	struct err e = {0};
	json_t *j;

	strv_add(&r.argv, "ls");
	strv_add(&r.argv, "-l");
	strv_add(&r.env, "A=1");
	r.cwd = xstrdup("/tmp");
	r.user = xstrdup("nobody");
	j = exec_request_to_json(&r);
	assert_non_null(j);
	assert_int_equal(exec_request_from_json(j, &back, &e), 0);
	json_decref(j);
	assert_int_equal(back.argv.n, 2);
	assert_string_equal(back.argv.v[1], "-l");
	assert_int_equal(back.env.n, 1);
	assert_string_equal(back.env.v[0], "A=1");
	assert_string_equal(back.cwd, "/tmp");
	assert_string_equal(back.user, "nobody");
	assert_true(back.tty);
	assert_true(back.has_stdin);
	assert_int_equal(back.rows, 24);
	assert_int_equal(back.cols, 80);
	assert_int_equal(back.timeout_ms, 1500);
	assert_int_equal(back.n_rlimits, 2);
	assert_int_equal(back.rlimits[0].resource, RLIMIT_NOFILE);
	assert_int_equal(back.rlimits[0].soft, 1024);
	assert_true(back.rlimits[0].hard == RLIM_INFINITY);
	assert_int_equal(back.rlimits[1].soft, 0);
	exec_request_release(&back);
	exec_request_release(&r);
	assert_int_equal(r.argv.n, 0);
}

/* An argument, variable, directory or user that JSON cannot carry must not just be left out. */
static void test_exec_request_refuses_to_encode_bad_utf8(void **state)
{
	for (int which = 0; which < 4; which++) {
		struct exec_request r = {0};

		strv_add(&r.argv, "rm");
		strv_add(&r.argv, which == 0 ? "\xff" : "x");
		strv_add(&r.argv, "last");
		strv_add(&r.env, which == 1 ? "A=\xc3" : "A=1");
		r.cwd = xstrdup(which == 2 ? "/\x80" : "/");
		r.user = xstrdup(which == 3 ? "\xfe" : "0");
		assert_null(exec_request_to_json(&r));
		exec_request_release(&r);
	}
}

static void test_exec_request_bounds(void **state)
{
	struct err e = {0};

	for (int extra = 0; extra <= 1; extra++) {
		json_t *a = json_array(), *j;
		struct exec_request r;

		for (int i = 0; i < EXEC_ARGS_MAX + extra; i++)
			json_array_append_new(a, json_string("A=1"));
		j = json_pack("{s:O, s:o}", "argv", a, "env", a);
		assert_int_equal(exec_request_from_json(j, &r, &e), -extra);
		if (extra)
			assert_int_equal(e.code, ERR_INVALID);
		else
			exec_request_release(&r);
		json_decref(j);
	}
}

/* Strings with NUL do not get through the parser, but nothing relies on that. */
static void test_nul_in_strings(void **state)
{
	struct exec_request r;
	struct boot_config c;
	struct err e = {0};
	json_t *j = json_pack("{s:[o]}", "argv", json_stringn("a\0b", 3));

	assert_int_equal(exec_request_from_json(j, &r, &e), -1);
	json_decref(j);
	j = json_pack("{s:[s], s:o}", "argv", "a", "cwd", json_stringn("/\0b", 3));
	assert_int_equal(exec_request_from_json(j, &r, &e), -1);
	json_decref(j);
	j = json_pack("{s:o, s:s}", "image_disk", json_stringn("a\0", 2), "upper_disk", "u");
	assert_int_equal(boot_config_from_json(j, &c, &e), -1);
	json_decref(j);
}

/* A decoder that is given something else than an object says no and does not crash. */
static void test_not_an_object(void **state)
{
	json_t *values[] = {
		NULL, json_null(), json_array(), json_string("x"), json_integer(1), json_true()};

	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		struct exec_request request;
		struct exec_result result;
		struct boot_config boot;
		struct err e = {0};

		assert_int_equal(exec_request_from_json(values[i], &request, &e), -1);
		assert_int_equal(exec_result_from_json(values[i], &result, &e), -1);
		assert_int_equal(boot_config_from_json(values[i], &boot, &e), -1);
		assert_int_equal(message_check(values[i], &e), -1);
		json_decref(values[i]);
	}
}

static void test_exec_result(void **state)
{
	const struct exec_result in = {.exit_code = 137, .signal = 9, .timed_out = true};
	struct exec_result out = {0};
	struct err e = {0};
	json_t *j = exec_result_to_json(&in);

	assert_int_equal(exec_result_from_json(j, &out, &e), 0);
	json_decref(j);
	assert_int_equal(out.exit_code, 137);
	assert_int_equal(out.signal, 9);
	assert_true(out.timed_out);
	err_set(&e, ERR_EXEC_NOT_FOUND, "no such program");
	j = message_error(&e);
	e = (struct err){0};
	assert_int_equal(exec_result_from_json(j, &out, &e), -1);
	assert_int_equal(e.code, ERR_EXEC_NOT_FOUND);
	assert_string_equal(e.msg, "no such program");
	json_decref(j);
}

static void test_boot_config_fields(void **state)
{
	struct boot_config c = {.upper_size = 4 * GIB, .time_ns = 17, .n_mounts = BOOT_MOUNTS_MAX};
	struct boot_config back;
	struct err e = {0};
	json_t *j;

	c.hostname = xstrdup("box");
	c.workdir = xstrdup("/srv");
	c.user = xstrdup("web");
	c.image_disk = xstrdup("image");
	c.upper_disk = xstrdup("upper");
	strv_add(&c.env, "A=1");
	for (size_t i = 0; i < c.n_mounts; i++)
		c.mounts[i] = (struct boot_mount){.path = xasprintf("/t%zu", i), .size = i};
	j = boot_config_to_json(&c);
	assert_int_equal(boot_config_from_json(j, &back, &e), 0);
	json_decref(j);
	assert_string_equal(back.hostname, "box");
	assert_string_equal(back.workdir, "/srv");
	assert_string_equal(back.user, "web");
	assert_string_equal(back.image_disk, "image");
	assert_string_equal(back.upper_disk, "upper");
	assert_int_equal(back.env.n, 1);
	assert_int_equal(back.upper_size, 4 * GIB);
	assert_int_equal(back.time_ns, 17);
	assert_int_equal(back.n_mounts, BOOT_MOUNTS_MAX);
	assert_string_equal(back.mounts[63].path, "/t63");
	assert_int_equal(back.mounts[63].size, 63);
	boot_config_release(&back);
	free(c.mounts[5].path);
	c.mounts[5].path = xstrdup("/\xff");
	assert_null(boot_config_to_json(&c));
	free(c.workdir);
	c.workdir = xstrdup("\xff");
	assert_null(boot_config_to_json(&c));
	boot_config_release(&c);
}

#define NETWORK                                                                                \
	"{\"mac\":\"02:6d:73:00:0a:02\",\"mtu\":1500,\"nameservers\":[\"172.16.0.41\"],"       \
	"\"ip4\":{\"address\":\"172.16.0.42\",\"prefix_len\":30,\"gateway\":\"172.16.0.41\"}," \
	"\"ip6\":{\"address\":\"fd42:6d73:62:a::2\",\"prefix_len\":64,"                        \
	"\"gateway\":\"fd42:6d73:62:a::1\"}}"

/* A boot configuration with this value, or without it for NULL, as "network". */
static int boot_with_network(json_t *network, struct boot_config *ret)
{
	json_t *j = json_pack("{s:s, s:s}", "image_disk", "a", "upper_disk", "b");
	struct err e = {0};
	int r;

	if (network)
		json_object_set_new(j, "network", network);
	r = boot_config_from_json(j, ret, &e);
	json_decref(j);
	return r;
}

static void test_boot_network(void **state)
{
	static const uint8_t mac[6] = {0x02, 0x6d, 0x73, 0x00, 0x0a, 0x02};
	_cleanup_free_ char *text = NULL;
	struct boot_config c;
	json_t *j;

	assert_int_equal(boot_with_network(NULL, &c), 0);
	assert_false(c.has_network);
	boot_config_release(&c);
	assert_int_equal(boot_with_network(json_loads(NETWORK, 0, NULL), &c), 0);
	assert_true(c.has_network);
	assert_memory_equal(c.network.mac, mac, sizeof(mac));
	assert_int_equal(c.network.mtu, 1500);
	assert_memory_equal(c.network.ip4.address, "\xac\x10\x00\x2a", 4);
	assert_memory_equal(c.network.ip4.gateway, "\xac\x10\x00\x29", 4);
	assert_int_equal(c.network.ip4.prefix_len, 30);
	assert_int_equal(c.network.ip6.address[15], 2);
	assert_int_equal(c.network.ip6.gateway[15], 1);
	assert_int_equal(c.network.ip6.prefix_len, 64);
	assert_int_equal(c.network.nameservers.n, 1);
	j = boot_config_to_json(&c);
	text = json_dumps(json_object_get(j, "network"), JSON_COMPACT);
	assert_string_equal(text, NETWORK);
	json_decref(j);
	boot_config_release(&c);
}

/* A machine may have one family only, or none and still an interface. */
static void test_boot_network_families(void **state)
{
	static const char *const families[] = {"ip4", "ip6"};

	for (unsigned without = 1; without < 4; without++) {
		json_t *j = json_loads(NETWORK, 0, NULL);
		struct boot_config c, back;
		json_t *again;

		for (unsigned i = 0; i < 2; i++)
			if (without & (1U << i))
				json_object_del(j, families[i]);
		assert_int_equal(boot_with_network(j, &c), 0);
		assert_true(c.has_network);
		assert_int_equal(c.network.ip4.prefix_len, without & 1 ? 0 : 30);
		assert_int_equal(c.network.ip6.prefix_len, without & 2 ? 0 : 64);
		again = boot_config_to_json(&c);
		assert_int_equal(boot_config_from_json(again, &back, NULL), 0);
		json_decref(again);
		assert_memory_equal(&back.network, &c.network,
				    offsetof(struct boot_network, nameservers));
		boot_config_release(&back);
		boot_config_release(&c);
	}
}

static void test_boot_network_malformed(void **state)
{
	static const struct {
		const char *key, *value;
	} cases[] = {
		{"mac", "null"},
		{"mac", "7"},
		{"mac", "\"\""},
		{"mac", "\"02:6d:73:00:0a:0\""},
		{"mac", "\"02:6d:73:00:0a:02:\""},
		{"mac", "\"02:6d:73:00:0a:0g\""},
		{"mac", "\"02:6d:73:00:0a-02\""},
		{"mac", "\"02:6D:73:00:0a:02\""},
		{"mtu", "null"},
		{"mtu", "1279"},
		{"mtu", "65521"},
		{"mtu", "-1500"},
		{"mtu", "\"1500\""},
		{"nameservers", "\"172.16.0.41\""},
		{"nameservers", "[1]"},
		{"nameservers", "[\"localhost\"]"},
		{"nameservers", "[\"172.16.0.41\\noptions rotate\"]"},
		{"nameservers", "[\"1.1.1.1\",\"1.1.1.2\",\"1.1.1.3\",\"1.1.1.4\"]"},
		{"ip4", "\"172.16.0.42\""},
		{"ip4", "{}"},
		{"ip4", "{\"address\":\"::1\",\"prefix_len\":30,\"gateway\":\"172.16.0.41\"}"},
		{"ip4", "{\"address\":\"172.16.0.42\",\"prefix_len\":30,\"gateway\":\"x\"}"},
		{"ip4", "{\"address\":\"1.1.1.2\",\"prefix_len\":33,\"gateway\":\"1.1.1.1\"}"},
		{"ip4", "{\"address\":\"1.1.1.2\",\"prefix_len\":0,\"gateway\":\"1.1.1.1\"}"},
		{"ip6", "{\"address\":\"fd42::2\",\"prefix_len\":129,\"gateway\":\"fd42::1\"}"},
		{"ip6", "{\"address\":\"fd42::2\",\"prefix_len\":-1,\"gateway\":\"fd42::1\"}"},
		{"ip6", "{\"address\":\"1.1.1.2\",\"prefix_len\":64,\"gateway\":\"fd42::1\"}"},
	};
	struct boot_config c;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		json_t *j = json_loads(NETWORK, 0, NULL);
		json_t *value = json_loads(cases[i].value, JSON_DECODE_ANY, NULL);

		assert_non_null(value);
		if (json_is_null(value))
			json_object_del(j, cases[i].key);
		else
			json_object_set(j, cases[i].key, value);
		json_decref(value);
		if (boot_with_network(j, &c) != -1)
			fail_msg("accepted: %s %s", cases[i].key, cases[i].value);
	}
	assert_int_equal(boot_with_network(json_string("x"), &c), -1);
	assert_int_equal(boot_with_network(json_null(), &c), -1);
	assert_int_equal(boot_with_network(json_object(), &c), -1);
}

static void script_again(const void *data, size_t len, const char *member)
{
	struct boot_script s = {.name = xstrdup("x"), .len = len}, back;
	struct err e = {0};
	json_t *j;

	s.data = xmalloc(len + 1);
	memcpy(s.data, data, len);
	j = boot_script_to_json(&s);
	assert_int_equal(json_object_size(j), 2);
	assert_non_null(json_object_get(j, member));
	assert_int_equal(boot_script_from_json(j, &back, &e), 0);
	assert_string_equal(back.name, "x");
	assert_int_equal(back.len, len);
	assert_memory_equal(back.data, data, len);
	boot_script_release(&back);
	boot_script_release(&s);
	json_decref(j);
}

static void test_scripts(void **state)
{
	script_again("", 0, "text");
	script_again("#!/bin/sh\necho \"hi\"\n", 20, "text");
	script_again("gr\xc3\xbc\xc3\x9f", 6, "text");
	script_again("\n\n\n\n", 4, "text");         /* as long as base64 */
	script_again("\n\n\n\n\n\n\n", 7, "base64"); /* longer */
	script_again("\xff", 1, "base64");
	script_again("a\0b", 3, "base64");
	script_again("\x1b[0m", 4, "base64");
}

static void test_boot_config_of_programs(void **state)
{
	struct boot_config c = {
		.restricted = true,
		.n_rlimits = 1,
		.rlimits = {{RLIMIT_NOFILE, 3, RLIM_INFINITY}},
		.has_init = true,
	};
	struct boot_config back;
	struct err e = {0};
	json_t *j;

	c.image_disk = xstrdup("image");
	c.upper_disk = xstrdup("upper");
	c.scripts = xcalloc(1, sizeof(*c.scripts));
	c.scripts[c.n_scripts++] = (struct boot_script){xstrdup("s"), xcalloc(1, 7), 7};
	strv_add(&c.init.argv, "/sbin/init");
	j = boot_config_to_json(&c);
	assert_int_equal(boot_config_from_json(j, &back, &e), 0);
	json_decref(j);
	assert_true(back.restricted);
	assert_int_equal(back.n_rlimits, 1);
	assert_int_equal(back.rlimits[0].soft, 3);
	assert_int_equal(back.n_scripts, 1);
	assert_int_equal(back.scripts[0].len, 7);
	assert_true(back.has_init);
	assert_string_equal(back.init.argv.v[0], "/sbin/init");
	boot_config_release(&back);
	strv_add(&c.init.argv, "\xff");
	assert_null(boot_config_to_json(&c));
	strv_release(&c.init.argv);
	strv_add(&c.init.argv, "x");
	free(c.scripts[0].name);
	c.scripts[0].name = xstrdup("\xff");
	assert_null(boot_config_to_json(&c));
	boot_config_release(&c);
}

/* All that the guest has to hold is bounded, whoever sends it. */
static void test_boot_config_scripts_bounds(void **state)
{
	struct boot_script s = {.name = xstrdup("x"), .len = BOOT_SCRIPTS_BYTES_MAX / 2 + 1};
	json_t *j = json_pack("{s:s, s:s, s:[]}", "image_disk", "i", "upper_disk", "u", "scripts");
	struct boot_config c;
	struct err e = {0};

	s.data = xcalloc(1, s.len);
	json_array_append_new(json_object_get(j, "scripts"), boot_script_to_json(&s));
	assert_int_equal(boot_config_from_json(j, &c, &e), 0);
	boot_config_release(&c);
	json_array_append_new(json_object_get(j, "scripts"), boot_script_to_json(&s));
	assert_int_equal(boot_config_from_json(j, &c, &e), -1);
	json_array_clear(json_object_get(j, "scripts"));
	s.len = 0;
	for (size_t i = 0; i <= BOOT_SCRIPTS_MAX; i++)
		json_array_append_new(json_object_get(j, "scripts"), boot_script_to_json(&s));
	assert_int_equal(boot_config_from_json(j, &c, &e), -1);
	boot_script_release(&s);
	json_decref(j);
}

static void test_error_with_bad_utf8(void **state)
{
	struct err e = {0};
	json_t *j;

	err_set(&e, ERR_CORRUPT, "file '\xff\xfe'");
	j = message_error(&e);
	assert_int_equal(message_check(j, &e), -1);
	assert_int_equal(e.code, ERR_CORRUPT);
	assert_string_equal(e.msg, "(unprintable message)");
	json_decref(j);
}

static void test_unknown_errors(void **state)
{
	static const struct {
		const char *text;
		enum err_code code;
	} cases[] = {
		{"{\"ok\":false}", ERR_INTERNAL},
		{"{\"ok\":false,\"error\":\"x\"}", ERR_INTERNAL},
		{"{\"ok\":false,\"error\":{}}", ERR_INTERNAL},
		{"{\"ok\":false,\"error\":{\"code\":\"from the future\"}}", ERR_INTERNAL},
		{"{\"ok\":false,\"error\":{\"code\":7}}", ERR_INTERNAL},
		{"{\"ok\":false,\"error\":{\"code\":\"timeout\"}}", ERR_TIMEOUT},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct err e = {0};
		json_t *j = message_parse(cases[i].text, strlen(cases[i].text), &e);

		assert_non_null(j);
		assert_int_equal(message_check(j, &e), -1);
		assert_int_equal(e.code, cases[i].code);
		assert_true(e.msg[0]);
		json_decref(j);
	}
}

static void test_parse_bytes(void **state)
{
	struct err e = {0};
	json_t *j;

	assert_null(message_parse("{\"a\":\"\xff\"}", 9, &e)); /* not UTF-8 */
	assert_null(message_parse("{}\0", 3, &e));
	assert_null(message_parse(NULL, 0, &e));
	assert_int_equal(e.code, ERR_INVALID);
	/* The length says where the message ends, not a NUL. */
	j = message_parse("{}trailing", 2, &e);
	assert_non_null(j);
	json_decref(j);
}

/* Depth is bounded, so that a message of brackets cannot exhaust the stack. */
static void test_parse_depth(void **state)
{
	_cleanup_free_ char *deep = xmalloc(500000);
	struct err e = {0};

	memset(deep, '[', 500000);
	memcpy(deep, "{\"a\":", 5);
	assert_null(message_parse(deep, 500000, &e));
}

static void test_append_and_write(void **state)
{
	json_t *j = message_ok();
	struct frame f;
	struct buf b;
	int fds[2];

	buf_init(&b, 100);
	assert_int_equal(message_append(&b, FRAME_RESULT, j), 0);
	assert_int_equal(frame_peek(&b, &f), 1);
	assert_int_equal(f.len, strlen("{\"ok\":true}"));
	assert_memory_equal(f.payload, "{\"ok\":true}", f.len);
	assert_int_equal(message_append(&b, FRAME_RESULT, NULL), -ENOMEM);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	assert_int_equal(message_write(fds[0], FRAME_RESULT, j), 0);
	assert_int_equal(frame_read(fds[1], &b, &f), 1);
	assert_int_equal(f.type, FRAME_RESULT);
	assert_memory_equal(f.payload, "{\"ok\":true}", f.len);
	close(fds[0]);
	close(fds[1]);
	buf_release(&b);
	json_decref(j);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exec_request_fields),
		cmocka_unit_test(test_exec_request_refuses_to_encode_bad_utf8),
		cmocka_unit_test(test_exec_request_bounds),
		cmocka_unit_test(test_nul_in_strings),
		cmocka_unit_test(test_not_an_object),
		cmocka_unit_test(test_exec_result),
		cmocka_unit_test(test_boot_config_fields),
		cmocka_unit_test(test_boot_network),
		cmocka_unit_test(test_boot_network_families),
		cmocka_unit_test(test_boot_network_malformed),
		cmocka_unit_test(test_scripts),
		cmocka_unit_test(test_boot_config_of_programs),
		cmocka_unit_test(test_boot_config_scripts_bounds),
		cmocka_unit_test(test_error_with_bad_utf8),
		cmocka_unit_test(test_unknown_errors),
		cmocka_unit_test(test_parse_bytes),
		cmocka_unit_test(test_parse_depth),
		cmocka_unit_test(test_append_and_write),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
