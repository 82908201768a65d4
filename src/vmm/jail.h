/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Confinement of msb-vmm, whose threads work for a guest that may have taken one of them over. In
 * three stages, each of which only takes away:
 *
 *  1. jail_family, first of all: no new privileges, no core files, no signals to processes other
 *     than ourselves and what we start. Holds for QEMU, too.
 *  2. jail_process, when everything is open and before the machine's threads are started: no file
 *     and no network by name, no debugger.
 *  3. jail_thread, on every thread before it does anything for the guest, and on the main thread
 *     when all others exist: only the system calls that its kind needs. Any other ends the process.
 *     To start another thread, or to start one again, is not possible any more.
 *
 * What a kind of thread may call is declared where the calls are made (#syscalls, see tools/mkjail)
 * and put together at build time.
 */
#pragma once

#include "base/err.h"

#include <stdint.h>

struct virtio_device;

/* The parts of the program that the kinds of threads are made of, the busiest first. */
enum jail_kind {
	JAIL_MAIN_QEMU,        /* #union: loop relay main qemu libc */
	JAIL_MAIN_KVM,         /* #union: loop main kvm libc */
	JAIL_VCPU,             /* #union: run vcpu thread libc */
	JAIL_BLK_MMIO,         /* #union: blk loop worker mmio thread libc */
	JAIL_VSOCK_MMIO,       /* #union: vsock loop worker mmio thread libc */
	JAIL_RNG_MMIO,         /* #union: rng loop worker mmio thread libc */
	JAIL_NET_MMIO,         /* #union: net loop worker mmio thread libc */
	JAIL_BALLOON_MMIO,     /* #union: balloon loop worker mmio thread libc */
	JAIL_BLK_VHOST_USER,   /* #union: blk loop worker vhost-user thread libc */
	JAIL_VSOCK_VHOST_USER, /* #union: vsock loop worker vhost-user thread libc */
	JAIL_RNG_VHOST_USER,   /* #union: rng loop worker vhost-user thread libc */
	JAIL_NET_VHOST_USER,   /* #union: net loop worker vhost-user thread libc */
	JAIL_FS_MMIO,          /* #union: fs loop worker mmio thread libc */
	JAIL_FS_VHOST_USER,    /* #union: fs loop worker vhost-user thread libc */
	JAIL_KIND_COUNT
};

enum jail_transport { JAIL_MMIO, JAIL_VHOST_USER };

/* Stage 1. 0, or -1 with an error. */
int jail_family(struct err *e);
/* A directory that stage 2 leaves: files may be opened there. At most SHARES_MAX, before stage 2.
 */
void jail_leave(int fd, bool write);
/*
 * Stage 2, which contains stage 1 but for the signals. With MSB_DEBUG in the environment a debugger
 * may attach. A kernel without Landlock is fine, one without seccomp is not. 0, or -1 with an
 * error.
 */
int jail_process(struct err *e);
/* Stage 3, for the calling thread. 0 or -errno. */
int jail_thread(enum jail_kind kind);

/*
 * Makes stage 3 the first thing that the thread of `dev` does when it is started; if it cannot, the
 * program ends. 0, or -ENOTSUP for a device that is not served over the transport.
 */
int jail_device(struct virtio_device *dev, enum jail_transport transport);
