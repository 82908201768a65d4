/* SPDX-License-Identifier: Apache-2.0 */
/* Everything that a vCPU has, to and from the records of a saved machine. */
#pragma once

#include "vmm/kvm/saved.h"
#include "vmm/kvm/vm.h"

/* Of a vCPU that is parked. 0, or -1 with an error. */
int cpu_state_save(const struct vm *vm, int vcpu_fd, unsigned int index, struct buf *records,
		   struct err *e);
/* Into a vCPU that has not run yet. 0, or -1 with an error. */
int cpu_state_load(const struct vm *vm, int vcpu_fd, unsigned int index, const struct saved *s,
		   struct err *e);
