/* SPDX-License-Identifier: Apache-2.0 */
#include "base/helper.h"

#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

int helper_option(const char *arg, char **ret_name, const char **ret_value, struct err *e)
{
	const char *eq = strchr(arg, '=');

	if (!str_starts_with(arg, "--"))
		return err_set(e, ERR_USAGE, "unexpected argument '%s'", arg);
	if (!eq)
		return err_set(e, ERR_USAGE, "unknown option '%s', or its '=VALUE' is missing",
			       arg);
	*ret_name = xstrndup(arg, (size_t)(eq - arg));
	*ret_value = eq + 1;
	return 0;
}

int helper_fd(const char *name, const char *value, int *fd, struct err *e)
{
	uint64_t n;
	int flags;

	if (*fd >= 0)
		return err_set(e, ERR_USAGE, "%s is given twice", name);
	if (parse_u64(value, INT_MAX, &n) < 0)
		return err_set(e, ERR_USAGE, "%s: '%s' is no descriptor number", name, value);
	flags = fcntl((int)n, F_GETFD);
	if (flags < 0)
		return err_set(e, ERR_USAGE, "%s: descriptor %d is not open", name, (int)n);
	/* One that was inherited is not close-on-exec, so it was named before or is our own. */
	if (flags & FD_CLOEXEC)
		return err_set(e, ERR_USAGE, "%s: descriptor %d is used twice", name, (int)n);
	/* From here on nothing that we start gets it by accident. */
	if (fcntl((int)n, F_SETFD, flags | FD_CLOEXEC) < 0)
		return err_sys(e, errno, "%s: cannot use descriptor %d", name, (int)n);
	*fd = (int)n;
	return 0;
}

int helper_count(const char *name, const char *value, unsigned int min, unsigned int max,
		 unsigned int *ret, struct err *e)
{
	uint64_t n;

	if (parse_u64(value, max, &n) < 0 || n < min)
		return err_set(e, ERR_USAGE, "%s: '%s' is not a number from %u to %u", name, value,
			       min, max);
	*ret = (unsigned int)n;
	return 0;
}

int helper_log_level(const char *name, const char *value, enum log_level *ret, struct err *e)
{
	if (log_level_parse(value, ret) < 0)
		return err_set(e, ERR_USAGE, "%s: unknown level '%s'", name, value);
	return 0;
}

int helper_bind(pid_t parent, struct err *e)
{
	struct rlimit files;

	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return err_sys(e, errno, "cannot bind to the parent process");
	if (getppid() != parent)
		return err_set(e, ERR_CANCELLED, "the parent process is gone");
	/* Every connection of the guest is a descriptor. */
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	return 0;
}

int helper_watch_signals(struct loop *loop, struct ev *ev, struct err *e)
{
	sigset_t set;

	sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	ev->fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (ev->fd < 0 || loop_add(loop, ev, EPOLLIN) < 0)
		return err_sys(e, errno, "cannot watch signals");
	return 0;
}

/* #syscalls:main read */
int helper_take_signal(struct ev *ev)
{
	struct signalfd_siginfo si;

	return read(ev->fd, &si, sizeof(si)) == sizeof(si) ? (int)si.ssi_signo : 0;
}

/* #syscalls:main write */
void helper_event(int fd, const char *fmt, ...)
{
	char line[HELPER_EVENT_MAX];
	va_list ap;
	size_t n;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line) - 1, fmt, ap);
	va_end(ap);
	for (char *p = line; *p; p++)
		if ((unsigned char)*p < ' ')
			*p = ' ';
	n = strlen(line);
	line[n++] = '\n';
	/* Without a reader there is no owner any more; its death ends us anyhow. */
	if (write_full(fd, line, n) < 0)
		log_debug("nobody reads the events");
}
