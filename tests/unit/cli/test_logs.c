/* SPDX-License-Identifier: Apache-2.0 */
#include "capture.h"

#include "cli/cmd_logs.c"

int cli_open(struct cli *cli, struct err *e)
{
	return err_set(e, ERR_INTERNAL, "not in this test");
}

static void test_sources(void **state)
{
	static const struct {
		const char *list, *on; /* a letter per stream: stdout, error, output, system */
	} cases[] = {
		{NULL, "oep"},           {"stdout", "o"},         {"stderr", "e"},
		{"output", "p"},         {"system", "s"},         {"all", "oeps"},
		{"stdout,stderr", "oe"}, {"system,stdout", "os"}, {"stdout,all", "oeps"},
		{"stdout,", "o"},        {"stdout,stdout", "o"},
	};
	static const char *const bad[] = {"x", "std",       "stdoutx", "stdout stderr",
					  ",", "stdout,,x", "ALL",     "all,x"};
	struct sources s;
	struct err e = {0};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(parse_sources(cases[i].list, &s, &e), 0);
		for (size_t k = 0; k < LOG_STREAM_COUNT; k++)
			assert_int_equal(s.on[k], strchr(cases[i].on, "oeps"[k]) != NULL);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(parse_sources(bad[i], &s, &e), -1);
		assert_int_equal(e.code, ERR_USAGE);
	}
}

static void test_base64(void **state)
{
	static const struct {
		const char *in, *out;
		size_t n;
	} cases[] = {
		{"", "", 0},
		{"AA==", "\0", 1},
		{"/w==", "\xff", 1},
		{"YWI=", "ab", 2},
		{"YWJj", "abc", 3},
		{"+/+/", "\xfb\xff\xbf", 3},
		{"YWJjZA==", "abcd", 4},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint8_t out[16];

		assert_int_equal(base64_decode(cases[i].in, out), cases[i].n);
		assert_memory_equal(out, cases[i].out, cases[i].n);
	}
}

/* --- printing ------------------------------------------------------------------------------ */

struct printing {
	const char *dir;
	struct reader reader;
	struct err e;
};

static void print_all(void *arg)
{
	struct printing *p = arg;

	assert_int_equal(for_each_line(p->dir, print_line, &p->reader, &p->e), 0);
}

static void write_logs(const char *dir)
{
	_cleanup_free_ char *old = xasprintf("%s/exec.log.1", dir);
	_cleanup_free_ char *now = xasprintf("%s/exec.log", dir);

	put_file(old, "{\"t\":\"T1\",\"s\":\"stdout\",\"id\":1,\"d\":\"one\\n\"}\n"
		      "{\"t\":\"T2\",\"s\":\"system\",\"d\":\"note\"}\n");
	put_file(now, "{\"t\":\"T3\",\"s\":\"stderr\",\"id\":1,\"d\":\"two\\n\"}\n"
		      "this line is damaged\n"
		      "\n"
		      "{\"t\":\"T4\",\"s\":\"stdout\",\"e\":\"b64\",\"d\":\"/woK\"}\n"
		      "{\"t\":\"T5\",\"s\":\"from the future\",\"d\":\"x\"}\n"
		      "{\"t\":\"T6\",\"s\":\"stdout\",\"d\":\"unfinish");
}

static char *print(const char *dir, const struct logs_args *args, const char *sources,
		   uint64_t skip)
{
	struct printing p = {.dir = dir, .reader = {.args = args, .skip = skip}};

	assert_int_equal(parse_sources(sources, &p.reader.sources, &p.e), 0);
	return capture(stdout, print_all, &p);
}

static void test_print(void **state)
{
	static const struct {
		struct logs_args args;
		const char *sources;
		uint64_t skip;
		const char *text;
	} cases[] = {
		{{0}, NULL, 0, "one\ntwo\n\xff\n\n"},
		{{0}, "all", 0, "one\nnote\ntwo\n\xff\n\n"},
		{{0}, "stderr", 0, "two\n"},
		{{0}, NULL, 2, "\xff\n\n"},
		{{0}, NULL, 99, ""},
		{{.timestamps = true}, "stdout", 0, "T1 one\nT4 \xff\n\n"},
		{{.json = true}, "system", 0, "{\"t\":\"T2\",\"s\":\"system\",\"d\":\"note\"}\n"},
	};

	write_logs(*state);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *text =
			print(*state, &cases[i].args, cases[i].sources, cases[i].skip);

		assert_string_equal(text, cases[i].text);
	}
}

static void test_count(void **state)
{
	struct reader r = {0};
	struct err e = {0};

	write_logs(*state);
	assert_int_equal(parse_sources(NULL, &r.sources, &e), 0);
	assert_int_equal(for_each_line(*state, count_line, &r, &e), 0);
	assert_int_equal(r.seen, 3);
	/* No log at all is no error. */
	assert_int_equal(for_each_line("/nonexistent", count_line, &r, &e), 0);
	assert_int_equal(r.seen, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sources),
		cmocka_unit_test(test_base64),
		temp_test(test_print),
		temp_test(test_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
