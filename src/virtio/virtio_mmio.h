/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio over MMIO (virtio 1.2, section 4.2), version 2 only: the register page through which the
 * guest's driver finds, negotiates with and starts one device. Theory of operation in
 * virtio_mmio.c.
 */
#pragma once

#include "virtio/device.h"

#define VIRTIO_MMIO_SIZE 0x1000

struct virtio_mmio;

/*
 * Takes the device and `irq_fd` over, also when it fails (NULL with errno). `irq_fd` is an eventfd
 * wired to the guest's interrupt line of this device, edge-triggered. `mem` stays the caller's,
 * must not change from the first start on, and must outlive the transport.
 */
struct virtio_mmio *virtio_mmio_new(struct virtio_device *dev, const struct guest_mem *mem,
				    int irq_fd);
struct virtio_mmio *virtio_mmio_free(struct virtio_mmio *t);

/*
 * Starts and stops the device's thread; a stopped one keeps its queues and can be started again.
 * While it is being stopped no vCPU may run.
 */
int virtio_mmio_start(struct virtio_mmio *t);
void virtio_mmio_stop(struct virtio_mmio *t);

/*
 * Holds the device's thread still between two events, and lets it go on. Meanwhile nothing but
 * virtio_mmio_save may be called for it.
 */
void virtio_mmio_freeze(struct virtio_mmio *t);
void virtio_mmio_thaw(struct virtio_mmio *t);

/*
 * The guest reads or writes `len` (1, 2, 4 or 8) bytes at `offset` of the page. Any vCPU thread may
 * call, several at once. Accesses that the specification does not define read as zeroes and
 * write nothing.
 */
void virtio_mmio_read(struct virtio_mmio *t, uint64_t offset, void *data, uint32_t len);
void virtio_mmio_write(struct virtio_mmio *t, uint64_t offset, const void *data, uint32_t len);

/*
 * The eventfd, owned by the transport, that stands for a 4-byte write of `queue` to QueueNotify:
 * the machine ties it to that write, so that a kick wakes the device without a vCPU exit.
 */
int virtio_mmio_kick_fd(const struct virtio_mmio *t, unsigned int queue);
unsigned int virtio_mmio_num_queues(const struct virtio_mmio *t);

/* True when everything the guest gave away has arrived (see virtio_device_ops.busy). */
bool virtio_mmio_idle(struct virtio_mmio *t);

/*
 * The guest-visible state, as it is written to a saved machine's file: fixed size, little-endian,
 * without padding. Everything in it is checked again when it is loaded.
 */
struct virtio_mmio_queue_state {
	uint64_t desc, avail, used;
	uint32_t size;
	uint16_t ready;
	uint16_t next_avail;
};

struct virtio_mmio_state {
	uint32_t device_id;
	uint32_t status;
	uint32_t interrupt_status;
	uint32_t device_features_sel;
	uint32_t driver_features_sel;
	uint32_t queue_sel;
	uint32_t config_generation;
	uint32_t num_queues;
	uint64_t offered; /* features, to find out that another version saved it */
	uint64_t acked;
	struct virtio_mmio_queue_state queues[VIRTIO_QUEUES_MAX];
	uint8_t config[VIRTIO_CONFIG_MAX];
};

/* Only while the thread is stopped or frozen. */
void virtio_mmio_save(struct virtio_mmio *t, struct virtio_mmio_state *ret);
/* Into a new transport that was not started yet. 0, or -EINVAL when it does not fit the device. */
int virtio_mmio_load(struct virtio_mmio *t, const struct virtio_mmio_state *s);
