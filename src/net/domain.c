/* SPDX-License-Identifier: Apache-2.0 */
/* The form of domain names. */
#include "net/domain.h"

#include "base/util.h"

#include <errno.h>
#include <string.h>

#define LABEL_MAX 63

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_hex(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'f');
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool is_label_char(char c)
{
	return (c >= 'a' && c <= 'z') || is_digit(c) || c == '-' || c == '_';
}

/*
 * Some programs take a name for an IPv4 address when its last label is a number, be it a decimal,
 * octal or hexadecimal one; no top-level domain is like that.
 */
static bool is_number(const char *label)
{
	bool (*fits)(char) = is_digit;

	if (label[0] == '0' && label[1] == 'x') {
		fits = is_hex;
		label += 2;
	}
	for (; *label; label++)
		if (!fits(*label))
			return false;
	return true;
}

static bool labels_fit(const char *name)
{
	for (;;) {
		size_t n = strcspn(name, ".");

		if (n == 0 || n > LABEL_MAX)
			return false;
		if (!name[n])
			return !is_number(name);
		name += n + 1;
	}
}

int domain_normalize(const char *s, size_t len, char out[DOMAIN_LEN])
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)s[i] >= 0x80)
			return -EILSEQ;
	if (len && s[len - 1] == '.')
		len--;
	if (len > DOMAIN_MAX)
		return -EINVAL;
	for (size_t i = 0; i < len; i++) {
		out[i] = lower(s[i]);
		if (out[i] != '.' && !is_label_char(out[i]))
			return -EINVAL;
	}
	out[len] = '\0';
	return labels_fit(out) ? 0 : -EINVAL;
}

bool domain_under(const char *name, const char *suffix)
{
	size_t n = strlen(name), m = strlen(suffix);

	if (n < m || strcmp(name + n - m, suffix) != 0)
		return false;
	return n == m || name[n - m - 1] == '.';
}
