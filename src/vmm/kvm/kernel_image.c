/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ELF: the PT_LOAD segments go to their physical addresses. A Linux vmlinux can be entered in two
 * ways. The 64-bit entry is e_entry; the PVH entry, which a note of type XEN_ELFNOTE_PHYS32_ENTRY
 * names, starts in 32-bit mode and has more to do before it gets there. So Linux, which is known
 * by a note of its own, is entered by the first, other kernels by PVH if they have such a note.
 *
 * bzImage: sectors of real-mode code with the setup header, then the protected-mode code, which is
 * loaded as one piece; its 64-bit entry is 0x200 behind its start. It decompresses itself.
 */
#include "vmm/kvm/kernel_image.h"

#include "base/cleanup.h"
#include "base/io.h"
#include "vmm/kvm/layout.h"

#include <elf.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define SEGMENTS_MAX 64
#define NOTES_MAX    (64 * KIB)
#define NOTE_PVH     18 /* XEN_ELFNOTE_PHYS32_ENTRY */

#define READ_PIECE        MIB
#define SECTOR            512ULL
#define HEADER_OFFSET     0x1f1       /* of struct setup_header in the file */
#define HEADER_MAGIC      0x53726448U /* "HdrS" */
#define PROTOCOL_MIN      0x020c      /* knows xloadflags */
#define BZIMAGE_64_OFFSET 0x200
#define INITRD_END        (2 * GIB)

/*
 * In pieces, with a chance for others between them: a processor that reads for milliseconds without
 * a pause holds up the grace period that vm.c waits for.
 */
static ssize_t read_pieces(int fd, uint8_t *to, uint64_t len, uint64_t offset)
{
	uint64_t done = 0;

	while (done < len) {
		size_t piece = (size_t)MIN(len - done, READ_PIECE);
		ssize_t n = pread_full(fd, to + done, piece, offset + done);

		if (n < 0)
			return n;
		done += (uint64_t)n;
		if ((size_t)n < piece)
			break;
		sched_yield();
	}
	return (ssize_t)done;
}

int kernel_read(const struct ram *ram, int fd, uint64_t offset, uint64_t gpa, uint64_t len,
		struct err *e)
{
	void *to = gpa >= GUEST_HIGH_RAM ? ram_ptr(ram, gpa, len) : NULL;
	ssize_t n;

	if (!to)
		return err_set(e, ERR_INVALID,
			       "%llu bytes at %#llx do not fit into %llu MiB of memory",
			       (unsigned long long)len, (unsigned long long)gpa,
			       (unsigned long long)(ram->size / MIB));
	n = read_pieces(fd, to, len, offset);
	if (n < 0)
		return err_sys(e, (int)-n, "cannot read the file");
	if ((uint64_t)n < len)
		return err_set(e, ERR_CORRUPT, "the file is cut off");
	return 0;
}

/* --- ELF. */

static int load_segment(const struct ram *ram, int fd, const Elf64_Phdr *p,
			struct kernel_image *img, struct err *e)
{
	uint64_t end = p->p_paddr + p->p_memsz;

	if (p->p_filesz > p->p_memsz || end < p->p_paddr || end > ram->low)
		return err_set(e, ERR_INVALID, "a segment at %#llx does not fit into memory",
			       (unsigned long long)p->p_paddr);
	/* What lies behind p_filesz is zero already: the memory is fresh. */
	if (p->p_filesz && kernel_read(ram, fd, p->p_offset, p->p_paddr, p->p_filesz, e) < 0)
		return -1;
	img->end = MAX(img->end, end);
	return 0;
}

struct notes {
	bool is_linux;
	uint64_t pvh_entry; /* 0: none */
};

static void scan_notes(const uint8_t *p, size_t size, struct notes *ret)
{
	Elf64_Nhdr n;

	while (size >= sizeof(n)) {
		const uint8_t *name = p + sizeof(n), *desc;
		size_t name_size, total;

		memcpy(&n, p, sizeof(n));
		name_size = ALIGN_UP((size_t)n.n_namesz, 4);
		total = sizeof(n) + name_size + ALIGN_UP((size_t)n.n_descsz, 4);
		if (total > size)
			return;
		desc = name + name_size;
		if (n.n_namesz == sizeof("Linux") && memcmp(name, "Linux", n.n_namesz) == 0)
			ret->is_linux = true;
		if (n.n_namesz == sizeof("Xen") && memcmp(name, "Xen", n.n_namesz) == 0 &&
		    n.n_type == NOTE_PVH && n.n_descsz >= 4 && n.n_descsz <= 8) {
			ret->pvh_entry = 0;
			memcpy(&ret->pvh_entry, desc, n.n_descsz);
		}
		p += total;
		size -= total;
	}
}

static int read_notes(int fd, const Elf64_Phdr *p, struct notes *ret, struct err *e)
{
	_cleanup_free_ uint8_t *data = NULL;
	ssize_t n;

	if (p->p_filesz > NOTES_MAX)
		return 0;
	data = xmalloc((size_t)p->p_filesz);
	n = pread_full(fd, data, (size_t)p->p_filesz, p->p_offset);
	if (n < 0)
		return err_sys(e, (int)-n, "cannot read the file");
	scan_notes(data, (size_t)n, ret);
	return 0;
}

static int choose_entry(const struct notes *notes, const Elf64_Ehdr *h, const struct ram *ram,
			struct kernel_image *img, struct err *e)
{
	bool pvh = notes->pvh_entry && !notes->is_linux;
	uint64_t entry = pvh ? notes->pvh_entry : h->e_entry;

	if (entry < GUEST_HIGH_RAM || !ram_ptr(ram, entry, 1) || entry >= img->end)
		return err_set(e, ERR_INVALID, "its entry point %#llx lies outside of the kernel",
			       (unsigned long long)entry);
	img->entry.protocol = pvh ? KERNEL_PVH : KERNEL_LINUX64;
	img->entry.address = entry;
	return 0;
}

int kernel_load_elf(const struct ram *ram, int fd, const uint8_t head[4096],
		    struct kernel_image *ret, struct err *e)
{
	Elf64_Phdr ph[SEGMENTS_MAX];
	struct notes notes = {};
	Elf64_Ehdr h;

	memcpy(&h, head, sizeof(h));
	if (h.e_ident[EI_CLASS] != ELFCLASS64 || h.e_ident[EI_DATA] != ELFDATA2LSB ||
	    h.e_machine != EM_X86_64)
		return err_set(e, ERR_INVALID, "it is not for 64-bit x86 processors");
	if (h.e_phentsize != sizeof(ph[0]) || h.e_phnum == 0 || h.e_phnum > SEGMENTS_MAX)
		return err_set(e, ERR_INVALID, "its program headers are malformed");
	if (pread_full(fd, ph, h.e_phnum * sizeof(ph[0]), h.e_phoff) !=
	    (ssize_t)(h.e_phnum * sizeof(ph[0])))
		return err_set(e, ERR_CORRUPT, "its program headers are cut off");
	*ret = (struct kernel_image){
		.initrd_end = INITRD_END,
		.header = {.boot_flag = 0xaa55,
			   .header = HEADER_MAGIC,
			   .version = PROTOCOL_MIN,
			   .kernel_alignment = 0x1000000},
	};
	for (unsigned int i = 0; i < h.e_phnum; i++) {
		if (ph[i].p_type == PT_LOAD && load_segment(ram, fd, &ph[i], ret, e) < 0)
			return -1;
		if (ph[i].p_type == PT_NOTE && read_notes(fd, &ph[i], &notes, e) < 0)
			return -1;
	}
	return choose_entry(&notes, &h, ram, ret, e);
}

/* --- bzImage. */

int kernel_load_bzimage(const struct ram *ram, int fd, const uint8_t head[4096],
			struct kernel_image *ret, struct err *e)
{
	struct setup_header h;
	size_t header_size = (size_t)head[0x201] + 0x202 - HEADER_OFFSET;
	uint64_t start, load, end;
	struct stat st;

	memcpy(&h, head + HEADER_OFFSET, sizeof(h));
	if (h.version < PROTOCOL_MIN || !(h.xloadflags & XLF_KERNEL_64))
		return err_set(e, ERR_UNSUPPORTED, "it has no 64-bit entry (boot protocol %#x)",
			       h.version);
	if (fstat(fd, &st) < 0)
		return err_sys(e, errno, "cannot read the file");
	start = ((h.setup_sects ? h.setup_sects : 4U) + 1) * SECTOR;
	if ((uint64_t)st.st_size <= start)
		return err_set(e, ERR_CORRUPT, "the file is cut off");
	load = h.relocatable_kernel ? h.pref_address : h.code32_start;
	end = load + MAX((uint64_t)h.init_size, (uint64_t)st.st_size - start);
	if (end < load)
		return err_set(e, ERR_INVALID, "it cannot be put at %#llx",
			       (unsigned long long)load);
	if (end > ram->low)
		return err_set(e, ERR_INVALID, "it needs %llu MiB of memory",
			       (unsigned long long)(end / MIB + 1));
	if (kernel_read(ram, fd, start, load, (uint64_t)st.st_size - start, e) < 0)
		return -1;
	*ret = (struct kernel_image){
		.entry = {KERNEL_LINUX64, load + BZIMAGE_64_OFFSET},
		.end = end,
		/* The header names the last byte. */
		.initrd_end = MIN((uint64_t)h.initrd_addr_max + 1, INITRD_END),
	};
	memcpy(&ret->header, &h, MIN(header_size, sizeof(h)));
	ret->header.code32_start = (uint32_t)load;
	return 0;
}
