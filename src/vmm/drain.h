/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of a machine is reported only when what the guest sent has reached the host's programs:
 * the vCPUs are gone, but device threads may still hold bytes for slow readers.
 */
#pragma once

#include "base/loop.h"

struct drain {
	struct loop *loop;
	struct timer timer;
	uint64_t deadline;
	bool (*idle)(void *ctx);
	void (*done)(void *ctx);
	void *ctx;
};

/* Calls done(ctx) as soon as idle(ctx) says so, at the latest after `max_ns`; perhaps at once. */
void drain_start(struct drain *d, struct loop *loop, uint64_t max_ns, bool (*idle)(void *ctx),
		 void (*done)(void *ctx), void *ctx);
/* Harmless on one that was never started. */
void drain_cancel(struct drain *d);
