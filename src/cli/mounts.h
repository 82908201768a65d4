/* SPDX-License-Identifier: Apache-2.0 */
/* What a sandbox has mounted: its volumes made ready, the launch, and how it is shown. */
#pragma once

#include "cli/cli.h"
#include "cli/mount_options.h"
#include "sandbox/spec.h"

/*
 * Checks volumes that exist against what the options want of them, before any work is done. The
 * options are checked. 0 or -1.
 */
int mounts_check_volumes(struct cli *cli, const struct mount_options *o, struct err *e);
/* Warns of a folder by which the sandbox could change msb's own files. */
void mounts_warn(const struct cli *cli, const struct mount_options *o);

/*
 * Makes those that are missing; adds their names to `ret_made`, which the caller has to remove
 * again (mounts_remove_volumes) when the sandbox is not made after all. 0 or -1.
 */
int mounts_make_volumes(struct cli *cli, const struct mount_options *o, struct strv *ret_made,
			struct err *e);
void mounts_remove_volumes(struct cli *cli, const struct strv *made);

/* Fills mounts, shares and disks of a launch spec from the stored configuration. 0 or -1. */
int mounts_launch(struct cli *cli, json_t *config, struct launch_spec *s, struct err *e);

/* The path of the empty file system of which volumes that are disks are made; owned. */
char *volume_template(void);
