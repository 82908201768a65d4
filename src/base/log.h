/* SPDX-License-Identifier: Apache-2.0 */
/* Diagnostic messages of a program on its standard error: "PROGRAM: LEVEL: message". */
#pragma once

#include "base/util.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG, LOG_TRACE, LOG_LEVEL_COUNT };

/* Sets the name that starts each line and the least important level that is shown. */
void log_setup(const char *program, enum log_level max_level);
/* "error", "warn", "info", "debug" or "trace"; -EINVAL for any other word. */
int log_level_parse(const char *s, enum log_level *ret);
const char *log_level_name(enum log_level level);

void log_write(enum log_level level, const char *fmt, ...) PRINTF_FORMAT(2, 3);

#define log_error(...) log_write(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_write(LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_write(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_write(LOG_DEBUG, __VA_ARGS__)
#define log_trace(...) log_write(LOG_TRACE, __VA_ARGS__)
