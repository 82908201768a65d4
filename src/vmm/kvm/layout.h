/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest-physical addresses.
 *
 *	       0x500	GDT of the first instructions
 *	      0x6000	PVH start info, its modules and memory map
 *	      0x7000	boot_params ("zero page")
 *	      0x8ff0	stack of the first instructions, growing down
 *	      0x9000	page tables of the first instructions, three pages
 *	     0x20000	kernel command line
 *	     0x9fc00	MP table (reserved)
 *	     0xa0000	legacy hole up to 1 MiB: RAM is behind it, but no kernel is told so
 *	    0x100000	kernel (an ordinary one at 16 MiB), initramfs behind it
 *	  0xc0000000	end of low RAM; more than 3 GiB go on at 4 GiB
 *	  0xd0000000	register pages of the virtio devices, 4 KiB each
 *	  0xfec00000	I/O APIC (KVM)
 *	  0xfee00000	local APIC (KVM)
 *	  0xfffbc000	four pages for KVM on Intel processors that cannot run real mode
 *	 0x100000000	the rest of RAM
 *
 * Interrupt lines: the devices have 16 and up, which are pins of the I/O APIC only; the serial
 * port has 4 as ever, the balloon 5.
 */
#pragma once

#define GUEST_GDT       0x500ULL
#define GUEST_PVH_INFO  0x6000ULL
#define GUEST_ZERO_PAGE 0x7000ULL
#define GUEST_STACK     0x8ff0ULL
#define GUEST_PML4      0x9000ULL
#define GUEST_CMDLINE   0x20000ULL
#define GUEST_MPTABLE   0x9fc00ULL
#define GUEST_HOLE      0xa0000ULL
#define GUEST_HIGH_RAM  0x100000ULL

#define GUEST_LOW_END  0xc0000000ULL
#define GUEST_4G       0x100000000ULL
#define GUEST_MMIO     0xd0000000ULL
#define GUEST_IOAPIC   0xfec00000U
#define GUEST_LAPIC    0xfee00000U
#define GUEST_IDENTITY 0xfffbc000ULL
#define GUEST_TSS      0xfffbd000ULL

/* What the page tables of the first instructions map, from 0 on. */
#define GUEST_MAPPED 0x40000000ULL

#define GUEST_MPTABLE_SIZE (GUEST_HOLE - GUEST_MPTABLE)
#define GUEST_CMDLINE_MAX  2048

#define SERIAL_IRQ      4
#define BALLOON_IRQ     5
#define DEVICE_IRQ_BASE 16
#define IOAPIC_PINS     24
