/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the C library does on its own where there are several threads, and when one ends; see also
 * base/confine.c.
 *
 * #syscalls:libc futex
 * #syscalls:thread exit rt_sigprocmask madvise(MADV_DONTNEED)
 */
#include "vmm/jail.h"

#include "base/confine.h"
#include "base/landlock.h"
#include "base/log.h"
#include "fs/server.h"
#include "virtio/device.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmm/jail_filters.h"

int jail_family(struct err *e)
{
	if (confine_privileges(e) < 0)
		return -1;
	return confine_landlock(LANDLOCK_DENY_UNIX | LANDLOCK_DENY_SIGNALS, e);
}

static struct confine_tree left[SHARES_MAX];
static size_t n_left;

void jail_leave(int fd, bool write)
{
	assert(n_left < ARRAY_SIZE(left));
	left[n_left++] = (struct confine_tree){.fd = fd, .write = write};
}

int jail_process(struct err *e)
{
	if (confine_privileges(e) < 0 || confine_debuggers(e) < 0 || confine_calls_available(e) < 0)
		return -1;
	/* Threads allocate little, and what malloc does for them needs no mprotect then. */
	mallopt(M_ARENA_MAX, 1);
	return confine_landlock_but(LANDLOCK_DENY_FILES | LANDLOCK_DENY_TCP | LANDLOCK_DENY_UNIX,
				    left, n_left, e);
}

int jail_thread(enum jail_kind kind)
{
	return confine_calls(&filters[kind]);
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
		{VIRTIO_ID_FS, JAIL_MMIO, JAIL_FS_MMIO},
		{VIRTIO_ID_FS, JAIL_VHOST_USER, JAIL_FS_VHOST_USER},
	};

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (kinds[i].id != dev->id || kinds[i].transport != transport)
			continue;
		worker_on_start(dev->worker, enter, (void *)(uintptr_t)kinds[i].kind);
		return 0;
	}
	return -ENOTSUP;
}
