/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parts of the launch spec (spec.h) that say what of the host the guest gets to see: folders
 * and files that are shared with it, and disks beside its own. Where they are mounted is the boot
 * configuration's (proto/boot_mount.h), which calls shares by their number.
 */
#pragma once

#include "base/err.h"

#include <jansson.h>

#define SPEC_SHARES_MAX 32
/* Of the machine's places for devices the others are taken. */
#define SPEC_DISKS_MAX 2

/*
 * What owners and modes a guest sees and may set: kept beside the files where that is possible and
 * else refused, kept or else ignored, or those of the host as they are.
 */
enum stat_virt { STAT_VIRT_STRICT, STAT_VIRT_RELAXED, STAT_VIRT_OFF, STAT_VIRT_COUNT };
/* What the host's permission bits of new files are: for their owner alone, or as the guest says. */
enum host_perms { HOST_PERMS_PRIVATE, HOST_PERMS_MIRROR, HOST_PERMS_COUNT };

struct share_spec {
	char *path; /* of the host, absolute; owned */
	bool file;  /* a single file and not a folder */
	bool read_only;
	bool follow_root_symlinks; /* the path may end in a symbolic link */
	uint64_t quota;            /* bytes that the guest may add; 0: no bound */
	uint64_t size;             /* bytes that there may be in all; 0: no bound */
	bool has_owner;            /* else it is root that the files belong to */
	uint32_t uid, gid;         /* of files of which nothing else is known */
	enum stat_virt stat_virt;
	enum host_perms host_perms;
};

struct disk_spec {
	char *path;   /* of a raw image, absolute; owned */
	char *serial; /* by which the guest finds it; owned */
	bool read_only;
};

const char *stat_virt_name(enum stat_virt v);
const char *host_perms_name(enum host_perms p);
/* 0, or -EINVAL for an unknown word. */
int stat_virt_parse(const char *s, enum stat_virt *ret);
int host_perms_parse(const char *s, enum host_perms *ret);

void share_spec_release(struct share_spec *s);
/* NULL when the path is not UTF-8. */
json_t *share_spec_to_json(const struct share_spec *s);
/* 0 with `ret` to be released, or -1. */
int share_spec_from_json(json_t *j, struct share_spec *ret);

void disk_spec_release(struct disk_spec *s);
json_t *disk_spec_to_json(const struct disk_spec *s);
int disk_spec_from_json(json_t *j, struct disk_spec *ret);
