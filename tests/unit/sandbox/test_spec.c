/* SPDX-License-Identifier: Apache-2.0 */
#include "../testing.h"

#include "sandbox/spec.h"

/* A spec as the launcher sends it, with everything that it must have. */
#define SPEC_TEXT                                                                               \
	"{\"op\":\"launch\",\"name\":\"box\",\"sandbox_dir\":\"/h/sandboxes/box\",\"run_dir\":" \
	"\"/h/run/1\",\"ephemeral\":false,\"attached\":true,\"machine\":\"qemu\",\"cpus\":2,"   \
	"\"memory_mib\":512,\"image_files\":[\"/h/a\",\"/h/b\"],\"boot\":{\"env\":[],"          \
	"\"image_disk\":\"image\",\"upper_disk\":\"upper\",\"mounts\":[]}}"

static json_t *spec_json(void)
{
	json_t *j = json_loads(SPEC_TEXT, 0, NULL);

	assert_non_null(j);
	return j;
}

static void test_machine_names(void **state)
{
	enum machine_kind m = MACHINE_KIND_COUNT;

	for (unsigned i = 0; i < MACHINE_KIND_COUNT; i++) {
		assert_int_equal(machine_kind_parse(machine_kind_name((enum machine_kind)i), &m),
				 0);
		assert_int_equal(m, i);
	}
	assert_int_equal(machine_kind_parse("KVM", &m), -EINVAL);
	assert_int_equal(machine_kind_parse("", &m), -EINVAL);
}

static void test_round_trip(void **state)
{
	json_t *j = spec_json(), *again;
	_cleanup_free_ char *text = NULL;
	struct launch_spec s;
	struct err e = {0};

	assert_int_equal(launch_spec_from_json(j, &s, &e), 0);
	json_decref(j);
	assert_string_equal(s.name, "box");
	assert_string_equal(s.sandbox_dir, "/h/sandboxes/box");
	assert_string_equal(s.run_dir, "/h/run/1");
	assert_false(s.ephemeral);
	assert_true(s.attached);
	assert_int_equal(s.machine, MACHINE_QEMU);
	assert_int_equal(s.cpus, 2);
	assert_int_equal(s.memory_mib, 512);
	assert_int_equal(s.image_files.n, 2);
	assert_string_equal(s.image_files.v[1], "/h/b");
	assert_string_equal(s.boot.image_disk, "image");
	assert_false(s.has_workload);
	assert_null(s.qemu);
	assert_null(s.log_level);
	assert_int_equal(s.max_duration_s, 0);
	assert_int_equal(s.idle_timeout_s, 0);
	again = launch_spec_to_json(&s);
	text = json_dumps(again, JSON_COMPACT);
	assert_string_equal(text, SPEC_TEXT);
	json_decref(again);
	launch_spec_release(&s);
	launch_spec_release(&s);
}

static void test_optional_fields(void **state)
{
	json_t *j = spec_json(), *again;
	struct launch_spec s;
	struct err e = {0};

	json_object_set_new(j, "qemu", json_string("/usr/bin/qemu"));
	json_object_set_new(j, "log_level", json_string("debug"));
	json_object_set_new(j, "ephemeral", json_true());
	json_object_set_new(j, "max_duration_secs", json_integer(300));
	json_object_set_new(j, "idle_timeout_secs", json_integer(30));
	json_object_set_new(j, "workload", json_pack("{s:[s, s]}", "argv", "echo", "hi"));
	assert_int_equal(launch_spec_from_json(j, &s, &e), 0);
	json_decref(j);
	again = launch_spec_to_json(&s);
	launch_spec_release(&s);
	assert_int_equal(launch_spec_from_json(again, &s, &e), 0);
	json_decref(again);
	assert_string_equal(s.qemu, "/usr/bin/qemu");
	assert_string_equal(s.log_level, "debug");
	assert_int_equal(s.max_duration_s, 300);
	assert_int_equal(s.idle_timeout_s, 30);
	assert_true(s.ephemeral);
	assert_true(s.has_workload);
	assert_string_equal(s.workload.argv.v[1], "hi");
	launch_spec_release(&s);
}

/* The network comes in two forms, of which the machine needs both. */
static void test_network(void **state)
{
	json_t *j = spec_json(), *again, *boot = json_object_get(j, "boot");
	struct launch_spec s;
	struct err e = {0};

	json_object_set_new(j, "net", json_string("mtu 1500\n"));
	assert_int_equal(launch_spec_from_json(j, &s, &e), -1);
	json_object_set_new(boot, "network",
			    json_pack("{s:s, s:i}", "mac", "02:6d:73:00:01:02", "mtu", 1500));
	assert_int_equal(launch_spec_from_json(j, &s, &e), 0);
	json_object_del(j, "net");
	assert_int_equal(launch_spec_from_json(j, &(struct launch_spec){0}, &e), -1);
	json_decref(j);
	assert_string_equal(s.net, "mtu 1500\n");
	again = launch_spec_to_json(&s);
	launch_spec_release(&s);
	assert_null(s.net);
	assert_int_equal(launch_spec_from_json(again, &s, &e), 0);
	json_decref(again);
	assert_string_equal(s.net, "mtu 1500\n");
	assert_true(s.boot.has_network);
	free(s.net);
	s.net = xstrdup("\xff");
	assert_null(launch_spec_to_json(&s));
	launch_spec_release(&s);
}

static void test_mounts(void **state)
{
	static const char shares[] =
		"[{\"path\":\"/a\",\"file\":false,\"read_only\":true,"
		"\"follow_root_symlinks\":true,\"quota\":4294967296,\"size\":0,"
		"\"stat_virt\":\"strict\",\"host_perms\":\"mirror\",\"uid\":0,\"gid\":7},"
		"{\"path\":\"/b\",\"file\":true,\"read_only\":false,"
		"\"follow_root_symlinks\":false,\"quota\":0,\"size\":1048576,"
		"\"stat_virt\":\"relaxed\",\"host_perms\":\"private\"}]";
	static const char disks[] = "[{\"path\":\"/d\",\"serial\":\"disk0\",\"read_only\":true}]";
	_cleanup_free_ char *got_shares = NULL, *got_disks = NULL;
	json_t *j = spec_json(), *again;
	struct launch_spec s;
	struct err e = {0};

	json_object_set_new(j, "shares", json_loads(shares, 0, NULL));
	json_object_set_new(j, "disks", json_loads(disks, 0, NULL));
	assert_int_equal(launch_spec_from_json(j, &s, &e), 0);
	json_decref(j);
	assert_int_equal(s.n_shares, 2);
	assert_true(s.shares[0].has_owner && s.shares[0].gid == 7);
	assert_false(s.shares[1].has_owner);
	assert_int_equal(s.shares[0].quota, 4 * GIB);
	again = launch_spec_to_json(&s);
	launch_spec_release(&s);
	got_shares = json_dumps(json_object_get(again, "shares"), JSON_COMPACT);
	got_disks = json_dumps(json_object_get(again, "disks"), JSON_COMPACT);
	assert_string_equal(got_shares, shares);
	assert_string_equal(got_disks, disks);
	json_decref(again);
}

/* A good share or disk with one member changed (null: left out) makes the spec unacceptable. */
static void test_malformed_mounts(void **state)
{
	static const struct {
		const char *list, *key, *value;
	} cases[] = {
		{"shares", "path", "null"},
		{"shares", "path", "\"a\""},
		{"shares", "file", "1"},
		{"shares", "quota", "-1"},
		{"shares", "size", "-1"},
		{"shares", "quota", "\"1\""},
		{"shares", "stat_virt", "\"loose\""},
		{"shares", "host_perms", "null"},
		{"shares", "uid", "1"},
		{"shares", "gid", "1"},
		{"disks", "path", "\"d\""},
		{"disks", "serial", "\"\""},
		{"disks", "serial", "\"a,fd=3\""},
		{"disks", "serial", "\"aaaaaaaaaaaaaaaaaaaaa\""},
		{"disks", "read_only", "null"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		json_t *j = spec_json(), *value = json_loads(cases[i].value, JSON_DECODE_ANY, NULL);
		json_t *one = cases[i].list[0] == 's'
				      ? json_pack("{s:s, s:b, s:b, s:b, s:i, s:i, s:s, s:s}",
						  "path", "/a", "file", 0, "read_only", 0,
						  "follow_root_symlinks", 0, "quota", 0, "size", 0,
						  "stat_virt", "off", "host_perms", "private")
				      : json_pack("{s:s, s:s, s:b}", "path", "/d", "serial", "d",
						  "read_only", 0);
		struct launch_spec s;
		struct err e = {0};

		json_object_set_new(j, cases[i].list, json_pack("[o]", one));
		assert_int_equal(launch_spec_from_json(j, &s, &e), 0);
		launch_spec_release(&s);
		if (json_is_null(value))
			json_object_del(one, cases[i].key);
		else
			json_object_set(one, cases[i].key, value);
		if (launch_spec_from_json(j, &s, &e) == 0)
			fail_msg("%s %s is accepted", cases[i].key, cases[i].value);
		json_decref(value);
		json_decref(j);
	}
}

/* Each of these in place of the good value (null: left out) makes the spec unacceptable. */
static void test_malformed(void **state)
{
	static const struct {
		const char *key, *value;
	} cases[] = {
		{"name", "null"},
		{"name", "1"},
		{"sandbox_dir", "null"},
		{"sandbox_dir", "[]"},
		{"run_dir", "null"},
		{"run_dir", "{}"},
		{"ephemeral", "null"},
		{"ephemeral", "1"},
		{"attached", "null"},
		{"attached", "\"yes\""},
		{"machine", "null"},
		{"machine", "\"xen\""},
		{"machine", "3"},
		{"cpus", "null"},
		{"cpus", "0"},
		{"cpus", "-1"},
		{"cpus", "33"},
		{"cpus", "1.0"},
		{"cpus", "\"1\""},
		{"memory_mib", "null"},
		{"memory_mib", "63"},
		{"memory_mib", "1048577"},
		{"memory_mib", "-512"},
		{"image_files", "null"},
		{"image_files", "\"/h/a\""},
		{"image_files", "{}"},
		{"image_files", "[\"/h/a\",1]"},
		{"image_files", "[null]"},
		{"net", "1"},
		{"net", "[]"},
		{"boot", "null"},
		{"boot", "{}"},
		{"boot", "[]"},
		{"boot", "{\"image_disk\":\"i\",\"upper_disk\":2}"},
		{"workload", "{}"},
		{"workload", "[]"},
		{"workload", "{\"argv\":[]}"},
		{"workload", "{\"argv\":[1]}"},
		{"qemu", "1"},
		{"init_client", "1"},
		{"log_level", "[]"},
		{"max_duration_secs", "-1"},
		{"max_duration_secs", "1.5"},
		{"idle_timeout_secs", "9000000000000000000"},
		{"idle_timeout_secs", "\"30\""},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		json_t *j = spec_json(), *value = json_loads(cases[i].value, JSON_DECODE_ANY, NULL);
		struct launch_spec s = {0};
		struct err e = {0};

		if (json_is_null(value))
			json_object_del(j, cases[i].key);
		else
			json_object_set(j, cases[i].key, value);
		if (launch_spec_from_json(j, &s, &e) == 0)
			fail_msg("%s: %s is accepted", cases[i].key, cases[i].value);
		assert_int_equal(e.code, ERR_INVALID);
		assert_null(s.name);
		json_decref(value);
		json_decref(j);
	}
}

static void test_not_an_object(void **state)
{
	json_t *a = json_array();
	struct launch_spec s;
	struct err e = {0};

	assert_int_equal(launch_spec_from_json(a, &s, &e), -1);
	assert_int_equal(launch_spec_from_json(NULL, &s, &e), -1);
	json_decref(a);
}

/* Nothing is lost on the way: what JSON cannot carry is refused as a whole. */
static void test_bad_utf8_is_not_encoded(void **state)
{
	struct err e = {0};

	for (int which = 0; which < 3; which++) {
		json_t *j = spec_json();
		struct launch_spec s;

		assert_int_equal(launch_spec_from_json(j, &s, &e), 0);
		json_decref(j);
		if (which == 0)
			strv_add(&s.boot.env, "A=\xff");
		if (which == 1) {
			s.has_workload = true;
			strv_add(&s.workload.argv, "\xff");
		}
		if (which == 2)
			s.name[0] = '\xff';
		assert_null(launch_spec_to_json(&s));
		launch_spec_release(&s);
	}
}

static void test_init_client(void **state)
{
	json_t *j = spec_json(), *again;
	struct launch_spec s;
	struct err e = {0};

	json_object_set_new(j, "init_client", json_true());
	assert_int_equal(launch_spec_from_json(j, &s, &e), 0);
	json_decref(j);
	assert_true(s.init_client);
	again = launch_spec_to_json(&s);
	assert_true(json_is_true(json_object_get(again, "init_client")));
	json_decref(again);
	launch_spec_release(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_machine_names),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_init_client),
		cmocka_unit_test(test_optional_fields),
		cmocka_unit_test(test_mounts),
		cmocka_unit_test(test_malformed_mounts),
		cmocka_unit_test(test_network),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_not_an_object),
		cmocka_unit_test(test_bad_utf8_is_not_encoded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
