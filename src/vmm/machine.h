/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine runs a guest: vCPUs, memory, and the way the guest reaches its devices. One interface,
 * an implementation per kind; the devices themselves (src/virtio) are the same for all.
 *
 * Everything here is for the main thread and its loop.
 */
#pragma once

#include "base/clock.h"
#include "base/err.h"
#include "base/loop.h"
#include "base/stats.h"
#include "vmm/tsc.h"

#include <sys/types.h>

#define MACHINE_CPUS_MAX    32
#define MACHINE_DEVICES_MAX 8
#define MACHINE_REASON_MAX  320
/* How long devices may take to deliver what a guest that ended by itself has sent. */
#define MACHINE_DRAIN_MAX (2 * NSEC_PER_SEC)

struct virtio_device;

struct machine_spec {
	unsigned int cpus; /* 1 to MACHINE_CPUS_MAX */
	unsigned int memory_mib;
	int kernel_fd;  /* an ELF vmlinux; for kvm also a bzImage or an ELF with a PVH entry */
	int initrd_fd;  /* -1: none */
	int console_fd; /* gets the guest's serial output; -1: nobody does */
	bool pit;       /* kvm: with an interval timer, for kernels that calibrate by it */
	int load_fd;    /* a saved machine to go on with, instead of booting a kernel; -1: none */
	const char *cmdline; /* added to the kernel's command line; NULL: nothing */
	const char *qemu;    /* path of the emulator; NULL: found in $PATH */
	/* In the order in which the guest finds them; the machine takes them over. */
	struct virtio_device *devices[MACHINE_DEVICES_MAX];
	unsigned int n_devices;
	struct stats_page *stats; /* where its own devices count; NULL: nobody does */
	/* Taken as early as possible in the program. */
	struct tsc_sample tsc;
};

enum machine_end {
	MACHINE_END_REBOOT,       /* the guest asked for it: the normal end */
	MACHINE_END_SHUTDOWN,     /* the guest switched itself off */
	MACHINE_END_PANIC,        /* its kernel gave up */
	MACHINE_END_TRIPLE_FAULT, /* its CPU could not even report a fault */
	MACHINE_END_KILLED,       /* machine_stop */
	MACHINE_END_ERROR,        /* the machine itself failed */
	MACHINE_END_COUNT
};

const char *machine_end_name(enum machine_end end);

struct machine;

struct machine_ops {
	const char *name;
	struct machine *(*start)(struct loop *loop, struct machine_spec *spec, struct err *e);
	int (*pause)(struct machine *m);
	int (*resume)(struct machine *m);
	int (*save)(struct machine *m, int fd, struct err *e);
	void (*stop)(struct machine *m);
	struct machine *(*free)(struct machine *m);
};

/* The common part, embedded in each implementation. */
struct machine {
	const struct machine_ops *ops;
	/* Called once from the loop, when all devices are done; `text` may be empty. */
	void (*on_end)(struct machine *m, enum machine_end end, const char *text);
	void *ctx;      /* for on_end */
	pid_t emulator; /* the process with the vCPUs, if it is another one; 0: it is this one */
};

/*
 * The implementation for the word "auto", "kvm" or "qemu". `reason` says why auto chose what it
 * chose (empty when there is nothing to say). NULL with an error for an unknown word or a
 * machine that cannot be used here.
 */
const struct machine_ops *machine_choose(const char *word, char reason[MACHINE_REASON_MAX],
					 struct err *e);

/*
 * Creates the machine and lets it run. The devices of `spec` are taken over in any case, its
 * descriptors stay the caller's but are not needed any more afterwards. NULL with an error.
 */
static inline struct machine *machine_start(const struct machine_ops *ops, struct loop *loop,
					    struct machine_spec *spec, struct err *e)
{
	return ops->start(loop, spec, e);
}

/* Freezes and thaws the vCPUs. 0 or -errno. */
static inline int machine_pause(struct machine *m)
{
	return m->ops->pause(m);
}

static inline int machine_resume(struct machine *m)
{
	return m->ops->resume(m);
}

/*
 * Writes the machine, its memory and its devices, to the empty regular file `fd`, from which
 * another one can be started (spec.load_fd). The guest stands still meanwhile. Disks are not part
 * of it. 0, or -1 with an error, ERR_UNSUPPORTED for a machine that cannot.
 */
static inline int machine_save(struct machine *m, int fd, struct err *e)
{
	return m->ops->save(m, fd, e);
}

/* Ends the guest at once; on_end follows. */
static inline void machine_stop(struct machine *m)
{
	m->ops->stop(m);
}

static inline struct machine *machine_free(struct machine *m)
{
	return m ? m->ops->free(m) : NULL;
}
