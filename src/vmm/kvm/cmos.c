/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/kvm/cmos.h"

#include <time.h>

enum cmos_register {
	CMOS_SECONDS = 0,
	CMOS_MINUTES = 2,
	CMOS_HOURS = 4,
	CMOS_WEEKDAY = 6,
	CMOS_DAY = 7,
	CMOS_MONTH = 8,
	CMOS_YEAR = 9,
	CMOS_STATUS_A = 10,
	CMOS_STATUS_B = 11,
	CMOS_STATUS_D = 13,
	CMOS_CENTURY = 0x32,
};

#define STATUS_A_32KHZ 0x26
#define STATUS_B_24H   0x02
#define STATUS_D_VALID 0x80
#define INDEX_MASK     0x7f /* the highest bit of the port switches NMIs */

static uint8_t bcd(int n)
{
	return (uint8_t)(n / 10 << 4 | n % 10);
}

uint8_t cmos_read(uint8_t index, int64_t now)
{
	time_t t = (time_t)now;
	struct tm tm;

	gmtime_r(&t, &tm);
	switch (index & INDEX_MASK) {
	case CMOS_SECONDS:
		return bcd(tm.tm_sec);
	case CMOS_MINUTES:
		return bcd(tm.tm_min);
	case CMOS_HOURS:
		return bcd(tm.tm_hour);
	case CMOS_WEEKDAY:
		return bcd(tm.tm_wday + 1);
	case CMOS_DAY:
		return bcd(tm.tm_mday);
	case CMOS_MONTH:
		return bcd(tm.tm_mon + 1);
	case CMOS_YEAR:
		return bcd(tm.tm_year % 100);
	case CMOS_CENTURY:
		return bcd((tm.tm_year + 1900) / 100);
	case CMOS_STATUS_A:
		return STATUS_A_32KHZ;
	case CMOS_STATUS_B:
		return STATUS_B_24H;
	case CMOS_STATUS_D:
		return STATUS_D_VALID;
	default:
		return 0;
	}
}
