/* SPDX-License-Identifier: Apache-2.0 */
/* A login for one registry: a name and a password or token, or an identity token alone. */
#pragma once

#include "base/util.h"

struct login {
	char *username, *password;
	char *identity_token;
};

static inline void login_release(struct login *l)
{
	secret_free(l->username);
	secret_free(l->password);
	secret_free(l->identity_token);
	*l = (struct login){0};
}
