/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One virtual processor and its thread. The exits that are handled:
 *
 *	IO		serial port, real-time clock, reset line; other ports are empty
 *	MMIO		register pages of the virtio devices; other addresses are empty
 *	SHUTDOWN	triple fault: the end
 *
 * Everything else ends the machine with a diagnosis. Waiting (HLT), timers, interrupts and kicks of
 * queues never come here: KVM handles them.
 */
#pragma once

#include "base/err.h"

#include <linux/kvm.h>
#include <pthread.h>

struct kvm_machine;

struct vcpu {
	struct kvm_machine *m;
	unsigned int index;
	int fd;
	struct kvm_run *run;
	pthread_t thread;
	bool started;
};

/* Makes vCPU `index` of the machine, stopped, in KVM's initial state. 0, or -1 with an error. */
int vcpu_init(struct vcpu *v, struct kvm_machine *m, unsigned int index, struct err *e);
void vcpu_release(struct vcpu *v);

/* Starts the thread, which goes by the machine's mode (kvm_internal.h). 0 or -errno. */
int vcpu_start(struct vcpu *v);
/* Makes the thread look at the mode. */
void vcpu_kick(struct vcpu *v);
/* Waits for the thread, which has been told to stop. */
void vcpu_join(struct vcpu *v);

/*
 * True when it waits for an interrupt that cannot come: halted with interrupts off, or never
 * started. Only while the machine is paused.
 */
bool vcpu_halted(const struct vcpu *v);

/* For the process, once: the signal by which vcpu_kick reaches a thread. */
void vcpu_install_signal(void);
