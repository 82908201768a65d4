/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Image references: [HOST[:PORT]/]PATH[:TAG][@sha256:HEX].
 *
 * The first part is a host when it holds a dot, a colon or an upper-case letter or is "localhost";
 * otherwise the host is docker.io, where a path of one part is below library/. Without tag and
 * digest the tag is "latest".
 */
#pragma once

#include "base/err.h"
#include "image/digest.h"

#define REFERENCE_DEFAULT_HOST "docker.io"

struct reference {
	char *host; /* with the port, if any */
	char *path;
	char *tag; /* NULL when there is only a digest */
	bool has_digest;
	struct digest digest;
};

/* 0, or -1 with ERR_INVALID that says what is wrong. `ret` is untouched on failure. */
int reference_parse(const char *text, struct reference *ret, struct err *e);
void reference_release(struct reference *r);

/* The canonical text with every part spelt out, owned. */
char *reference_format(const struct reference *r);

/*
 * A registry's name "HOST[:PORT]" in the one spelling by which it is looked up: lower case, and
 * docker.io for all names of that one. Owned; NULL when it is no such name.
 */
char *reference_host_canonical(const char *host);

/* Whether a host, with or without port, can only be this machine: plain HTTP is fine there. */
bool reference_host_is_loopback(const char *host);
