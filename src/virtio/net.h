/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Virtio network device (virtio 1.2, 5.1): carries the guest's frames, each with its
 * virtio_net_hdr, to and from the rings that msb-net is at the other end of. Checksums and
 * segmentation are left to whoever is at the other end, both ways (CSUM, GUEST_CSUM, TSO4/6,
 * GUEST_TSO4/6, MRG_RXBUF, MTU).
 */
#pragma once

#include "base/stats.h"

#include <stdint.h>

struct virtio_device;

#define NET_QUEUE_RX 0
#define NET_QUEUE_TX 1

struct net_device_config {
	uint8_t mac[6];
	uint16_t mtu;
	int rings_fd; /* file of frame_rings; not kept */
	int wake_fd;  /* eventfd on which we wake msb-net; taken over */
	int call_fd;  /* eventfd on which it wakes us; taken over */
};

/* NULL with errno set; the two descriptors are closed in any case then. */
struct virtio_device *net_device_new(const struct net_device_config *c);
/* Where it counts bytes and frames of the guest; NULL: nowhere. Before it is started. */
void net_device_count(struct virtio_device *dev, struct stats_net *stats);
