/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A limit on a rate that allows bursts. What is asked for is paid afterwards and may cost more than
 * was there, so that one thing that is larger than a burst is not stuck for ever; the debt is
 * waited for then. The clock is the caller's: any that does not go back, in ns.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct token_bucket {
	uint64_t rate;    /* tokens per second; 0: no limit */
	uint64_t burst;   /* the time in which a bucket that is empty becomes full, ns */
	uint64_t full_at; /* when it is full if nothing is taken; in the past: since then */
};

/* One that is full and holds `burst` tokens (at least one). */
void token_bucket_init(struct token_bucket *b, uint64_t rate, uint64_t burst);
/* From when on there is something in it; a time that is past when there is now. */
uint64_t token_bucket_when(const struct token_bucket *b);

static inline bool token_bucket_ready(const struct token_bucket *b, uint64_t now)
{
	return b->rate == 0 || token_bucket_when(b) <= now;
}

void token_bucket_take(struct token_bucket *b, uint32_t n, uint64_t now);
