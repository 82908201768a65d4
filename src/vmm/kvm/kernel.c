/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/kvm/kernel.h"

#include "base/io.h"
#include "vmm/kvm/kernel_image.h"
#include "vmm/kvm/layout.h"

#include <elf.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>

#define PAGE              4096ULL
#define HEADER_MAGIC_AT   0x202
#define LOADER_UNDEFINED  0xff
#define E820_RAM          1
#define E820_RESERVED     2
#define MEMORY_RANGES_MAX 4
#define PVH_MAGIC         0x336ec578U
#define PVH_VERSION       1

/* --- Memory as the kernel is told about it. */

struct memory_range {
	uint64_t start;
	uint64_t size;
	uint32_t type;
};

static unsigned int memory_map(const struct ram *ram, struct memory_range r[MEMORY_RANGES_MAX])
{
	unsigned int n = 0;

	r[n++] = (struct memory_range){0, GUEST_MPTABLE, E820_RAM};
	r[n++] =
		(struct memory_range){GUEST_MPTABLE, GUEST_HIGH_RAM - GUEST_MPTABLE, E820_RESERVED};
	r[n++] = (struct memory_range){GUEST_HIGH_RAM, ram->low - GUEST_HIGH_RAM, E820_RAM};
	if (ram->size > ram->low)
		r[n++] = (struct memory_range){GUEST_4G, ram->size - ram->low, E820_RAM};
	return n;
}

/* --- What both protocols pass: the initramfs as a place in memory. */

struct initrd {
	uint64_t address;
	uint64_t size;
};

static int load_initrd(const struct ram *ram, int fd, const struct kernel_image *img,
		       struct initrd *ret, struct err *e)
{
	uint64_t address = ALIGN_UP(img->end, PAGE);
	struct stat st;

	*ret = (struct initrd){};
	if (fd < 0)
		return 0;
	if (fstat(fd, &st) < 0)
		return err_sys(e, errno, "cannot read the initramfs");
	if (st.st_size <= 0)
		return err_set(e, ERR_INVALID, "the initramfs is empty");
	/* Right behind the kernel: memory that is in use anyhow. */
	if (address + (uint64_t)st.st_size > MIN(img->initrd_end, ram->low))
		return err_set(e, ERR_INVALID,
			       "kernel and initramfs do not fit into %llu MiB of memory",
			       (unsigned long long)(ram->size / MIB));
	if (kernel_read(ram, fd, 0, address, (uint64_t)st.st_size, e) < 0)
		return err_wrap(e, "the initramfs cannot be loaded");
	*ret = (struct initrd){address, (uint64_t)st.st_size};
	return 0;
}

/* --- Linux: boot_params, Documentation/arch/x86/boot.rst and zero-page.rst. */

static void write_zero_page(const struct ram *ram, const struct kernel_image *img,
			    const struct initrd *initrd, size_t cmdline_len)
{
	struct boot_params *bp = ram_ptr(ram, GUEST_ZERO_PAGE, sizeof(*bp));
	struct memory_range ranges[MEMORY_RANGES_MAX];
	unsigned int n = memory_map(ram, ranges);

	memset(bp, 0, sizeof(*bp));
	bp->hdr = img->header;
	bp->hdr.type_of_loader = LOADER_UNDEFINED;
	bp->hdr.cmd_line_ptr = (uint32_t)GUEST_CMDLINE;
	bp->hdr.cmdline_size = (uint32_t)cmdline_len;
	bp->hdr.ramdisk_image = (uint32_t)initrd->address;
	bp->hdr.ramdisk_size = (uint32_t)initrd->size;
	for (unsigned int i = 0; i < n; i++)
		bp->e820_table[i] =
			(struct boot_e820_entry){ranges[i].start, ranges[i].size, ranges[i].type};
	bp->e820_entries = (uint8_t)n;
}

/* --- PVH: xen/include/public/arch-x86/hvm/start_info.h. */

struct pvh_start_info {
	uint32_t magic;
	uint32_t version;
	uint32_t flags;
	uint32_t n_modules;
	uint64_t modules;
	uint64_t cmdline;
	uint64_t rsdp;
	uint64_t memory_map;
	uint32_t n_memory_map;
	uint32_t reserved;
};

struct pvh_module {
	uint64_t address;
	uint64_t size;
	uint64_t cmdline;
	uint64_t reserved;
};

struct pvh_memory {
	uint64_t start;
	uint64_t size;
	uint32_t type;
	uint32_t reserved;
};

static void write_start_info(const struct ram *ram, const struct initrd *initrd)
{
	struct pvh_page {
		struct pvh_start_info info;
		struct pvh_module module;
		struct pvh_memory memory[MEMORY_RANGES_MAX];
	} page = {
		.info =
			{
				.magic = PVH_MAGIC,
				.version = PVH_VERSION,
				.n_modules = initrd->size ? 1 : 0,
				.modules = GUEST_PVH_INFO + offsetof(struct pvh_page, module),
				.cmdline = GUEST_CMDLINE,
				.memory_map = GUEST_PVH_INFO + offsetof(struct pvh_page, memory),
			},
		.module = {.address = initrd->address, .size = initrd->size},
	};
	struct memory_range ranges[MEMORY_RANGES_MAX];

	page.info.n_memory_map = memory_map(ram, ranges);
	for (unsigned int i = 0; i < page.info.n_memory_map; i++)
		page.memory[i] = (struct pvh_memory){
			.start = ranges[i].start, .size = ranges[i].size, .type = ranges[i].type};
	memcpy(ram_ptr(ram, GUEST_PVH_INFO, sizeof(page)), &page, sizeof(page));
}

/* --- All together. */

/* What it starts with is mapped only so far. */
static int check_reach(const struct kernel_image *img, struct err *e)
{
	if (img->entry.protocol == KERNEL_LINUX64 && img->end > GUEST_MAPPED)
		return err_set(e, ERR_UNSUPPORTED, "it reaches beyond the first %llu MiB",
			       GUEST_MAPPED / MIB);
	return 0;
}

static int load_image(const struct ram *ram, int fd, struct kernel_image *ret, struct err *e)
{
	uint8_t head[4096];
	uint32_t magic;
	ssize_t n = pread_full(fd, head, sizeof(head), 0);

	if (n < 0)
		return err_sys(e, (int)-n, "cannot read the file");
	if (n < (ssize_t)sizeof(head))
		return err_set(e, ERR_INVALID, "the file is too short");
	if (memcmp(head, ELFMAG, SELFMAG) == 0)
		return kernel_load_elf(ram, fd, head, ret, e);
	memcpy(&magic, head + HEADER_MAGIC_AT, sizeof(magic));
	if (memcmp(&magic, "HdrS", sizeof(magic)) == 0)
		return kernel_load_bzimage(ram, fd, head, ret, e);
	return err_set(e, ERR_INVALID, "it is neither an ELF vmlinux nor a bzImage");
}

int kernel_load(const struct ram *ram, int kernel_fd, int initrd_fd, const char *cmdline,
		struct kernel_entry *ret, struct err *e)
{
	size_t cmdline_len = strlen(cmdline);
	struct kernel_image img = {};
	struct initrd initrd;

	if (cmdline_len >= GUEST_CMDLINE_MAX)
		return err_set(e, ERR_INVALID, "the kernel command line is too long");
	if (load_image(ram, kernel_fd, &img, e) < 0 || check_reach(&img, e) < 0)
		return err_wrap(e, "the kernel cannot be loaded");
	if (load_initrd(ram, initrd_fd, &img, &initrd, e) < 0)
		return -1;
	memcpy(ram_ptr(ram, GUEST_CMDLINE, GUEST_CMDLINE_MAX), cmdline, cmdline_len + 1);
	if (img.entry.protocol == KERNEL_PVH)
		write_start_info(ram, &initrd);
	else
		write_zero_page(ram, &img, &initrd, cmdline_len);
	*ret = img.entry;
	return 0;
}
