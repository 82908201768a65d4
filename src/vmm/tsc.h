/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rate of the CPU's time stamp counter. A guest in software emulation sees the host's counter
 * but cannot measure it on a busy host, so it is told.
 *
 * Measured by comparing the counter with CLOCK_MONOTONIC_RAW at two moments. The first is taken as
 * early as possible, so that the time between passes with other work. (The kernel's own factors in
 * a perf event's page would be exact, but opening the first perf event of a host patches kernel
 * code and took 6 to 18 ms, and hosts that are virtual machines often do not offer them.)
 */
#pragma once

#include <stdint.h>

/* Long enough for some 5 parts in a million. */
#define TSC_BASELINE_NS 1000000ULL

struct tsc_sample {
	uint64_t tsc;
	uint64_t ns;
};

struct tsc_sample tsc_sample_take(void);

/*
 * Kilohertz: from CPUID where that says it, else from the time since `since`, waiting until
 * that is at least `baseline_ns`. 0 when the counter stands still.
 */
uint32_t tsc_khz(const struct tsc_sample *since, uint64_t baseline_ns);

/* What CPUID leaf 0x15 says, or a hypervisor's leaf 0x40000010; 0 when neither does. */
uint32_t tsc_khz_from_cpuid(void);
