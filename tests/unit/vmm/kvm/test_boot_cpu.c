/* SPDX-License-Identifier: Apache-2.0 */
/* The tables are read as a processor does. */
#include "kernel_file.h"

#include "vmm/kvm/boot_cpu.h"

#define PRESENT  1ULL
#define WRITABLE 2ULL
#define HUGE     0x80ULL

/* Translates a linear address with tables of four levels; -1: not mapped. */
static uint64_t translate(const struct ram *ram, uint64_t cr3, uint64_t at)
{
	uint64_t table = cr3;

	for (int shift = 39; shift >= 12; shift -= 9) {
		const uint64_t *entries = ram_ptr(ram, table, 4096);
		uint64_t e = entries[at >> shift & 511];

		if (!(e & PRESENT))
			return UINT64_MAX;
		assert_true(e & WRITABLE);
		assert_int_equal(e >> 52, 0);
		table = e & 0xffffffffff000ULL;
		if ((e & HUGE) || shift == 12)
			return table + (at & ((1ULL << shift) - 1));
	}
	return UINT64_MAX;
}

static void test_page_tables(void **state)
{
	boot_cpu_tables(*state, KERNEL_LINUX64);
	for (uint64_t at = 0; at < GIB; at += MIB)
		assert_int_equal(translate(*state, GUEST_PML4, at + 0x345), at + 0x345);
	assert_int_equal(translate(*state, GUEST_PML4, GIB - 1), GIB - 1);
	assert_int_equal(translate(*state, GUEST_PML4, GIB), UINT64_MAX);
	assert_int_equal(translate(*state, GUEST_PML4, 512 * GIB), UINT64_MAX);
	assert_int_equal(translate(*state, GUEST_PML4, 0xffffffff81000000), UINT64_MAX);
}

struct descriptor {
	uint64_t base, limit;
	unsigned int type, dpl;
	bool s, present, l, db;
};

static struct descriptor read_descriptor(const struct ram *ram, unsigned int selector)
{
	const uint64_t *gdt = ram_ptr(ram, GUEST_GDT, 48);
	uint64_t d = gdt[selector / 8], limit = (d & 0xffff) | (d >> 32 & 0xf0000);

	return (struct descriptor){
		.base = (d >> 16 & 0xffffff) | (d >> 32 & 0xff000000),
		.limit = d >> 55 & 1 ? limit << 12 | 0xfff : limit,
		.type = d >> 40 & 15,
		.s = d >> 44 & 1,
		.dpl = d >> 45 & 3,
		.present = d >> 47 & 1,
		.l = d >> 53 & 1,
		.db = d >> 54 & 1,
	};
}

static void check_descriptors(const struct ram *ram, bool code64)
{
	const uint64_t *gdt = ram_ptr(ram, GUEST_GDT, 48);
	struct descriptor code = read_descriptor(ram, 0x10), data = read_descriptor(ram, 0x18),
			  task = read_descriptor(ram, 0x20);

	assert_int_equal(gdt[0], 0);
	assert_int_equal(code.base, 0);
	assert_int_equal(code.limit, 0xffffffff);
	assert_int_equal(code.type, 11); /* executable, readable, accessed */
	assert_true(code.s && code.present && code.dpl == 0);
	assert_int_equal(code.l, code64);
	assert_int_equal(code.db, !code64);
	assert_int_equal(data.base, 0);
	assert_int_equal(data.limit, 0xffffffff);
	assert_int_equal(data.type, 3); /* writable, accessed */
	assert_true(data.s && data.present && data.dpl == 0 && !data.l && data.db);
	assert_int_equal(task.base, 0);
	assert_int_equal(task.limit, 0x67);
	assert_int_equal(task.type, 11); /* busy */
	assert_true(!task.s && task.present);
	/* In 64-bit mode it takes two places; the second has the rest of its base. */
	assert_int_equal(gdt[5], 0);
}

static void test_descriptors(void **state)
{
	boot_cpu_tables(*state, KERNEL_LINUX64);
	check_descriptors(*state, true);
	boot_cpu_tables(*state, KERNEL_PVH);
	check_descriptors(*state, false);
}

static void test_pvh_has_no_page_tables(void **state)
{
	boot_cpu_tables(*state, KERNEL_PVH);
	assert_true(holds_zeroes(*state, GUEST_PML4, 3 * 4096ULL));
}

/* What is written before the kernel runs lies apart, and none of it in a kernel's way. */
static void test_layout(void **state)
{
	static const struct {
		uint64_t start, end;
	} places[] = {
		{GUEST_GDT, GUEST_GDT + 48},
		{GUEST_PVH_INFO, GUEST_PVH_INFO + 4096},
		{GUEST_ZERO_PAGE, GUEST_ZERO_PAGE + 4096},
		{GUEST_STACK - 256, GUEST_STACK + 8},
		{GUEST_PML4, GUEST_PML4 + 3 * 4096ULL},
		{GUEST_CMDLINE, GUEST_CMDLINE + GUEST_CMDLINE_MAX},
		{GUEST_MPTABLE, GUEST_MPTABLE + GUEST_MPTABLE_SIZE},
		{GUEST_HIGH_RAM, GUEST_LOW_END},
		{GUEST_MMIO, GUEST_IOAPIC},
		{GUEST_IOAPIC, GUEST_LAPIC},
		{GUEST_LAPIC, GUEST_IDENTITY},
		{GUEST_IDENTITY, GUEST_TSS},
		{GUEST_TSS, GUEST_TSS + 3 * 4096ULL},
		{GUEST_4G, UINT64_MAX},
	};

	for (unsigned int i = 0; i + 1 < ARRAY_SIZE(places); i++)
		assert_in_range(places[i].end, places[i].start + 1, places[i + 1].start);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ram_test(test_page_tables),
		ram_test(test_descriptors),
		ram_test(test_pvh_has_no_page_tables),
		cmocka_unit_test(test_layout),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
