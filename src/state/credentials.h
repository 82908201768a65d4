/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Logins for registries, kept in $MSB_HOME/credentials.json with mode 0600:
 *
 *	{"registries": {"HOST[:PORT]": {"username": U, "password": P}}}
 *
 * A file that others may read is refused. Hosts are in the spelling of reference_host_canonical.
 */
#pragma once

#include "state/home.h"

struct credential {
	char *host;
	char *username;
	char *password; /* or token */
};

void credential_release(struct credential *c);

/* 1 with *ret, 0 when nothing is stored for the host, -1 with the error set. */
int credentials_get(const struct home *h, const char *host, struct credential *ret, struct err *e);
/* All of them, sorted by host, in an owned array whose items are to be released. 0 or -1. */
int credentials_list(const struct home *h, struct credential **ret, size_t *ret_n, struct err *e);

/*
 * Stores a login in place of an earlier one. Changes are serialised with those of other
 * processes. ERR_INVALID when a text is not UTF-8. 0 or -1.
 */
int credentials_put(const struct home *h, const struct credential *c, struct err *e);
/* 1 when it is gone, 0 when there was none, -1 with the error set. */
int credentials_remove(const struct home *h, const char *host, struct err *e);
