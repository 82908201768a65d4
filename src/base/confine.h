/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The steps by which a program gives up what it does not need any more. Each only takes away. Which
 * steps a program takes, and when, is said in its own jail.h.
 */
#pragma once

#include "base/err.h"

#include <linux/filter.h>

/* No new privileges, no core files. 0, or -1 with an error. */
int confine_privileges(struct err *e);
/* No debugger, unless MSB_DEBUG is in the environment. 0, or -1 with an error. */
int confine_debuggers(struct err *e);
/*
 * Takes `what` (LANDLOCK_DENY_*) away. A kernel without Landlock, or with one that is too old for
 * it, is fine. 0, or -1 with an error.
 */
int confine_landlock(unsigned int what, struct err *e);

/* A directory in which files may still be opened by name. */
struct confine_tree {
	int fd;
	bool write;
};

/* As confine_landlock, but for these directories. */
int confine_landlock_but(unsigned int what, const struct confine_tree *trees, size_t n,
			 struct err *e);

/* A seccomp filter, made by tools/mkjail. */
struct jail_filter {
	const char *name;
	const struct sock_filter *code;
	unsigned short n;
};

/* Whether the kernel can end a process for a call that is in no list. 0, or -1 with an error. */
int confine_calls_available(struct err *e);
/* Puts the calling thread under the filter. 0 or -errno. */
int confine_calls(const struct jail_filter *filter);
