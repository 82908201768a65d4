/* SPDX-License-Identifier: Apache-2.0 */
#include "../testing.h"

#include "cli/opt.h"

struct args {
	bool quiet, detach;
	char *name, *when, *format;
	struct strv env;
	uint64_t memory, timeout;
	unsigned cpus;
};

#define FIELD(f) offsetof(struct args, f)

static const struct opt first[] = {
	{"quiet", 'q', NULL, NULL, FIELD(quiet), "Be quiet"},
	{"detach", 'd', NULL, NULL, FIELD(detach), "Do not wait"},
	{"name", 'n', "NAME", opt_string, FIELD(name), "Name it"},
	{0},
};
static const struct opt second[] = {
	{"env", 'e', "K=V", opt_strings, FIELD(env), "Set a variable"},
	{"memory", 'm', "SIZE", opt_memory, FIELD(memory), "Size"},
	{"cpus", 'c', "N", opt_cpus, FIELD(cpus), NULL},
	{"timeout", 0, "DURATION", opt_duration, FIELD(timeout), "Time"},
	{"when", 'w', "WHEN", opt_string, FIELD(when), "Time", "always if-missing never"},
	{"format", 0, "FORMAT", opt_string, FIELD(format), "Form", "json"},
	{0},
};
static const struct opt *const tables[] = {first, second, NULL};

static const struct command cmd = {
	.name = "run",
	.usage = "[OPTIONS] <IMAGE> [-- <COMMAND>...]",
	.summary = "Run it",
	.options = tables,
	.min_args = 1,
	.max_args = 1,
	.takes_command = true,
};

static void args_release(struct args *a)
{
	free(a->name);
	free(a->when);
	free(a->format);
	strv_release(&a->env);
	*a = (struct args){0};
}

/* Splits a line at blanks; "''" is an empty word. */
static void split(const char *line, struct strv *ret)
{
	while (*line) {
		size_t n = strcspn(line, " ");

		if (n == 2 && memcmp(line, "''", 2) == 0)
			strv_add(ret, "");
		else if (n)
			strv_take(ret, xstrndup(line, n));
		line += n + (line[n] == ' ');
	}
}

static int parse(const struct command *c, const char *line, struct args *a, struct operands *ops,
		 struct err *e)
{
	struct strv argv = {0};
	int r;

	*a = (struct args){0};
	*ops = (struct operands){0};
	*e = (struct err){0};
	split(line, &argv);
	r = opt_parse(c, (int)argv.n, argv.v, a, ops, e);
	strv_release(&argv);
	return r;
}

static char *joined(const struct strv *sv)
{
	struct buf b;
	char *s;

	buf_init(&b, 4096);
	for (size_t i = 0; i < sv->n; i++)
		buf_printf(&b, "%s%s", i ? "|" : "", sv->v[i]);
	s = xstrndup(buf_len(&b) ? (const char *)buf_data(&b) : "", buf_len(&b));
	buf_release(&b);
	return s;
}

static void test_accepted(void **state)
{
	static const struct {
		const char *line;
		bool quiet, detach;
		const char *name, *env, *args, *command;
		bool has_command;
	} cases[] = {
		{"img", .args = "img"},
		{"--quiet img", true, .args = "img"},
		{"img --quiet", true, .args = "img"},
		{"--name x img", .name = "x", .args = "img"},
		{"--name=x img", .name = "x", .args = "img"},
		{"--name= img", .name = "", .args = "img"},
		{"--name '' img", .name = "", .args = "img"},
		{"--name=a=b img", .name = "a=b", .args = "img"},
		{"--name -x img", .name = "-x", .args = "img"},
		{"--name --quiet img", .name = "--quiet", .args = "img"},
		{"-n x img", .name = "x", .args = "img"},
		{"-nx img", .name = "x", .args = "img"},
		{"-n=x img", .name = "x", .args = "img"},
		{"-qd img", true, true, .args = "img"},
		{"-qdn x img", true, true, "x", .args = "img"},
		{"-qnd img", true, false, "d", .args = "img"},
		{"-qq img", true, .args = "img"},
		{"-n a -n b img", .name = "b", .args = "img"},
		{"-e A=1 --env B=2 -eC=3 img", .env = "A=1|B=2|C=3", .args = "img"},
		{"img --", .args = "img", .command = "", .has_command = true},
		{"img -- ls -l --quiet", .args = "img", .command = "ls|-l|--quiet",
		 .has_command = true},
		{"-q img -- a -- b", true, .args = "img", .command = "a|--|b", .has_command = true},
		{"img -- --help", .args = "img", .command = "--help", .has_command = true},
		{"-", .args = "-"},
		{"''", .args = ""},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *env = NULL, *operands = NULL, *command = NULL;
		struct operands ops;
		struct args a;
		struct err e;

		if (parse(&cmd, cases[i].line, &a, &ops, &e) != 0)
			fail_msg("'%s': %s", cases[i].line, e.msg);
		env = joined(&a.env);
		operands = joined(&ops.args);
		command = joined(&ops.command);
		assert_int_equal(a.quiet, cases[i].quiet);
		assert_int_equal(a.detach, cases[i].detach);
		assert_true(str_eq(a.name, cases[i].name));
		assert_string_equal(env, cases[i].env ? cases[i].env : "");
		assert_string_equal(operands, cases[i].args);
		assert_string_equal(command, cases[i].command ? cases[i].command : "");
		assert_int_equal(ops.has_command, cases[i].has_command);
		operands_release(&ops);
		args_release(&a);
	}
}

static void test_refused(void **state)
{
	static const struct {
		const char *line, *message;
	} cases[] = {
		{"", "the following required arguments were not provided: <IMAGE> "
		     "[-- <COMMAND>...]"},
		{"-q", "the following required arguments were not provided: <IMAGE> "
		       "[-- <COMMAND>...]"},
		{"-- ls", "the following required arguments were not provided: <IMAGE> "
			  "[-- <COMMAND>...]"},
		{"img ls", "unexpected argument 'ls' found"},
		{"--unknown img", "unexpected argument '--unknown' found"},
		{"--unknown=secret img", "unexpected argument '--unknown' found"},
		{"--qui img", "unexpected argument '--qui' found"},
		{"--nam=x img", "unexpected argument '--nam' found"},
		{"--QUIET img", "unexpected argument '--QUIET' found"},
		{"--=x img", "unexpected argument '--' found"},
		{"---q img", "unexpected argument '---q' found"},
		{"-x img", "unexpected argument '-x' found"},
		{"-qx img", "unexpected argument '-x' found"},
		{"-q=1 img", "unexpected argument '-=' found"},
		{"--quiet=yes img", "unexpected value 'yes' for '--quiet' found"},
		{"--quiet= img", "unexpected value '' for '--quiet' found"},
		{"img --name", "a value is required for '--name <NAME>' but none was supplied"},
		{"img -n", "a value is required for '--name <NAME>' but none was supplied"},
		{"img -qn", "a value is required for '--name <NAME>' but none was supplied"},
		{"img --name -- x", "a value is required for '--name <NAME>' but none was "
				    "supplied"},
		{"-m 5x img", "invalid value '5x' for '--memory <SIZE>': invalid size (expected "
			      "e.g. 512M, 1G): 5x"},
		{"--when sometimes img", "invalid value 'sometimes' for '--when <WHEN>': expected "
					 "always, if-missing or never"},
		{"-w alway img", "invalid value 'alway' for '--when <WHEN>': expected always, "
				 "if-missing or never"},
		{"--when= img", "invalid value '' for '--when <WHEN>': expected always, "
				"if-missing or never"},
		{"--format yaml img", "invalid value 'yaml' for '--format <FORMAT>': expected "
				      "json"},
		{"-c 0 img", "invalid value '0' for '--cpus <N>': number of CPUs must be 1 to "
			     "32: 0"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct operands ops;
		struct args a;
		struct err e;

		assert_int_equal(parse(&cmd, cases[i].line, &a, &ops, &e), -1);
		assert_int_equal(e.code, ERR_USAGE);
		assert_string_equal(e.msg, cases[i].message);
		assert_null(ops.args.v);
		args_release(&a);
	}
}

static void test_fixed_values(void **state)
{
	static const char *const lines[] = {"--when always img", "-wif-missing img",
					    "-w never --format json img"};

	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		struct operands ops;
		struct args a;
		struct err e;

		assert_int_equal(parse(&cmd, lines[i], &a, &ops, &e), 0);
		assert_non_null(strstr(lines[i], a.when));
		operands_release(&ops);
		args_release(&a);
	}
}

static void test_command_without_a_command(void **state)
{
	struct command c = cmd;
	struct operands ops;
	struct args a;
	struct err e;

	c.takes_command = false;
	c.max_args = SIZE_MAX;
	assert_int_equal(parse(&c, "a b c", &a, &ops, &e), 0);
	assert_int_equal(ops.args.n, 3);
	operands_release(&ops);
	assert_int_equal(parse(&c, "a -- ls", &a, &ops, &e), -1);
	assert_string_equal(e.msg, "unexpected argument 'ls' found");
	assert_int_equal(parse(&c, "a --", &a, &ops, &e), -1);
	assert_string_equal(e.msg, "unexpected argument '--' found");
}

/* --- values -------------------------------------------------------------------------------- */

static void test_sizes(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes; /* 0: refused */
	} cases[] = {
		{"1", MIB},
		{"512", 512 * MIB},
		{"512M", 512 * MIB},
		{"512m", 512 * MIB},
		{"2G", 2 * GIB},
		{"2g", 2 * GIB},
		{"1.5G", GIB + GIB / 2},
		{"0.25G", 256 * MIB},
		{"1.000001G", GIB + GIB / 1000000},
		{"1073741824G", GIB * GIB},
		{"1073741825G", 0},
		{"1099511627776", GIB * GIB},
		{"1099511627777", 0},
		{"99999999999999999999999999", 0},
		{"", 0},
		{"0", 0},
		{"0M", 0},
		{"0.0G", 0},
		{"M", 0},
		{"-1", 0},
		{"+1", 0},
		{" 1", 0},
		{"1 ", 0},
		{"1K", 0},
		{"1T", 0},
		{"1MB", 0},
		{"1MiB", 0},
		{"1.5M", 0},
		{"1.5", 0},
		{"1.G", 0},
		{".5G", 0},
		{"1.5.5G", 0},
		{"1.1234567G", 0},
		{"0x10", 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t n = 4711;
		struct err e = {0};
		int r = opt_memory(cases[i].text, &n, &e);

		if (r != (cases[i].bytes ? 0 : -1))
			fail_msg("'%s' is %s", cases[i].text, r ? "refused" : "accepted");
		assert_true(n == (r == 0 ? cases[i].bytes : 4711));
		assert_int_equal(e.msg[0] != '\0', r < 0);
	}
}

static void test_durations(void **state)
{
	static const struct {
		const char *text;
		int result;
		uint64_t ms;
	} cases[] = {
		{"0", 0, 0},
		{"30", 0, 30000},
		{"30s", 0, 30000},
		{"5m", 0, 300000},
		{"1h", 0, 3600000},
		{"876000h", 0, UINT64_C(876000) * 3600000},
		{"876001h", -1, 0},
		{"4294967295h", -1, 0},
		{"4294967296", -1, 0},
		{"", -1, 0},
		{"s", -1, 0},
		{"-1", -1, 0},
		{"1.5s", -1, 0},
		{"1d", -1, 0},
		{"5ms", -1, 0},
		{"1h30m", -1, 0},
		{"1 s", -1, 0},
		{"30S", -1, 0},
		{"99999999999999999999999999s", -1, 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t ms = 4711;
		struct err e = {0};

		if (opt_duration(cases[i].text, &ms, &e) != cases[i].result)
			fail_msg("'%s': %s", cases[i].text, e.msg);
		assert_true(ms == (cases[i].result ? 4711 : cases[i].ms));
		/* What takes milliseconds, too, takes these as well. */
		ms = 4711;
		if (strcmp(cases[i].text, "5ms") != 0)
			assert_int_equal(opt_duration_ms(cases[i].text, &ms, &e), cases[i].result);
		assert_true(ms == (cases[i].result ? 4711 : cases[i].ms));
	}
}

static void test_small_durations(void **state)
{
	static const char *const bad[] = {"ms",   "-1ms", "1.5ms",       "5 ms",
					  "5mss", "5us",  "4294967296ms"};
	struct err e = {0};
	uint64_t ms;

	assert_int_equal(opt_duration_ms("500ms", &ms, &e), 0);
	assert_true(ms == 500);
	assert_int_equal(opt_duration_ms("0ms", &ms, &e), 0);
	assert_true(ms == 0);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (opt_duration_ms(bad[i], &ms, &e) != -1)
			fail_msg("'%s' is taken", bad[i]);
}

static void test_cpus(void **state)
{
	static const char *const bad[] = {"0", "33", "", "-1", "1.5", "x", "4294967297"};
	struct err e = {0};
	unsigned n = 0;

	assert_int_equal(opt_cpus("1", &n, &e), 0);
	assert_int_equal(n, 1);
	assert_int_equal(opt_cpus("32", &n, &e), 0);
	assert_int_equal(n, 32);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(opt_cpus(bad[i], &n, &e), -1);
	assert_int_equal(n, 32);
}

/* --- commands and options ------------------------------------------------------------------ */

static void test_command_find(void **state)
{
	static const struct command table[] = {
		{.name = "ls", .aliases = "list  l"},
		{.name = "rm", .aliases = "remove"},
		{.name = "x"},
		{0},
	};

	assert_ptr_equal(command_find(table, "ls"), &table[0]);
	assert_ptr_equal(command_find(table, "list"), &table[0]);
	assert_ptr_equal(command_find(table, "l"), &table[0]);
	assert_ptr_equal(command_find(table, "remove"), &table[1]);
	assert_ptr_equal(command_find(table, "x"), &table[2]);
	assert_null(command_find(table, "lis"));
	assert_null(command_find(table, "lists"));
	assert_null(command_find(table, ""));
	assert_null(command_find(table, "list  l"));
}

static void test_asked(void **state)
{
	static const struct {
		const char *line;
		int result;
	} cases[] = {
		{"-h", ASK_HELP_SHORT},      {"-q --help", ASK_HELP},
		{"img ls --tree", ASK_TREE}, {"-n x -e A=1 img --help --nonsense", ASK_HELP},
		{"--name --help img", 0}, /* a value */
		{"img -- --tree", 0},        {"--nonsense --help", -1},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct operands ops;
		struct args a;
		struct err e;

		if (parse(&cmd, cases[i].line, &a, &ops, &e) != cases[i].result)
			fail_msg("'%s': %s", cases[i].line, e.msg);
		operands_release(&ops);
		args_release(&a);
	}
}

static void test_command_option(void **state)
{
	static const char *const names[] = {"quiet",   "detach", "name",   "env",  "memory",
					    "timeout", "when",   "format", "tree", "help"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		assert_string_equal(command_option(&cmd, i)->name, names[i]);
	assert_null(command_option(&cmd, ARRAY_SIZE(names)));
	assert_null(command_option(&cmd, 1000));
}

static void test_unknown_options_with_a_likely_one(void **state)
{
	static const struct {
		const char *line, *hint;
	} cases[] = {
		{"--nmae x img", "did you mean '--name'?"},
		{"--nam=secret img", "did you mean '--name'?"},
		{"--memroy 1 img", "did you mean '--memory'?"},
		{"--tre img", "did you mean '--tree'?"},
		{"--frobnicate img", ""},
		{"--cpu 1 img", ""}, /* without help text: not told */
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct operands ops;
		struct args a;
		struct err e;

		assert_int_equal(parse(&cmd, cases[i].line, &a, &ops, &e), -1);
		assert_string_equal(e.hint, cases[i].hint);
		assert_null(strstr(e.msg, "secret"));
		args_release(&a);
	}
}

static void test_next_word(void **state)
{
	const char *list = "one  two three", *none = NULL, *word;
	size_t len;

	assert_true(next_word(&list, &word, &len) && len == 3 && memcmp(word, "one", 3) == 0);
	assert_true(next_word(&list, &word, &len) && len == 3 && memcmp(word, "two", 3) == 0);
	assert_true(next_word(&list, &word, &len) && len == 5 && memcmp(word, "three", 5) == 0);
	assert_false(next_word(&list, &word, &len));
	assert_false(next_word(&list, &word, &len));
	assert_false(next_word(&none, &word, &len));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_accepted),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_fixed_values),
		cmocka_unit_test(test_command_without_a_command),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_durations),
		cmocka_unit_test(test_small_durations),
		cmocka_unit_test(test_cpus),
		cmocka_unit_test(test_command_find),
		cmocka_unit_test(test_asked),
		cmocka_unit_test(test_command_option),
		cmocka_unit_test(test_unknown_options_with_a_likely_one),
		cmocka_unit_test(test_next_word),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
