/* SPDX-License-Identifier: Apache-2.0 */
/* The two formats of kernel files. Used by kernel.c only. */
#pragma once

#include "vmm/kvm/kernel.h"

#include <asm/bootparam.h>

/* A kernel that lies in guest memory. */
struct kernel_image {
	struct kernel_entry entry;
	uint64_t end; /* the kernel uses memory up to here before it looks at its memory map */
	uint64_t initrd_end;        /* the initramfs must end here or before */
	struct setup_header header; /* for boot_params */
};

/* `head` is the file's first page. 0, or -1 with an error. */
int kernel_load_elf(const struct ram *ram, int fd, const uint8_t head[4096],
		    struct kernel_image *ret, struct err *e);
int kernel_load_bzimage(const struct ram *ram, int fd, const uint8_t head[4096],
			struct kernel_image *ret, struct err *e);

/* Reads `len` bytes of the file to guest-physical `gpa`, which must be free memory above 1 MiB. */
int kernel_read(const struct ram *ram, int fd, uint64_t offset, uint64_t gpa, uint64_t len,
		struct err *e);
