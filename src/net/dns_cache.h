/* SPDX-License-Identifier: Apache-2.0 */
/* Upstream's messages by what was asked, for as long as they may be used again. Bounded. */
#pragma once

#include "net/dns_message.h"

#define DNS_CACHE_ENTRIES 1024
#define DNS_CACHE_MESSAGE 4096 /* longer ones are not kept */

struct dns_cache;

struct dns_cache *dns_cache_new(const uint8_t secret[16]); /* NULL: no memory */
struct dns_cache *dns_cache_free(struct dns_cache *c);
/* Keeps a copy for `ttl` seconds. Times in ns. */
void dns_cache_put(struct dns_cache *c, const struct dns_question *q, const uint8_t *msg,
		   size_t len, uint64_t now, uint32_t ttl);
/* The message, valid until the next put, and how many seconds old it is. NULL: none. */
const uint8_t *dns_cache_get(struct dns_cache *c, const struct dns_question *q, uint64_t now,
			     size_t *ret_len, uint32_t *ret_age);
