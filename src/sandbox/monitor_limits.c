/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sandbox's own limits: how long it may run in all, and how long nobody may use it.
 *
 * It is used while a session with a program or with files is open, and at the moment of a touch.
 * No session has to start or stop a clock for that: the idle time starts anew whenever one ends,
 * and when it is over while others are open, those will start it again at their own ends. While the
 * sandbox is paused nobody can use it, so that is no idle time; the maximum duration goes on.
 */
#include "sandbox/monitor.h"

#include "base/clock.h"

static bool is_used(const struct monitor *m)
{
	for (const struct session *s = m->sessions; s; s = s->next)
		if (s->is_use)
			return true;
	return false;
}

static void on_lifetime(struct timer *t)
{
	struct monitor *m = container_of(t, struct monitor, limits.lifetime);
	char limit[DURATION_LEN];

	duration_format(m->spec.max_duration_s, limit);
	monitor_stop_for(m, END_MAX_DURATION, "its maximum duration of %s is over", limit);
}

static void on_idle(struct timer *t)
{
	struct monitor *m = container_of(t, struct monitor, limits.idle);
	char limit[DURATION_LEN];

	if (is_used(m))
		return;
	duration_format(m->spec.idle_timeout_s, limit);
	monitor_stop_for(m, END_IDLE, "idle for %s", limit);
}

void limits_used(struct monitor *m)
{
	m->limits.idle.fn = on_idle;
	if (m->spec.idle_timeout_s && m->state == MONITOR_READY && !m->pause.paused)
		timer_set(m->loop, &m->limits.idle,
			  clock_mono_ns() + m->spec.idle_timeout_s * NSEC_PER_SEC);
}

void limits_paused(struct monitor *m)
{
	timer_cancel(m->loop, &m->limits.idle);
}

void limits_start(struct monitor *m)
{
	m->limits.lifetime.fn = on_lifetime;
	if (m->spec.max_duration_s)
		timer_set(m->loop, &m->limits.lifetime,
			  clock_mono_ns() + m->spec.max_duration_s * NSEC_PER_SEC);
	limits_used(m);
}
