/* SPDX-License-Identifier: Apache-2.0 */
/* First bytes: what is said of them does not change as more of them come. */
#include "fuzz.h"

#include "net/sniff.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct sniff all, part;

	n = MIN(n, (size_t)SNIFF_MAX);
	sniff(data, n, false, &all);
	for (size_t i = 0; i <= n; i += 1 + n / 64) {
		uint8_t *copy = malloc(i ? i : 1);

		/* Exactly so long, so that a step beyond it is seen. */
		memcpy(copy, data, i);
		sniff(copy, i, false, &part);
		if (part.result != SNIFF_MORE) {
			CHECK(part.result == all.result);
			CHECK(part.result != SNIFF_NAME || strcmp(part.name, all.name) == 0);
		}
		sniff(copy, i, true, &part);
		CHECK(part.result != SNIFF_MORE);
		free(copy);
	}
	if (all.result == SNIFF_NAME) {
		char again[DOMAIN_LEN];

		CHECK(domain_normalize(all.name, strlen(all.name), again) == 0);
		CHECK(strcmp(all.name, again) == 0);
	}
	return 0;
}
