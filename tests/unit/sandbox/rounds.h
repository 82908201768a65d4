/* SPDX-License-Identifier: Apache-2.0 */
/* Running the monitor's loop in tests, where all that peers send is there before it runs. */
#pragma once

#include "base/clock.h"
#include "base/loop.c" /* to run it more than once */

struct rounds {
	struct loop *loop;
	struct timer timer;
	int left;
};

static void count_round(struct timer *t)
{
	struct rounds *r = container_of(t, struct rounds, timer);

	if (--r->left)
		timer_set(r->loop, t, clock_mono_ns());
	else
		loop_stop(r->loop);
}

/* Lets everything that is there be handled: some rounds of the loop. */
static inline void run_rounds(struct loop *l, int n)
{
	struct rounds r = {.loop = l, .timer.fn = count_round, .left = n};

	timer_set(l, &r.timer, 0);
	assert_int_equal(loop_run(l), 0);
	l->stop = false;
}
