/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A share: a directory or a single file of the host that the guest sees, what it may do there and
 * how much it may add. Of what the guest adds, its length and SHARE_OBJECT_COST per file are
 * counted, not blocks: the length is known without asking, and a file without blocks costs the
 * host something, too.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* What becomes of owner and mode that the guest sets: see attr.h. */
enum share_virt { SHARE_VIRT_RELAXED, SHARE_VIRT_STRICT, SHARE_VIRT_OFF };

struct share_config {
	int fd;    /* directory: O_PATH will do; file: open, for writing unless read_only; owned */
	bool file; /* a single regular file */
	bool read_only;
	uint64_t quota; /* bytes that the guest may add; 0: no limit */
	uint64_t size;  /* bytes that may be there in all; 0: no limit */
	uint32_t uid;   /* in the guest, of files that belong to our user */
	uint32_t gid;
	enum share_virt virt;
	bool mirror; /* permissions of group and others are set on the host, too */
};

#define SHARE_OBJECT_COST 4096

struct node;

struct share {
	struct share_config config;
	struct node *root;
	uint64_t dev;       /* of the root */
	uint32_t host_uid;  /* who we are on the host */
	bool keeps_xattrs;  /* the host's file system takes attributes of the user */
	uint64_t used;      /* what counts against the limit */
	bool counted;       /* what was there at the start is in `used` */
	uint64_t recount_s; /* when `used` was last counted anew, seconds of the monotonic clock */
};

/*
 * Counts `n` bytes more, all or nothing. 0, -ENOSPC, or -errno when it could not be found out how
 * much is there. A share that is full is counted anew once in a while: the host may have removed
 * something.
 */
int share_take(struct share *s, uint64_t n);
void share_give(struct share *s, uint64_t n);
/* How much may still be added; UINT64_MAX: no limit. */
uint64_t share_left(struct share *s);
/* The limit in bytes, 0 for none. */
uint64_t share_limit(const struct share *s);
