/* SPDX-License-Identifier: Apache-2.0 */
/* File system device (virtio 1.2, 5.11): the host's shares for the guest. */
#pragma once

#include "fs/share.h"
#include "virtio/device.h"

/* By which the guest mounts it. */
#define FS_TAG "msb"

/*
 * See server_new. NULL with errno set.
 */
struct virtio_device *fs_device_new(const struct share_config *shares, unsigned n, size_t max_nodes,
				    unsigned *ret_bad);
