/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which host a guest's first bytes name: TLS server name (RFC 6066) or HTTP/1 authority. From a
 * private copy. Never accepts what a server could understand differently.
 */
#pragma once

#include "net/domain.h"

#include <stdint.h>

#define SNIFF_MAX 16384 /* of the first bytes; what needs more is hidden */

enum sniff_result {
	SNIFF_MORE,   /* not decided yet */
	SNIFF_NAME,   /* `name` is what it claims, normalized */
	SNIFF_HIDDEN, /* TLS without (or with encrypted) name, ambiguous HTTP, an address as the
			 name, too long */
	SNIFF_OTHER,  /* neither TLS nor HTTP */
};

struct sniff {
	enum sniff_result result;
	char name[DOMAIN_LEN];
};

/* Looks at all bytes so far. `end`: no more will come. */
void sniff(const uint8_t *data, size_t len, bool end, struct sniff *ret);
