/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/launch.h"

#include "base/cleanup.h"
#include "base/io.h"
#include "base/process.h"
#include "sandbox/logfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/*
 * Opens what the monitor and its children write to as their standard error. It starts with the
 * time, which those lines do not have, and is moved out of the way when it has grown too long.
 */
static int open_runtime_log(const struct launch_spec *spec, struct err *e)
{
	_cleanup_free_ char *path = xasprintf("%s/logs", spec->sandbox_dir);
	_cleanup_close_ int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	static const char text[] = "the monitor is started\n";
	struct logfile log;
	int r = dir < 0 ? -errno : logfile_open(&log, dir, "runtime.log");

	if (r < 0)
		return err_sys(e, -r, "cannot open '%s/runtime.log'", path);
	logfile_console(&log, text, sizeof(text) - 1);
	return log.fd < 0 ? err_set(e, ERR_SYSTEM, "cannot make '%s/runtime.log'", path) : log.fd;
}

static int spawn_monitor(const struct launch_spec *spec, int launch_fd, int control_fd, int lock_fd,
			 struct err *e)
{
	_cleanup_free_ char *program = program_relative_path("../lib/msb-monitor");
	_cleanup_close_ int log_fd = open_runtime_log(spec, e);
	struct spawn s = {.path = program, .in = -1, .new_session = true};
	struct strv argv = {0};
	pid_t pid;

	if (log_fd < 0)
		return -1;
	s.out = s.err = log_fd;
	strv_add(&argv, "msb-monitor");
	strv_take(&argv, xasprintf("--launch=%d", spawn_pass_fd(&s, launch_fd)));
	strv_take(&argv, xasprintf("--control=%d", spawn_pass_fd(&s, control_fd)));
	strv_take(&argv, xasprintf("--lock=%d", spawn_pass_fd(&s, lock_fd)));
	s.argv = argv.v;
	pid = spawn_run(&s);
	strv_release(&argv);
	if (pid < 0) {
		err_sys(e, -pid, "cannot start '%s'", program);
		return err_hint(e, "the installation is incomplete: run `make install` again");
	}
	return pid;
}

int launch_start(const struct home *h, const struct sandbox_row *row, int lock_fd,
		 const struct launch_spec *spec, struct launch *ret, struct err *e)
{
	_cleanup_free_ char *run_path = sandbox_run_dir(h, row->id);
	_cleanup_close_ int run_dir = -1, control_fd = -1, theirs = -1;
	struct launch l = {.fd = -1};
	json_t *request;
	int fds[2], r;

	run_dir = open(run_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (run_dir < 0)
		return err_sys(e, errno, "cannot open '%s'", run_path);
	control_fd = unix_listen_at(run_dir, "control.sock", 128);
	if (control_fd < 0)
		return err_sys(e, -control_fd, "cannot listen in '%s'", run_path);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		return err_sys(e, errno, "cannot make a socket pair");
	l.fd = fds[0];
	theirs = fds[1];
	buf_init(&l.in, FRAME_HEADER_LEN + 64 * KIB);
	l.pid = spawn_monitor(spec, theirs, control_fd, lock_fd, e);
	if (l.pid < 0) {
		launch_release(&l);
		return -1;
	}
	request = launch_spec_to_json(spec);
	r = request ? message_write(l.fd, FRAME_REQUEST, request) : -EINVAL;
	json_decref(request);
	if (r < 0) {
		launch_release(&l);
		return err_sys(e, -r, "cannot send the launch spec");
	}
	*ret = l;
	return 0;
}

int launch_wait_ready(struct launch *l, struct launch_times *ret, struct err *e)
{
	struct frame f;
	json_int_t t[7] = {0};
	json_t *j;
	int r = frame_read(l->fd, &l->in, &f);

	if (r <= 0) {
		err_set(e, ERR_BOOT, "the sandbox's monitor ended unexpectedly");
		return err_hint(e, "its log may say why: logs/runtime.log of the sandbox");
	}
	j = message_parse(f.payload, f.len, e);
	if (!j)
		return -1;
	if (f.type == FRAME_RESULT) {
		r = message_check(j, e);
		if (r == 0)
			r = err_set(e, ERR_INTERNAL, "unexpected answer of the monitor");
	} else {
		r = json_unpack(j, "{s:{s:I, s:I, s:I, s:I, s:I, s:I, s:I}}", "times", "start",
				&t[0], "spec", &t[1], "spawned", &t[2], "hello", &t[3], "net",
				&t[4], "ready", &t[5], "agent_setup_ns", &t[6]);
		if (r < 0)
			err_set(e, ERR_INTERNAL, "unexpected answer of the monitor");
	}
	json_decref(j);
	if (r == 0 && ret)
		*ret = (struct launch_times){
			.start = (uint64_t)t[0],
			.spec = (uint64_t)t[1],
			.spawned = (uint64_t)t[2],
			.hello = (uint64_t)t[3],
			.net = (uint64_t)t[4],
			.ready = (uint64_t)t[5],
			.agent_setup_ns = (uint64_t)t[6],
		};
	return r;
}

static void read_outcome(const struct frame *f, struct launch_outcome *ret)
{
	json_t *j = f->type == FRAME_EVENT ? message_parse(f->payload, f->len, NULL) : NULL;
	const char *event = NULL, *cause = NULL, *reason = NULL;

	if (j &&
	    json_unpack(j, "{s:s, s:s, s:s}", "event", &event, "cause", &cause, "reason",
			&reason) == 0 &&
	    strcmp(event, "ended") == 0) {
		snprintf(ret->cause, sizeof(ret->cause), "%s", cause);
		snprintf(ret->reason, sizeof(ret->reason), "%s", reason);
	}
	json_decref(j);
}

void launch_end(struct launch *l, struct launch_outcome *ret)
{
	struct launch_outcome outcome = {0};
	struct frame f;

	if (l->fd >= 0) {
		shutdown(l->fd, SHUT_WR);
		/* The monitor closes its end when everything is gone. */
		while (frame_read(l->fd, &l->in, &f) > 0)
			read_outcome(&f, &outcome);
		spawn_wait(l->pid);
		launch_release(l);
	}
	if (ret)
		*ret = outcome;
}

int launch_check_outcome(const struct launch_outcome *o, struct err *e)
{
	if (strcmp(o->cause, "MaxDurationExceeded") != 0 && strcmp(o->cause, "IdleTimeout") != 0)
		return 0;
	return err_set(e, ERR_STATE, "the sandbox ended: %s", o->reason);
}

void launch_release(struct launch *l)
{
	close_fd(&l->fd);
	buf_release(&l->in);
}

int control_connect(const struct home *h, const struct sandbox_row *row, struct err *e)
{
	_cleanup_free_ char *run_path = sandbox_run_dir(h, row->id);
	_cleanup_close_ int run_dir = open(run_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int fd = run_dir < 0 ? -errno : unix_connect_at(run_dir, "control.sock");

	if (fd == -ENOENT || fd == -ECONNREFUSED)
		return err_set(e, ERR_STATE, "sandbox is not running: %s", row->name);
	if (fd < 0)
		return err_sys(e, -fd, "cannot connect to sandbox '%s'", row->name);
	return fd;
}

json_t *control_call(int fd, json_t *request, struct err *e)
{
	struct buf in;
	struct frame f = {0};
	json_t *j = NULL;
	int r = message_write(fd, FRAME_REQUEST, request);

	buf_init(&in, FRAME_HEADER_LEN + FRAME_PAYLOAD_MAX);
	if (r == 0)
		r = frame_read(fd, &in, &f);
	/* Reset: it had not even seen the request when it ended. */
	if (r == 0 || r == -ECONNRESET || r == -EPIPE)
		err_set(e, ERR_STATE, "the sandbox went away");
	else if (r < 0)
		err_sys(e, -r, "cannot talk to the sandbox");
	else
		j = message_parse(f.payload, f.len, e);
	if (j && message_check(j, e) < 0) {
		json_decref(j);
		j = NULL;
	}
	buf_release(&in);
	return j;
}
