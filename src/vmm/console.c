/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/console.h"

#include "base/util.h"

#include <string.h>

const char *console_panic(const char *line)
{
	static const char mark[] = "Kernel panic - not syncing: ";
	const char *p = strstr(line, mark);

	return p ? p + sizeof(mark) - 1 : NULL;
}

bool console_halted(const char *line)
{
	static const char *const marks[] = {
		"reboot: System halted",
		"reboot: Power off not available",
		"reboot: Power down",
	};

	for (size_t i = 0; i < ARRAY_SIZE(marks); i++)
		if (strstr(line, marks[i]))
			return true;
	return false;
}
