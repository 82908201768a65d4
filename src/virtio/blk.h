/* SPDX-License-Identifier: Apache-2.0 */
/* Block device (virtio 1.2, 5.2) on a struct disk. */
#pragma once

#include "base/stats.h"
#include "virtio/device.h"
#include "virtio/disk.h"

/* Longest serial number; the driver shows it in /sys/block/vdX/serial. */
#define BLK_SERIAL_MAX 20

/*
 * Takes the disk over, also when it fails (NULL with errno). `serial` is cut at
 * BLK_SERIAL_MAX bytes.
 */
struct virtio_device *blk_new(struct disk *disk, const char *serial);
/* Has it count in `counts`, which must live as long, from before its queue is started. */
void blk_count(struct virtio_device *dev, struct stats_disk *counts);
