/* SPDX-License-Identifier: Apache-2.0 */
/* What reading and writing of DNS messages share. */
#pragma once

#include "net/be.h"
#include "net/domain.h"

#include <stdbool.h>
#include <stdint.h>

#define DNS_NAME_MAX 255 /* on the wire, with the root's label */

/* A record by the offsets of its parts. */
struct dns_record {
	size_t owner;
	uint16_t type, class;
	uint32_t ttl;
	size_t data, data_len;
};

/* Returns the offset behind the name or record; 0 when it is malformed or does not fit. */
size_t dns_name_expand(const uint8_t *msg, size_t len, size_t at, uint8_t wire[DNS_NAME_MAX],
		       size_t *ret_len);
size_t dns_record_read(const uint8_t *msg, size_t len, size_t at, struct dns_record *ret);
/* Does the record belong to the (normalized) name? */
bool dns_record_owned(const uint8_t *msg, size_t len, const struct dns_record *r, const char *name);
/* The normal form of a name without compression. 0 or -EINVAL, -EILSEQ as domain_normalize. */
int dns_name_text(const uint8_t *wire, size_t len, char out[DOMAIN_LEN]);
