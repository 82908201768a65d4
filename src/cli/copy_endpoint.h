/* SPDX-License-Identifier: Apache-2.0 */
/* What `msb copy` takes as source and destination: a path of the host, or NAME:/PATH. */
#pragma once

#include "base/err.h"

struct copy_endpoint {
	char *sandbox; /* its name; NULL: the host */
	char *path;    /* in a sandbox absolute */
};

/* Fills `ret`, which is to be released. 0, or -1 with ERR_USAGE or ERR_INVALID. */
int copy_endpoint_parse(const char *arg, struct copy_endpoint *ret, struct err *e);
void copy_endpoint_release(struct copy_endpoint *ep);

/*
 * The name that a copy of this source gets in a directory, owned; NULL when it is a directory's
 * contents that are to be copied: the path ends in "/.", or has no name at its end.
 */
char *copy_source_name(const char *path);
