/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the parts of the KVM machine. Theory of operation at the head of kvm.c. */
#pragma once

#include "virtio/virtio_mmio.h"
#include "vmm/drain.h"
#include "vmm/kvm/ports.h"
#include "vmm/kvm/vcpu.h"
#include "vmm/kvm/vm.h"
#include "vmm/machine.h"

#define END_TEXT_MAX 320

enum kvm_mode { MODE_RUN, MODE_PAUSE, MODE_STOP };

struct kvm_machine {
	struct machine m;
	struct loop *loop;
	struct vm vm;
	struct ports ports;
	int serial_irq_fd;
	struct virtio_mmio *devices[MACHINE_DEVICES_MAX + 1]; /* and the balloon */
	unsigned int n_devices;
	struct vcpu *vcpus;
	unsigned int n_vcpus;

	pthread_mutex_t lock; /* the fields up to the next blank line */
	pthread_cond_t changed;
	enum kvm_mode mode;
	unsigned int n_busy; /* vCPU threads that are neither parked nor ended */
	bool ended;
	enum machine_end end;
	char end_text[END_TEXT_MAX];
	char panic[END_TEXT_MAX]; /* what the console said last; empty: nothing */
	bool said_halted;

	struct ev wake_ev; /* eventfd, owned: `ended` or `said_halted` changed */
	struct timer halt_timer;
	unsigned int halt_checks;
	struct drain drain;
};

/*
 * For vCPU threads (kvm_machine_end for any): the machine is over for this reason. The first one
 * counts.
 */
void kvm_machine_end(struct kvm_machine *m, enum machine_end end, const char *fmt, ...)
	PRINTF_FORMAT(3, 4);
/* The guest asked for a reset. */
void kvm_machine_reset(struct kvm_machine *m);
/* Waits while the machine is paused; false when it is to stop. */
bool kvm_machine_park(struct kvm_machine *m, struct vcpu *v);
/* The thread of a vCPU ends. */
void kvm_machine_leave(struct kvm_machine *m);
