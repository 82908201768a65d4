/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256 digests as values and as the text "sha256:HEX". No hashing here: that is in hash.h. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define DIGEST_LEN      32
#define DIGEST_TEXT_LEN (7 + 2 * DIGEST_LEN + 1)

struct digest {
	uint8_t b[DIGEST_LEN];
};

/* Takes exactly "sha256:" and 64 lower-case hex digits; -EINVAL for anything else. */
int digest_parse(const char *s, struct digest *ret);
void digest_format(const struct digest *d, char out[DIGEST_TEXT_LEN]);
/* The hex digits alone. */
void digest_format_hex(const struct digest *d, char out[2 * DIGEST_LEN + 1]);
bool digest_eq(const struct digest *a, const struct digest *b);
