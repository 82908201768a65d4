/* SPDX-License-Identifier: Apache-2.0 */
/* What a kernel is told, and where its initramfs lies. */
#include "kernel_file.h"

#define INITRD_AT ELF_END /* a multiple of 4096 */

/* An initramfs that exists only by its size. */
static int hole_fd(uint64_t size)
{
	int fd = memfd_create("initrd", MFD_CLOEXEC);

	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	return fd;
}

static int load(const struct ram *ram, int kernel_fd, int initrd_fd, const char *cmdline,
		struct err *e)
{
	struct kernel_entry entry;
	int r;

	*e = (struct err){};
	r = kernel_load(ram, kernel_fd, initrd_fd, cmdline, &entry, e);
	close(kernel_fd);
	if (initrd_fd >= 0)
		close(initrd_fd);
	return r;
}

static int linux_fd(void)
{
	struct elf f;

	elf_init(&f);
	return elf_fd(&f);
}

static int pvh_fd(void)
{
	static const uint64_t entry = KERNEL_AT;
	struct elf f;

	elf_init(&f);
	elf_note(&f, 18, "Xen", 4, &entry, 8);
	return elf_fd(&f);
}

/* --- Memory. */

static const struct {
	uint64_t ram;
	unsigned int n;
	struct boot_e820_entry ranges[4];
} maps[] = {
	{64 * MIB, 3, {{0, 0x9fc00, 1}, {0x9fc00, 0x60400, 2}, {0x100000, 0x3f00000, 1}}},
	{3 * GIB, 3, {{0, 0x9fc00, 1}, {0x9fc00, 0x60400, 2}, {0x100000, 0xbff00000, 1}}},
	{3 * GIB + 4096,
	 4,
	 {{0, 0x9fc00, 1},
	  {0x9fc00, 0x60400, 2},
	  {0x100000, 0xbff00000, 1},
	  {0x100000000, 0x1000, 1}}},
	{5 * GIB,
	 4,
	 {{0, 0x9fc00, 1},
	  {0x9fc00, 0x60400, 2},
	  {0x100000, 0xbff00000, 1},
	  {0x100000000, 0x80000000, 1}}},
};

static void test_e820(void **state)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(maps); i++) {
		const struct boot_params *bp;
		struct ram ram;
		struct err e;

		assert_int_equal(ram_map(&ram, maps[i].ram, -1, 0, NULL), 0);
		assert_int_equal(load(&ram, linux_fd(), -1, "", &e), 0);
		bp = ram_ptr(&ram, GUEST_ZERO_PAGE, sizeof(*bp));
		assert_int_equal(bp->e820_entries, maps[i].n);
		assert_memory_equal(bp->e820_table, maps[i].ranges, sizeof(maps[i].ranges));
		ram_release(&ram);
	}
}

static void test_pvh_memory(void **state)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(maps); i++) {
		const uint64_t *info, *range;
		struct ram ram;
		struct err e;

		assert_int_equal(ram_map(&ram, maps[i].ram, -1, 0, NULL), 0);
		assert_int_equal(load(&ram, pvh_fd(), -1, "", &e), 0);
		info = ram_ptr(&ram, GUEST_PVH_INFO, 56);
		assert_int_equal(info[6], maps[i].n);
		range = ram_ptr(&ram, info[5], maps[i].n * 24ULL);
		for (unsigned int j = 0; j < maps[i].n; j++, range += 3) {
			assert_int_equal(range[0], maps[i].ranges[j].addr);
			assert_int_equal(range[1], maps[i].ranges[j].size);
			assert_int_equal(range[2], maps[i].ranges[j].type);
		}
		ram_release(&ram);
	}
}

/* --- Linux. */

static void test_zero_page(void **state)
{
	const struct boot_params *bp = ram_ptr(*state, GUEST_ZERO_PAGE, sizeof(*bp));
	struct err e;

	/* What was there before must not be taken for an answer. */
	memset(ram_ptr(*state, GUEST_ZERO_PAGE, 4096), 0xff, 4096);
	assert_int_equal(load(*state, linux_fd(), pattern_fd(5000), "console=ttyS0", &e), 0);
	assert_int_equal(sizeof(*bp), 4096);
	assert_int_equal(bp->sentinel, 0);
	assert_int_equal(bp->acpi_rsdp_addr, 0);
	assert_int_equal(bp->hdr.boot_flag, 0xaa55);
	assert_int_equal(bp->hdr.header, 0x53726448);
	assert_int_equal(bp->hdr.type_of_loader, 0xff);
	assert_int_equal(bp->hdr.cmd_line_ptr, 0x20000);
	assert_int_equal(bp->hdr.cmdline_size, strlen("console=ttyS0"));
	assert_int_equal(bp->ext_cmd_line_ptr, 0);
	assert_string_equal(ram_ptr(*state, 0x20000, 100), "console=ttyS0");
	assert_int_equal(bp->hdr.ramdisk_image, INITRD_AT);
	assert_int_equal(bp->hdr.ramdisk_size, 5000);
	assert_int_equal(bp->ext_ramdisk_image, 0);
	assert_int_equal(bp->ext_ramdisk_size, 0);
	assert_true(holds_file(*state, INITRD_AT, 0, 5000));
	assert_true(holds_zeroes(*state, INITRD_AT + 5000, MIB));
}

static void test_no_initramfs(void **state)
{
	const struct boot_params *bp = ram_ptr(*state, GUEST_ZERO_PAGE, sizeof(*bp));
	const uint64_t *info = ram_ptr(*state, GUEST_PVH_INFO, 56);
	struct err e;

	assert_int_equal(load(*state, linux_fd(), -1, "", &e), 0);
	assert_int_equal(bp->hdr.ramdisk_image, 0);
	assert_int_equal(bp->hdr.ramdisk_size, 0);
	assert_int_equal(load(*state, pvh_fd(), -1, "", &e), 0);
	assert_int_equal(info[1] >> 32, 0);
}

/* Each protocol leaves the other's page alone. */
static void test_one_protocol(void **state)
{
	struct err e;

	assert_int_equal(load(*state, linux_fd(), -1, "", &e), 0);
	assert_true(holds_zeroes(*state, GUEST_PVH_INFO, 4096));
	memset(ram_ptr(*state, GUEST_ZERO_PAGE, 4096), 0, 4096);
	assert_int_equal(load(*state, pvh_fd(), -1, "", &e), 0);
	assert_true(holds_zeroes(*state, GUEST_ZERO_PAGE, 4096));
}

/* --- PVH, by the offsets of its specification. */

static void test_start_info(void **state)
{
	const uint32_t *head = ram_ptr(*state, GUEST_PVH_INFO, 16);
	const uint64_t *info = ram_ptr(*state, GUEST_PVH_INFO, 56), *module;
	struct err e;

	assert_int_equal(load(*state, pvh_fd(), pattern_fd(5000), "console=ttyS0", &e), 0);
	assert_int_equal(head[0], 0x336ec578);
	assert_int_equal(head[1], 1); /* version: there is a memory map */
	assert_int_equal(head[2], 0); /* flags */
	assert_int_equal(head[3], 1); /* modules */
	assert_string_equal(ram_ptr(*state, info[3], 100), "console=ttyS0");
	assert_int_equal(info[4], 0); /* no ACPI */
	module = ram_ptr(*state, info[2], 32);
	assert_int_equal(module[0], INITRD_AT);
	assert_int_equal(module[1], 5000);
	assert_int_equal(module[2], 0);
	assert_true(holds_file(*state, INITRD_AT, 0, 5000));
}

/* --- Limits. */

static void test_initramfs_fills_memory(void **state)
{
	struct err e;

	assert_int_equal(load(*state, linux_fd(), hole_fd(TEST_RAM - INITRD_AT), "", &e), 0);
	assert_int_equal(load(*state, linux_fd(), hole_fd(TEST_RAM - INITRD_AT + 1), "", &e), -1);
	assert_string_equal(e.msg, "kernel and initramfs do not fit into 64 MiB of memory");
	assert_int_equal(load(*state, linux_fd(), hole_fd(INT64_MAX), "", &e), -1);
	assert_int_equal(e.code, ERR_INVALID);
}

/* The header names the last byte that it may use. */
static void test_initramfs_limit_of_kernel(void **state)
{
	uint64_t at = KERNEL_AT + BZ_INIT, limit = at + 20 * KIB;
	const struct boot_params *bp = ram_ptr(*state, GUEST_ZERO_PAGE, sizeof(*bp));
	struct bzimage f;
	struct err e;

	bzimage_init(&f);
	f.h.initrd_addr_max = (uint32_t)(limit - 1);
	assert_int_equal(load(*state, bzimage_fd(&f), hole_fd(20 * KIB), "", &e), 0);
	assert_int_equal(bp->hdr.ramdisk_image, at);
	assert_int_equal(load(*state, bzimage_fd(&f), hole_fd(20 * KIB + 1), "", &e), -1);
	assert_int_equal(e.code, ERR_INVALID);
	f.h.initrd_addr_max = UINT32_MAX;
	assert_int_equal(load(*state, bzimage_fd(&f), hole_fd(20 * KIB + 1), "", &e), 0);
	f.h.initrd_addr_max = 0;
	assert_int_equal(load(*state, bzimage_fd(&f), hole_fd(1), "", &e), -1);
}

/* It starts on a page of its own, behind whatever the kernel needs. */
static void test_initramfs_alignment(void **state)
{
	const struct boot_params *bp = ram_ptr(*state, GUEST_ZERO_PAGE, sizeof(*bp));
	struct bzimage f;
	struct err e;

	bzimage_init(&f);
	f.h.init_size = 0x6001;
	assert_int_equal(load(*state, bzimage_fd(&f), pattern_fd(10), "", &e), 0);
	assert_int_equal(bp->hdr.ramdisk_image, KERNEL_AT + 0x7000);
	/* Compressed to more than it decompresses to. */
	f.payload = 0x8001;
	assert_int_equal(load(*state, bzimage_fd(&f), pattern_fd(10), "", &e), 0);
	assert_int_equal(bp->hdr.ramdisk_image, KERNEL_AT + 0x9000);
	assert_true(holds_file(*state, KERNEL_AT + 0x9000, 0, 10));
}

/* No initramfs reaches beyond 2 GiB, where kernels of old would not find it. */
static void test_initramfs_below_2g(void **state)
{
	uint64_t entry = ELF_ENTRY;
	struct ram ram;
	struct elf f;
	struct err e;

	elf_init(&f);
	/* Only these kernels may be that large. */
	elf_note(&f, 18, "Xen", 4, &entry, 8);
	f.p[1].p_memsz = 2 * GIB - f.p[1].p_paddr - 4096;
	assert_int_equal(ram_map(&ram, 3 * GIB, -1, 0, NULL), 0);
	assert_int_equal(load(&ram, elf_fd(&f), hole_fd(4096), "", &e), 0);
	assert_int_equal(load(&ram, elf_fd(&f), hole_fd(4097), "", &e), -1);
	ram_release(&ram);
}

static void test_bad_initramfs(void **state)
{
	struct err e;
	int fds[2];

	assert_int_equal(load(*state, linux_fd(), hole_fd(0), "", &e), -1);
	assert_string_equal(e.msg, "the initramfs is empty");
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_int_equal(load(*state, linux_fd(), fds[0], "", &e), -1);
	close(fds[1]);
	assert_int_equal(load(*state, linux_fd(), open("/", O_PATH | O_CLOEXEC), "", &e), -1);
	assert_true(str_starts_with(e.msg, "the initramfs"));
}

static void test_long_cmdline(void **state)
{
	const char *line = ram_ptr(*state, GUEST_CMDLINE, GUEST_CMDLINE_MAX);
	char text[GUEST_CMDLINE_MAX + 1];
	struct err e;

	memset(text, 'x', sizeof(text));
	text[GUEST_CMDLINE_MAX] = '\0';
	assert_int_equal(load(*state, linux_fd(), -1, text, &e), -1);
	assert_string_equal(e.msg, "the kernel command line is too long");
	text[GUEST_CMDLINE_MAX - 1] = '\0';
	assert_int_equal(load(*state, linux_fd(), -1, text, &e), 0);
	assert_string_equal(line, text);
	assert_int_equal(load(*state, linux_fd(), -1, "", &e), 0);
	assert_string_equal(line, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_e820),
		cmocka_unit_test(test_pvh_memory),
		ram_test(test_zero_page),
		ram_test(test_no_initramfs),
		ram_test(test_one_protocol),
		ram_test(test_start_info),
		ram_test(test_initramfs_fills_memory),
		ram_test(test_initramfs_limit_of_kernel),
		ram_test(test_initramfs_alignment),
		cmocka_unit_test(test_initramfs_below_2g),
		ram_test(test_bad_initramfs),
		ram_test(test_long_cmdline),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
