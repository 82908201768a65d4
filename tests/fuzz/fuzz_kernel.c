/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernel files. An input is the size of the file (u16), that of the initramfs (u16), and what the
 * file starts with; the rest of it is zeroes.
 */
#include "fuzz.h"

#include "vmm/kvm/kernel.h"
#include "vmm/kvm/layout.h"

#include <sys/mman.h>

#define RAM_SIZE (64 * MIB)
#define CMDLINE  "quiet"

static int file_of(const void *data, size_t n, size_t size)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	CHECK(fd >= 0);
	CHECK(pwrite(fd, data, MIN(n, size), 0) == (ssize_t)MIN(n, size));
	CHECK(ftruncate(fd, (off_t)size) == 0);
	return fd;
}

static void check_zeroes(const struct ram *ram, uint64_t start, uint64_t end)
{
	const uint8_t *p = ram_ptr(ram, start, end - start);

	CHECK(p[0] == 0 && memcmp(p, p + 1, end - start - 1) == 0);
}

/* Whatever the file says, it is loaded above 1 MiB. */
static void check_low_memory(const struct ram *ram)
{
	check_zeroes(ram, 0, GUEST_PVH_INFO);
	check_zeroes(ram, GUEST_ZERO_PAGE + 4096, GUEST_CMDLINE);
	check_zeroes(ram, GUEST_CMDLINE + sizeof(CMDLINE), GUEST_HIGH_RAM);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct ram ram;
	struct input in = {data, n};
	size_t size = take16(&in), initrd_size = take16(&in);
	int kernel_fd = file_of(in.p, in.n, size);
	int initrd_fd = initrd_size ? file_of(NULL, 0, initrd_size) : -1;
	struct kernel_entry entry = {};
	struct err e = {};

	if (!ram.host)
		CHECK(ram_map(&ram, RAM_SIZE, -1, 0, NULL) == 0);
	if (kernel_load(&ram, kernel_fd, initrd_fd, CMDLINE, &entry, &e) == 0) {
		CHECK(e.code == ERR_NONE);
		CHECK(entry.protocol == KERNEL_LINUX64 || entry.protocol == KERNEL_PVH);
		CHECK(entry.address >= GUEST_HIGH_RAM && entry.address < RAM_SIZE);
		CHECK(memcmp(ram_ptr(&ram, GUEST_CMDLINE, 8), CMDLINE, sizeof(CMDLINE)) == 0);
	} else {
		CHECK(e.code != ERR_NONE && e.msg[0]);
	}
	check_low_memory(&ram);
	close(kernel_fd);
	if (initrd_fd >= 0)
		close(initrd_fd);
	return 0;
}
