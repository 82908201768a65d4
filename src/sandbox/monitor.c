/* SPDX-License-Identifier: Apache-2.0 */
/*
 * msb-monitor: the owner of one sandbox.
 *
 * Theory of operation. The launcher (msb) makes the run directory, takes its lock, listens on
 * control.sock in it, and starts the monitor with three descriptors: one end of the launch
 * connection, the listening socket and the lock. Clients may therefore connect before the monitor
 * has even started; they wait in the socket's backlog. The lock is held by the open descriptor
 * alone, so that it goes away with the monitor however that dies, and with it the claim that the
 * sandbox runs.
 *
 * On the launch connection comes the launch spec; the monitor starts msb-vmm and, if the sandbox
 * has a network, msb-net, answers the agent's call home, and reports `ready` (an event) or the
 * failure (a result). If the spec says attached, the sandbox lives no longer than the launcher: end
 * of file on the connection, be it by shutdown(2) or because the launcher was killed, ends the
 * sandbox. The monitor closes its end only when everything is gone, which is how the launcher
 * knows.
 *
 * Everything the monitor starts dies with it: msb-vmm and msb-net ask the kernel to be killed when
 * their parent ends, and msb-vmm does the same for what it starts. When the machine's process ends,
 * whatever the reason, the monitor ends msb-net, records how in end.json (or deletes an ephemeral
 * sandbox), answers who waits, and exits. There is one loop, one thread, and no state that outlives
 * the process except those files.
 */
#include "sandbox/monitor.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define READY_TIMEOUT_NS   (180 * NSEC_PER_SEC)
#define OWNER_GONE_GRACE   2000           /* ms for a named sandbox to write its files */
#define SHUTDOWN_GRACE_MAX UINT64_C(2000) /* ms for programs between TERM and KILL */
#define INIT_RESERVE       UINT64_C(1000) /* ms between the end of its time and that of the machine */

#define STOPPED_TOO_SOON "it was stopped before it was up"

static const char *const cause_texts[END_CAUSE_COUNT] = {
	[END_NONE] = "unknown",
	[END_REQUESTED] = "stop requested",
	[END_COMPLETED] = "command completed",
	[END_OWNER_GONE] = "the client that owned it ended",
	[END_GUEST] = "the guest shut down",
	[END_BOOT_FAILED] = "did not start",
	[END_CRASHED] = "crashed",
	[END_IDLE] = "idle",
	[END_MAX_DURATION] = "its maximum duration is over",
};

/* The same for programs; docs/cli.md lists them. */
static const char *const cause_names[END_CAUSE_COUNT] = {
	[END_NONE] = "Unknown",
	[END_REQUESTED] = "ShutdownRequested",
	[END_COMPLETED] = "Completed",
	[END_OWNER_GONE] = "OwnerGone",
	[END_GUEST] = "GuestShutdown",
	[END_BOOT_FAILED] = "BootFailed",
	[END_CRASHED] = "Crashed",
	[END_IDLE] = "IdleTimeout",
	[END_MAX_DURATION] = "MaxDurationExceeded",
};

void monitor_note(struct monitor *m, const char *fmt, ...)
{
	char text[600];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	logfile_entry(&m->exec_log, LOG_SYSTEM, 0, text, strlen(text));
}

/* --- answering the launcher ---------------------------------------------------------------- */

static json_t *stage_report(const struct monitor *m)
{
	const struct stage_times *t = &m->times;

	return json_pack("{s:s, s:s, s:{s:I, s:I, s:I, s:I, s:I, s:I, s:I}}", "event", "ready",
			 "machine", machine_kind_name(m->spec.machine), "times", "start",
			 (json_int_t)t->start, "spec", (json_int_t)t->spec, "spawned",
			 (json_int_t)t->spawned, "hello", (json_int_t)t->hello, "net",
			 (json_int_t)t->net, "ready", (json_int_t)t->ready, "agent_setup_ns",
			 (json_int_t)t->agent_setup_ns);
}

static void answer_launcher(struct monitor *m, uint8_t type, json_t *j)
{
	if (!m->launch_answered && m->launch_fd >= 0)
		message_write(m->launch_fd, type, j);
	m->launch_answered = true;
	json_decref(j);
}

/* --- ending -------------------------------------------------------------------------------- */

static void set_cause(struct monitor *m, enum end_cause cause)
{
	if (m->cause == END_NONE)
		m->cause = cause;
}

static void on_deadline(struct timer *t)
{
	struct monitor *m = container_of(t, struct monitor, deadline);

	if (m->state == MONITOR_BOOTING)
		monitor_boot_failed(m, "the guest did not come up within %d s",
				    (int)(READY_TIMEOUT_NS / NSEC_PER_SEC));
	else
		child_kill(&m->vmm.child);
}

/* Ends the machine at once for a reason, if there is none yet. */
static void break_off(struct monitor *m, enum end_cause cause, const char *fmt, va_list ap)
{
	if (m->cause == END_NONE)
		vsnprintf(m->end_text, sizeof(m->end_text), fmt, ap);
	set_cause(m, cause);
	m->state = MONITOR_STOPPING;
	child_kill(&m->vmm.child);
}

void monitor_boot_failed(struct monitor *m, const char *fmt, ...)
{
	va_list ap;

	if (m->state != MONITOR_BOOTING && m->state != MONITOR_LAUNCHING)
		return;
	va_start(ap, fmt);
	break_off(m, END_BOOT_FAILED, fmt, ap);
	va_end(ap);
}

void monitor_lost(struct monitor *m, const char *hint, const char *fmt, ...)
{
	bool boots = m->state == MONITOR_BOOTING;
	va_list ap;

	/* A guest that shuts down can do so without. */
	if (!boots && m->state != MONITOR_READY)
		return;
	if (boots)
		snprintf(m->end_hint, sizeof(m->end_hint), "%s", hint);
	va_start(ap, fmt);
	break_off(m, boots ? END_BOOT_FAILED : END_CRASHED, fmt, ap);
	va_end(ap);
}

/* How much of the time before the machine is killed the guest's programs get for their end. */
static uint64_t guest_grace(const struct monitor *m, uint64_t grace_ms)
{
	if (m->programs_ms)
		return MIN(grace_ms, m->programs_ms);
	if (!m->spec.boot.has_init)
		return MIN(grace_ms, SHUTDOWN_GRACE_MAX);
	/* An init has a lot to end; the agent needs the rest for the disks. */
	return grace_ms > 2 * INIT_RESERVE ? grace_ms - INIT_RESERVE : grace_ms / 2;
}

/* Whether what the guest writes can outlive its sandbox. */
static bool writes_elsewhere(const struct monitor *m)
{
	for (size_t i = 0; i < m->spec.n_shares; i++)
		if (!m->spec.shares[i].read_only)
			return true;
	for (size_t i = 0; i < m->spec.n_disks; i++)
		if (!m->spec.disks[i].read_only)
			return true;
	return false;
}

void monitor_stop(struct monitor *m, enum end_cause cause, uint64_t grace_ms)
{
	uint64_t deadline = clock_mono_ns() + grace_ms * NSEC_PER_MSEC;
	bool asked = m->state == MONITOR_STOPPING;

	set_cause(m, cause);
	if (m->state == MONITOR_LAUNCHING)
		return; /* start() will see it */
	/* If nothing is kept there is nothing to write out first. */
	if (grace_ms == 0 || (m->spec.ephemeral && !writes_elsewhere(m)) ||
	    m->state != MONITOR_READY) {
		if (!asked || grace_ms == 0)
			child_kill(&m->vmm.child);
		else if (deadline < m->deadline.deadline)
			timer_set(m->loop, &m->deadline, deadline);
		m->state = MONITOR_STOPPING;
		return;
	}
	m->state = MONITOR_STOPPING;
	timer_set(m->loop, &m->deadline, deadline);
	pause_step(m); /* a guest that stands still cannot shut down */
	session_send_shutdown(m, guest_grace(m, grace_ms));
}

void monitor_stop_for(struct monitor *m, enum end_cause cause, const char *fmt, ...)
{
	va_list ap;

	/* One that is stopping does so for a reason of its own. */
	if (m->state != MONITOR_READY)
		return;
	va_start(ap, fmt);
	if (m->cause == END_NONE)
		vsnprintf(m->end_text, sizeof(m->end_text), fmt, ap);
	va_end(ap);
	monitor_stop(m, cause, STOP_DEFAULT_MS);
}

/* How a run that was not ended by us came to its end, from the machine's last words. */
static void judge_end(struct monitor *m, int status)
{
	const char *end = m->vmm.child.end;
	bool broken = str_starts_with(end, "panic") || str_starts_with(end, "error") ||
		      str_starts_with(end, "triple-fault") || (!*end && !m->vmm.child.killed);

	/* The owner often leaves because the machine broke, and is noticed before that. */
	if (m->cause == END_OWNER_GONE && broken)
		m->cause = END_NONE;
	if (m->cause != END_NONE)
		return;
	if (m->state == MONITOR_BOOTING) {
		m->cause = END_BOOT_FAILED;
		if (str_starts_with(end, "panic"))
			snprintf(m->end_text, sizeof(m->end_text), "the guest kernel panicked");
		else if (str_starts_with(end, "error "))
			snprintf(m->end_text, sizeof(m->end_text), "%s", end + 6);
		else
			snprintf(m->end_text, sizeof(m->end_text),
				 "the machine ended while booting");
	} else if (str_starts_with(end, "reboot") || str_starts_with(end, "shutdown")) {
		m->cause = END_GUEST;
		snprintf(m->end_text, sizeof(m->end_text), "%s",
			 str_starts_with(end, "reboot") ? GUEST_REBOOTED : GUEST_SWITCHED_OFF);
	} else {
		m->cause = END_CRASHED;
		if (str_starts_with(end, "panic "))
			snprintf(m->end_text, sizeof(m->end_text), "kernel panic: %s", end + 6);
		else if (str_starts_with(end, "triple-fault"))
			snprintf(m->end_text, sizeof(m->end_text),
				 "the guest's processor gave up after a triple fault");
		else if (str_starts_with(end, "error "))
			snprintf(m->end_text, sizeof(m->end_text), "%s", end + 6);
		else if (*end)
			snprintf(m->end_text, sizeof(m->end_text), "%s", end);
		else if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
			snprintf(m->end_text, sizeof(m->end_text),
				 "the machine's process made a system call that it must not make");
		else if (WIFSIGNALED(status))
			snprintf(m->end_text, sizeof(m->end_text),
				 "the machine's process was killed by signal %d", WTERMSIG(status));
	}
}

const char *monitor_end_text(const struct monitor *m)
{
	return m->end_text[0] ? m->end_text : cause_texts[m->cause];
}

static const char *cause_name(const struct monitor *m)
{
	if (m->cause == END_COMPLETED && m->exit_code != 0)
		return "Failed";
	return cause_names[m->cause];
}

static void write_end(struct monitor *m)
{
	const char *status = m->cause == END_BOOT_FAILED ? "Failed"
			     : m->cause == END_CRASHED   ? "Crashed"
							 : "Stopped";
	_cleanup_free_ char *text = NULL;
	char when[RFC3339_LEN];
	json_t *j;

	rfc3339_format(clock_real_ns(), when);
	j = json_pack("{s:s, s:s, s:s, s:s}", "status", status, "cause", cause_name(m), "reason",
		      monitor_end_text(m), "ended_at", when);
	if (j && m->exit_code >= 0)
		json_object_set_new(j, "exit_code", json_integer(m->exit_code));
	text = j ? json_dumps(j, JSON_COMPACT) : NULL;
	if (text)
		write_file_atomic(m->sandbox_dir, "end.json", text, strlen(text), 0600);
	json_decref(j);
}

/* What the launcher, if it still waits for the end, may want to tell its user. */
static void tell_owner(struct monitor *m)
{
	json_t *j = json_pack("{s:s, s:s, s:s}", "event", "ended", "cause", cause_name(m), "reason",
			      monitor_end_text(m));

	if (j && m->spec.attached && m->launch_fd >= 0)
		message_write(m->launch_fd, FRAME_EVENT, j);
	json_decref(j);
}

static void remove_files(struct monitor *m)
{
	unlinkat(m->run_dir, "control.sock", 0);
	unlinkat(m->run_dir, "vsock.sock", 0);
	unlinkat(m->run_dir, "paused", 0);
	if (m->spec.ephemeral) {
		remove_tree(AT_FDCWD, m->spec.sandbox_dir);
		remove_tree(AT_FDCWD, m->spec.run_dir);
	}
}

void monitor_ended(struct monitor *m, int status)
{
	judge_end(m, status);
	child_end(&m->net.child);
	/* What the machine started is killed with it; it must be gone before we say so. */
	while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
		;
	if (m->cause == END_BOOT_FAILED) {
		struct err e;

		err_set(&e, ERR_BOOT, "%s", m->end_text[0] ? m->end_text : "did not start");
		if (m->end_hint[0])
			err_hint(&e, "%s", m->end_hint);
		monitor_note(m, "boot failed: %s", e.msg);
		answer_launcher(m, FRAME_RESULT, message_error(&e));
	} else if (m->cause == END_REQUESTED) {
		struct err e;

		/* Who still waits for it to come up must know that nothing went wrong. */
		err_set(&e, ERR_STATE, STOPPED_TOO_SOON);
		answer_launcher(m, FRAME_RESULT, message_error(&e));
	}
	monitor_note(m, "--- sandbox stopped ---");
	tell_owner(m);
	if (!m->spec.ephemeral)
		write_end(m);
	remove_files(m);
	sessions_finish(m);
	loop_stop(m->loop);
}

/* --- starting ------------------------------------------------------------------------------ */

void monitor_ready(struct monitor *m)
{
	if (m->state != MONITOR_BOOTING || !m->boot.done || !net_is_up(m))
		return;
	m->times.ready = clock_mono_ns();
	m->state = MONITOR_READY;
	timer_cancel(m->loop, &m->deadline);
	answer_launcher(m, FRAME_EVENT, stage_report(m));
	limits_start(m);
	sessions_agent_ready(m);
	pause_step(m);
	if (m->spec.has_workload)
		session_start_workload(m);
	if (m->spec.boot.has_init && !m->spec.init_client &&
	    !(m->spec.has_workload && m->spec.workload.join))
		session_watch_init(m);
	m->keeps_spare = true;
	session_keep_spare(m);
}

static int open_directories(struct monitor *m, struct err *e)
{
	m->sandbox_dir = open(m->spec.sandbox_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	m->run_dir = open(m->spec.run_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (m->sandbox_dir >= 0)
		m->logs_dir = openat(m->sandbox_dir, "logs", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (m->sandbox_dir < 0 || m->run_dir < 0 || m->logs_dir < 0)
		return err_sys(e, errno, "cannot open the sandbox's directories");
	unlinkat(m->sandbox_dir, "end.json", 0);
	unlinkat(m->sandbox_dir, "end.json" WRITE_ATOMIC_SUFFIX, 0); /* of one that was killed */
	if (logfile_open(&m->exec_log, m->logs_dir, "exec.log") < 0 ||
	    logfile_open(&m->kernel_log, m->logs_dir, "kernel.log") < 0)
		return err_sys(e, errno, "cannot open the sandbox's logs");
	return 0;
}

static int start(struct monitor *m, struct err *e)
{
	m->times.spec = clock_mono_ns();
	if (open_directories(m, e) < 0)
		return -1;
	if (m->cause == END_REQUESTED)
		return err_set(e, ERR_STATE, STOPPED_TOO_SOON);
	if (net_prepare(m, e) < 0 || vmm_start(m, e) < 0 || net_start(m, e) < 0)
		return -1;
	m->state = MONITOR_BOOTING;
	m->deadline.fn = on_deadline;
	timer_set(m->loop, &m->deadline, clock_mono_ns() + READY_TIMEOUT_NS);
	monitor_note(m, "--- sandbox started ---");
	return 0;
}

/* Reports a failure to start anything and ends. */
static void launch_failed(struct monitor *m, struct err *e)
{
	snprintf(m->end_text, sizeof(m->end_text), "%s", e->msg);
	set_cause(m, END_BOOT_FAILED);
	log_error("%s", e->msg);
	answer_launcher(m, FRAME_RESULT, message_error(e));
	m->state = MONITOR_STOPPING;
	child_end(&m->vmm.child);
	child_end(&m->net.child);
	if (m->spec.sandbox_dir && !m->spec.ephemeral && m->sandbox_dir >= 0)
		write_end(m);
	if (m->spec.sandbox_dir && m->run_dir >= 0)
		remove_files(m);
	sessions_finish(m);
	loop_stop(m->loop);
}

static void handle_launch(struct monitor *m, const struct frame *f)
{
	struct err e = {0};
	json_t *j = f->type == FRAME_REQUEST ? message_parse(f->payload, f->len, &e) : NULL;
	int r = j ? launch_spec_from_json(j, &m->spec, &e) : -1;

	json_decref(j);
	if (r == 0 && m->spec.log_level) {
		enum log_level level;

		if (log_level_parse(m->spec.log_level, &level) == 0)
			log_setup("msb-monitor", level);
	}
	if (r < 0 || start(m, &e) < 0)
		launch_failed(m, &e);
}

static void owner_gone(struct monitor *m)
{
	loop_del(m->loop, &m->launch_ev);
	if (m->state == MONITOR_LAUNCHING)
		loop_stop(m->loop); /* killed before it could say what to run */
	else if (m->spec.attached)
		monitor_stop(m, END_OWNER_GONE,
			     m->spec.boot.has_init || writes_elsewhere(m) ? STOP_DEFAULT_MS
									  : OWNER_GONE_GRACE);
}

static void on_launch(struct ev *ev, uint32_t events)
{
	struct monitor *m = container_of(ev, struct monitor, launch_ev);
	uint8_t *p = buf_reserve(&m->launch_in, 16 * KIB);
	ssize_t n = p ? read(ev->fd, p, 16 * KIB) : 0;
	struct frame f;
	int r;

	if (n < 0 && errno == EINTR)
		return;
	if (n <= 0) {
		owner_gone(m);
		return;
	}
	buf_commit(&m->launch_in, (size_t)n);
	if (m->state != MONITOR_LAUNCHING) {
		buf_consume(&m->launch_in, buf_len(&m->launch_in));
		return;
	}
	r = frame_peek(&m->launch_in, &f);
	if (r > 0) {
		handle_launch(m, &f);
		buf_release(&m->launch_in);
	} else if (r < 0) {
		owner_gone(m);
	}
}

static void on_control(struct ev *ev, uint32_t events)
{
	struct monitor *m = container_of(ev, struct monitor, control_ev);
	int fd = accept4(ev->fd, NULL, NULL, SOCK_CLOEXEC);

	if (fd >= 0)
		session_accept(m, fd);
}

/* --- main ---------------------------------------------------------------------------------- */

static int parse_fd(const char *arg, const char *option, int *ret)
{
	uint64_t fd;

	if (!str_starts_with(arg, option))
		return 0;
	if (parse_u64(arg + strlen(option), 1 << 20, &fd) < 0 || fcntl((int)fd, F_GETFD) < 0)
		return -1;
	*ret = (int)fd;
	fd_set_cloexec(*ret, true);
	return 1;
}

static int run(struct monitor *m)
{
	m->launch_ev = (struct ev){.fd = m->launch_fd, .fn = on_launch};
	m->control_ev = (struct ev){.fd = m->control_fd, .fn = on_control};
	buf_init(&m->launch_in, FRAME_HEADER_LEN + FRAME_PAYLOAD_MAX + 16 * KIB);
	m->loop = loop_new();
	if (!m->loop || loop_add(m->loop, &m->launch_ev, EPOLLIN) < 0 ||
	    loop_add(m->loop, &m->control_ev, EPOLLIN) < 0 || loop_run(m->loop) < 0) {
		log_error("event loop: %s", strerror(errno));
		return 1;
	}
	return m->cause == END_BOOT_FAILED || m->cause == END_CRASHED;
}

int main(int argc, char **argv)
{
	struct monitor m = {
		.exit_code = -1,
		.launch_fd = -1,
		.control_fd = -1,
		.sandbox_dir = -1,
		.logs_dir = -1,
		.run_dir = -1,
		.boot = {.offers_fd = -1, .fd = -1},
		.vmm = {.child = CHILD_INIT, .console_fd = -1},
		.net = {.child = CHILD_INIT,
			.rings_fd = -1,
			.wake_fd = -1,
			.call_fd = -1,
			.ports = json_array()},
		.pause.fd = -1,
		.metrics.upper_fd = -1,
		.times.start = clock_mono_ns(),
		.exec_log.fd = -1,
		.kernel_log.fd = -1,
	};
	int lock_fd = -1, status;

	log_setup("msb-monitor", LOG_WARN);
	for (int i = 1; i < argc; i++) {
		if (parse_fd(argv[i], "--launch=", &m.launch_fd) <= 0 &&
		    parse_fd(argv[i], "--control=", &m.control_fd) <= 0 &&
		    parse_fd(argv[i], "--lock=", &lock_fd) <= 0) {
			fprintf(stderr, "msb-monitor: error: bad argument '%s'\n", argv[i]);
			return 2;
		}
	}
	if (m.launch_fd < 0 || m.control_fd < 0 || lock_fd < 0) {
		fputs("msb-monitor: error: this program is started by msb\n", stderr);
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	/* What msb-vmm leaves behind becomes our child, so that we can wait for its end. */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	prctl(PR_SET_DUMPABLE, 0);
	status = run(&m);
	vmm_release(&m);
	net_release(&m);
	boot_release(&m);
	pause_release(&m);
	metrics_release(&m);
	logfile_close(&m.exec_log);
	logfile_close(&m.kernel_log);
	launch_spec_release(&m.spec);
	buf_release(&m.launch_in);
	loop_free(m.loop);
	return status; /* exiting closes the launch connection and gives up the lock */
}
