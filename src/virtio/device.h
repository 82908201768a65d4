/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a virtio device is to a transport, and a transport to a device.
 *
 *	guest driver <-> transport (vhost-user, mmio) <-> struct virtio_device <-> blk, vsock, rng
 *
 * The transport negotiates features, learns where the rings are and gives the device a kick
 * descriptor per queue; the device serves its queues on its own thread (its worker) and knows
 * nothing about how the driver reaches them. Every function here and every operation of the
 * device runs on that thread; a transport that lives elsewhere uses worker_call.
 */
#pragma once

#include "virtio/virtq.h"
#include "virtio/worker.h"

#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_ring.h>

#define VIRTIO_QUEUES_MAX 8
#define VIRTIO_CONFIG_MAX 256

#define VIRTIO_BIT(n) (1ULL << (n))
/* Offered by every device, because virtq.c implements them. */
#define VIRTIO_RING_FEATURES                                                    \
	(VIRTIO_BIT(VIRTIO_F_VERSION_1) | VIRTIO_BIT(VIRTIO_RING_F_EVENT_IDX) | \
	 VIRTIO_BIT(VIRTIO_RING_F_INDIRECT_DESC))

struct virtio_device;

/* Implemented by devices; each may be NULL when there is nothing to do. */
struct virtio_device_ops {
	/* Something may be in the queue. It is running, or the call would not be made. */
	void (*kick)(struct virtio_device *dev, unsigned int queue);
	/* The driver has set the queue up / taken it away; kick follows the former. */
	void (*queue_started)(struct virtio_device *dev, unsigned int queue);
	void (*queue_stopped)(struct virtio_device *dev, unsigned int queue);
	/* The driver wrote to dev->config, already within the bytes the device declared writable.
	 */
	void (*config_written)(struct virtio_device *dev);
	/* Something the guest gave away has not arrived yet. */
	bool (*busy)(const struct virtio_device *dev);
	/*
	 * The driver's state and the queues come from a saved machine and run now; of what the
	 * device itself knew then (connections) nothing is left.
	 */
	void (*restored)(struct virtio_device *dev);
	void (*free)(struct virtio_device *dev);
};

/* Implemented by transports. */
struct virtio_transport_ops {
	/* Interrupts the driver: used buffers were published in `queue`. */
	void (*notify)(void *ctx, unsigned int queue);
	/* The driver broke the rules of `queue`, which is not served any more. */
	void (*broken)(void *ctx, unsigned int queue);
};

struct virtio_queue {
	struct virtq vq;
	struct virtio_device *dev;
	unsigned int index;
	struct ev kick_ev; /* the descriptor belongs to the transport */
};

struct virtio_device {
	const struct virtio_device_ops *ops;
	struct worker *worker; /* owned */
	uint32_t id;
	unsigned int num_queues;
	/*
	 * What a transport of ours offers as the largest size. Devices work with any up to
	 * VIRTQ_SIZE_MAX, because QEMU's mmio transport offers 1024 for all of them.
	 */
	uint16_t queue_size_max;
	uint64_t features; /* offered */
	uint64_t acked;    /* accepted by the driver; set by the transport before queues start */
	/* Configuration space (little-endian, virtio 1.2 section 2.5), what the driver reads. */
	uint8_t config[VIRTIO_CONFIG_MAX];
	uint32_t config_size;
	/* The one field of it that the driver may write; size 0: none. */
	uint32_t config_rw_offset;
	uint32_t config_rw_size;

	const struct virtio_transport_ops *transport;
	void *transport_ctx;
	struct virtio_queue queues[VIRTIO_QUEUES_MAX];
};

/*
 * For devices: sets the common part up and makes the worker. 0 or -errno. The device fills in
 * features and config afterwards.
 */
int virtio_device_init(struct virtio_device *dev, const struct virtio_device_ops *ops, uint32_t id,
		       const char *name, unsigned int num_queues, uint16_t queue_size_max);
/* Stops the worker and frees the device through its own operation. Returns NULL. */
struct virtio_device *virtio_device_free(struct virtio_device *dev);
/* For a device's free operation: releases what virtio_device_init made. */
void virtio_device_release(struct virtio_device *dev);

/* --- For transports. */

/*
 * Starts a queue: `kick_fd` is a non-blocking eventfd (not owned) or -1 when the
 * transport calls virtio_device_kick itself. 0 or -errno.
 */
int virtio_device_start_queue(struct virtio_device *dev, unsigned int queue,
			      const struct guest_mem *mem, const struct virtq_config *cfg,
			      int kick_fd);
/*
 * Looks at every running queue: the driver may have kicked just before it, or its machine, goes.
 * To be called before the first queue is stopped, because a device that loses one of its queues
 * may forget what the others are about.
 */
void virtio_device_last_look(struct virtio_device *dev);
/* Stops it; returns the index of the next chain. Harmless on a stopped queue (returns 0). */
uint16_t virtio_device_stop_queue(struct virtio_device *dev, unsigned int queue);
/* Makes the device look at the queue. */
void virtio_device_kick(struct virtio_device *dev, unsigned int queue);
/*
 * Only virtio_device_write_config changes what is read here, so a transport that lets no two of
 * these run at once may read on any thread.
 */
void virtio_device_read_config(struct virtio_device *dev, uint32_t offset, void *data,
			       uint32_t len);
void virtio_device_write_config(struct virtio_device *dev, uint32_t offset, const void *data,
				uint32_t len);

/* --- For devices. */

static inline struct virtq *virtio_queue(struct virtio_device *dev, unsigned int queue)
{
	return &dev->queues[queue].vq;
}

/* Publishes what was pushed and notifies the driver if it wants that. */
void virtio_device_publish(struct virtio_device *dev, unsigned int queue);
/* To be called when virtq_pop failed: stops watching for kicks and tells the transport. */
void virtio_device_queue_broken(struct virtio_device *dev, unsigned int queue);
/* Comes back to the kick operation after other events had their turn. */
void virtio_device_rekick(struct virtio_device *dev, unsigned int queue);
