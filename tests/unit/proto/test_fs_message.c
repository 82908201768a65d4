/* SPDX-License-Identifier: Apache-2.0 */
/* Requests for files, and the events of a tree: what comes back is what was meant, or refused. */
#include "../testing.h"

#include "proto/fs_message.h"

static json_t *parse(const char *text)
{
	struct err e;
	json_t *j = message_parse(text, strlen(text), &e);

	assert_non_null(j);
	return j;
}

/* --- requests ------------------------------------------------------------------------------ */

static void test_read_request(void **state)
{
	struct fs_read_request r = {.path = xstrdup("/a\xff\n b"), .follow = true}, back;
	json_t *j = fs_read_request_to_json(&r);
	struct err e = {0};

	assert_null(json_object_get(j, "path"));
	assert_int_equal(fs_read_request_from_json(j, &back, &e), 0);
	assert_string_equal(back.path, r.path);
	assert_true(back.follow);
	json_decref(j);
	fs_read_request_release(&back);
	fs_read_request_release(&r);
}

static void test_write_request(void **state)
{
	struct fs_write_request r = {
		.path = xstrdup("/b"),
		.name = xstrdup("\xe4"),
		.source = xstrdup("/ä"),
		.owners = true,
	};
	struct fs_write_request back;
	json_t *j = fs_write_request_to_json(&r);
	struct err e = {0};

	assert_string_equal(json_string_value(json_object_get(j, "name_b64")), "5A==");
	assert_string_equal(json_string_value(json_object_get(j, "source")), "/ä");
	assert_int_equal(fs_write_request_from_json(j, &back, &e), 0);
	assert_string_equal(back.path, "/b");
	assert_string_equal(back.name, "\xe4");
	assert_string_equal(back.source, "/ä");
	assert_true(back.owners);
	json_decref(j);
	fs_write_request_release(&back);
	fs_write_request_release(&r);
}

static void test_bad_requests(void **state)
{
	static const char *const bad[] = {
		"{}",
		"{\"path\":\"relative\"}",
		"{\"path\":\"\"}",
		"{\"path\":7}",
		"{\"path_b64\":\"YQ==\"}", /* a */
		"{\"path_b64\":\"L2E\"}",  /* no padding */
		"{\"path_b64\":\"L2E*\"}", /* no base64 */
		"{\"path_b64\":\"L===\"}", /* too much padding */
		"{\"path_b64\":\"LwBh\"}", /* a NUL */
		"{\"path_b64\":\"\"}",
		"{\"path\":\"/a\",\"follow\":1,\"owners\":1}",
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct fs_read_request read;
		struct fs_write_request write;
		struct err e = {0};
		json_t *j = parse(bad[i]);

		assert_int_equal(fs_read_request_from_json(j, &read, &e), -1);
		assert_int_equal(e.code, ERR_INVALID);
		e = (struct err){0};
		assert_int_equal(fs_write_request_from_json(j, &write, &e), -1);
		assert_int_equal(e.code, ERR_INVALID);
		json_decref(j);
	}
}

static void test_name_of_a_write_request(void **state)
{
	static const char *const bad[] = {"", ".", "..", "a/b", "/", "../a"};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		json_t *j = json_pack("{s:s, s:s}", "path", "/", "name", bad[i]);
		struct fs_write_request r;
		struct err e = {0};

		assert_int_equal(fs_write_request_from_json(j, &r, &e), -1);
		json_decref(j);
	}
}

/* --- events -------------------------------------------------------------------------------- */

static void test_entry(void **state)
{
	struct tree_entry entry = {
		.type = TREE_LINK,
		.name = "\x80 name",
		.target = "../\xff",
		.mode = 07777,
		.mtime_ns = -1500000000,
		.has_owner = true,
		.uid = 4294967294U,
		.gid = 1,
	};
	struct tree_entry back;
	json_t *j = tree_entry_to_json(&entry);
	struct err e = {0};

	assert_int_equal(tree_event_of(j), TREE_ENTRY);
	assert_int_equal(tree_entry_from_json(j, &back, &e), 0);
	assert_memory_equal(&entry, &back, sizeof(entry));
	json_decref(j);
}

static void test_bad_entries(void **state)
{
	static const char *const bad[] = {
		"{\"type\":\"device\",\"mode\":1,\"mtime_ns\":0}",
		"{\"mode\":1,\"mtime_ns\":0}",
		"{\"type\":\"file\",\"mtime_ns\":0}",
		"{\"type\":\"file\",\"mode\":4096,\"mtime_ns\":0}",
		"{\"type\":\"file\",\"mode\":-1,\"mtime_ns\":0}",
		"{\"type\":\"file\",\"mode\":1}",
		"{\"type\":\"file\",\"mode\":1,\"mtime_ns\":1.5}",
		"{\"type\":\"file\",\"mode\":1,\"mtime_ns\":0,\"uid\":1}",
		"{\"type\":\"file\",\"mode\":1,\"mtime_ns\":0,\"uid\":4294967295,\"gid\":0}",
		"{\"type\":\"file\",\"mode\":1,\"mtime_ns\":0,\"size\":-1}",
		"{\"type\":\"link\",\"mode\":1,\"mtime_ns\":0}",
		"{\"type\":\"link\",\"mode\":1,\"mtime_ns\":0,\"target\":\"\"}",
		"{\"type\":\"link\",\"mode\":1,\"mtime_ns\":0,\"target_b64\":\"YQBi\"}",
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct tree_entry entry;
		struct err e = {0};
		json_t *j = parse(bad[i]);

		assert_int_equal(tree_entry_from_json(j, &entry, &e), -1);
		assert_int_equal(e.code, ERR_CORRUPT);
		json_decref(j);
	}
}

static void test_names(void **state)
{
	char longest[TREE_NAME_MAX + 2];

	memset(longest, 'x', sizeof(longest));
	longest[TREE_NAME_MAX + 1] = '\0';
	assert_false(tree_name_ok(longest));
	longest[TREE_NAME_MAX] = '\0';
	assert_true(tree_name_ok(longest));
	assert_true(tree_name_ok("..."));
	assert_true(tree_name_ok("\n"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read_request), cmocka_unit_test(test_write_request),
		cmocka_unit_test(test_bad_requests), cmocka_unit_test(test_name_of_a_write_request),
		cmocka_unit_test(test_entry),        cmocka_unit_test(test_bad_entries),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
