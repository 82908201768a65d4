/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pausing. msb-vmm takes one command at a time on a socket (vmm/control.h); clients that want a
 * pause or its end wait as sessions until the machine is as they want it:
 *
 *	running --"pause"--> (answer awaited) --"ok"--> paused --"resume"--> (...) --"ok"--> running
 *
 * The file `paused` in the run directory tells who has not asked the monitor. It is there from
 * before the machine is told to stand still until after it runs again, and counts only while the
 * monitor holds the sandbox's lock.
 *
 * msb-vmm is not trusted: an answer has a bound and one of two forms, nothing waits for it in a
 * system call, and after one that is wrong or late there are no more commands. The sandbox can
 * still be stopped then, because that ends with a kill.
 */
#include "sandbox/monitor.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

#define ANSWER_MAX ((size_t)512)
#define PATIENCE   (20 * NSEC_PER_SEC)
#define FILE_NAME  "paused"

/* Answers all that want `what` (WANTS_NOTHING: anything): with ok for a NULL text. */
static void answer_those_who_want(struct monitor *m, enum pause_want what, const char *error)
{
	struct session *s = m->sessions;

	while (s) {
		struct session *next = s->next;

		if (s->wants != WANTS_NOTHING && (what == WANTS_NOTHING || s->wants == what)) {
			if (error)
				session_answer_error(s, ERR_STATE, error);
			else
				session_answer(s, message_ok());
		}
		s = next;
	}
}

static void give_up(struct monitor *m, const char *why)
{
	loop_del(m->loop, &m->pause.ev);
	timer_cancel(m->loop, &m->pause.patience);
	close_fd(&m->pause.fd);
	m->pause.commanded = WANTS_NOTHING;
	if (!m->pause.paused)
		unlinkat(m->run_dir, FILE_NAME, 0);
	answer_those_who_want(m, WANTS_NOTHING, why);
}

static void on_impatience(struct timer *t)
{
	give_up(container_of(t, struct monitor, pause.patience), "the machine does not answer");
}

static void command(struct monitor *m, enum pause_want what)
{
	const char *text = what == WANTS_PAUSE ? "pause" : "resume";
	int fd;

	if (what == WANTS_PAUSE) {
		fd = openat(m->run_dir, FILE_NAME, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		if (fd < 0) {
			answer_those_who_want(m, what, "cannot note the pause down");
			return;
		}
		close(fd);
	}
	m->pause.commanded = what;
	m->pause.patience.fn = on_impatience;
	timer_set(m->loop, &m->pause.patience, clock_mono_ns() + PATIENCE);
	if (send(m->pause.fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		give_up(m, "the machine takes no commands");
}

/* What the next command must be for; WANTS_NOTHING when everybody has what they want. */
static enum pause_want next_want(const struct monitor *m)
{
	enum pause_want now = m->pause.paused ? WANTS_PAUSE : WANTS_RESUME;

	if (m->state == MONITOR_STOPPING)
		return m->pause.paused ? WANTS_RESUME : WANTS_NOTHING;
	for (const struct session *s = m->sessions; s; s = s->next)
		if (s->wants != WANTS_NOTHING && s->wants != now)
			return s->wants;
	return WANTS_NOTHING;
}

void pause_step(struct monitor *m)
{
	enum pause_want what;

	if (m->pause.commanded != WANTS_NOTHING ||
	    (m->state != MONITOR_READY && m->state != MONITOR_STOPPING))
		return;
	if (m->state == MONITOR_STOPPING)
		answer_those_who_want(m, WANTS_NOTHING, "the sandbox is stopping");
	answer_those_who_want(m, m->pause.paused ? WANTS_PAUSE : WANTS_RESUME, NULL);
	what = next_want(m);
	if (what == WANTS_NOTHING)
		return;
	if (m->pause.fd < 0)
		answer_those_who_want(m, what, "the machine takes no commands");
	else
		command(m, what);
}

static void done(struct monitor *m)
{
	m->pause.paused = m->pause.commanded == WANTS_PAUSE;
	m->pause.commanded = WANTS_NOTHING;
	if (m->pause.paused) {
		limits_paused(m);
	} else {
		unlinkat(m->run_dir, FILE_NAME, 0);
		limits_used(m);
	}
	pause_step(m);
}

static void failed(struct monitor *m, const char *text)
{
	enum pause_want what = m->pause.commanded;

	m->pause.commanded = WANTS_NOTHING;
	if (!m->pause.paused)
		unlinkat(m->run_dir, FILE_NAME, 0);
	answer_those_who_want(m, what, text);
	/* While stopping it would be tried again and again; the deadline is what helps then. */
	if (m->state == MONITOR_READY)
		pause_step(m);
}

/*
 * Reads an answer as a text that can do no harm. False when there is none to come, or it cannot be
 * one.
 */
static bool receive(int fd, char text[ANSWER_MAX + 1])
{
	struct iovec iov = {text, ANSWER_MAX};
	struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t n = recvmsg(fd, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	text[MAX(n, 0)] = '\0';
	for (ssize_t i = 0; i < n; i++)
		if (text[i] < ' ' || text[i] > '~')
			text[i] = '?';
	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	/* Descriptors that come along find no room, and the kernel closes them. */
	return n > 0 && !(mh.msg_flags & (MSG_TRUNC | MSG_CTRUNC));
}

static void on_answer(struct ev *ev, uint32_t events)
{
	struct monitor *m = container_of(ev, struct monitor, pause.ev);
	char text[ANSWER_MAX + 1];

	if (!receive(ev->fd, text)) {
		give_up(m, "the machine takes no commands any more");
		return;
	}
	if (!text[0])
		return;
	if (m->pause.commanded == WANTS_NOTHING ||
	    (strcmp(text, "ok") != 0 && !str_starts_with(text, "error "))) {
		give_up(m, "the machine gives answers that are none");
		return;
	}
	timer_cancel(m->loop, &m->pause.patience);
	if (strcmp(text, "ok") == 0)
		done(m);
	else
		failed(m, text + strlen("error "));
}

int pause_open(struct monitor *m, struct err *e)
{
	int sv[2], r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) < 0)
		return err_sys(e, errno, "cannot make the socket for commands");
	m->pause.fd = sv[0];
	m->pause.ev = (struct ev){.fd = sv[0], .fn = on_answer};
	r = loop_add(m->loop, &m->pause.ev, EPOLLIN);
	if (r == 0)
		return sv[1];
	close(sv[1]);
	return err_sys(e, -r, "cannot watch the socket for commands");
}

void pause_release(struct monitor *m)
{
	loop_del(m->loop, &m->pause.ev);
	timer_cancel(m->loop, &m->pause.patience);
	close_fd(&m->pause.fd);
}
