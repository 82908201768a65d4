/* SPDX-License-Identifier: Apache-2.0 */
/* The ports, and the clock behind two of them. */
#include "../../testing.h"

#include "base/clock.h"
#include "vmm/kvm/cmos.h"
#include "vmm/kvm/ports.h"

#include <linux/serial_reg.h>

/* --- Clock. */

static void test_dates(void **state)
{
	static const uint8_t registers[] = {0, 2, 4, 6, 7, 8, 9, 0x32};
	/* As registers, seconds first: date -u -d @N '+%S %M %H %w+1 %d %m %y %C'. */
	static const struct {
		int64_t now;
		uint8_t values[8];
	} dates[] = {
		{0, {0x00, 0x00, 0x00, 0x05, 0x01, 0x01, 0x70, 0x19}},
		{946684799, {0x59, 0x59, 0x23, 0x06, 0x31, 0x12, 0x99, 0x19}},
		{951827696, {0x56, 0x34, 0x12, 0x03, 0x29, 0x02, 0x00, 0x20}},
		{1791533226, {0x06, 0x07, 0x08, 0x06, 0x09, 0x10, 0x26, 0x20}},
		{2147483647, {0x07, 0x14, 0x03, 0x03, 0x19, 0x01, 0x38, 0x20}},
		{2147483648, {0x08, 0x14, 0x03, 0x03, 0x19, 0x01, 0x38, 0x20}},
		{4102444799, {0x59, 0x59, 0x23, 0x05, 0x31, 0x12, 0x99, 0x20}},
		{4107542399, {0x59, 0x59, 0x23, 0x01, 0x28, 0x02, 0x00, 0x21}},
		{4107542400, {0x00, 0x00, 0x00, 0x02, 0x01, 0x03, 0x00, 0x21}},
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(dates); i++)
		for (unsigned int j = 0; j < ARRAY_SIZE(registers); j++) {
			uint8_t index = registers[j];

			assert_int_equal(cmos_read(index, dates[i].now), dates[i].values[j]);
			/* The highest bit of the index is not part of it. */
			assert_int_equal(cmos_read(index | 0x80, dates[i].now), dates[i].values[j]);
		}
}

/* Every hour of a day, every day of a year: BCD, in range, and never "PM". */
static void test_ranges(void **state)
{
	static const struct {
		uint8_t index, max;
	} registers[] = {{0, 59}, {2, 59}, {4, 23}, {6, 7}, {7, 31}, {8, 12}, {9, 99}, {0x32, 99}};

	for (int64_t now = 0; now < 3LL * 366 * 86400; now += 3601)
		for (unsigned int i = 0; i < ARRAY_SIZE(registers); i++) {
			uint8_t v = cmos_read(registers[i].index, now);

			assert_in_range(v & 15, 0, 9);
			assert_in_range((v >> 4) * 10 + (v & 15), 0, registers[i].max);
		}
}

static void test_status(void **state)
{
	/* Every day of three centuries, as the C library has it. */
	for (int64_t day = 0; day < 300 * 366; day++) {
		time_t t = (time_t)(day * 86400);
		struct tm tm;

		gmtime_r(&t, &tm);
		assert_int_equal(cmos_read(7, t), tm.tm_mday / 10 << 4 | tm.tm_mday % 10);
		assert_int_equal(cmos_read(8, t), (tm.tm_mon + 1) / 10 << 4 | (tm.tm_mon + 1) % 10);
		assert_int_equal(cmos_read(9, t), tm.tm_year % 100 / 10 << 4 | tm.tm_year % 10);
		assert_int_equal(cmos_read(6, t), tm.tm_wday + 1);
	}
	assert_int_equal(cmos_read(10, 0) & 0x80, 0); /* no update in progress */
	assert_int_equal(cmos_read(11, 0), 0x02);     /* 24 hours, BCD, no interrupts */
	assert_int_equal(cmos_read(12, 0), 0);        /* none pending */
	assert_int_equal(cmos_read(13, 0), 0x80);     /* the battery is good */
	for (unsigned int i = 14; i < 128; i++)
		if (i != 0x32)
			assert_int_equal(cmos_read((uint8_t)i, 0), 0);
}

/* --- Ports. */

static int setup(void **state)
{
	struct ports *p = xcalloc(1, sizeof(*p));

	*state = p;
	ports_init(p, -1, -1);
	return 0;
}

static int teardown(void **state)
{
	ports_release(*state);
	free(*state);
	return 0;
}

static uint32_t in(struct ports *p, uint16_t port, unsigned int size)
{
	uint8_t data[8] = {};
	uint32_t v;

	memset(data + size, 0x77, sizeof(data) - size);
	assert_false(ports_access(p, false, port, data, size));
	for (unsigned int i = size; i < sizeof(data); i++)
		assert_int_equal(data[i], 0x77);
	memset(data + size, 0, sizeof(data) - size);
	memcpy(&v, data, sizeof(v));
	return v;
}

static bool out(struct ports *p, uint16_t port, uint32_t value, unsigned int size)
{
	uint8_t data[4];

	memcpy(data, &value, sizeof(data));
	return ports_access(p, true, port, data, size);
}

static void test_nothing_there(void **state)
{
	static const uint16_t ports[] = {0, 0x61, 0x70, 0x80, 0x2f8, 0x3f7, 0x400, 0xcf8, 0xfffe};

	for (unsigned int i = 0; i < ARRAY_SIZE(ports); i++) {
		assert_int_equal(in(*state, ports[i], 1), 0xff);
		assert_false(out(*state, ports[i], 0xfefefefe, 1));
	}
	assert_int_equal(in(*state, 0xcf8, 2), 0xffff);
	assert_int_equal(in(*state, 0xcf8, 4), 0xffffffff);
	/* Beyond the last port is the first one. */
	assert_int_equal(in(*state, 0xffff, 4), 0xffffffff);
	assert_false(out(*state, 0xffff, 0xfefefefe, 4));
}

static void test_reset(void **state)
{
	/* Linux waits until the controller takes commands. */
	assert_int_equal(in(*state, 0x64, 1) & 2, 0);
	assert_int_equal(in(*state, 0x60, 1), 0);
	assert_true(out(*state, 0x64, 0xfe, 1));
	/* Within an access of several bytes, wherever it is. */
	assert_true(out(*state, 0x64, 0x00fe, 2));
	assert_true(out(*state, 0x63, 0xfe00, 2));
	assert_true(out(*state, 0x61, 0xfe000000, 4));
	/* Other commands and other ports do nothing. */
	for (uint32_t v = 0; v < 256; v++)
		if (v != 0xfe)
			assert_false(out(*state, 0x64, v, 1));
	assert_false(out(*state, 0x60, 0xfe, 1));
	assert_false(out(*state, 0x65, 0xfe, 1));
	assert_false(out(*state, 0x64, 0xfe00, 2));
}

static void test_clock(void **state)
{
	int64_t before = (int64_t)(clock_real_ns() / NSEC_PER_SEC), after;
	uint8_t day;

	assert_false(out(*state, 0x70, 7, 1));
	day = (uint8_t)in(*state, 0x71, 1);
	after = (int64_t)(clock_real_ns() / NSEC_PER_SEC);
	assert_true(day == cmos_read(7, before) || day == cmos_read(7, after));
	/* The time cannot be set. */
	out(*state, 0x71, ~day, 1);
	assert_int_not_equal(in(*state, 0x71, 1), (uint8_t)~day);
	/* Index and data at once. */
	out(*state, 0x70, 0x8d, 1);
	assert_int_equal(in(*state, 0x70, 2), 0x80ff);
}

static void test_serial(void **state)
{
	struct ports *p = *state;
	int fds[2];
	char text[16] = {};

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	p->serial.out_fd = fds[1];
	out(p, 0x3f8, 'a', 1);
	ports_flush(p);
	assert_int_equal(read(fds[0], text, sizeof(text)), 1);
	assert_string_equal(text, "a");
	/* Every register has its place; two bytes are two registers. */
	out(p, 0x3fe, 0x5a00, 2);
	assert_int_equal(in(p, 0x3ff, 1), 0x5a);
	out(p, 0x3fb, UART_LCR_DLAB, 1);
	out(p, 0x3f8, 0x0102, 2);
	assert_int_equal(in(p, 0x3f8, 2), 0x0102);
	assert_int_equal(in(p, 0x3fb, 1), UART_LCR_DLAB);
	assert_int_equal(in(p, 0x3fd, 1), UART_LSR_THRE | UART_LSR_TEMT);
	/* Across the end. */
	assert_int_equal(in(p, 0x3ff, 2), 0xff5a);
	close(fds[0]);
	close(fds[1]);
}

/* What the guest sees goes into another machine; descriptors and half lines do not. */
static void test_save(void **state)
{
	struct ports_state saved;
	struct ports other;

	out(*state, 0x3ff, 0x5a, 1);
	out(*state, 0x3fc, 0x0b, 1);
	out(*state, 0x3fb, UART_LCR_DLAB, 1);
	out(*state, 0x3f8, 0x0102, 2);
	out(*state, 0x3fb, 3, 1);
	out(*state, 0x3f8, 'x', 1);
	out(*state, 0x70, 0x0d, 1);
	ports_save(*state, &saved);
	for (unsigned int i = 0; i < sizeof(saved.zero); i++)
		assert_int_equal(saved.zero[i], 0);
	ports_init(&other, -1, -1);
	ports_load(&other, &saved);
	assert_int_equal(in(&other, 0x71, 1), 0x80);
	for (uint16_t port = 0x3f8; port < 0x400; port++)
		assert_int_equal(in(&other, port, 1), in(*state, port, 1));
	assert_int_equal(in(&other, 0x3ff, 1), 0x5a);
	/* An interrupt that was due still is. */
	out(&other, 0x3f9, UART_IER_THRI, 1);
	assert_int_equal(in(&other, 0x3fa, 1) & 0x0f, UART_IIR_THRI);
	assert_int_equal(other.serial.line_len, 0);
	ports_release(&other);
}

#define port_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dates),  cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_status), port_test(test_nothing_there),
		port_test(test_reset),         port_test(test_clock),
		port_test(test_serial),        port_test(test_save),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
