/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors of operations (not of data paths, which return -errno): a stable code, a message for
 * the user, an optional hint. The caller owns a `struct err` on its stack; nothing is allocated.
 * Messages are in lower case, name the subject in single quotes and have no full stop.
 */
#pragma once

#include "base/util.h"

/* X(constant, wire name, exit code) */
#define ERR_CODES(X)                                 \
	X(ERR_NONE, "none", 0)                       \
	X(ERR_INTERNAL, "internal", 1)               \
	X(ERR_USAGE, "usage", 2)                     \
	X(ERR_INVALID, "invalid", 1)                 \
	X(ERR_NOT_FOUND, "not_found", 1)             \
	X(ERR_EXISTS, "exists", 1)                   \
	X(ERR_BUSY, "busy", 1)                       \
	X(ERR_STATE, "state", 1)                     \
	X(ERR_SYSTEM, "system", 1)                   \
	X(ERR_NETWORK, "network", 1)                 \
	X(ERR_UNREACHABLE, "unreachable", 1)         \
	X(ERR_AUTH, "auth", 1)                       \
	X(ERR_CORRUPT, "corrupt", 1)                 \
	X(ERR_NO_SPACE, "no_space", 1)               \
	X(ERR_TIMEOUT, "timeout", 1)                 \
	X(ERR_UNSUPPORTED, "unsupported", 1)         \
	X(ERR_CANCELLED, "cancelled", 130)           \
	X(ERR_BOOT, "boot", 1)                       \
	X(ERR_EXEC_NOT_FOUND, "exec_not_found", 127) \
	X(ERR_EXEC_DENIED, "exec_denied", 126)

enum err_code {
#define X(code, name, exit) code,
	ERR_CODES(X)
#undef X
		ERR_CODE_COUNT
};

struct err {
	enum err_code code;
	char msg[1024];
	char hint[512];
};

/*
 * Sets the error and returns -1, so that `return err_set(...)` reads well. The arguments may
 * refer to the old message. `e` may be NULL when the caller does not care.
 */
int err_set(struct err *e, enum err_code code, const char *fmt, ...) PRINTF_FORMAT(3, 4);
/* As err_set, with ": strerror(errnum)" appended; ENOSPC and EDQUOT give ERR_NO_SPACE. */
int err_sys(struct err *e, int errnum, const char *fmt, ...) PRINTF_FORMAT(3, 4);
/* Puts "prefix: " before the message of an error that is set. Returns -1. */
int err_wrap(struct err *e, const char *fmt, ...) PRINTF_FORMAT(2, 3);
/* Says what the user can do about it. Returns -1. */
int err_hint(struct err *e, const char *fmt, ...) PRINTF_FORMAT(2, 3);

/* Prints "error: MESSAGE" and the hint on standard error, harmless to a terminal. */
void err_print(const struct err *e);

const char *err_code_name(enum err_code code);
/* The code of a wire name; ERR_INTERNAL when it is unknown. */
enum err_code err_code_from_name(const char *name);
/* The exit status that a program reports for the error. */
int err_exit_status(const struct err *e);
