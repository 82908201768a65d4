/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory balloon (virtio 1.2, 5.5) with free page reporting: memory that the guest has freed is
 * given back to the host while the guest runs.
 */
#pragma once

#include "virtio/device.h"

/*
 * `discard` gives guest memory back to the host: its contents are lost, it stays usable. It is
 * called on the device's thread with a range that lies within guest memory and is a multiple of
 * 4096 bytes. NULL with errno.
 */
struct virtio_device *balloon_new(void (*discard)(void *ctx, void *host, size_t len), void *ctx);
