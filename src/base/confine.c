/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the C library does on its own, on any thread:
 *
 * #syscalls?:libc brk munmap mremap mmap(!PROT_EXEC) -- memory of malloc
 * #syscalls?:libc clock_gettime -- hosts without a clock in the vDSO
 * #syscalls?:libc restart_syscall -- after SIGSTOP or a debugger
 * #syscalls?:libc write -- messages to standard error
 *
 * abort() is not in any list. Its first call is not allowed and ends the process, which is all
 * that it is for; the message of an assertion has been written by then.
 */
#include "base/confine.h"

#include "base/landlock.h"
#include "base/log.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

int confine_privileges(struct err *e)
{
	struct rlimit none = {0, 0};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_sys(e, errno, "cannot give up privileges");
	if (setrlimit(RLIMIT_CORE, &none) < 0)
		return err_sys(e, errno, "cannot switch core files off");
	return 0;
}

int confine_debuggers(struct err *e)
{
	if (!secure_getenv("MSB_DEBUG") && prctl(PR_SET_DUMPABLE, 0) < 0)
		return err_sys(e, errno, "cannot keep debuggers away");
	return 0;
}

int confine_landlock(unsigned int what, struct err *e)
{
	return confine_landlock_but(what, NULL, 0, e);
}

int confine_landlock_but(unsigned int what, const struct confine_tree *trees, size_t n,
			 struct err *e)
{
	int ruleset = landlock_new(what), r = MIN(ruleset, 0);

	for (size_t i = 0; r == 0 && i < n; i++)
		r = landlock_allow_tree(ruleset, trees[i].fd, trees[i].write);
	if (r == 0)
		r = landlock_enforce(ruleset);
	else if (ruleset >= 0)
		close(ruleset);
	if (r == -ENOSYS || r == -EOPNOTSUPP) {
		log_debug("this kernel has no Landlock, or an old one");
		return 0;
	}
	return r < 0 ? err_sys(e, -r, "cannot confine the process by Landlock") : 0;
}

int confine_calls_available(struct err *e)
{
	uint32_t action = SECCOMP_RET_KILL_PROCESS;

	if (syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) < 0)
		return err_sys(e, errno, "this kernel cannot filter system calls");
	return 0;
}

int confine_calls(const struct jail_filter *filter)
{
	struct sock_fprog program = {
		.len = filter->n,
		.filter = (struct sock_filter *)filter->code,
	};

#ifdef __SANITIZE_ADDRESS__
	/* The sanitizer makes calls of its own, which are in no list. */
	return 0;
#endif
	log_trace("thread %s confined to its system calls", filter->name);
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0 ? -errno : 0;
}
