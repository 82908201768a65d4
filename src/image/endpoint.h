/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where an image may be fetched from: the mirrors of its registry and then the registry itself,
 * with what is needed to talk to each. The caller decides all of it and hands it over as one JSON
 * document on a descriptor, because there are passwords in it:
 *
 *	{"endpoints": [{
 *	  "server": "HOST[:PORT]", "prefix": "part/",    before the repository's name
 *	  "scheme": "http"|"https",                      absent: as the next says
 *	  "insecure": BOOL,                              plain HTTP is allowed
 *	  "ca_certs": [FILE, …],                         besides the system's
 *	  "username", "password", "identity_token": TEXT}, …]}
 *
 * Everything but the server may be left out.
 */
#pragma once

#include "base/err.h"

#define ENDPOINTS_MAX 17

struct endpoint {
	char *server;  /* as users know it */
	char *address; /* where its API is: the same but for Docker Hub */
	char *prefix;
	bool plain_first; /* plain HTTP is tried first: this host's own, or insecure */
	bool plain_only;
	char *ca_pem; /* further authorities, or NULL */
	char *username, *password;
	char *identity_token;
};

struct endpoints {
	struct endpoint *items; /* the registry itself is the last */
	size_t n;
};

/*
 * Takes the document apart and reads the certificates. ERR_USAGE for a document that is not as
 * above, ERR_INVALID for a certificate file that is missing or has no certificate in it.
 */
int endpoints_parse(const char *text, size_t len, struct endpoints *ret, struct err *e);
/* What is used when nobody decides: the registry itself, without a login. */
void endpoints_default(const char *server, struct endpoints *ret);
void endpoints_release(struct endpoints *es);
