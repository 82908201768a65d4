/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Can this host run our guests on KVM? Depends on libc only: the command line tool links it too,
 * to say which machine will be used and why.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define PROBE_REASON_MAX 160

/* Where to look; tests give files of their own. */
struct probe_paths {
	const char *kvm;     /* "/dev/kvm" */
	const char *cpuinfo; /* "/proc/cpuinfo" */
};

/*
 * True when KVM is there, may be opened and the CPU has the virtualisation extensions that an
 * ordinary guest kernel needs; otherwise `reason` says in one clause what is missing. `paths`
 * NULL: the real ones.
 */
bool probe_kvm(const struct probe_paths *paths, char reason[PROBE_REASON_MAX]);
