/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The orderly end: every process is asked to go, then told to; the disks are left clean; the
 * asker gets its result; the machine resets, which is how an emulated one stops.
 */
#pragma once

#include "agent/server.h"
#include "agent/setup.h"

/* What processes get between the kill and the moment they are given up. */
#define HALT_KILL_NS (2 * NSEC_PER_SEC)

enum halt_stage { HALT_NONE, HALT_TERM, HALT_KILL, HALT_DRAIN };

struct halt {
	struct server *server;
	struct setup *setup;
	enum halt_stage stage;
	struct conn *conn; /* who asked */
	struct timer timer;
	uint64_t drain_deadline;
};

/* Makes `h` the one that carries a server's shutdown requests out. */
void halt_init(struct halt *h, struct server *server, struct setup *setup);

/* Resets the machine at once. */
_Noreturn void halt_now(void);
