/* SPDX-License-Identifier: Apache-2.0 */
/* Kernel files that a test makes up: it changes what it likes and has the rest in order. */
#pragma once

#include "../../testing.h"

#include "vmm/kvm/kernel.h"
#include "vmm/kvm/layout.h"

#include <asm/bootparam.h>
#include <elf.h>
#include <sys/mman.h>

#define KERNEL_AT  0x1000000ULL /* where both kinds want to be */
#define TEST_RAM   (64 * MIB)
#define ELF_NOTES  0x400ULL /* offsets in the file */
#define ELF_TEXT   0x1000ULL
#define ELF_DATA   0x2000ULL
#define ELF_SIZE   0x3000ULL
#define ELF_ENTRY  (KERNEL_AT + 0x100)
#define ELF_END    (KERNEL_AT + 0x5000)
#define BZ_SECTS   2ULL
#define BZ_PAYLOAD 0x3000ULL
#define BZ_INIT    0x8000U

/* The content of every file, so that each byte tells where it comes from. */
static inline uint8_t file_byte(uint64_t offset)
{
	return (uint8_t)(offset * 7 + (offset >> 8) + 1);
}

static inline int pattern_fd(uint64_t size)
{
	int fd = memfd_create("test", MFD_CLOEXEC);
	uint8_t *p = xmalloc((size_t)size);

	for (uint64_t i = 0; i < size; i++)
		p[i] = file_byte(i);
	assert_int_equal(pwrite_full(fd, p, (size_t)size, 0), 0);
	free(p);
	return fd;
}

static inline bool holds_file(const struct ram *ram, uint64_t gpa, uint64_t offset, uint64_t len)
{
	const uint8_t *p = ram_ptr(ram, gpa, len);

	for (uint64_t i = 0; i < len; i++)
		if (p[i] != file_byte(offset + i))
			return false;
	return true;
}

static inline bool holds_zeroes(const struct ram *ram, uint64_t gpa, uint64_t len)
{
	const uint8_t *p = ram_ptr(ram, gpa, len);

	return p[0] == 0 && memcmp(p, p + 1, (size_t)len - 1) == 0;
}

/* Two segments with a gap between them, both with a tail of zeroes, and notes. */
struct elf {
	Elf64_Ehdr h;
	Elf64_Phdr p[3];
	uint8_t notes[512];
};

static inline void elf_init(struct elf *f)
{
	*f = (struct elf){
		.h = {.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB},
		      .e_type = ET_EXEC,
		      .e_machine = EM_X86_64,
		      .e_entry = ELF_ENTRY,
		      .e_phoff = sizeof(f->h),
		      .e_phentsize = sizeof(f->p[0]),
		      .e_phnum = ARRAY_SIZE(f->p)},
		.p = {{.p_type = PT_LOAD,
		       .p_offset = ELF_TEXT,
		       .p_paddr = KERNEL_AT,
		       .p_filesz = 0x1000,
		       .p_memsz = 0x1800},
		      {.p_type = PT_LOAD,
		       .p_offset = ELF_DATA,
		       .p_paddr = KERNEL_AT + 0x2000,
		       .p_filesz = 0x1000,
		       .p_memsz = 0x3000},
		      {.p_type = PT_NOTE, .p_offset = ELF_NOTES}},
	};
}

/* Appends a note; the sizes are those that it claims to have, what is there is padded to 4. */
static inline void elf_note(struct elf *f, uint32_t type, const char *name, uint32_t name_size,
			    const void *desc, uint32_t desc_size)
{
	Elf64_Nhdr n = {.n_namesz = name_size, .n_descsz = desc_size, .n_type = type};
	uint8_t *p = f->notes + f->p[2].p_filesz;
	size_t name_len = MIN(name_size, strlen(name) + 1), desc_len = MIN(desc_size, 16U);

	memcpy(p, &n, sizeof(n));
	memcpy(p + sizeof(n), name, name_len);
	name_len = ALIGN_UP(name_len, 4);
	memcpy(p + sizeof(n) + name_len, desc, desc_len);
	f->p[2].p_filesz += sizeof(n) + name_len + ALIGN_UP(desc_len, 4);
}

static inline int elf_fd(const struct elf *f)
{
	int fd = pattern_fd(ELF_SIZE);

	assert_int_equal(pwrite_full(fd, &f->h, sizeof(f->h), 0), 0);
	assert_int_equal(pwrite_full(fd, f->p, sizeof(f->p), sizeof(f->h)), 0);
	assert_int_equal(pwrite_full(fd, f->notes, sizeof(f->notes), ELF_NOTES), 0);
	return fd;
}

struct bzimage {
	struct setup_header h;
	uint64_t payload;
};

static inline void bzimage_init(struct bzimage *f)
{
	*f = (struct bzimage){
		.h = {.setup_sects = BZ_SECTS,
		      .boot_flag = 0xaa55,
		      /* A jump over the rest of the header: its second byte tells the length. */
		      .jump = (uint16_t)(0xeb | (0x1f1 + sizeof(f->h) - 0x202) << 8),
		      .header = 0x53726448,
		      .version = 0x020f,
		      .loadflags = LOADED_HIGH,
		      .code32_start = 0x100000,
		      .initrd_addr_max = 0x7fffffff,
		      .kernel_alignment = 0x200000,
		      .relocatable_kernel = 1,
		      .xloadflags = XLF_KERNEL_64,
		      .cmdline_size = 2047,
		      .pref_address = KERNEL_AT,
		      .init_size = BZ_INIT,
		      .handover_offset = 0x190,
		      .kernel_info_offset = 0x12345678},
		.payload = BZ_PAYLOAD,
	};
}

/* Where the protected-mode code starts in the file. */
static inline uint64_t bzimage_start(const struct bzimage *f)
{
	return ((f->h.setup_sects ? f->h.setup_sects : 4ULL) + 1) * 512;
}

static inline int bzimage_fd(const struct bzimage *f)
{
	int fd = pattern_fd(bzimage_start(f) + f->payload);

	assert_int_equal(pwrite_full(fd, &f->h, sizeof(f->h), 0x1f1), 0);
	return fd;
}

/* A machine without anything in it. */
static inline int ram_setup(void **state)
{
	struct ram *ram = xcalloc(1, sizeof(*ram));

	*state = ram;
	return ram_map(ram, TEST_RAM, -1, 0, NULL);
}

static inline int ram_teardown(void **state)
{
	ram_release(*state);
	free(*state);
	return 0;
}

#define ram_test(f) cmocka_unit_test_setup_teardown(f, ram_setup, ram_teardown)

/* Loads the file and closes it; `e` says why not. */
static inline int load_fd(const struct ram *ram, int fd, struct kernel_entry *ret, struct err *e)
{
	int r;

	*e = (struct err){};
	r = kernel_load(ram, fd, -1, "quiet", ret, e);
	assert_int_equal(r, e->code ? -1 : 0);
	close(fd);
	return r;
}

/* One field of a file with a value that it must not have, and what the error says then. */
struct damage {
	size_t offset;
	size_t size;
	uint64_t value;
	const char *says;
};

static inline void do_damage(void *file, const struct damage *d)
{
	memcpy((uint8_t *)file + d->offset, &d->value, d->size);
}
