/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel_file.h"

static const struct boot_params *zero_page(const struct ram *ram)
{
	return ram_ptr(ram, GUEST_ZERO_PAGE, sizeof(struct boot_params));
}

static void test_load(void **state)
{
	struct kernel_entry entry;
	struct bzimage f;
	struct err e;

	bzimage_init(&f);
	assert_int_equal(load_fd(*state, bzimage_fd(&f), &entry, &e), 0);
	assert_int_equal(entry.protocol, KERNEL_LINUX64);
	assert_int_equal(entry.address, KERNEL_AT + 0x200);
	assert_true(holds_zeroes(*state, GUEST_HIGH_RAM, KERNEL_AT - GUEST_HIGH_RAM));
	assert_true(holds_file(*state, KERNEL_AT, bzimage_start(&f), BZ_PAYLOAD));
	assert_true(holds_zeroes(*state, KERNEL_AT + BZ_PAYLOAD, MIB));
}

/* What the kernel said of itself comes back to it, with what a loader fills in. */
static void test_header(void **state)
{
	const struct setup_header *h = &zero_page(*state)->hdr;
	struct kernel_entry entry;
	struct bzimage f;
	struct err e;

	bzimage_init(&f);
	assert_int_equal(load_fd(*state, bzimage_fd(&f), &entry, &e), 0);
	f.h.type_of_loader = 0xff;
	f.h.code32_start = KERNEL_AT;
	f.h.cmd_line_ptr = GUEST_CMDLINE;
	f.h.cmdline_size = strlen("quiet");
	assert_memory_equal(h, &f.h, sizeof(f.h));
}

/* The second byte of the jump says where the header ends: what follows is code. */
static void test_header_length(void **state)
{
	const struct setup_header *h = &zero_page(*state)->hdr;
	struct kernel_entry entry;
	struct bzimage f;
	struct err e;

	bzimage_init(&f);
	f.h.jump = (uint16_t)(f.h.jump - (4 << 8));
	assert_int_equal(load_fd(*state, bzimage_fd(&f), &entry, &e), 0);
	assert_int_equal(h->handover_offset, 0x190);
	assert_int_equal(h->kernel_info_offset, 0);
	/* Longer than we know it: what we do not know stays zero. */
	f.h.jump = 0xffeb;
	assert_int_equal(load_fd(*state, bzimage_fd(&f), &entry, &e), 0);
	assert_int_equal(h->kernel_info_offset, 0x12345678);
	assert_true(holds_zeroes(*state, GUEST_ZERO_PAGE + 0x1f1 + sizeof(*h),
				 0x2d0 - 0x1f1 - sizeof(*h)));
}

static void test_no_sectors_means_four(void **state)
{
	struct kernel_entry entry;
	struct bzimage f;
	struct err e;

	bzimage_init(&f);
	f.h.setup_sects = 0;
	assert_int_equal(load_fd(*state, bzimage_fd(&f), &entry, &e), 0);
	assert_true(holds_file(*state, KERNEL_AT, 5 * 512ULL, BZ_PAYLOAD));
}

static void test_not_relocatable(void **state)
{
	struct kernel_entry entry;
	struct bzimage f;
	struct err e;

	bzimage_init(&f);
	f.h.relocatable_kernel = 0;
	f.h.pref_address = UINT64_MAX;
	assert_int_equal(load_fd(*state, bzimage_fd(&f), &entry, &e), 0);
	assert_int_equal(entry.address, 0x100200);
	assert_true(holds_file(*state, 0x100000, bzimage_start(&f), BZ_PAYLOAD));
}

#define FIELD(field) offsetof(struct bzimage, field), sizeof(((struct bzimage *)0)->field)

static void test_damage(void **state)
{
	static const struct damage cases[] = {
		{FIELD(h.header), 0, "neither an ELF vmlinux nor a bzImage"},
		{FIELD(h.version), 0x020b, "no 64-bit entry (boot protocol 0x20b)"},
		{FIELD(h.version), 0, "no 64-bit entry"},
		{FIELD(h.xloadflags), 0xffff & ~XLF_KERNEL_64, "no 64-bit entry"},
		{FIELD(h.setup_sects), 255, "cut off"},
		{FIELD(h.init_size), TEST_RAM - KERNEL_AT + 1, "needs 65 MiB of memory"},
		{FIELD(h.init_size), UINT32_MAX, "needs 4112 MiB of memory"},
		{FIELD(payload), TEST_RAM - KERNEL_AT + 1, "needs 65 MiB of memory"},
		{FIELD(h.pref_address), 0, "do not fit"},
		{FIELD(h.pref_address), GUEST_HIGH_RAM - 1, "do not fit"},
		{FIELD(h.pref_address), TEST_RAM - BZ_INIT + 1, "needs 65 MiB of memory"},
		{FIELD(h.pref_address), UINT64_MAX, "cannot be put at 0xffffffffffffffff"},
		{FIELD(h.pref_address), -(uint64_t)BZ_INIT, "cannot be put at 0xffffffffffff8000"},
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		struct kernel_entry entry;
		struct bzimage f, sound;
		struct err e;
		int fd;

		bzimage_init(&f);
		sound = f;
		do_damage(&f, &cases[i]);
		/* Only what the header says changes, not where things are. */
		sound.payload = f.payload;
		fd = bzimage_fd(&sound);
		assert_int_equal(pwrite_full(fd, &f.h, sizeof(f.h), 0x1f1), 0);
		assert_int_equal(load_fd(*state, fd, &entry, &e), -1);
		if (!strstr(e.msg, cases[i].says))
			fail_msg("case %u: %s", i, e.msg);
	}
}

/* The last places where it fits, by what it needs and by what it has. */
static void test_edges(void **state)
{
	struct kernel_entry entry;
	struct bzimage f;
	struct err e;

	bzimage_init(&f);
	f.h.init_size = TEST_RAM - KERNEL_AT;
	assert_int_equal(load_fd(*state, bzimage_fd(&f), &entry, &e), 0);
	f.h.init_size = 0;
	f.h.pref_address = TEST_RAM - BZ_PAYLOAD;
	assert_int_equal(load_fd(*state, bzimage_fd(&f), &entry, &e), 0);
	assert_true(holds_file(*state, TEST_RAM - BZ_PAYLOAD, bzimage_start(&f), BZ_PAYLOAD));
}

/* Real-mode code alone is no kernel. */
static void test_cut_file(void **state)
{
	struct kernel_entry entry;
	struct bzimage f;
	struct err e;
	int fd;

	bzimage_init(&f);
	f.h.setup_sects = 15;
	fd = bzimage_fd(&f);
	assert_int_equal(ftruncate(fd, (off_t)bzimage_start(&f)), 0);
	assert_int_equal(load_fd(*state, fd, &entry, &e), -1);
	assert_int_equal(e.code, ERR_CORRUPT);
	f.payload = 1;
	assert_int_equal(load_fd(*state, bzimage_fd(&f), &entry, &e), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ram_test(test_load),
		ram_test(test_header),
		ram_test(test_header_length),
		ram_test(test_no_sectors_means_four),
		ram_test(test_not_relocatable),
		ram_test(test_damage),
		ram_test(test_edges),
		ram_test(test_cut_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
