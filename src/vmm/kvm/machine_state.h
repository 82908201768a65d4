/* SPDX-License-Identifier: Apache-2.0 */
/* A whole KVM machine to and from a file (saved.h). */
#pragma once

#include "vmm/kvm/kvm_internal.h"
#include "vmm/kvm/saved.h"

/* All vCPUs are parked. Device threads are held still meanwhile. 0, or -1 with an error. */
int machine_state_save(struct kvm_machine *m, int fd, struct err *e);
/*
 * Into a machine that has its vCPUs and devices and has not run; its memory is mapped from the
 * file. 0, or -1 with an error.
 */
int machine_state_load(struct kvm_machine *m, const struct saved *s, struct err *e);
