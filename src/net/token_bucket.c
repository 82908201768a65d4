/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The only state is when the bucket will be full: each token that is taken puts that off by the
 * time that one takes to come. Nothing has to be refilled, and nothing is lost to rounding but
 * less than a nanosecond each time.
 */
#include "net/token_bucket.h"

#include "base/clock.h"
#include "base/util.h"

/* No bucket takes longer to fill, however large the burst. */
#define BURST_MAX (3600 * NSEC_PER_SEC)

void token_bucket_init(struct token_bucket *b, uint64_t rate, uint64_t burst)
{
	uint64_t fill = BURST_MAX;

	if (rate) {
		unsigned __int128 ns =
			(unsigned __int128)MAX(burst, (uint64_t)1) * NSEC_PER_SEC / rate;

		if (ns < fill)
			fill = MAX((uint64_t)ns, (uint64_t)1);
	}
	*b = (struct token_bucket){.rate = rate, .burst = fill};
}

uint64_t token_bucket_when(const struct token_bucket *b)
{
	/* It is empty `burst` before it is full, and has something right after that. */
	return b->full_at < b->burst ? 0 : b->full_at - b->burst + 1;
}

void token_bucket_take(struct token_bucket *b, uint32_t n, uint64_t now)
{
	uint64_t start = MAX(b->full_at, now);

	if (b->rate == 0)
		return;
	b->full_at = start + MAX(n * NSEC_PER_SEC / b->rate, (uint64_t)1);
}
