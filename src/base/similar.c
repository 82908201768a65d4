/* SPDX-License-Identifier: Apache-2.0 */
#include "base/similar.h"

#include "base/util.h"

#include <string.h>

#define WORD_MAX 32 /* nothing longer is compared; no name is that long */
#define NEAR     2

size_t edit_distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
	size_t d[WORD_MAX + 1][WORD_MAX + 1];

	if (a_len > WORD_MAX || b_len > WORD_MAX)
		return SIZE_MAX;
	for (size_t i = 0; i <= a_len; i++) {
		for (size_t j = 0; j <= b_len; j++) {
			if (i == 0 || j == 0) {
				d[i][j] = i + j;
				continue;
			}
			d[i][j] = MIN(MIN(d[i - 1][j], d[i][j - 1]) + 1,
				      d[i - 1][j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				d[i][j] = MIN(d[i][j], d[i - 2][j - 2] + 1);
		}
	}
	return d[a_len][b_len];
}

const char *similar_word(const char *list, const char *s, size_t *ret_len)
{
	const char *best = NULL;
	size_t len = strlen(s), nearest = NEAR + 1;

	for (const char *w = list; *w; w += strspn(w, " ")) {
		size_t n = strcspn(w, " "), d = edit_distance(w, n, s, len);

		/* What was only not finished is nearest. */
		if (len > 2 && n > len && strncmp(w, s, len) == 0)
			d = 1;
		/* One with no letter in common is no suggestion. */
		if (d < nearest && d < MIN(n, len)) {
			best = w;
			*ret_len = n;
			nearest = d;
		}
		w += n;
	}
	return best;
}
