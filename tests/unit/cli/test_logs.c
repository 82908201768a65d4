/* SPDX-License-Identifier: Apache-2.0 */
#include "capture.h"

#include "cli/cmd_logs.c"

int cli_open(struct cli *cli, struct err *e)
{
	return err_set(e, ERR_INTERNAL, "not in this test");
}

/* --- values -------------------------------------------------------------------------------- */

static void test_sources(void **state)
{
	static const struct {
		const char *list, *on; /* a letter per source */
	} cases[] = {
		{NULL, "oep"},
		{"stdout", "o"},
		{"stderr", "e"},
		{"output", "p"},
		{"system", "skr"},
		{"kernel", "k"},
		{"runtime", "r"},
		{"all", "oepskr"},
		{"stdout,stderr", "oe"},
		{"system,stdout", "oskr"},
		{"kernel,runtime,kernel", "kr"},
		{"stdout,all", "oepskr"},
	};
	static const char *const bad[] = {"",
					  "x",
					  "std",
					  "stdoutx",
					  "stdout stderr",
					  ",",
					  "stdout,,x",
					  "stdout,",
					  "ALL",
					  "all,x",
					  "a source with a name that is too long"};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct log_filter f = {0};

		assert_int_equal(parse_sources(cases[i].list, &f, NULL), 0);
		for (size_t k = 0; k < LOG_SOURCE_COUNT; k++)
			assert_int_equal(f.sources[k], strchr(cases[i].on, "oepskr"[k]) != NULL);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct log_filter f = {0};
		struct err e = {0};

		assert_int_equal(parse_sources(bad[i], &f, &e), -1);
		assert_int_equal(e.code, ERR_USAGE);
	}
}

static void test_times(void **state)
{
	static const struct {
		const char *text;
		uint64_t seconds;
	} ago[] = {{"0s", 0}, {"30s", 30}, {"5m", 300}, {"2h", 7200}, {"1d", 86400}};
	static const char *const bad[] = {"",    "s",    "30",        "30x",          "1h30m",
					  "-1s", "1.5h", "yesterday", "99999999999s", "30 s"};
	uint64_t t = 7, before, after;

	assert_int_equal(parse_time(NULL, "since", &t, NULL), 0);
	assert_true(t == 7);
	assert_int_equal(parse_time("1970-01-01T00:00:01Z", "since", &t, NULL), 0);
	assert_true(t == NSEC_PER_SEC);
	for (size_t i = 0; i < ARRAY_SIZE(ago); i++) {
		before = clock_real_ns();
		assert_int_equal(parse_time(ago[i].text, "since", &t, NULL), 0);
		after = clock_real_ns();
		t += ago[i].seconds * NSEC_PER_SEC;
		assert_true(t >= before && t <= after);
	}
	assert_int_equal(parse_time("4000000000d", "since", &t, NULL), 0);
	assert_true(t == 0);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct err e = {0};

		assert_int_equal(parse_time(bad[i], "since", &t, &e), -1);
		assert_int_equal(e.code, ERR_USAGE);
		assert_non_null(strstr(e.msg, "--since"));
	}
}

/* --- printing ------------------------------------------------------------------------------ */

#define SECOND(n) ((1769860800 + (n)) * NSEC_PER_SEC)
#define TIME(n)   "2026-01-31T12:00:0" #n ".000000000+00:00 "

struct piece {
	unsigned source;
	uint64_t session;
	const char *text;
};

struct printing {
	struct log_view view;
	const struct piece *pieces;
};

static void print_pieces(void *arg)
{
	struct printing *p = arg;
	uint64_t n = 1;

	for (const struct piece *piece = p->pieces; piece->text; piece++, n++) {
		struct log_entry entry = {
			.time = SECOND(n),
			.source = piece->source,
			.session = piece->session,
			.text = (const uint8_t *)piece->text,
			.len = strlen(piece->text),
		};

		assert_int_equal(log_view_print(&p->view, &entry), 0);
	}
	log_view_release(&p->view);
}

static void assert_printed(struct log_view view, const struct piece *pieces, const char *expected)
{
	struct printing p = {.view = view, .pieces = pieces};
	_cleanup_free_ char *text = capture(stdout, print_pieces, &p);

	assert_string_equal(text, expected);
}

static const struct piece pieces[] = {
	{LOG_STDOUT, 1, "one\ntw"},
	{LOG_STDOUT, 1, "o\n"},
	{LOG_STDOUT, 1, "\033[1mhalf"},
	{LOG_STDERR, 12, "other\n\n"},
	{LOG_STDOUT, 1, "\033[3"},
	{LOG_STDOUT, 1, "1mred"},
	{LOG_SYSTEM, 0, "stopped"},
	{LOG_SOURCE_KERNEL, 0, "\033[2Jpanic"},
	{LOG_SOURCE_KERNEL, 0, ""},
	{LOG_OUTPUT, 2, "end"},
	{0},
};

static void test_print(void **state)
{
	/* Of what programs printed every byte is kept, but the system begins lines of its own. */
	assert_printed((struct log_view){0}, pieces,
		       "one\ntwo\n\033[1mhalfother\n\n\033[31mred\nstopped\npanic\nend");
	assert_printed((struct log_view){.strip = true}, pieces,
		       "one\ntwo\nhalfother\n\nred\nstopped\npanic\nend");
	assert_printed(
		(struct log_view){.strip = true, .timestamps = true}, pieces,
		TIME(1) "one\n" TIME(1) "two\n" TIME(3) "half\n" TIME(4) "other\n" TIME(
			4) "\n" TIME(6) "red\n" TIME(7) "stopped\n" TIME(8) "panic\n"
									    "2026-01-31T12:00:10."
									    "000000000+00:00 end");
	assert_printed((struct log_view){.strip = true, .show_id = true}, pieces,
		       "[id:  1] one\n[id:  1] two\n[id:  1] half\n[id: 12] other\n[id: 12] \n"
		       "[id:  1] red\n[id:sys] stopped\n[id:sys] panic\n[id:  2] end");
}

static void test_print_colours(void **state)
{
	static const struct piece few[] = {
		{LOG_STDOUT, 1, "one\nt"}, {LOG_STDOUT, 1, "wo\n"}, {LOG_STDERR, 8, "x\n"},
		{LOG_SYSTEM, 0, "s"},      {LOG_STDOUT, 7, "y"},    {0},
	};

	assert_printed((struct log_view){.color_sessions = true, .show_id = true}, few,
		       "\033[35m[id:  1] one\033[0m\n\033[35m[id:  1] t\033[0m\033[35mwo\033[0m\n"
		       "\033[36m[id:  8] x\033[0m\n[id:sys] s\n\033[94m[id:  7] y\033[0m");
}

static void print_stored(void *arg)
{
	struct log_view view = {.json = true, .timestamps = true};
	static const char line[] = "{\"t\":\"x\", \"s\":\"stdout\",\"d\":\"\\u001b[1m\"}";
	struct log_entry stored = {.source = LOG_STDOUT,
				   .text = (const uint8_t *)"\033[1m",
				   .len = 4,
				   .line = line,
				   .line_len = sizeof(line) - 1};
	struct log_entry plain = {.time = SECOND(1),
				  .source = LOG_SOURCE_KERNEL,
				  .text = (const uint8_t *)"a \"b\"\r",
				  .len = 6};
	struct log_entry bytes = {
		.source = LOG_SOURCE_RUNTIME, .text = (const uint8_t *)"\xff", .len = 1};

	assert_int_equal(log_view_print(&view, &stored), 0);
	assert_int_equal(log_view_print(&view, &plain), 0);
	assert_int_equal(log_view_print(&view, &bytes), 0);
}

static void test_print_json(void **state)
{
	_cleanup_free_ char *text = capture(stdout, print_stored, NULL);

	assert_string_equal(text, "{\"t\":\"x\", \"s\":\"stdout\",\"d\":\"\\u001b[1m\"}\n"
				  "{\"t\":\"2026-01-31T12:00:01.000000000+00:00\",\"s\":\"system\","
				  "\"from\":\"kernel\",\"d\":\"a \\\"b\\\"\\u000d\"}\n"
				  "{\"t\":\"1970-01-01T00:00:00.000000000+00:00\",\"s\":\"system\","
				  "\"from\":\"runtime\",\"e\":\"b64\",\"d\":\"/w==\"}\n");
}

static void print_failure(void *arg)
{
	struct sandbox_row row = {.name = (char *)"box",
				  .status = SANDBOX_FAILED,
				  .reason = (char *)"the \033[1mworst",
				  .updated_at = SECOND(1)};

	print_boot_error(&row, *(bool *)arg);
	row.status = SANDBOX_STOPPED;
	print_boot_error(&row, *(bool *)arg);
}

static void test_boot_error(void **state)
{
	_cleanup_free_ char *text = capture(stderr, print_failure, &(bool){false});
	_cleanup_free_ char *json = capture(stdout, print_failure, &(bool){true});

	assert_string_equal(text,
			    "error: failed to start 'box'\n  → the \\x1b[1mworst\n"
			    "  → `msb logs --source system box` shows what the system said\n");
	assert_string_equal(json, "{\"t\":\"2026-01-31T12:00:01.000000000+00:00\","
				  "\"s\":\"boot-error\",\"d\":\"the \\\\x1b[1mworst\"}\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sources),    cmocka_unit_test(test_times),
		cmocka_unit_test(test_print),      cmocka_unit_test(test_print_colours),
		cmocka_unit_test(test_print_json), cmocka_unit_test(test_boot_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
