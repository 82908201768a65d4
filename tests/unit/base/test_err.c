/* SPDX-License-Identifier: Apache-2.0 */
#include "../testing.h"

#include "base/err.h"

static void test_set(void **state)
{
	struct err e = {0};

	assert_int_equal(err_set(&e, ERR_NOT_FOUND, "no '%s'", "x"), -1);
	assert_int_equal(e.code, ERR_NOT_FOUND);
	assert_string_equal(e.msg, "no 'x'");
	assert_string_equal(e.hint, "");
	err_hint(&e, "try %s", "y");
	assert_string_equal(e.hint, "try y");
	/* A new error has nothing of the old one, whose text it may quote. */
	err_set(&e, ERR_BUSY, "again: %s", e.msg);
	assert_string_equal(e.msg, "again: no 'x'");
	assert_string_equal(e.hint, "");
}

static void test_wrap(void **state)
{
	struct err e = {0};

	err_set(&e, ERR_NETWORK, "refused");
	err_hint(&e, "is it up?");
	assert_int_equal(err_wrap(&e, "pulling '%s'", "alpine"), -1);
	assert_int_equal(e.code, ERR_NETWORK);
	assert_string_equal(e.msg, "pulling 'alpine': refused");
	assert_string_equal(e.hint, "is it up?");
}

static void test_sys(void **state)
{
	struct err e = {0};
	char want[200];

	err_hint(&e, "old");
	assert_int_equal(err_sys(&e, ENOENT, "cannot open '%s'", "f"), -1);
	snprintf(want, sizeof(want), "cannot open 'f': %s", strerror(ENOENT));
	assert_string_equal(e.msg, want);
	assert_int_equal(e.code, ERR_SYSTEM);
	assert_string_equal(e.hint, "");
	err_sys(&e, ENOSPC, "x");
	assert_int_equal(e.code, ERR_NO_SPACE);
	err_sys(&e, EDQUOT, "x");
	assert_int_equal(e.code, ERR_NO_SPACE);
}

/* Names from a hostile archive end up in messages. */
static void test_print(void **state)
{
	struct err e = {0};
	char text[256] = "";
	int out[2], saved = dup(STDERR_FILENO);

	err_set(&e, ERR_CORRUPT, "entry 'a\033]0;x\ab\n' is bad");
	err_hint(&e, "try\rthis");
	assert_int_equal(pipe(out), 0);
	dup2(out[1], STDERR_FILENO);
	err_print(&e);
	dup2(saved, STDERR_FILENO);
	close(out[1]);
	close(saved);
	assert_true(read(out[0], text, sizeof(text) - 1) > 0);
	close(out[0]);
	assert_string_equal(text, "error: entry 'a\\x1b]0;x\\x07b\\x0a' is bad\n"
				  "  → try\\x0dthis\n");
}

static void test_nobody_cares(void **state)
{
	assert_int_equal(err_set(NULL, ERR_BUSY, "x"), -1);
	assert_int_equal(err_sys(NULL, ENOENT, "x"), -1);
	assert_int_equal(err_wrap(NULL, "x"), -1);
	assert_int_equal(err_hint(NULL, "x"), -1);
}

static void test_truncation(void **state)
{
	struct err e = {0};
	char big[3000];

	memset(big, 'a', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	err_set(&e, ERR_INVALID, "%s", big);
	assert_int_equal(strlen(e.msg), sizeof(e.msg) - 1);
	err_sys(&e, ENOENT, "%s", big);
	assert_int_equal(strlen(e.msg), sizeof(e.msg) - 1);
	/* The prefix is what is kept of a chain that is too long. */
	err_wrap(&e, "prefix");
	assert_int_equal(strlen(e.msg), sizeof(e.msg) - 1);
	assert_memory_equal(e.msg, "prefix: aaa", 11);
	err_wrap(&e, "%s", big);
	assert_int_equal(strlen(e.msg), sizeof(e.msg) - 1);
	err_hint(&e, "%s", big);
	assert_int_equal(strlen(e.hint), sizeof(e.hint) - 1);
	assert_int_equal(e.code, ERR_SYSTEM);
}

static void test_codes(void **state)
{
	for (unsigned i = 0; i < ERR_CODE_COUNT; i++) {
		const char *name = err_code_name((enum err_code)i);
		struct err e = {.code = (enum err_code)i};

		assert_int_equal(err_code_from_name(name), i);
		assert_true(err_exit_status(&e) >= 0 && err_exit_status(&e) <= 255);
		assert_int_equal(err_exit_status(&e) == 0, i == ERR_NONE);
		for (const char *p = name; *p; p++)
			assert_true((*p >= 'a' && *p <= 'z') || *p == '_');
	}
	assert_int_equal(err_code_from_name("no such code"), ERR_INTERNAL);
	assert_int_equal(err_code_from_name(NULL), ERR_INTERNAL);
	assert_string_equal(err_code_name((enum err_code)999), "internal");
}

/* Scripts rely on these. */
static void test_exit_statuses(void **state)
{
	assert_int_equal(err_exit_status(&(struct err){.code = ERR_USAGE}), 2);
	assert_int_equal(err_exit_status(&(struct err){.code = ERR_EXEC_DENIED}), 126);
	assert_int_equal(err_exit_status(&(struct err){.code = ERR_EXEC_NOT_FOUND}), 127);
	assert_int_equal(err_exit_status(&(struct err){.code = ERR_CANCELLED}), 130);
	assert_int_equal(err_exit_status(&(struct err){.code = ERR_NOT_FOUND}), 1);
	assert_int_equal(err_exit_status(&(struct err){.code = (enum err_code)999}), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_set),           cmocka_unit_test(test_wrap),
		cmocka_unit_test(test_sys),           cmocka_unit_test(test_nobody_cares),
		cmocka_unit_test(test_truncation),    cmocka_unit_test(test_codes),
		cmocka_unit_test(test_exit_statuses), cmocka_unit_test(test_print),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
