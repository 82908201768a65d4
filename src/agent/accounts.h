/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Users and groups of the guest's own root: /etc/passwd and /etc/group are read as text, without
 * NSS, because their author is the image and the reader is a static program. Both are untrusted:
 * they may be missing, huge, malformed or not even files; lines that make no sense are skipped.
 */
#pragma once

#include "base/err.h"

#include <sys/types.h>

#define ACCOUNT_FILE_MAX   ((size_t)4 << 20)
#define ACCOUNT_GROUPS_MAX 256

/* Whom a program runs as. */
struct account {
	uid_t uid;
	gid_t gid;
	gid_t groups[ACCOUNT_GROUPS_MAX]; /* supplementary ones, without `gid` */
	size_t n_groups;
	char *home; /* never NULL; "/" when nobody says otherwise */
};

void account_release(struct account *a);

/*
 * Resolves "name", "uid", "name:group", "uid:gid" and mixtures of them with the text of the two
 * files (NULL for a missing one). `spec` NULL or empty is uid 0. A number need not be listed;
 * then its group is 0 and its home "/". Supplementary groups come from the group file unless the
 * spec names a group. 0, or -1 with the error set and nothing to release.
 */
int account_resolve(const char *spec, const char *passwd, const char *group, struct account *ret,
		    struct err *e);

/* The same with the files of the running root. May block on them: not for PID 1 itself. */
int account_lookup(const char *spec, struct account *ret, struct err *e);
