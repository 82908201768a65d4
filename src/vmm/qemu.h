/* SPDX-License-Identifier: Apache-2.0 */
/* The machine for hosts without usable KVM: QEMU's software emulation as a child process. */
#pragma once

#include "vmm/machine.h"

extern const struct machine_ops qemu_machine_ops;
