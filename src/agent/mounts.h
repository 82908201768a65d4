/* SPDX-License-Identifier: Apache-2.0 */
/* What the user wants mounted into the sandbox: memory, folders and files of the host, disks. */
#pragma once

#include "base/err.h"
#include "proto/message.h"

/* Room for the path of a disk's device. */
#define DISK_PATH_MAX 32

/*
 * Turns what the configuration calls a disk into its device: a path in /dev is taken as it is (the
 * host knows in which order it attached the disks), anything else is looked for as a serial.
 */
int disk_find(const char *disk, char *path, size_t size, struct err *e);

/* Grows a mounted ext4 on this device to `size` bytes when it is smaller. 0 or -errno. */
int disk_grow(const char *device, const char *mounted, uint64_t size);

/* Mounts a share at an absolute path, with the flags that it is to have. 0 or -errno. */
int share_mount(int shares, const char *name, uint64_t attributes, const char *path);

/*
 * Mounts the file system of all shares at a directory of the initramfs, if there is any share.
 * `ret` is a descriptor of it, or -1 when there is none. 0 or -1.
 */
int mounts_open_shares(const struct boot_config *c, int *ret, struct err *e);

/*
 * Mounts everything below "/", which is the sandbox's root: so are links on the way followed. The
 * shares are reachable by nothing but these mounts afterwards; `shares` is what the function above
 * returned. 0 or -1.
 */
int mounts_make(const struct boot_config *c, int shares, struct err *e);
