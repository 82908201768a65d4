/* SPDX-License-Identifier: Apache-2.0 */
/* What processor the guest sees. Theory of operation in cpuid.c. */
#pragma once

#include "base/err.h"

#include <linux/kvm.h>

#define CPUID_ENTRIES_MAX 256

struct cpuid {
	struct kvm_cpuid2 head;
	struct kvm_cpuid_entry2 entries[CPUID_ENTRIES_MAX];
};

/*
 * Fetches from /dev/kvm what the host can give a guest and takes away what ours shall not have.
 * The result is the same for all vCPUs; cpuid_for_vcpu completes it. 0, or -1 with an error.
 */
int cpuid_init(struct cpuid *c, int kvm_fd, unsigned int cpus, bool tsc_deadline, struct err *e);
/* Fills in what differs: the number of the vCPU, which is its APIC id. */
void cpuid_for_vcpu(struct cpuid *c, unsigned int index);

/* The entry of a leaf; NULL when there is none. */
struct kvm_cpuid_entry2 *cpuid_find(struct cpuid *c, uint32_t function, uint32_t index);
