/* SPDX-License-Identifier: Apache-2.0 */
/* Docker's credential helpers: programs docker-credential-NAME that keep logins somewhere safe. */
#pragma once

#include "base/err.h"
#include "cli/login.h"

#define CREDENTIAL_HELPER_LIMIT_MS 30000

/*
 * Runs `docker-credential-NAME get` with the server on its standard input, for at most `limit_ms`.
 * 1 with *ret, 0 when it has no login for that server, -1 with the error set.
 */
int credential_helper_get(const char *name, const char *server, unsigned limit_ms,
			  struct login *ret, struct err *e);
