/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/drain.h"

#include "base/clock.h"

/* Nothing tells when a socket's buffer is empty; this is only ever waited for at the end. */
#define POLL (2 * NSEC_PER_MSEC)

static void look(struct timer *t)
{
	struct drain *d = container_of(t, struct drain, timer);

	if (d->idle(d->ctx) || clock_mono_ns() >= d->deadline)
		d->done(d->ctx);
	else
		timer_set(d->loop, t, clock_mono_ns() + POLL);
}

void drain_start(struct drain *d, struct loop *loop, uint64_t max_ns, bool (*idle)(void *ctx),
		 void (*done)(void *ctx), void *ctx)
{
	*d = (struct drain){
		.loop = loop,
		.timer.fn = look,
		.deadline = clock_mono_ns() + max_ns,
		.idle = idle,
		.done = done,
		.ctx = ctx,
	};
	look(&d->timer);
}

void drain_cancel(struct drain *d)
{
	if (d->loop)
		timer_cancel(d->loop, &d->timer);
}
