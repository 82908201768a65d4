/* SPDX-License-Identifier: Apache-2.0 */
/* Times are uint64_t nanoseconds throughout. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define NSEC_PER_SEC  1000000000ULL
#define NSEC_PER_MSEC 1000000ULL

/* CLOCK_MONOTONIC: for intervals and time-outs; comparable between processes of one boot. */
uint64_t clock_mono_ns(void);
/* CLOCK_REALTIME: since 1970-01-01 UTC. */
uint64_t clock_real_ns(void);

#define RFC3339_LEN 40
/* "2026-01-31T12:00:00.123456789+00:00", UTC, always nine digits of fraction. */
void rfc3339_format(uint64_t real_ns, char out[RFC3339_LEN]);
/*
 * Reads such a time as RFC 3339 allows it: any number of digits of fraction (those after the ninth
 * are dropped), `Z` or an offset, `T` or a space in the middle, years from 1970 to 2500. The whole
 * string; 0 or -EINVAL.
 */
int rfc3339_parse(const char *s, uint64_t *ret);
#define DURATION_LEN 24
/* "90s", "5m", "2h": whole seconds as the command line takes them. */
void duration_format(uint64_t seconds, char out[DURATION_LEN]);
/* "2026-01-31 13:00:00" in the local time zone, for tables. */
void local_time_format(uint64_t real_ns, char out[RFC3339_LEN]);
