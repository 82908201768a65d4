/* SPDX-License-Identifier: Apache-2.0 */
#include "net/sniff_internal.h"

#include <string.h>

#define TLS_HANDSHAKE  22
#define SSL2_HELLO_BIT 0x80
#define SSL2_HELLO     1

/* What a method of HTTP may consist of: also words that no standard has (RFC 9110 5.6.2). */
bool sniff_is_token(uint8_t c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
	       (c && strchr("!#$%&'*+-.^_`|~", c));
}

void sniff(const uint8_t *data, size_t len, bool end, struct sniff *ret)
{
	*ret = (struct sniff){.result = SNIFF_MORE};
	if (len > 0 && data[0] == TLS_HANDSHAKE) {
		sniff_tls(data, len, ret);
	} else if (len > 2 && data[0] & SSL2_HELLO_BIT && data[2] == SSL2_HELLO) {
		/* The hello of old, which has no names. */
		ret->result = SNIFF_HIDDEN;
	} else if (len > 0 && (sniff_is_token(data[0]) || data[0] == '\r' || data[0] == '\n')) {
		sniff_http(data, len, ret);
	} else if (len > 2 || (len > 0 && !(data[0] & SSL2_HELLO_BIT))) {
		ret->result = SNIFF_OTHER;
	}
	/* Half a greeting that does not go on, or goes on for ever. */
	if (ret->result == SNIFF_MORE && (end || len >= SNIFF_MAX))
		ret->result = len == 0 ? SNIFF_OTHER : SNIFF_HIDDEN;
}
