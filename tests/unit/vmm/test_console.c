/* SPDX-License-Identifier: Apache-2.0 */
#include "../testing.h"

#include "vmm/console.h"

static void test_panic(void **state)
{
	static const struct {
		const char *line, *reason;
	} cases[] = {
		{"Kernel panic - not syncing: Attempted to kill init!", "Attempted to kill init!"},
		{"[    0.123456] Kernel panic - not syncing: VFS: no root", "VFS: no root"},
		{"Kernel panic - not syncing: ", ""},
		{"Kernel panic - not syncing:", NULL},
		{"---[ end Kernel panic - not syncing", NULL},
		{"kernel panic - not syncing: x", NULL},
		{"", NULL},
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *reason = console_panic(cases[i].line);

		if (cases[i].reason)
			assert_string_equal(reason, cases[i].reason);
		else
			assert_null(reason);
	}
}

static void test_halted(void **state)
{
	assert_true(console_halted("reboot: System halted"));
	assert_true(console_halted("[    1.234567] reboot: System halted"));
	assert_true(console_halted("reboot: Power off not available: System halted instead"));
	assert_true(console_halted("reboot: Power down"));
	assert_false(console_halted("reboot: Restarting system"));
	assert_false(console_halted("System halted"));
	assert_false(console_halted(""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_panic),
		cmocka_unit_test(test_halted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
