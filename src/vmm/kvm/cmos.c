/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/kvm/cmos.h"

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

#define DAY            86400LL /* seconds */
#define STATUS_A_32KHZ 0x26
#define STATUS_B_24H   0x02
#define STATUS_D_VALID 0x80
#define INDEX_MASK     0x7f /* the highest bit of the port switches NMIs */

static uint8_t bcd(int n)
{
	return (uint8_t)(n / 10 << 4 | n % 10);
}

struct date {
	int year, month, day, weekday; /* January and Sunday are 1 */
};

/*
 * The date of a day since 1970-01-01. gmtime_r would do, but reads the time zone's file at its
 * first use, which a jailed process cannot. Years are counted from March on, so that the leap day
 * is the last; 400 of them have 146097 days.
 */
static struct date date_of(int64_t days)
{
	int64_t since_0000_03_01 = days + 719468;
	int64_t era = since_0000_03_01 / 146097, day = since_0000_03_01 % 146097;
	int64_t year = (day - day / 1460 + day / 36524 - day / 146096) / 365, month;

	day -= year * 365 + year / 4 - year / 100;
	month = (5 * day + 2) / 153;
	day -= (153 * month + 2) / 5;
	month += month < 10 ? 3 : -9;
	return (struct date){
		.year = (int)(era * 400 + year + (month <= 2)),
		.month = (int)month,
		.day = (int)day + 1,
		.weekday = (int)((days + 4) % 7) + 1,
	};
}

uint8_t cmos_read(uint8_t index, int64_t now)
{
	int seconds = (int)(now % DAY);
	struct date date = date_of(now / DAY);

	switch (index & INDEX_MASK) {
	case CMOS_SECONDS:
		return bcd(seconds % 60);
	case CMOS_MINUTES:
		return bcd(seconds / 60 % 60);
	case CMOS_HOURS:
		return bcd(seconds / 3600);
	case CMOS_WEEKDAY:
		return bcd(date.weekday);
	case CMOS_DAY:
		return bcd(date.day);
	case CMOS_MONTH:
		return bcd(date.month);
	case CMOS_YEAR:
		return bcd(date.year % 100);
	case CMOS_CENTURY:
		return bcd(date.year / 100);
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
