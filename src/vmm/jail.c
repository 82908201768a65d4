/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the C library does on its own, on any thread and when a thread ends:
 *
 * #syscalls:libc futex
 * #syscalls?:libc brk munmap mremap mmap(!PROT_EXEC) -- memory of malloc
 * #syscalls?:libc clock_gettime -- hosts without a clock in the vDSO
 * #syscalls?:libc restart_syscall -- after SIGSTOP or a debugger
 * #syscalls?:libc write -- messages to standard error
 *
 * #syscalls:thread exit rt_sigprocmask madvise(MADV_DONTNEED)
 *
 * abort() is not in any list. Its first call is not allowed and ends the process, which is all
 * that it is for; the message of an assertion has been written by then.
 */
#include "vmm/jail.h"

#include "base/log.h"
#include "virtio/device.h"
#include "base/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

struct jail_filter {
	const char *name;
	const struct sock_filter *code;
	unsigned short n;
};

#include "vmm/jail_filters.h"

static int give_up(struct err *e)
{
	struct rlimit none = {0, 0};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_sys(e, errno, "cannot give up privileges");
	if (setrlimit(RLIMIT_CORE, &none) < 0)
		return err_sys(e, errno, "cannot switch core files off");
	return 0;
}

static int restrict_self(unsigned int what, struct err *e)
{
	int r = landlock_new(what);

	if (r == -ENOSYS || r == -EOPNOTSUPP) {
		log_debug("this kernel has no Landlock, or an old one");
		return 0;
	}
	if (r >= 0)
		r = landlock_enforce(r);
	return r < 0 ? err_sys(e, -r, "cannot confine the process by Landlock") : 0;
}

int jail_family(struct err *e)
{
	if (give_up(e) < 0)
		return -1;
	return restrict_self(LANDLOCK_DENY_UNIX | LANDLOCK_DENY_SIGNALS, e);
}

int jail_process(struct err *e)
{
	uint32_t action = SECCOMP_RET_KILL_PROCESS;

	if (give_up(e) < 0)
		return -1;
	if (!secure_getenv("MSB_DEBUG") && prctl(PR_SET_DUMPABLE, 0) < 0)
		return err_sys(e, errno, "cannot keep debuggers away");
	if (syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) < 0)
		return err_sys(e, errno, "this kernel cannot filter system calls");
	/* Threads allocate little, and what malloc does for them needs no mprotect then. */
	mallopt(M_ARENA_MAX, 1);
	return restrict_self(LANDLOCK_DENY_FILES | LANDLOCK_DENY_TCP | LANDLOCK_DENY_UNIX, e);
}

int jail_thread(enum jail_kind kind)
{
	struct sock_fprog program = {
		.len = filters[kind].n,
		.filter = (struct sock_filter *)filters[kind].code,
	};

#ifdef __SANITIZE_ADDRESS__
	/* The sanitizer makes calls of its own, which are in no list. */
	return 0;
#endif
	log_trace("thread %s confined to its system calls", filters[kind].name);
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0 ? -errno : 0;
}

/* On the device's thread. */
static void enter(void *arg)
{
	int r = jail_thread((enum jail_kind)(uintptr_t)arg);

	if (r == 0)
		return;
	log_error("cannot confine a device's thread: %s", strerror(-r));
	_exit(EXIT_FAILURE);
}

int jail_device(struct virtio_device *dev, enum jail_transport transport)
{
	static const struct {
		uint32_t id;
		enum jail_transport transport;
		enum jail_kind kind;
	} kinds[] = {
		{VIRTIO_ID_BLOCK, JAIL_MMIO, JAIL_BLK_MMIO},
		{VIRTIO_ID_VSOCK, JAIL_MMIO, JAIL_VSOCK_MMIO},
		{VIRTIO_ID_RNG, JAIL_MMIO, JAIL_RNG_MMIO},
		{VIRTIO_ID_NET, JAIL_MMIO, JAIL_NET_MMIO},
		{VIRTIO_ID_BALLOON, JAIL_MMIO, JAIL_BALLOON_MMIO},
		{VIRTIO_ID_BLOCK, JAIL_VHOST_USER, JAIL_BLK_VHOST_USER},
		{VIRTIO_ID_VSOCK, JAIL_VHOST_USER, JAIL_VSOCK_VHOST_USER},
		{VIRTIO_ID_RNG, JAIL_VHOST_USER, JAIL_RNG_VHOST_USER},
		{VIRTIO_ID_NET, JAIL_VHOST_USER, JAIL_NET_VHOST_USER},
	};

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (kinds[i].id != dev->id || kinds[i].transport != transport)
			continue;
		worker_on_start(dev->worker, enter, (void *)(uintptr_t)kinds[i].kind);
		return 0;
	}
	return -ENOTSUP;
}
