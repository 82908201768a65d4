/* SPDX-License-Identifier: Apache-2.0 */
/* Making the sandbox's root out of its disks, and taking it apart again. */
#pragma once

#include "base/err.h"
#include "proto/message.h"

struct setup {
	int boot_root;  /* the initramfs, to come back to for the shutdown */
	int new_root;   /* the sandbox's root */
	bool is_shared; /* which is a folder of the host */
	int devpts;     /* directory of terminals */
	int random;     /* the kernel's random device */
	int proc;       /* the agent's own /proc, when there is an init with another; or -1 */
};

void setup_init(struct setup *s);

/*
 * What does not depend on the configuration, so that it can be done while the host prepares it:
 * /dev, the random device and the loopback interface.
 */
int setup_early(struct setup *s, struct err *e);

/*
 * Everything else: afterwards "/" is the sandbox's root with all mounts, and the host name, clock
 * and limits are set and the network is up. The error names the step that failed.
 */
int setup_root(struct setup *s, const struct boot_config *c, struct err *e);

/*
 * Gives the sandbox's root up, whatever its programs have unmounted or mounted over,
 * and leaves its writable disk clean. No other process may be alive.
 * Returns 0 or -errno; then the disk is as after a power cut.
 */
int setup_undo(struct setup *s);
