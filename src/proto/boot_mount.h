/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the agent mounts into the sandbox's root before anything runs, as part of the boot
 * configuration (message.h): memory, folders and files of the host that come through the shared
 * file system, and disks.
 */
#pragma once

#include "base/err.h"

#include <jansson.h>

#define BOOT_MOUNTS_MAX 64

enum boot_mount_kind { BOOT_MOUNT_TMPFS, BOOT_MOUNT_SHARE, BOOT_MOUNT_DISK, BOOT_MOUNT_KIND_COUNT };

/* Strings are owned; see boot_mount_release. */
struct boot_mount {
	enum boot_mount_kind kind;
	char *path;    /* in the guest, absolute and not "/" */
	char *source;  /* share: its name in the shared file system; disk: its serial */
	char *fstype;  /* disk; NULL: found out */
	uint64_t size; /* bytes; tmpfs: 0 is half of the memory; disk: an ext4 is grown to this */
	bool file;     /* the share is a single file */
	bool read_only, noexec, nosuid, nodev;
};

/* Whether it can be a name in the root of the shared file system, and leads nowhere else. */
bool boot_share_name_ok(const char *s);

void boot_mount_release(struct boot_mount *m);
/* {"kind": K, "path": P, ...}, without what is not set; NULL when a string is not UTF-8. */
json_t *boot_mount_to_json(const struct boot_mount *m);
/* 0 with `ret` to be released, or -1. */
int boot_mount_from_json(json_t *j, struct boot_mount *ret, struct err *e);
