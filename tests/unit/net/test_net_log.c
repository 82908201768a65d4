/* SPDX-License-Identifier: Apache-2.0 */
#include "../testing.h"

#include "base/clock.h"
#include "net/net_log.h"

#define START   (1000 * NSEC_PER_SEC)
#define SECOND  NSEC_PER_SEC
#define LINES   1000
#define AT_ONCE 40 /* lines of all kinds */

static char *lines[LINES];
static unsigned int n_lines;
static struct net_log *l;

static void write_line(void *ctx, const char *line)
{
	assert_ptr_equal(ctx, lines);
	assert_true(n_lines < LINES);
	lines[n_lines++] = xstrdup(line);
}

static void forget(void)
{
	while (n_lines)
		free(lines[--n_lines]);
}

static int setup(void **state)
{
	l = net_log_new(write_line, lines);
	return l ? 0 : -1;
}

static int teardown(void **state)
{
	l = net_log_free(l);
	forget();
	return 0;
}

static void test_same_line(void **state)
{
	for (int i = 0; i < 5; i++)
		net_log_line(l, START + (uint64_t)i, "deny tcp %s", "a");
	assert_int_equal(n_lines, 1);
	assert_string_equal(lines[0], "deny tcp a");
	/* The number comes when the second is over, also if nothing else happens. */
	assert_int_equal(net_log_next_deadline(l), START + SECOND);
	net_log_tick(l, START + SECOND - 1);
	assert_int_equal(n_lines, 1);
	net_log_tick(l, START + SECOND);
	assert_int_equal(n_lines, 2);
	assert_string_equal(lines[1], "deny tcp a (4 more)");
	assert_int_equal(net_log_next_deadline(l), UINT64_MAX);
	net_log_tick(l, START + 2 * SECOND);
	assert_int_equal(n_lines, 2);
}

static void test_next_second(void **state)
{
	net_log_line(l, START, "a");
	net_log_line(l, START + 1, "a");
	net_log_line(l, START + SECOND, "a");
	assert_int_equal(n_lines, 3);
	assert_string_equal(lines[1], "a (1 more)");
	assert_string_equal(lines[2], "a");
	/* One that came once has no number. */
	net_log_line(l, START + 2 * SECOND, "a");
	assert_int_equal(n_lines, 4);
	assert_string_equal(lines[3], "a");
}

static void test_different_lines(void **state)
{
	net_log_line(l, START, "a");
	net_log_line(l, START, "b");
	net_log_line(l, START, "a");
	net_log_line(l, START + 5, "b");
	net_log_line(l, START + 5, "b");
	assert_int_equal(n_lines, 2);
	net_log_tick(l, START + SECOND);
	assert_int_equal(n_lines, 4);
	assert_string_equal(lines[2], "a (1 more)");
	assert_string_equal(lines[3], "b (2 more)");
}

static unsigned int flood(uint64_t now, unsigned int n)
{
	unsigned int before = n_lines;

	for (unsigned int i = 0; i < n; i++)
		net_log_line(l, now, "deny tcp 192.0.2.1:%u at %llu", i, (unsigned long long)now);
	return n_lines - before;
}

/* A scan of many ports: each line is another one. */
static void test_flood(void **state)
{
	assert_int_equal(flood(START, 5000), AT_ONCE);
	net_log_tick(l, START + SECOND);
	assert_int_equal(n_lines, AT_ONCE + 1);
	assert_string_equal(lines[AT_ONCE], "deny 4960 more, too many to tell one by one");
	/* As much again only after a while. */
	assert_in_range(flood(START + SECOND, 5000), 1, 6);
	assert_int_equal(flood(START + 3600 * SECOND, 5000), AT_ONCE + 1); /* and the number */
}

/* A guest that goes on for ever: few lines in the long run, and nothing lost of the numbers. */
static void test_endless_flood(void **state)
{
	unsigned int lines_before = n_lines;

	for (uint64_t s = 0; s < 60; s++)
		for (uint64_t k = 0; k < 10; k++)
			flood(START + s * SECOND + k * SECOND / 10, 10);
	assert_in_range(n_lines - lines_before, 300, 60 * 6 + AT_ONCE + 60);
}

/* More lines with a number than there are slots. */
static void test_slots_run_out(void **state)
{
	unsigned int more = 0;

	for (int i = 0; i < AT_ONCE; i++) {
		net_log_line(l, START + (uint64_t)i, "line %d", i);
		net_log_line(l, START + (uint64_t)i, "line %d", i);
	}
	net_log_tick(l, START + 2 * SECOND);
	for (unsigned int i = 0; i < n_lines; i++)
		more += str_ends_with(lines[i], " (1 more)");
	assert_int_equal(more, AT_ONCE);
	assert_int_equal(n_lines, 2 * AT_ONCE);
}

static void test_long_line(void **state)
{
	char text[2 * NET_LOG_LINE];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	net_log_line(l, START, "%s", text);
	net_log_line(l, START, "%s", text);
	net_log_tick(l, START + SECOND);
	assert_int_equal(n_lines, 2);
	assert_int_equal(strlen(lines[0]), NET_LOG_LINE - 1);
	assert_true(str_ends_with(lines[1], "x (1 more)"));
}

static void test_free_tells(void **state)
{
	net_log_line(l, START, "a");
	net_log_line(l, START, "a");
	forget();
	l = net_log_free(l);
	assert_int_equal(n_lines, 1);
	assert_string_equal(lines[0], "a (1 more)");
	assert_int_equal(setup(state), 0);
	flood(START, 100);
	forget();
	l = net_log_free(l);
	assert_int_equal(n_lines, 1);
	assert_string_equal(lines[0], "deny 60 more, too many to tell one by one");
	assert_null(net_log_free(NULL));
}

#define log_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		log_test(test_same_line),       log_test(test_next_second),
		log_test(test_different_lines), log_test(test_flood),
		log_test(test_endless_flood),   log_test(test_slots_run_out),
		log_test(test_long_line),       log_test(test_free_tells),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
