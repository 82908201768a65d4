/* SPDX-License-Identifier: Apache-2.0 */
/* The MP table (Intel MultiProcessor Specification 1.4): how a kernel without ACPI learns of vCPUs.
 */
#pragma once

#include <stdint.h>

/*
 * Writes the table for `cpus` processors into GUEST_MPTABLE_SIZE bytes at `p`, which appear in the
 * guest at GUEST_MPTABLE. `signature` and `features` are EAX and EDX of CPUID leaf 1. `cpus`
 * is at most MACHINE_CPUS_MAX.
 */
void mptable_write(uint8_t *p, unsigned int cpus, uint32_t signature, uint32_t features);
