/* SPDX-License-Identifier: Apache-2.0 */
/* Puts a kernel, its initramfs and what it wants to be told into guest memory. */
#pragma once

#include "vmm/kvm/ram.h"

/* How the first vCPU enters the kernel; its registers are set in boot_cpu.c. */
enum kernel_protocol {
	KERNEL_LINUX64, /* Linux x86 boot protocol, 64-bit entry, RSI = boot_params */
	KERNEL_PVH,     /* 32-bit protected mode, EBX = hvm_start_info */
};

struct kernel_entry {
	enum kernel_protocol protocol;
	uint64_t address;
};

/*
 * Loads the kernel (an ELF vmlinux, an ELF with a PVH entry, or a bzImage) from `kernel_fd`, the
 * initramfs from `initrd_fd` (-1: none) and the command line. The descriptors stay the caller's.
 * 0, or -1 with an error that says what is wrong with the file.
 */
int kernel_load(const struct ram *ram, int kernel_fd, int initrd_fd, const char *cmdline,
		struct kernel_entry *ret, struct err *e);
