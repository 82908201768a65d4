/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *const names[] = {"error", "warn", "info", "debug", "trace"};
static_assert(ARRAY_SIZE(names) == LOG_LEVEL_COUNT, "every level has a name");

static const char *program_name = "msb";
static enum log_level threshold = LOG_WARN;

void log_setup(const char *program, enum log_level max_level)
{
	program_name = program;
	threshold = max_level;
}

int log_level_parse(const char *s, enum log_level *ret)
{
	for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
		if (strcmp(s, names[i]) == 0) {
			*ret = (enum log_level)i;
			return 0;
		}
	}
	return -EINVAL;
}

const char *log_level_name(enum log_level level)
{
	return names[level];
}

void log_write(enum log_level level, const char *fmt, ...)
{
	char line[1024];
	va_list ap;
	size_t n, len;

	if (level > threshold)
		return;
	n = (size_t)snprintf(line, sizeof(line), "%s: %s: ", program_name, names[level]);
	va_start(ap, fmt);
	vsnprintf(line + n, sizeof(line) - n - 1, fmt, ap);
	va_end(ap);
	len = strlen(line);
	/* What peers and images say must not reach the terminal as a command. */
	for (size_t i = n; i < len; i++)
		if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
			line[i] = '?';
	/* One write, so that lines of several threads and processes stay whole. */
	line[len++] = '\n';
	if (write(STDERR_FILENO, line, len) < 0)
		return; /* there is nobody left to tell */
}
