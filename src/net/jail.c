/* SPDX-License-Identifier: Apache-2.0 */
#include "net/jail.h"

#include "base/confine.h"
#include "base/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "net/jail_filters.h"

int jail_enter(struct err *e)
{
	int r;

	if (confine_privileges(e) < 0 || confine_debuggers(e) < 0 || confine_calls_available(e) < 0)
		return -1;
	if (confine_landlock(LANDLOCK_DENY_FILES | LANDLOCK_DENY_UNIX | LANDLOCK_DENY_SIGNALS, e) <
	    0)
		return -1;
	r = confine_calls(&filters[JAIL_MAIN_NET]);
	return r < 0 ? err_sys(e, -r, "cannot confine the process to its system calls") : 0;
}
