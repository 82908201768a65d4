/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/detach_keys.h"

#include <ctype.h>
#include <string.h>

void detach_keys_default(struct detach_keys *k)
{
	if (!k->given)
		*k = (struct detach_keys){.keys = {']' & 0x1f}, .n = 1};
}

/* One key of `len` characters; -1 when it is none. */
static int parse_key(const char *s, size_t len)
{
	char c = s[len - 1];

	if (len == 1)
		return c > 0 && c < 0x7f ? c : -1;
	if (len != 6 || strncmp(s, "ctrl-", 5) != 0)
		return -1;
	if (islower((unsigned char)c))
		c = (char)toupper((unsigned char)c);
	return c >= '@' && c <= '_' ? c & 0x1f : -1;
}

int opt_detach_keys(const char *value, void *field, struct err *e)
{
	struct detach_keys k = {.given = true};

	while (*value) {
		/* A comma at the start of a key is that key. */
		size_t len = 1 + strcspn(value + 1, ",");
		int key = parse_key(value, len);

		if (key < 0)
			return err_set(
				e, ERR_INVALID,
				"expected characters or ctrl-X, where X is one of a-z @ [ \\ "
				"] ^ _, separated by commas");
		if (k.n == DETACH_KEYS_MAX)
			return err_set(e, ERR_INVALID, "at most %d keys", DETACH_KEYS_MAX);
		k.keys[k.n++] = (uint8_t)key;
		value += len;
		if (*value && !*++value)
			return err_set(e, ERR_INVALID, "a key is missing at the end");
	}
	*(struct detach_keys *)field = k;
	return 0;
}

size_t detach_keys_filter(struct detach_keys *k, const uint8_t *in, size_t n, uint8_t *out,
			  bool *ret_detach)
{
	size_t len = 0;

	*ret_detach = false;
	for (size_t i = 0; i < n && !*ret_detach; i++) {
		/* What is held back is given up from its front until the rest is a beginning again.
		 */
		while (k->matched && in[i] != k->keys[k->matched]) {
			size_t held = k->matched;

			do {
				out[len++] = k->keys[held - k->matched];
				k->matched--;
			} while (memcmp(k->keys, k->keys + held - k->matched, k->matched) != 0);
		}
		if (k->n && in[i] == k->keys[k->matched])
			k->matched++;
		else
			out[len++] = in[i];
		if (k->n && k->matched == k->n) {
			k->matched = 0;
			*ret_detach = true;
		}
	}
	return len;
}
