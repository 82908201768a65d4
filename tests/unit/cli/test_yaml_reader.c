/* SPDX-License-Identifier: Apache-2.0 */
/* What is taken from YAML, and what is refused. */
#include "../testing.h"

#include "cli/yaml_reader.h"

static void assert_reads(const char *yaml, const char *json)
{
	struct err e = {0};
	json_t *got = yaml_parse(yaml, strlen(yaml), &e);
	json_t *want = json_loads(json, JSON_DECODE_ANY, NULL);

	assert_string_equal(e.msg, "");
	assert_non_null(want);
	assert_true(json_equal(got, want));
	json_decref(got);
	json_decref(want);
}

static void assert_refuses(const char *yaml, size_t len, const char *saying)
{
	struct err e = {0};

	assert_null(yaml_parse(yaml, len, &e));
	if (!strstr(e.msg, saying))
		fail_msg("'%s' does not say '%s'", e.msg, saying);
}

static void test_values(void **state)
{
	assert_reads("a: b", "{\"a\": \"b\"}");
	assert_reads("a: 3.10\nb: 0x10\nc: 08",
		     "{\"a\": \"3.10\", \"b\": \"0x10\", \"c\": \"08\"}");
	assert_reads("[true, false, null, ~, '', 'yes', \"no\"]",
		     "[true, false, null, null, \"\", \"yes\", \"no\"]");
	assert_reads("a:\n", "{\"a\": null}");
	assert_reads("a: |\n  one\n  two\n", "{\"a\": \"one\\ntwo\\n\"}");
	assert_reads("{\"a\": [1, {\"b\": \"\\u00e4\"}]}",
		     "{\"a\": [\"1\", {\"b\": \"\xc3\xa4\"}]}");
	assert_reads("yes: x", "{\"yes\": \"x\"}"); /* a key is a name */
	assert_reads("a: nothing of note", "{\"a\": \"nothing of note\"}");
	assert_reads("# only\na: 1 # this\n", "{\"a\": \"1\"}");
}

static void test_refused(void **state)
{
	static const struct {
		const char *yaml, *saying;
	} cases[] = {
		{"", "empty"},
		{"# nothing", "empty"},
		{"a: yes", "line 1: 'yes' means different things"},
		{"a:\n- Off", "line 2: 'Off' means"},
		{"a: 1\nb: 2\na: 3", "line 3: 'a' appears twice"},
		{"a: &x 1", "anchors"},
		{"a: *x", "anchors"},
		{"&x a: 1", "anchors"},
		{"a: &x [1]", "anchors"},
		{"a: &x {b: 1}", "anchors"},
		{"a: !!int 1", "tags"},
		{"a: !x [1]", "tags"},
		{"<<: {a: 1}", "merge keys"},
		{"[a]: 1", "a key must be"},
		{"'': 1", "a key is empty"},
		{"a: 1\n---\nb: 2", "only one document"},
		{"a: [1", "did not find"},
		{"a: 1\n b: 2", "line 2"},
		{"a: \"x\\0y\"", "NUL"},
		{"\"x\\0y\": 1", "NUL"},
		{"a: \xff", "line 1"},
	};
	char deep[200] = "";

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_refuses(cases[i].yaml, strlen(cases[i].yaml), cases[i].saying);
	memset(deep, '[', 100);
	memset(deep + 100, ']', 99);
	assert_refuses(deep, 199, "nested too deeply");
	assert_refuses("a: x\0y", 6, "line 1");
}

static void test_files(void **state)
{
	_cleanup_free_ char *yaml = xasprintf("%s/a.yaml", (char *)*state);
	_cleanup_free_ char *json = xasprintf("%s/a.json", (char *)*state);
	_cleanup_free_ char *none = xasprintf("%s/none", (char *)*state);
	struct err e = {0};
	json_t *j;

	put_file(yaml, "a: 1");
	put_file(json, "{\"a\": 1}");
	j = yaml_read_file(yaml, &e);
	assert_string_equal(json_string_value(json_object_get(j, "a")), "1");
	json_decref(j);
	j = yaml_read_file(json, &e);
	assert_int_equal(json_integer_value(json_object_get(j, "a")), 1);
	json_decref(j);
	put_file(json, "{\"a\": 1,\n \"a\": 2}");
	assert_null(yaml_read_file(json, &e));
	assert_non_null(strstr(e.msg, "a.json: line 2: duplicate"));
	put_file(yaml, "a: [");
	assert_null(yaml_read_file(yaml, &e));
	assert_non_null(strstr(e.msg, "a.yaml: line "));
	assert_null(yaml_read_file(none, &e));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_refused),
		temp_test(test_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
