/* SPDX-License-Identifier: Apache-2.0 */
/* A virtual machine of KVM without its vCPUs: capabilities, memory, interrupt controllers. */
#pragma once

#include "vmm/kvm/ram.h"

#include <pthread.h>

struct vm {
	int kvm_fd;
	int fd;
	struct ram ram;
	size_t run_size;   /* of a vCPU's struct kvm_run with what follows it */
	size_t xsave_size; /* of a vCPU's extended state */
	bool tsc_deadline; /* the local APIC's timer can be set by TSC value */
	bool pit;          /* there is an interval timer */
	bool making;       /* by the thread */
	pthread_t maker;
	int make_error; /* -errno */
};

/* What a machine is made with. */
struct vm_config {
	uint64_t ram_size;
	int ram_fd; /* -1: fresh memory; otherwise it is a copy-on-write view of this file */
	uint64_t ram_offset;
	bool pit; /* with an interval timer, even where a kernel of ours would need none */
};

/*
 * Opens /dev/kvm, checks that it can do what we need, and begins to make the machine: its memory is
 * there afterwards and can be filled, everything else only after vm_complete. Each gives 0, or -1
 * with an error that names what is missing; vm_release in all cases.
 */
int vm_begin(struct vm *vm, const struct vm_config *c, struct err *e);
int vm_complete(struct vm *vm, struct err *e);
void vm_release(struct vm *vm);

/* Ties an eventfd to interrupt line `gsi`: each write is one edge. 0 or -errno. */
int vm_attach_irq(const struct vm *vm, unsigned int gsi, int event_fd);
/* Ties an eventfd to the guest's writing of the 32-bit `value` at `gpa`. 0 or -errno. */
int vm_attach_write(const struct vm *vm, uint64_t gpa, uint32_t value, int event_fd);
