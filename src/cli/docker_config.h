/* SPDX-License-Identifier: Apache-2.0 */
/* Logins that were made with Docker's tools: $DOCKER_CONFIG/config.json or ~/.docker/config.json.
 */
#pragma once

#include "base/err.h"
#include "cli/login.h"

/*
 * Looks a registry up by its canonical name: by its credential helper (`credHelpers`), by the
 * general one (`credsStore`), in the file itself (`auths`). 1 with *ret, 0 when there is no login,
 * -1 with the error set when something is broken.
 */
int docker_config_login(const char *host, struct login *ret, struct err *e);
