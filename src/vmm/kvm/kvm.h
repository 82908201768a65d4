/* SPDX-License-Identifier: Apache-2.0 */
/* The machine for hosts with KVM: our own. */
#pragma once

#include "vmm/machine.h"

extern const struct machine_ops kvm_machine_ops;
