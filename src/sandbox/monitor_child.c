/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/monitor_child.h"

#include "base/cleanup.h"
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define EVENTS_MAX ((size_t)8 << 10)
#define READ_SIZE  ((size_t)1024)
/* What a pipe holds at the most, in reads: a descendant that keeps writing is not listened to. */
#define LAST_READS 64

/* --- events -------------------------------------------------------------------------------- */

static void handle_line(struct child *c, const char *line)
{
	if (str_starts_with(line, "end "))
		snprintf(c->end, sizeof(c->end), "%s", line + 4);
	else
		c->on_event(c, line);
}

/* One read, so that a child that tells a lot does not keep the others waiting. Its result. */
static ssize_t read_events(struct child *c)
{
	uint8_t *p = buf_reserve(&c->events, READ_SIZE), *nl;
	ssize_t n = p ? read(c->events_fd, p, READ_SIZE) : 0;

	if (n > 0)
		buf_commit(&c->events, (size_t)n);
	while (n > 0 && (p = c->events.mem + c->events.start) &&
	       (nl = memchr(p, '\n', buf_len(&c->events)))) {
		*nl = '\0';
		handle_line(c, (char *)p);
		buf_consume(&c->events, (size_t)(nl + 1 - p));
	}
	if (n == 0)
		loop_del(c->loop, &c->events_ev);
	return n;
}

static void on_events(struct ev *ev, uint32_t events)
{
	read_events(container_of(ev, struct child, events_ev));
}

/* It is gone: what is left in the pipe is its last. */
static void drain(struct child *c)
{
	for (int i = 0; i < LAST_READS && c->events_ev.active && read_events(c) > 0; i++)
		;
}

static void on_pid(struct ev *ev, uint32_t events)
{
	struct child *c = container_of(ev, struct child, pid_ev);
	int status = 0;

	if (c->pid <= 0 || waitpid(c->pid, &status, 0) != c->pid)
		return;
	c->pid = 0;
	loop_del(c->loop, ev);
	drain(c);
	c->on_exit(c, status);
}

/* --- arguments ----------------------------------------------------------------------------- */

void child_args_init(struct child_args *a, const char *name, const char *log_level)
{
	*a = (struct child_args){.spawn = {.in = -1, .out = 2, .err = 2}};
	a->program = program_relative_path(name);
	a->spawn.path = a->program;
	strv_add(&a->argv, a->program);
	strv_take(&a->argv, xasprintf("--parent=%d", getpid()));
	if (log_level)
		strv_take(&a->argv, xasprintf("--log-level=%s", log_level));
}

void child_args_release(struct child_args *a)
{
	free(a->program);
	strv_release(&a->argv);
	for (size_t i = 0; i < a->n_fds; i++)
		close(a->fds[i]);
	a->n_fds = 0;
}

int child_hand_over(struct child_args *a, int fd)
{
	if (a->n_fds < ARRAY_SIZE(a->fds))
		a->fds[a->n_fds++] = fd;
	return spawn_pass_fd(&a->spawn, fd);
}

int child_add_pipe(struct child_args *a, const char *option, int *ret_read, struct err *e)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_sys(e, errno, "cannot make a pipe");
	*ret_read = fds[0];
	fd_set_nonblock(fds[0], true);
	strv_take(&a->argv, xasprintf("%s=%d", option, child_hand_over(a, fds[1])));
	return 0;
}

/* --- the process --------------------------------------------------------------------------- */

static int watch(struct child *c)
{
	int r;

	c->pidfd = (int)syscall(SYS_pidfd_open, c->pid, 0);
	if (c->pidfd < 0)
		return -errno;
	c->pid_ev = (struct ev){.fd = c->pidfd, .fn = on_pid};
	c->events_ev = (struct ev){.fd = c->events_fd, .fn = on_events};
	r = loop_add(c->loop, &c->pid_ev, EPOLLIN);
	return r < 0 ? r : loop_add(c->loop, &c->events_ev, EPOLLIN);
}

int child_start(struct child *c, struct child_args *a, struct err *e)
{
	pid_t pid;
	int r;

	buf_init(&c->events, EVENTS_MAX);
	if (child_add_pipe(a, "--events", &c->events_fd, e) < 0)
		return -1;
	a->spawn.argv = a->argv.v;
	pid = spawn_run(&a->spawn);
	if (pid < 0)
		return err_sys(e, -pid, "cannot start '%s'", a->program);
	c->pid = pid;
	r = watch(c);
	return r < 0 ? err_sys(e, -r, "cannot watch '%s'", a->program) : 0;
}

void child_kill(struct child *c)
{
	if (c->pid > 0) {
		kill(c->pid, SIGKILL);
		c->killed = true;
	}
}

void child_end(struct child *c)
{
	if (c->pid <= 0)
		return;
	child_kill(c);
	while (waitpid(c->pid, NULL, 0) < 0 && errno == EINTR)
		;
	c->pid = 0;
	loop_del(c->loop, &c->pid_ev);
	drain(c);
}

void child_release(struct child *c)
{
	loop_del(c->loop, &c->pid_ev);
	loop_del(c->loop, &c->events_ev);
	close_fd(&c->pidfd);
	close_fd(&c->events_fd);
	buf_release(&c->events);
}
