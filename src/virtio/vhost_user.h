/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vhost-user back-end: offers a struct virtio_device to another process (QEMU) over a connected
 * unix stream socket. Theory of operation at the head of vhost_user.c.
 */
#pragma once

#include "virtio/device.h"

struct vhost_user;

/*
 * Takes the socket and the device over, also when it fails (NULL with errno), and sets itself up
 * on the device's worker, which must not run yet.
 */
struct vhost_user *vhost_user_new(struct virtio_device *dev, int fd);
/* Starts the device's thread. 0 or -errno. */
int vhost_user_start(struct vhost_user *vu);
/* Stops the thread and frees everything, the device included. Returns NULL. */
struct vhost_user *vhost_user_free(struct vhost_user *vu);

/*
 * True when the front-end is gone and everything the guest sent has reached the host's programs:
 * nothing is lost by freeing the device now. Any thread may ask.
 */
bool vhost_user_idle(struct vhost_user *vu);

/*
 * Queues of the device that are running / whose driver broke the rules; any thread may ask. For
 * tests and diagnostics.
 */
unsigned int vhost_user_running_queues(struct vhost_user *vu);
bool vhost_user_broken(const struct vhost_user *vu);
