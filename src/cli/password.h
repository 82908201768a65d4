/* SPDX-License-Identifier: Apache-2.0 */
/* Asking for a password or token. */
#pragma once

#include "base/err.h"

#define PASSWORD_MAX (64 * KIB)

/*
 * Reads standard input to its end (`from_stdin`), or one line from the terminal that it is,
 * without echo. Ends of line at the end are dropped; what is empty is refused. The password is
 * owned; NULL with the error set. While it waits, signals that end the program restore the
 * terminal first.
 */
char *password_read(bool from_stdin, struct err *e);
