/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/log_follow.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "cli/cli.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <unistd.h>

#define STATUS_INTERRUPTED 130

int log_print(struct log_reader *r, struct log_view *v, bool last, struct err *e)
{
	struct log_entry entry;
	int n = 0, w = 0;

	while (w == 0 && (n = log_reader_next(r, last, &entry)) > 0) {
		if (log_reader_missed(r)) {
			fflush(stdout);
			print_warning("the log was written faster than it was read: "
				      "entries are missing here");
		}
		w = log_view_print(v, &entry);
	}
	if (n < 0)
		return err_sys(e, -n, "cannot read the log");
	if (w == 0 && fflush(stdout) != 0)
		w = -errno;
	return w < 0 ? err_sys(e, -w, "cannot write to standard output") : 0;
}

/* What was printed before stays in order: every round ends with a flush. */
static void on_interrupt(int signal)
{
	(void)signal;
	_exit(STATUS_INTERRUPTED);
}

/* Milliseconds until then, rounded up; -1: for ever. */
static int time_left(uint64_t until)
{
	uint64_t now = clock_real_ns(), ms;

	if (until == UINT64_MAX)
		return -1;
	ms = until > now ? (until - now) / NSEC_PER_MSEC + 1 : 0;
	return (int)MIN(ms, (uint64_t)INT32_MAX);
}

/* What happened does not matter, only that something did. */
static void drain(int fd)
{
	char events[4096];

	while (read(fd, events, sizeof(events)) > 0)
		;
}

int log_follow(struct log_reader *r, struct log_view *v, const char *dir, int monitor_fd,
	       uint64_t until, struct err *e)
{
	_cleanup_close_ int watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	struct sigaction interrupt = {.sa_handler = on_interrupt};
	enum { CHANGED, STOPPED, UNREAD };
	struct pollfd fds[] = {
		[CHANGED] = {.fd = watch, .events = POLLIN},
		[STOPPED] = {.fd = monitor_fd, .events = POLLIN | POLLRDHUP},
		[UNREAD] = {.fd = STDOUT_FILENO},
	};

	if (watch < 0 || inotify_add_watch(watch, dir, IN_MODIFY | IN_CREATE | IN_MOVED_TO) < 0)
		return err_sys(e, errno, "cannot watch '%s'", dir);
	sigaction(SIGINT, &interrupt, NULL);
	log_reader_follow(r);
	/* The watch is older than any look at the files, so nothing is written unseen. */
	for (;;) {
		int n;

		if (log_print(r, v, false, e) < 0)
			return -1;
		n = poll(fds, ARRAY_SIZE(fds), time_left(until));
		if (n < 0 && errno != EINTR)
			return err_sys(e, errno, "cannot wait for the log");
		if (n < 0)
			continue;
		if (n == 0 && time_left(until) != 0)
			continue;
		/* The monitor hangs up when it has written everything. */
		if (n == 0 || fds[STOPPED].revents)
			return log_print(r, v, true, e);
		if (fds[UNREAD].revents)
			return 0;
		drain(watch);
	}
}
