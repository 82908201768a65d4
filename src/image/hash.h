/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256 by OpenSSL, as a running hash and in one call. One thread at a time per object. */
#pragma once

#include "image/digest.h"

#include <stddef.h>

struct hash;

struct hash *hash_new(void);
struct hash *hash_free(struct hash *h);
void hash_update(struct hash *h, const void *data, size_t n);
/* Gives the digest of everything so far and starts over. */
void hash_finish(struct hash *h, struct digest *ret);

void hash_bytes(const void *data, size_t n, struct digest *ret);
