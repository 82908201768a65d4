/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"

#include <stdio.h>
#include <time.h>

static uint64_t read_clock(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

uint64_t clock_mono_ns(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

uint64_t clock_real_ns(void)
{
	return read_clock(CLOCK_REALTIME);
}

void rfc3339_format(uint64_t real_ns, char out[RFC3339_LEN])
{
	time_t t = (time_t)(real_ns / NSEC_PER_SEC);
	struct tm tm;
	char date[24];

	gmtime_r(&t, &tm);
	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(out, RFC3339_LEN, "%s.%09u+00:00", date, (unsigned)(real_ns % NSEC_PER_SEC));
}

void local_time_format(uint64_t real_ns, char out[RFC3339_LEN])
{
	time_t t = (time_t)(real_ns / NSEC_PER_SEC);
	struct tm tm;

	localtime_r(&t, &tm);
	strftime(out, RFC3339_LEN, "%Y-%m-%d %H:%M:%S", &tm);
}
