/* SPDX-License-Identifier: Apache-2.0 */
#include "../testing.h"

#include "base/log.h"

static void test_levels(void **state)
{
	enum log_level l = LOG_LEVEL_COUNT;

	for (unsigned i = 0; i < LOG_LEVEL_COUNT; i++) {
		assert_int_equal(log_level_parse(log_level_name((enum log_level)i), &l), 0);
		assert_int_equal(l, i);
	}
	assert_int_equal(log_level_parse("Warn", &l), -EINVAL);
	assert_int_equal(log_level_parse("", &l), -EINVAL);
	assert_int_equal(log_level_parse("warning", &l), -EINVAL);
}

/* Each message is one line of bounded length, and one that is not important enough is none. */
static void test_lines(void **state)
{
	int fds[2], saved = dup(STDERR_FILENO);
	char big[3000], out[8192];
	ssize_t n;

	assert_int_equal(pipe(fds), 0);
	dup2(fds[1], STDERR_FILENO);
	log_setup("prog", LOG_INFO);
	log_warn("number %d", 1);
	log_debug("unseen");
	log_info("seen\n\033[1m");
	memset(big, 'a', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	log_error("%s", big);
	dup2(saved, STDERR_FILENO);
	close(saved);
	close(fds[1]);
	n = read_full(fds[0], out, sizeof(out));
	close(fds[0]);
	assert_true(n > 0);
	out[n] = '\0';
	assert_true(str_starts_with(
		out, "prog: warn: number 1\nprog: info: seen??[1m\nprog: error: aa"));
	assert_true(str_ends_with(out, "aaa\n"));
	assert_true(n < 1200);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_levels),
		cmocka_unit_test(test_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
