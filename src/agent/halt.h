/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The orderly end: an init of the sandbox's own is asked to end it all, every process is asked to
 * go, then told to; the disks are left clean; the asker gets its result; the machine resets, which
 * is how an emulated one stops.
 */
#pragma once

#include "agent/server.h"
#include "agent/setup.h"

/* What processes get between the kill and the moment they are given up. */
#define HALT_KILL_NS (2 * NSEC_PER_SEC)

/*
 * Of the time that the guest has, at most of so much, its init gets shares for each of two
 * attempts; what is left is for the processes that it leaves.
 */
#define HALT_INIT_NS         (9 * NSEC_PER_SEC)
#define HALT_SHARES          9
#define HALT_POWEROFF_SHARE  5
#define HALT_INIT_TERM_SHARE 3
/* With an init, what they get at most: others do not have its time. */
#define HALT_TERM_NS (2 * NSEC_PER_SEC)

enum halt_stage {
	HALT_NONE,
	HALT_POWEROFF,  /* the init got the signal by which systemd switches off */
	HALT_INIT_TERM, /* the init got SIGTERM */
	HALT_TERM,      /* all processes did */
	HALT_KILL,
	HALT_DRAIN, /* none is left; results are on their way */
};

struct halt {
	struct server *server;
	struct setup *setup;
	enum halt_stage stage;
	struct conn *conn; /* who asked */
	struct timer timer;
	uint64_t grace_ns; /* for all stages up to the kill */
	uint64_t deadline; /* their end */
	uint64_t drain_deadline;
};

/* Makes `h` the one that carries a server's shutdown requests out. */
void halt_init(struct halt *h, struct server *server, struct setup *setup);

/* Resets the machine at once. */
_Noreturn void halt_now(void);
