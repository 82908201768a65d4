/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration file, $MSB_HOME/config.json or the file that MSB_CONFIG_PATH names:
 *
 *	{"registries": {
 *	  "ca_certs": FILE,
 *	  "hosts": {"HOST[:PORT]": {
 *	    "insecure": BOOL,
 *	    "ca_certs": FILE,
 *	    "mirrors": ["[http://|https://]HOST[:PORT][/PREFIX]", …],
 *	    "auth": {"username": U, "password_env": VARIABLE}   or   {"username": U, "store":
 * "file"}
 *	}}}}
 *
 * Other keys at the top belong to others and are ignored. Files are relative to the file's
 * folder.
 */
#pragma once

#include "state/home.h"

#define CONFIG_MIRRORS_MAX 16

struct config_mirror {
	char *scheme; /* "http", "https", or NULL: as for any registry */
	char *host;   /* with the port, canonical */
	char *prefix; /* put before a repository's name: "" or "part/part/" */
};

struct config_registry {
	char *host; /* canonical, see reference_host_canonical */
	bool insecure;
	char *ca_certs; /* absolute path, or NULL */
	struct config_mirror *mirrors;
	size_t n_mirrors;
	char *username;     /* NULL: no "auth" */
	char *password_env; /* NULL: the password is in the store of credentials.h */
};

struct config {
	char *path;     /* of the file, whether it is there or not */
	char *ca_certs; /* absolute path, or NULL */
	struct config_registry *registries;
	size_t n_registries;
};

/*
 * Reads the file; a missing one is an empty one, unless it was named. ERR_INVALID, with the file
 * and if possible the line, for anything that is not as above. `ret` needs no release then.
 */
int config_load(const struct home *h, struct config *ret, struct err *e);
void config_release(struct config *c);

/* What the file says about a registry, or NULL. */
const struct config_registry *config_find_registry(const struct config *c, const char *host);
