/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/halt.h"

#include "agent/init.h"
#include "agent/session.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"

#include <errno.h>
#include <signal.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

/* For programs' last output to reach its readers. */
#define DRAIN_NS   (1 * NSEC_PER_SEC)
#define DRAIN_POLL (5 * NSEC_PER_MSEC)

_Noreturn void halt_now(void)
{
	/* Not power-off: an emulated machine without ACPI would go on running. */
	reboot(RB_AUTOBOOT);
	for (;;)
		pause();
}

static bool has_children(void)
{
	siginfo_t si;

	return waitid(P_ALL, 0, &si, WEXITED | WNOHANG | WNOWAIT) == 0;
}

/* Nothing else is going on any longer, so this may block, though not for ever. */
static void answer(struct conn *c, int r)
{
	const struct timeval patience = {.tv_sec = 1};
	struct err e;
	json_t *j;
	char byte;

	if (r < 0)
		err_sys(&e, -r, "the writable disk could not be left clean");
	j = r < 0 ? message_error(&e) : message_ok();
	fd_set_nonblock(c->fd, false);
	setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (message_write(c->fd, FRAME_RESULT, j) < 0)
		return;
	shutdown(c->fd, SHUT_WR);
	while (read(c->fd, &byte, 1) > 0)
		; /* until the host closes: a reset could overtake the result */
}

static _Noreturn void finish(struct halt *h)
{
	int r = setup_undo(h->setup);

	if (r < 0)
		log_error("cannot leave the writable disk clean: errno %d", -r);
	answer(h->conn, r);
	halt_now();
}

static void drain(struct halt *h)
{
	uint64_t now = clock_mono_ns();

	if (h->stage != HALT_DRAIN) {
		h->stage = HALT_DRAIN;
		h->drain_deadline = now + DRAIN_NS;
	}
	if (h->server->n_sessions == 0 || now >= h->drain_deadline)
		finish(h);
	timer_set(h->server->loop, &h->timer, now + DRAIN_POLL);
}

static void on_childless(void *ctx)
{
	struct halt *h = ctx;

	if (h->stage != HALT_NONE && h->stage != HALT_DRAIN)
		timer_set(h->server->loop, &h->timer, 0);
}

static void enter(struct halt *h, enum halt_stage stage, uint64_t deadline)
{
	h->stage = stage;
	timer_set(h->server->loop, &h->timer, has_children() ? deadline : 0);
}

/* Asks the init by a signal, unless it does not listen to it. */
static bool ask_init(struct halt *h, enum halt_stage stage, int sig, unsigned share)
{
	pid_t pid = session_init_pid(h->server);
	uint64_t grace = MIN(h->grace_ns, HALT_INIT_NS);

	if (pid == 0 || !init_heeds(h->setup->proc, pid, sig) || kill(pid, sig) < 0)
		return false;
	enter(h, stage, clock_mono_ns() + grace * share / HALT_SHARES);
	return true;
}

static void ask_all(struct halt *h)
{
	uint64_t deadline = h->deadline;

	kill(-1, SIGTERM);
	kill(-1, SIGCONT);
	session_hangup_terminals(h->server);
	if (session_init_pid(h->server))
		deadline = MIN(deadline, clock_mono_ns() + HALT_TERM_NS);
	enter(h, HALT_TERM, deadline);
}

/* The next thing to do when what has been done does not end it. */
static void go_on(struct halt *h)
{
	if (h->stage < HALT_POWEROFF &&
	    ask_init(h, HALT_POWEROFF, SIGRTMIN + 4, HALT_POWEROFF_SHARE))
		return;
	if (h->stage < HALT_INIT_TERM && ask_init(h, HALT_INIT_TERM, SIGTERM, HALT_INIT_TERM_SHARE))
		return;
	if (h->stage < HALT_TERM) {
		ask_all(h);
	} else if (h->stage == HALT_TERM) {
		kill(-1, SIGKILL);
		enter(h, HALT_KILL, clock_mono_ns() + HALT_KILL_NS);
	} else {
		drain(h);
	}
}

static void on_timer(struct timer *t)
{
	struct halt *h = container_of(t, struct halt, timer);

	if (has_children())
		go_on(h);
	else
		drain(h);
}

static void on_shutdown(void *ctx, struct conn *c, uint64_t grace_ns)
{
	struct halt *h = ctx;

	h->conn = c;
	h->grace_ns = grace_ns;
	h->deadline = clock_mono_ns() + grace_ns;
	go_on(h);
}

void halt_init(struct halt *h, struct server *server, struct setup *setup)
{
	*h = (struct halt){.server = server, .setup = setup, .timer.fn = on_timer};
	server->on_shutdown = on_shutdown;
	server->on_childless = on_childless;
	server->ctx = h;
}
