/* SPDX-License-Identifier: Apache-2.0 */
/* Entropy device (virtio 1.2, 5.4): the host's random numbers for the guest. */
#pragma once

#include "virtio/device.h"

/* NULL with errno set. */
struct virtio_device *rng_new(void);
