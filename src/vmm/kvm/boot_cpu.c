/* SPDX-License-Identifier: Apache-2.0 */
/*
 * 64-bit entry (Documentation/arch/x86/boot.rst): paging on with the kernel, its parameters and its
 * command line mapped one to one; flat segments under the numbers __BOOT_CS and __BOOT_DS;
 * interrupts off; RSI = boot_params. One gigabyte is mapped, in 2 MiB pages.
 *
 * PVH entry (xen/include/public/arch-x86/hvm/start_info.h): 32-bit protected mode without paging,
 * flat segments, EBX = start info.
 *
 * The other vCPUs wait for their start-up interrupt, which KVM delivers.
 */
#include "vmm/kvm/boot_cpu.h"

#include "vmm/kvm/layout.h"

#include <errno.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>

#define SELECTOR_CODE 0x10 /* __BOOT_CS */
#define SELECTOR_DATA 0x18 /* __BOOT_DS */
#define SELECTOR_TSS  0x20

#define CR0_PE   (1ULL << 0)
#define CR0_ET   (1ULL << 4)
#define CR0_NE   (1ULL << 5)
#define CR0_PG   (1ULL << 31)
#define CR4_PAE  (1ULL << 5)
#define EFER_LME (1ULL << 8)
#define EFER_LMA (1ULL << 10)

#define RFLAGS_ALWAYS 2ULL

#define PAGE_TABLE   0x1000ULL
#define PTE_PRESENT  (1ULL << 0)
#define PTE_WRITABLE (1ULL << 1)
#define PTE_HUGE     (1ULL << 7)
#define PTES         512ULL

#define MSR_MISC_ENABLE   0x1a0
#define MISC_FAST_STRINGS 1ULL
#define MSR_MTRR_DEFAULT  0x2ff
#define MTRR_ENABLE       (1ULL << 11)
#define MTRR_WRITE_BACK   6ULL

#define APIC_LVT0        0x350
#define APIC_LVT1        0x360
#define APIC_MODE_NMI    (4U << 8)
#define APIC_MODE_EXTINT (7U << 8)

static struct kvm_segment segment(uint16_t selector, uint8_t type, bool code64)
{
	return (struct kvm_segment){
		.base = 0,
		.limit = 0xffffffff,
		.selector = selector,
		.type = type,
		.present = 1,
		.s = selector != SELECTOR_TSS,
		.l = code64,
		.db = !code64 && selector != SELECTOR_TSS,
		.g = 1,
	};
}

static struct kvm_segment code_segment(enum kernel_protocol p)
{
	return segment(SELECTOR_CODE, 0xb, p == KERNEL_LINUX64);
}

static struct kvm_segment data_segment(void)
{
	return segment(SELECTOR_DATA, 0x3, false);
}

static struct kvm_segment task_segment(void)
{
	struct kvm_segment s = segment(SELECTOR_TSS, 0xb, false);

	s.limit = 0x67;
	s.g = 0;
	return s;
}

/* The form in which a processor keeps a segment in its table (base 0). */
static uint64_t descriptor(struct kvm_segment s)
{
	uint64_t limit = s.g ? s.limit >> 12 : s.limit;

	return (limit & 0xffff) | ((uint64_t)s.type << 40) | ((uint64_t)s.s << 44) |
	       ((uint64_t)s.present << 47) | ((limit >> 16 & 0xf) << 48) | ((uint64_t)s.l << 53) |
	       ((uint64_t)s.db << 54) | ((uint64_t)s.g << 55);
}

void boot_cpu_tables(const struct ram *ram, enum kernel_protocol protocol)
{
	uint64_t gdt[] = {0,
			  0,
			  descriptor(code_segment(protocol)),
			  descriptor(data_segment()),
			  descriptor(task_segment()),
			  0};
	uint64_t *table;

	memcpy(ram_ptr(ram, GUEST_GDT, sizeof(gdt)), gdt, sizeof(gdt));
	if (protocol != KERNEL_LINUX64)
		return;
	table = ram_ptr(ram, GUEST_PML4, 3 * PAGE_TABLE);
	table[0] = (GUEST_PML4 + PAGE_TABLE) | PTE_PRESENT | PTE_WRITABLE;
	table[PTES] = (GUEST_PML4 + 2 * PAGE_TABLE) | PTE_PRESENT | PTE_WRITABLE;
	for (uint64_t i = 0; i < PTES; i++)
		table[2 * PTES + i] = (i << 21) | PTE_PRESENT | PTE_WRITABLE | PTE_HUGE;
}

static int set_segments(int vcpu_fd, enum kernel_protocol protocol)
{
	struct kvm_sregs s;

	if (ioctl(vcpu_fd, KVM_GET_SREGS, &s) < 0)
		return -errno;
	s.cs = code_segment(protocol);
	s.ds = s.es = s.fs = s.gs = s.ss = data_segment();
	s.tr = task_segment();
	s.gdt = (struct kvm_dtable){.base = GUEST_GDT, .limit = 6 * 8 - 1};
	s.idt = (struct kvm_dtable){};
	s.cr0 = CR0_PE | CR0_ET | CR0_NE;
	if (protocol == KERNEL_LINUX64) {
		s.cr0 |= CR0_PG;
		s.cr3 = GUEST_PML4;
		s.cr4 = CR4_PAE;
		s.efer = EFER_LME | EFER_LMA;
	}
	return ioctl(vcpu_fd, KVM_SET_SREGS, &s) < 0 ? -errno : 0;
}

int boot_cpu_enter(int vcpu_fd, const struct kernel_entry *entry)
{
	struct kvm_regs r = {
		.rflags = RFLAGS_ALWAYS,
		.rip = entry->address,
		.rsp = GUEST_STACK,
		.rbp = GUEST_STACK,
	};
	int error = set_segments(vcpu_fd, entry->protocol);

	if (error < 0)
		return error;
	if (entry->protocol == KERNEL_PVH)
		r.rbx = GUEST_PVH_INFO;
	else
		r.rsi = GUEST_ZERO_PAGE;
	return ioctl(vcpu_fd, KVM_SET_REGS, &r) < 0 ? -errno : 0;
}

static void set_lapic_register(struct kvm_lapic_state *s, unsigned int offset, uint32_t value)
{
	memcpy(s->regs + offset, &value, sizeof(value));
}

int boot_cpu_init(int vcpu_fd)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entries[2];
	} msrs = {
		.head.nmsrs = 2,
		.entries = {{.index = MSR_MISC_ENABLE, .data = MISC_FAST_STRINGS},
			    /* Without firmware nobody else says that memory may be cached. */
			    {.index = MSR_MTRR_DEFAULT, .data = MTRR_ENABLE | MTRR_WRITE_BACK}},
	};
	struct kvm_lapic_state lapic;

	if (ioctl(vcpu_fd, KVM_SET_MSRS, &msrs) != 2)
		return errno ? -errno : -EINVAL;
	if (ioctl(vcpu_fd, KVM_GET_LAPIC, &lapic) < 0)
		return -errno;
	set_lapic_register(&lapic, APIC_LVT0, APIC_MODE_EXTINT);
	set_lapic_register(&lapic, APIC_LVT1, APIC_MODE_NMI);
	return ioctl(vcpu_fd, KVM_SET_LAPIC, &lapic) < 0 ? -errno : 0;
}
