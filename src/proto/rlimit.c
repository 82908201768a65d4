/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/rlimit.h"

#include "base/util.h"

#include <string.h>
#include <strings.h>
#include <sys/resource.h>

static const char *const names[] = {
	[RLIMIT_CPU] = "cpu",           [RLIMIT_FSIZE] = "fsize",
	[RLIMIT_DATA] = "data",         [RLIMIT_STACK] = "stack",
	[RLIMIT_CORE] = "core",         [RLIMIT_RSS] = "rss",
	[RLIMIT_NPROC] = "nproc",       [RLIMIT_NOFILE] = "nofile",
	[RLIMIT_MEMLOCK] = "memlock",   [RLIMIT_AS] = "as",
	[RLIMIT_LOCKS] = "locks",       [RLIMIT_SIGPENDING] = "sigpending",
	[RLIMIT_MSGQUEUE] = "msgqueue", [RLIMIT_NICE] = "nice",
	[RLIMIT_RTPRIO] = "rtprio",     [RLIMIT_RTTIME] = "rttime",
};
_Static_assert(ARRAY_SIZE(names) == RLIM_NLIMITS, "every resource has a name");

const char *rlimit_name(int resource)
{
	return resource >= 0 && resource < RLIM_NLIMITS ? names[resource] : NULL;
}

int rlimit_find(const char *name, size_t len)
{
	static const char prefix[] = "RLIMIT_";
	size_t n = sizeof(prefix) - 1;

	if (len > n && strncasecmp(name, prefix, n) == 0) {
		name += n;
		len -= n;
	}
	for (int i = 0; i < RLIM_NLIMITS; i++)
		if (strlen(names[i]) == len && strncasecmp(name, names[i], len) == 0)
			return i;
	return -1;
}
