/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/restrict.h"

#include <errno.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/capability.h>

#define SYS_ADMIN_BIT (1U << CAP_SYS_ADMIN)
_Static_assert(CAP_SYS_ADMIN < 32, "it is in the first word");

static int drop_sys_admin(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	/* The bounding set first: it is what root's programs get everything from. */
	if (prctl(PR_CAPBSET_DROP, CAP_SYS_ADMIN, 0, 0, 0) < 0 ||
	    syscall(SYS_capget, &header, data) < 0)
		return -errno;
	data[0].effective &= ~SYS_ADMIN_BIT;
	data[0].permitted &= ~SYS_ADMIN_BIT;
	/* The kernel takes what is no longer inheritable out of the ambient set, too. */
	data[0].inheritable &= ~SYS_ADMIN_BIT;
	return syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}

int restrict_self(struct err *e)
{
	/* Outside a guest (tests) the agent is not root and has nothing to give up. */
	int r = geteuid() == 0 ? drop_sys_admin() : 0;

	if (r == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		r = -errno;
	return r < 0 ? err_sys(e, -r, "cannot restrict the program") : 0;
}
