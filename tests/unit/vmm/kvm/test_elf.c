/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel_file.h"

static void test_segments(void **state)
{
	struct kernel_entry entry;
	struct elf f;
	struct err e;

	elf_init(&f);
	assert_int_equal(load_fd(*state, elf_fd(&f), &entry, &e), 0);
	assert_int_equal(entry.protocol, KERNEL_LINUX64);
	assert_int_equal(entry.address, ELF_ENTRY);
	assert_true(holds_zeroes(*state, GUEST_HIGH_RAM, KERNEL_AT - GUEST_HIGH_RAM));
	assert_true(holds_file(*state, KERNEL_AT, ELF_TEXT, 0x1000));
	assert_true(holds_zeroes(*state, KERNEL_AT + 0x1000, 0x1000));
	assert_true(holds_file(*state, KERNEL_AT + 0x2000, ELF_DATA, 0x1000));
	assert_true(holds_zeroes(*state, KERNEL_AT + 0x3000, 0x2000));
}

/* The first and the last place where a segment can be, and segments that are nothing but zeroes. */
static void test_edges(void **state)
{
	struct kernel_entry entry;
	struct elf f;
	struct err e;

	elf_init(&f);
	f.p[0].p_paddr = GUEST_HIGH_RAM;
	f.p[1].p_paddr = TEST_RAM - f.p[1].p_memsz;
	f.p[2] = (Elf64_Phdr){.p_type = PT_LOAD, .p_offset = UINT64_MAX, .p_memsz = 0x500};
	f.h.e_entry = TEST_RAM - 1;
	assert_int_equal(load_fd(*state, elf_fd(&f), &entry, &e), 0);
	assert_true(holds_file(*state, GUEST_HIGH_RAM, ELF_TEXT, 0x1000));
	assert_true(holds_file(*state, TEST_RAM - 0x3000, ELF_DATA, 0x1000));
}

/* Beyond what is mapped when it is entered, though there is memory. */
static void test_reach(void **state)
{
	struct kernel_entry entry;
	struct ram ram;
	struct elf f;
	struct err e;

	assert_int_equal(ram_map(&ram, 2 * GIB, -1, 0, NULL), 0);
	elf_init(&f);
	f.p[1].p_paddr = GUEST_MAPPED - f.p[1].p_memsz;
	assert_int_equal(load_fd(&ram, elf_fd(&f), &entry, &e), 0);
	f.p[1].p_memsz++;
	assert_int_equal(load_fd(&ram, elf_fd(&f), &entry, &e), -1);
	assert_non_null(strstr(e.msg, "reaches beyond"));
	ram_release(&ram);
}

#define FIELD(field) offsetof(struct elf, field), sizeof(((struct elf *)0)->field)

static void test_damage(void **state)
{
	static const struct damage cases[] = {
		{FIELD(h.e_ident[EI_MAG0]), 'X', "neither an ELF vmlinux nor a bzImage"},
		{FIELD(h.e_ident[EI_CLASS]), ELFCLASS32, "not for 64-bit x86"},
		{FIELD(h.e_ident[EI_DATA]), ELFDATA2MSB, "not for 64-bit x86"},
		{FIELD(h.e_machine), EM_AARCH64, "not for 64-bit x86"},
		{FIELD(h.e_phentsize), sizeof(Elf32_Phdr), "program headers are malformed"},
		{FIELD(h.e_phentsize), 0, "program headers are malformed"},
		{FIELD(h.e_phnum), 0, "program headers are malformed"},
		{FIELD(h.e_phnum), 65, "program headers are malformed"},
		{FIELD(h.e_phnum), PN_XNUM, "program headers are malformed"},
		{FIELD(h.e_phoff), ELF_SIZE - 3 * sizeof(Elf64_Phdr) + 1, "headers are cut off"},
		{FIELD(h.e_phoff), UINT64_MAX, "headers are cut off"},
		{FIELD(p[0].p_paddr), 0, "do not fit"},
		{FIELD(p[0].p_paddr), GUEST_HIGH_RAM - 1, "do not fit"},
		{FIELD(p[0].p_paddr), TEST_RAM - 0x17ff, "does not fit"},
		{FIELD(p[0].p_paddr), GUEST_MMIO, "does not fit"},
		{FIELD(p[0].p_paddr), UINT64_MAX - 0x1800, "does not fit"},
		{FIELD(p[0].p_paddr), UINT64_MAX - 0x17ff, "does not fit"},
		{FIELD(p[0].p_paddr), UINT64_MAX, "does not fit"},
		{FIELD(p[0].p_memsz), 0xfff, "does not fit"},
		{FIELD(p[0].p_memsz), UINT64_MAX, "does not fit"},
		{FIELD(p[0].p_memsz), -KERNEL_AT, "does not fit"},
		{FIELD(p[0].p_filesz), UINT64_MAX, "does not fit"},
		{FIELD(p[0].p_offset), ELF_SIZE - 0xfff, "cut off"},
		{FIELD(p[0].p_offset), ELF_SIZE + 1, "cut off"},
		{FIELD(p[0].p_offset), UINT64_MAX, "cannot read"},
		{FIELD(p[0].p_offset), INT64_MAX, "cannot read"},
		{FIELD(h.e_entry), 0, "lies outside"},
		{FIELD(h.e_entry), GUEST_HIGH_RAM - 1, "lies outside"},
		{FIELD(h.e_entry), ELF_END, "lies outside"},
		{FIELD(h.e_entry), UINT64_MAX, "lies outside"},
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		struct kernel_entry entry;
		struct elf f;
		struct err e;

		elf_init(&f);
		do_damage(&f, &cases[i]);
		assert_int_equal(load_fd(*state, elf_fd(&f), &entry, &e), -1);
		assert_true(str_starts_with(e.msg, "the kernel cannot be loaded: "));
		if (!strstr(e.msg, cases[i].says))
			fail_msg("case %u: %s", i, e.msg);
	}
}

static void test_nothing_to_load(void **state)
{
	struct kernel_entry entry;
	struct elf f;
	struct err e;

	elf_init(&f);
	f.p[0].p_type = f.p[1].p_type = PT_NULL;
	assert_int_equal(load_fd(*state, elf_fd(&f), &entry, &e), -1);
	assert_non_null(strstr(e.msg, "lies outside"));
}

static void test_cut_files(void **state)
{
	static const struct {
		off_t size;
		const char *says;
	} cases[] = {
		{0, "too short"},  {1, "too short"},          {4095, "too short"},
		{4096, "cut off"}, {ELF_DATA + 1, "cut off"}, {ELF_SIZE - 1, "cut off"},
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		struct kernel_entry entry;
		struct elf f;
		struct err e;
		int fd;

		elf_init(&f);
		fd = elf_fd(&f);
		assert_int_equal(ftruncate(fd, cases[i].size), 0);
		assert_int_equal(load_fd(*state, fd, &entry, &e), -1);
		assert_non_null(strstr(e.msg, cases[i].says));
	}
}

static void test_unreadable(void **state)
{
	struct kernel_entry entry;
	struct err e;

	assert_int_equal(load_fd(*state, open("/", O_RDONLY | O_CLOEXEC), &entry, &e), -1);
	assert_non_null(strstr(e.msg, "cannot read the file"));
}

/* --- Notes. */

#define PVH_ENTRY (KERNEL_AT + 0x800)

static const uint64_t pvh = PVH_ENTRY;

static void pvh_note(struct elf *f)
{
	elf_note(f, 18, "Xen", 4, &pvh, 8);
}

static void linux_note(struct elf *f)
{
	elf_note(f, 0x101, "Linux", 6, "", 1);
}

static struct kernel_entry load_notes(const struct ram *ram, const struct elf *f)
{
	struct kernel_entry entry;
	struct err e;

	assert_int_equal(load_fd(ram, elf_fd(f), &entry, &e), 0);
	assert_int_equal(entry.address, entry.protocol == KERNEL_PVH ? PVH_ENTRY : ELF_ENTRY);
	return entry;
}

#define assert_protocol(f, p) assert_int_equal(load_notes(*state, (f)).protocol, (p))

static void test_protocol(void **state)
{
	struct elf f;

	elf_init(&f);
	linux_note(&f);
	assert_protocol(&f, KERNEL_LINUX64);
	pvh_note(&f);
	assert_protocol(&f, KERNEL_LINUX64);
	elf_init(&f);
	pvh_note(&f);
	assert_protocol(&f, KERNEL_PVH);
	/* Other notes of Xen before it, and one with an address of 32 bits. */
	elf_init(&f);
	elf_note(&f, 17, "Xen", 4, "\0\0\0\0\0\0\0", 8);
	elf_note(&f, 18, "Xen", 4, &pvh, 4);
	assert_protocol(&f, KERNEL_PVH);
	/* The last one counts, all of it. */
	elf_init(&f);
	elf_note(&f, 18, "Xen", 4, "\xff\xff\xff\xff\xff\xff\xff\xff", 8);
	elf_note(&f, 18, "Xen", 4, &pvh, 4);
	assert_protocol(&f, KERNEL_PVH);
	/* Two segments of notes. */
	elf_init(&f);
	pvh_note(&f);
	f.p[1] = f.p[2];
	f.p[2] = (Elf64_Phdr){.p_type = PT_NOTE, .p_offset = ELF_NOTES + 256};
	assert_protocol(&f, KERNEL_PVH);
}

/* Almost what names the entry, but not quite. */
static void test_other_notes(void **state)
{
	static const struct {
		uint32_t type;
		const char *name;
		uint32_t name_size, desc_size;
	} cases[] = {
		{17, "Xen", 4, 8}, {18, "Xen", 3, 8}, {18, "Xem", 4, 8}, {18, "GNU", 4, 8},
		{18, "Xen", 4, 3}, {18, "Xen", 4, 9}, {18, "Xen", 4, 0}, {18, "", 0, 8},
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		uint8_t desc[16] = {};
		struct elf f;

		elf_init(&f);
		memcpy(desc, &pvh, sizeof(pvh));
		elf_note(&f, cases[i].type, cases[i].name, cases[i].name_size, desc,
			 cases[i].desc_size);
		assert_protocol(&f, KERNEL_LINUX64);
	}
}

/* What comes before a malformed note counts, what comes after it does not. */
static void test_malformed_notes(void **state)
{
	static const uint32_t sizes[][2] = {
		{UINT32_MAX, 0}, {UINT32_MAX, UINT32_MAX}, {4, UINT32_MAX},     {4, UINT32_MAX - 3},
		{0x80000000, 8}, {4, 0x80000000},          {UINT32_MAX - 2, 8}, {1000, 8},
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct elf f;

		elf_init(&f);
		elf_note(&f, 18, "Xen", sizes[i][0], "0123456789abcdef", sizes[i][1]);
		pvh_note(&f);
		assert_protocol(&f, KERNEL_LINUX64);
		elf_init(&f);
		pvh_note(&f);
		elf_note(&f, 18, "Xen", sizes[i][0], "0123456789abcdef", sizes[i][1]);
		assert_protocol(&f, KERNEL_PVH);
	}
}

/* The segment ends within a note, or the file within the segment. */
static void test_cut_notes(void **state)
{
	struct elf f;
	uint64_t whole;

	elf_init(&f);
	pvh_note(&f);
	whole = f.p[2].p_filesz;
	for (uint64_t n = 0; n < whole; n++) {
		f.p[2].p_filesz = n;
		assert_protocol(&f, KERNEL_LINUX64);
	}
	f.p[2].p_filesz = whole + 5;
	assert_protocol(&f, KERNEL_PVH);
	f.p[2].p_filesz = 64 * KIB;
	assert_protocol(&f, KERNEL_PVH);
	f.p[2].p_filesz = 64 * KIB + 1;
	assert_protocol(&f, KERNEL_LINUX64);
	f.p[2].p_offset = ELF_SIZE + 1;
	f.p[2].p_filesz = 100;
	assert_protocol(&f, KERNEL_LINUX64);
}

static void test_pvh_entry_outside(void **state)
{
	static const uint64_t addresses[] = {1, GUEST_HIGH_RAM - 1, ELF_END, UINT64_MAX};

	for (unsigned int i = 0; i < ARRAY_SIZE(addresses); i++) {
		struct kernel_entry entry;
		struct elf f;
		struct err e;

		elf_init(&f);
		elf_note(&f, 18, "Xen", 4, &addresses[i], 8);
		assert_int_equal(load_fd(*state, elf_fd(&f), &entry, &e), -1);
		assert_non_null(strstr(e.msg, "lies outside"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		ram_test(test_segments),        ram_test(test_edges),
		cmocka_unit_test(test_reach),   ram_test(test_damage),
		ram_test(test_nothing_to_load), ram_test(test_cut_files),
		ram_test(test_unreadable),      ram_test(test_protocol),
		ram_test(test_other_notes),     ram_test(test_malformed_notes),
		ram_test(test_cut_notes),       ram_test(test_pvh_entry_outside),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
