/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct {
	const char *name;
	int exit_status;
} codes[] = {
#define X(code, name, exit) {name, exit},
	ERR_CODES(X)
#undef X
};
static_assert(ARRAY_SIZE(codes) == ERR_CODE_COUNT, "every code has a row");

static void set_message(struct err *e, enum err_code code, const char *fmt, va_list ap)
{
	char msg[sizeof(e->msg)];

	vsnprintf(msg, sizeof(msg), fmt, ap);
	memcpy(e->msg, msg, sizeof(msg));
	e->code = code;
	e->hint[0] = '\0';
}

int err_set(struct err *e, enum err_code code, const char *fmt, ...)
{
	va_list ap;

	if (!e)
		return -1;
	va_start(ap, fmt);
	set_message(e, code, fmt, ap);
	va_end(ap);
	return -1;
}

int err_sys(struct err *e, int errnum, const char *fmt, ...)
{
	bool full = errnum == ENOSPC || errnum == EDQUOT;
	size_t n;
	va_list ap;

	if (!e)
		return -1;
	va_start(ap, fmt);
	set_message(e, full ? ERR_NO_SPACE : ERR_SYSTEM, fmt, ap);
	va_end(ap);
	n = strlen(e->msg);
	snprintf(e->msg + n, sizeof(e->msg) - n, ": %s", strerror(errnum));
	return -1;
}

int err_wrap(struct err *e, const char *fmt, ...)
{
	char old[sizeof(e->msg)];
	va_list ap;
	size_t n;

	if (!e)
		return -1;
	memcpy(old, e->msg, sizeof(old));
	va_start(ap, fmt);
	vsnprintf(e->msg, sizeof(e->msg), fmt, ap);
	va_end(ap);
	n = strlen(e->msg);
	snprintf(e->msg + n, sizeof(e->msg) - n, ": %s", old);
	return -1;
}

int err_hint(struct err *e, const char *fmt, ...)
{
	va_list ap;

	if (!e)
		return -1;
	va_start(ap, fmt);
	vsnprintf(e->hint, sizeof(e->hint), fmt, ap);
	va_end(ap);
	return -1;
}

void err_print(const struct err *e)
{
	bool colour = isatty(STDERR_FILENO) && !secure_getenv("NO_COLOR");
	char *msg = str_printable(e->msg), *hint = str_printable(e->hint);

	fprintf(stderr, "%serror:%s %s\n", colour ? "\033[1;31m" : "", colour ? "\033[0m" : "",
		msg);
	if (*hint)
		fprintf(stderr, "  → %s\n", hint);
	free(msg);
	free(hint);
}

const char *err_code_name(enum err_code code)
{
	return (unsigned)code < ERR_CODE_COUNT ? codes[code].name : codes[ERR_INTERNAL].name;
}

enum err_code err_code_from_name(const char *name)
{
	for (unsigned i = 0; name && i < ERR_CODE_COUNT; i++)
		if (strcmp(codes[i].name, name) == 0)
			return (enum err_code)i;
	return ERR_INTERNAL;
}

int err_exit_status(const struct err *e)
{
	return (unsigned)e->code < ERR_CODE_COUNT ? codes[e->code].exit_status : 1;
}
