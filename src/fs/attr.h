/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owner, mode and kind of a file, which are one thing on the host and another in the guest.
 *
 * We run as an ordinary user: what the guest makes belongs to that user on the host, whoever made
 * it there, and no program with the s bit, no device and no pipe of the guest may exist on the
 * host. So what the guest says about a file is kept in an attribute of the file that only we read
 * (ATTR_OVERRIDE); on the host its owner can always read and write it, and group and others get
 * what the guest gave them only if the share says so (mirror). Devices, pipes and sockets are
 * empty files with such an attribute. A file without one belongs, in the guest, to the share's
 * owner if it is our user's, and to whom it belongs otherwise.
 *
 * Links cannot have attributes; they belong to the share's owner. Where the host's file system has
 * no attributes for users, the guest's mode gets as far as the host's can hold it, and a change of
 * the owner is forgotten (relaxed) or refused (strict). With SHARE_VIRT_OFF the guest sees and
 * changes what is there.
 */
#pragma once

#include "fs/node.h"

#include <linux/fuse.h>

#define ATTR_PRIVATE  "user.msb."
#define ATTR_OVERRIDE ATTR_PRIVATE "override_stat"

/* As the guest sees it. */
struct override {
	uint32_t uid;
	uint32_t gid;
	uint32_t mode; /* with S_IFMT */
	uint32_t rdev; /* of a device, the way FUSE and the guest's kernel encode it */
};

/* The length of the attribute: a version and the above, little-endian. */
#define OVERRIDE_SIZE 20

void override_encode(const struct override *o, uint8_t ret[OVERRIDE_SIZE]);
/* False for what is none of this version, or names a kind of file that an attribute cannot make. */
bool override_decode(const void *data, size_t len, struct override *ret);

/*
 * How the guest sees the file `name` in `dir`, of the descriptor itself if it is NULL, which looks
 * like `x` on the host.
 */
void attr_view(struct share *s, int dir, const char *name, const struct statx *x,
	       struct override *ret);
void attr_fill(const struct statx *x, const struct override *o, struct fuse_attr *ret);

/* The host's permissions for what the guest wants to have `mode`. */
uint32_t attr_host_mode(const struct share *s, uint32_t mode);
/*
 * Makes the guest see a file, of which there is an O_PATH or other descriptor and which looks like
 * `x`, as `want` instead of `have`. 0 or -errno.
 */
int attr_set(struct share *s, int fd, const struct statx *x, const struct override *have,
	     const struct override *want);
/*
 * The same for one that was just made with attr_host_mode(want->mode) and is open for more than
 * O_PATH.
 */
int attr_set_new(struct share *s, int fd, const struct override *want);
/*
 * Opens a file of this type again, of which there is an O_PATH descriptor, to change its
 * attributes: by calls that take a descriptor and no name. A descriptor, or -errno; -EPERM for what
 * must not be opened.
 */
int attr_open(const struct share *s, int fd, uint32_t type);

/* Finds out whether the file system of `fd` has attributes. */
bool attr_supported(int fd);
