/* SPDX-License-Identifier: Apache-2.0 */
/* The state in which the first vCPU enters a kernel, and what every vCPU starts with. */
#pragma once

#include "vmm/kvm/kernel.h"

/* Puts the descriptor table and, for the 64-bit entry, page tables into guest memory. */
void boot_cpu_tables(const struct ram *ram, enum kernel_protocol protocol);
/* Sets the registers of the first vCPU. 0 or -errno. */
int boot_cpu_enter(int vcpu_fd, const struct kernel_entry *entry);
/* MSRs and local interrupts of any vCPU. 0 or -errno. */
int boot_cpu_init(int vcpu_fd);
