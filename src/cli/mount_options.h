/* SPDX-License-Identifier: Apache-2.0 */
/* Options about what is mounted in a sandbox that is to be made. */
#pragma once

#include "cli/mount.h"
#include "cli/opt.h"

struct mount_options {
	struct mount *v;
	size_t n;
};

extern const struct opt mount_opts[];

/* Adds a mount and takes it over. */
void mount_options_add(struct mount_options *o, struct mount *m);
/* What there is so far comes from a file: the command line may mount something else there. */
void mount_options_from_file(struct mount_options *o);

/*
 * Checks them with each other and with the host, and brings them in the order in which they are to
 * be mounted. It changes the mounts, though not their number. 0 or -1.
 */
int mount_options_check(const struct mount_options *o, struct err *e);
/* Adds "mounts" to a configuration that is to be stored (start.h); the options are checked. */
int mount_options_store(const struct mount_options *o, json_t *config, struct err *e);
