/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"

#include <errno.h>
#include <stdbool.h>
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

/* Days from 1970-01-01 to a date of the Gregorian calendar that is not before it. */
static int64_t days_since_1970(int64_t year, int64_t month, int64_t day)
{
	/* A year that starts in March has its leap day last. */
	int64_t y = month > 2 ? year : year - 1, m = month > 2 ? month - 3 : month + 9;

	return 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 719469;
}

static unsigned days_in_month(unsigned year, unsigned month)
{
	static const unsigned char days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return days[month - 1] + (month == 2 && leap ? 1U : 0U);
}

/* Reads `n` digits whose value is from `min` to `max`, after one of `before`. */
static bool read_digits(const char **s, const char *before, size_t n, unsigned min, unsigned max,
			unsigned *ret)
{
	const char *p = *s;
	unsigned v = 0;

	if (before) {
		bool found = false;

		for (; *before; before++)
			found |= *p == *before;
		if (!found)
			return false;
		p++;
	}
	for (size_t i = 0; i < n; i++, p++) {
		if (*p < '0' || *p > '9')
			return false;
		v = 10 * v + (unsigned)(*p - '0');
	}
	*s = p;
	*ret = v;
	return v >= min && v <= max;
}

int rfc3339_parse(const char *s, uint64_t *ret)
{
	unsigned year, month, day, hour, minute, second, oh = 0, om = 0;
	uint64_t ns = 0, unit = NSEC_PER_SEC / 10;
	int64_t t, sign = 0, minutes;

	if (!read_digits(&s, NULL, 4, 1970, 2500, &year) ||
	    !read_digits(&s, "-", 2, 1, 12, &month) ||
	    !read_digits(&s, "-", 2, 1, days_in_month(year, month), &day) ||
	    !read_digits(&s, "Tt ", 2, 0, 23, &hour) || !read_digits(&s, ":", 2, 0, 59, &minute) ||
	    !read_digits(&s, ":", 2, 0, 60, &second))
		return -EINVAL;
	if (*s == '.') {
		if (s[1] < '0' || s[1] > '9')
			return -EINVAL;
		for (s++; *s >= '0' && *s <= '9'; s++, unit /= 10)
			ns += unit * (uint64_t)(*s - '0');
	}
	if (*s == 'Z' || *s == 'z') {
		s++;
	} else {
		sign = *s == '-' ? 1 : -1;
		if (!read_digits(&s, "+-", 2, 0, 23, &oh) || !read_digits(&s, ":", 2, 0, 59, &om))
			return -EINVAL;
	}
	minutes = (int64_t)(hour * 60 + minute) + sign * (int64_t)(oh * 60 + om);
	t = days_since_1970(year, month, day) * 86400 + minutes * 60 + second;
	if (*s || t < 0)
		return -EINVAL;
	*ret = (uint64_t)t * NSEC_PER_SEC + ns;
	return 0;
}

void local_time_format(uint64_t real_ns, char out[RFC3339_LEN])
{
	time_t t = (time_t)(real_ns / NSEC_PER_SEC);
	struct tm tm;

	localtime_r(&t, &tm);
	strftime(out, RFC3339_LEN, "%Y-%m-%d %H:%M:%S", &tm);
}

void duration_format(uint64_t seconds, char out[DURATION_LEN])
{
	static const struct {
		uint64_t seconds;
		char letter;
	} units[] = {{3600, 'h'}, {60, 'm'}, {1, 's'}};
	size_t u = 0;

	while (seconds == 0 ? units[u].seconds > 1 : seconds % units[u].seconds != 0)
		u++;
	snprintf(out, DURATION_LEN, "%llu%c", (unsigned long long)(seconds / units[u].seconds),
		 units[u].letter);
}
