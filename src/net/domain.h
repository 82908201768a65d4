/* SPDX-License-Identifier: Apache-2.0 */
/* Domain names in the one form in which they are compared: lower case, A-labels, no final dot. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define DOMAIN_MAX 253
#define DOMAIN_LEN (DOMAIN_MAX + 1) /* with the NUL */

/*
 * Takes a name as users and guests write it: any case, one final dot. 0; -EILSEQ for one with
 * characters beyond ASCII, which whoever talks to people converts to A-labels first; or -EINVAL for
 * what is no name: empty or too long labels, characters other than letters, digits, hyphen and
 * underscore, NUL, something that is or may be taken for an address.
 */
int domain_normalize(const char *s, size_t len, char out[DOMAIN_LEN]);
/* Whether `name` is `suffix` or ends with a dot and it. Both normalized. */
bool domain_under(const char *name, const char *suffix);
