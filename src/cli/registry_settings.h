/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything that msb-image has to know about the registry of an image, put together from the
 * command, the configuration file and the places where logins are kept. It becomes the document of
 * src/image/endpoint.h, in a file that exists in memory only.
 *
 * A login is looked for in the command, msb's own store, the configuration, Docker's; the first one
 * counts. What is broken in Docker's is a warning.
 */
#pragma once

#include "state/config.h"

/* What a command says about the registry itself, though not about its mirrors. */
struct registry_overrides {
	bool insecure;
	const char *ca_certs;            /* for the mirrors as well; or NULL */
	const char *username, *password; /* or both NULL */
};

/* Returns a descriptor, or -1 with the error set. The reference has been checked. */
int registry_settings_for_pull(const struct home *h, const char *reference,
			       const struct registry_overrides *o, struct err *e);
/* The same for just one registry and the login of the overrides. */
int registry_settings_for_login(const struct home *h, const char *host,
				const struct registry_overrides *o, struct err *e);

/* Whether the password of a login in the configuration can be had; see config.h. */
bool registry_has_password(const struct config_registry *r, bool in_store);

/* Checks of options; both take NULL. What is in the file is msb-image's business. */
int registry_ca_certs_check(const char *path, struct err *e);
int registry_username_check(const char *username, bool password_stdin, struct err *e);
