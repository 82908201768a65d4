/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/tsc.h"

#include "base/clock.h"

#include <cpuid.h>
#include <time.h>
#include <x86intrin.h>

#define SAMPLE_TRIES 20

#define CPUID_FEATURES   1u
#define CPUID_TSC        0x15u
#define CPUID_HYPERVISOR 0x40000000u
#define CPUID_HV_TIMING  0x40000010u
#define HYPERVISOR_BIT   (1u << 31) /* of CPUID_FEATURES, ECX */

uint32_t tsc_khz_from_cpuid(void)
{
	unsigned int a, b, c, d;

	/* EBX/EAX is the ratio of the counter to a crystal of ECX Hz, which may be missing. */
	if (__get_cpuid(CPUID_TSC, &a, &b, &c, &d) && a && b && c)
		return (uint32_t)((uint64_t)c * b / a / 1000);
	if (!__get_cpuid(CPUID_FEATURES, &a, &b, &c, &d) || !(c & HYPERVISOR_BIT))
		return 0;
	__cpuid(CPUID_HYPERVISOR, a, b, c, d);
	if (a < CPUID_HV_TIMING)
		return 0;
	__cpuid(CPUID_HV_TIMING, a, b, c, d);
	return a;
}

static uint64_t raw_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_RAW, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

/* Reads both clocks at one moment: the try that was interrupted least wins. */
struct tsc_sample tsc_sample_take(void)
{
	struct tsc_sample best = {};
	uint64_t best_width = UINT64_MAX;

	for (int i = 0; i < SAMPLE_TRIES; i++) {
		uint64_t before = __rdtsc(), ns = raw_ns(), after = __rdtsc();

		if (after - before < best_width) {
			best_width = after - before;
			best = (struct tsc_sample){before + (after - before) / 2, ns};
		}
	}
	return best;
}

uint32_t tsc_khz(const struct tsc_sample *since, uint64_t baseline_ns)
{
	uint32_t khz = tsc_khz_from_cpuid();
	struct tsc_sample now;
	uint64_t elapsed;

	if (khz)
		return khz;
	elapsed = raw_ns() - since->ns;
	if (elapsed < baseline_ns) {
		struct timespec rest = {0, (long)(baseline_ns - elapsed)};

		/* Ended early by a signal only costs accuracy. */
		nanosleep(&rest, NULL);
	}
	now = tsc_sample_take();
	if (now.ns <= since->ns)
		return 0;
	/* Fits for an hour: 10^13 cycles times 10^6. */
	return (uint32_t)((now.tsc - since->tsc) * 1000000 / (now.ns - since->ns));
}
