/* SPDX-License-Identifier: Apache-2.0 */
#include "image/digest.h"

#include "base/util.h"

#include <errno.h>
#include <string.h>

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

int digest_parse(const char *s, struct digest *ret)
{
	struct digest d;

	if (!s || !str_starts_with(s, "sha256:"))
		return -EINVAL;
	s += strlen("sha256:");
	if (strlen(s) != (size_t)2 * DIGEST_LEN)
		return -EINVAL;
	for (size_t i = 0; i < DIGEST_LEN; i++) {
		int hi = hex_value(s[2 * i]), lo = hex_value(s[2 * i + 1]);

		if (hi < 0 || lo < 0)
			return -EINVAL;
		d.b[i] = (uint8_t)(hi << 4 | lo);
	}
	*ret = d;
	return 0;
}

void digest_format_hex(const struct digest *d, char out[2 * DIGEST_LEN + 1])
{
	hex_encode(d->b, DIGEST_LEN, out);
}

void digest_format(const struct digest *d, char out[DIGEST_TEXT_LEN])
{
	memcpy(out, "sha256:", strlen("sha256:"));
	digest_format_hex(d, out + strlen("sha256:"));
}

bool digest_eq(const struct digest *a, const struct digest *b)
{
	return memcmp(a->b, b->b, DIGEST_LEN) == 0;
}
