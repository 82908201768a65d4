/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One thing that is mounted in a sandbox: how people write it, and how it is kept in the stored
 * configuration (start.h).
 */
#pragma once

#include "base/err.h"
#include "sandbox/spec_mounts.h"
#include "state/volumes.h"

#include <jansson.h>

enum mount_kind {
	MOUNT_DIR,   /* a folder of the host */
	MOUNT_FILE,  /* a single file of the host */
	MOUNT_NAMED, /* a volume */
	MOUNT_DISK,  /* a disk image of the host */
	MOUNT_TMPFS, /* memory */
	MOUNT_KIND_COUNT,
	MOUNT_PATH, /* MOUNT_DIR or MOUNT_FILE, whatever is there; never stored */
};

/* What may be added by the guest to a folder of the host if nothing is said. */
#define MOUNT_QUOTA_DEFAULT (4 * GIB)

/* Strings are owned; see mount_release. */
struct mount {
	enum mount_kind kind;
	char *source; /* a path of the host, or a volume's name; NULL for memory */
	char *target; /* in the guest: absolute, in the shortest form */
	/* Options. */
	unsigned given; /* a bit for each that was, to find those that come twice */
	bool read_only, noexec, nosuid, nodev;
	bool follow_root_symlinks;
	enum stat_virt stat_virt;
	enum host_perms host_perms;
	bool has_quota;
	uint64_t quota; /* bytes; 0: no bound */
	bool has_owner;
	uint32_t uid, gid;
	char *fstype;  /* of a disk; NULL: found out */
	uint64_t size; /* bytes; of memory, or of a volume that is yet to be made; 0: default */
	bool has_volume_kind;
	enum volume_kind volume_kind; /* of one that is yet to be made */
	/* How it came to be. */
	bool from_file;  /* from a configuration file, so that the command line may replace it */
	bool overridden; /* was replaced */
};

void mount_release(struct mount *m);

/*
 * "SOURCE:/GUEST[:OPTIONS]" with the source that the kind has, or "/GUEST[:SIZE][:OPTIONS]" for
 * memory. With MOUNT_PATH the source may also be a volume's name. Nothing of the host is looked at.
 * 0 with `ret` to be released, or -1.
 */
int mount_parse(enum mount_kind kind, const char *text, struct mount *ret, struct err *e);
/* The same of parts; `source` is NULL for memory, `options` may be. */
int mount_make(enum mount_kind kind, const char *source, const char *target, const char *options,
	       struct mount *ret, struct err *e);

/*
 * Looks at what the mount needs of the host, and makes the source absolute: it exists and is of
 * the kind, which is found out for MOUNT_PATH; disk images have a format and size that can be
 * used. 0 or -1.
 */
int mount_check_host(struct mount *m, struct err *e);

/* An object for the configuration; NULL when a string is not UTF-8. */
json_t *mount_to_json(const struct mount *m);
/* 0 with `ret` to be released, or -1. */
int mount_from_json(json_t *j, struct mount *ret);

/* "  TARGET → SOURCE (...)" without the first two blanks, for people; owned. */
char *mount_text(const struct mount *m);
