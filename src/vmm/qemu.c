/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 *	msb-vmm ----- fork, exec ------> qemu-system-x86_64 (vCPUs, serial port, timers)
 *	  | worker threads  <-- socketpair, vhost-user: memory, rings, eventfds --> | one per device
 *	  | console relay   <-- pipe: standard output is the guest's serial port -- |
 *	  | last words      <-- pipe: standard error                             -- |
 *
 * QEMU is started first, because it needs some 20 ms to get to its first device; the workers
 * are started while it does. It dies with us (PR_SET_PDEATHSIG) and we notice its end by pidfd.
 *
 * The guest ends by a reset (-no-reboot turns it into an exit with status 0). A kernel panic ends
 * the same way, so it is recognised by its line on the console, and so is a guest that switched
 * itself off, which QEMU cannot do here: it would stay halted for ever. A guest that writes such a
 * line itself only lies about, or brings, its own end.
 *
 * After QEMU is gone, the workers may still have bytes of the guest for slow host programs. The
 * end is reported when they are through, or after MACHINE_DRAIN_MAX.
 *
 * Confinement: QEMU's on the way to its execution (qemu_jail.h), ours (jail.h) when it is under way
 * and as the threads start; the main thread's system calls are the last to go.
 */
#include "vmm/qemu.h"

#include "base/cleanup.h"
#include "base/io.h"
#include "base/log.h"
#include "virtio/device.h"
#include "virtio/vhost_user.h"
#include "vmm/console.h"
#include "vmm/drain.h"
#include "vmm/jail.h"
#include "vmm/qemu_args.h"
#include "vmm/qemu_jail.h"
#include "vmm/relay.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define PROGRAM      "qemu-system-x86_64"
#define DEFAULT_PATH "/usr/local/bin:/usr/bin:/bin"
#define EXIT_NO_EXEC 127
#define RELAY_MS     200

struct qemu {
	struct machine m;
	struct loop *loop;
	pid_t pid;
	struct ev exit_ev; /* pidfd, owned */
	int status;
	bool stopping;
	struct relay console;
	struct relay words;
	char panic[RELAY_LINE];
	bool switched_off;
	char last_words[RELAY_LINE];
	struct vhost_user *devices[MACHINE_DEVICES_MAX];
	unsigned int n_devices;
	struct drain drain;
};

static struct machine *qemu_free(struct machine *m);

/* --- Start. */

/* An owned path of the emulator; NULL with an error. */
static char *find_program(const char *given, struct err *e)
{
	const char *path = secure_getenv("PATH");
	size_t n;

	if (given) {
		if (access(given, X_OK) == 0)
			return xstrdup(given);
		err_sys(e, errno, "cannot run QEMU at '%s'", given);
		err_hint(e, "the Debian package is qemu-system-x86");
		return NULL;
	}
	for (const char *p = path ? path : DEFAULT_PATH; *p; p += n + (p[n] == ':')) {
		char *file;

		n = strcspn(p, ":");
		file = xasprintf("%.*s/" PROGRAM, (int)n, p);
		/* A relative part of PATH would mean whatever directory we happen to be in. */
		if (*p == '/' && access(file, X_OK) == 0)
			return file;
		free(file);
	}
	err_set(e, ERR_NOT_FOUND, "'" PROGRAM "' is not installed");
	err_hint(e, "install the Debian package qemu-system-x86");
	return NULL;
}

/* Everything the child needs, made before the fork. */
struct child {
	char *path;
	struct strv args;
	int keep[MACHINE_DEVICES_MAX + 2]; /* descriptors that stay open, files first */
	unsigned int n_keep;
	unsigned int n_files;
	int in; /* the socket that becomes its standard input; not owned, -1: none */
	int out;
	int err;
	pid_t parent;
};

static void child_release(struct child *c)
{
	free(c->path);
	strv_release(&c->args);
	close_fd(&c->out);
	close_fd(&c->err);
}

_Noreturn static void child_fail(const char *what)
{
	dprintf(STDERR_FILENO, "%s: %s\n", what, strerror(errno));
	_exit(EXIT_NO_EXEC);
}

_Noreturn static void child_main(const struct child *c)
{
	static const char *const env[] = {"PATH=" DEFAULT_PATH, "LC_ALL=C", NULL};
	sigset_t none;
	int in, r;

	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != c->parent)
		_exit(EXIT_NO_EXEC);
	in = c->in >= 0 ? c->in : open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (in < 0 || dup2(c->err, STDERR_FILENO) < 0 || dup2(c->out, STDOUT_FILENO) < 0 ||
	    dup2(in, STDIN_FILENO) < 0 || fd_set_cloexec(STDIN_FILENO, false) < 0)
		child_fail("cannot set descriptors up");
	for (unsigned int i = 0; i < c->n_keep; i++)
		if (fd_set_cloexec(c->keep[i], false) < 0)
			child_fail("cannot pass a descriptor on");
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
	r = qemu_confine(c->path, c->keep, c->n_files, c->in >= 0);
	if (r < 0) {
		errno = -r;
		child_fail("cannot confine QEMU");
	}
	execve(c->path, c->args.v, (char *const *)env);
	child_fail(c->path);
}

static void on_exit_ev(struct ev *ev, uint32_t events);
static void on_console_line(struct relay *r, const char *line);
static void on_words_line(struct relay *r, const char *line);

static int spawn(struct qemu *q, struct child *c, int console_fd, struct err *e)
{
	_cleanup_close_ int out = -1, err = -1;
	int p[2];

	if (pipe2(p, O_CLOEXEC) < 0)
		return err_sys(e, errno, "cannot make a pipe");
	out = p[0];
	c->out = p[1];
	if (pipe2(p, O_CLOEXEC) < 0)
		return err_sys(e, errno, "cannot make a pipe");
	err = p[0];
	c->err = p[1];
	c->parent = getpid();
	q->pid = fork();
	if (q->pid < 0)
		return err_sys(e, errno, "cannot start QEMU");
	if (q->pid == 0)
		child_main(c);
	q->m.emulator = q->pid;
	q->exit_ev.fn = on_exit_ev;
	q->exit_ev.fd = pidfd_open(q->pid, 0);
	if (q->exit_ev.fd < 0) {
		err_sys(e, errno, "cannot watch QEMU");
		kill(q->pid, SIGKILL);
		return -1;
	}
	if (loop_add(q->loop, &q->exit_ev, EPOLLIN) < 0 ||
	    relay_start(&q->console, q->loop, steal_fd(&out), console_fd, on_console_line) < 0 ||
	    relay_start(&q->words, q->loop, steal_fd(&err), -1, on_words_line) < 0)
		return err_set(e, ERR_SYSTEM, "cannot watch QEMU's output");
	return 0;
}

static int prepare(struct child *c, struct machine_spec *spec, const int *sockets, struct err *e)
{
	char *cmdline;

	c->path = find_program(spec->qemu, e);
	if (!c->path)
		return -1;
	cmdline = qemu_kernel_cmdline(spec, tsc_khz(&spec->tsc, TSC_BASELINE_NS), e);
	if (!cmdline)
		return -1;
	qemu_args(&c->args, spec, cmdline, sockets);
	free(cmdline);
	c->keep[c->n_keep++] = spec->kernel_fd;
	if (spec->initrd_fd >= 0)
		c->keep[c->n_keep++] = spec->initrd_fd;
	c->n_files = c->n_keep;
	for (unsigned int i = 0; i < spec->n_devices; i++) {
		/* See qemu_jail.c. There is one of them at most. */
		if (spec->devices[i]->id == VIRTIO_ID_NET)
			c->in = sockets[i];
		else
			c->keep[c->n_keep++] = sockets[i];
	}
	return 0;
}

static int serve_devices(struct qemu *q, struct machine_spec *spec, int *sockets, struct err *e)
{
	for (unsigned int i = 0; i < spec->n_devices; i++) {
		struct virtio_device *dev = steal_ptr(&spec->devices[i]);
		int r;

		q->devices[i] = vhost_user_new(dev, steal_fd(&sockets[i]));
		if (!q->devices[i])
			return err_sys(e, errno, "cannot set up device %u", i);
		q->n_devices = i + 1;
		r = jail_device(dev, JAIL_VHOST_USER);
		if (r == 0)
			r = vhost_user_start(q->devices[i]);
		if (r < 0)
			return err_sys(e, -r, "cannot start the thread of device %u", i);
	}
	return 0;
}

static int start(struct qemu *q, struct machine_spec *spec, struct err *e)
{
	struct child c = {.in = -1, .out = -1, .err = -1};
	int ours[MACHINE_DEVICES_MAX], theirs[MACHINE_DEVICES_MAX];
	unsigned int n = 0;
	int r = 0;

	for (; n < spec->n_devices && r == 0; n++) {
		int sv[2] = {-1, -1};

		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) < 0)
			r = err_sys(e, errno, "cannot make a socket pair");
		ours[n] = sv[0];
		theirs[n] = sv[1];
	}
	if (r == 0)
		r = prepare(&c, spec, theirs, e);
	if (r == 0)
		r = spawn(q, &c, spec->console_fd, e);
	if (r == 0)
		r = jail_process(e);
	if (r == 0)
		r = serve_devices(q, spec, ours, e);
	for (unsigned int i = 0; i < n; i++) {
		close_fd(&ours[i]);
		close_fd(&theirs[i]);
	}
	child_release(&c);
	return r;
}

static struct machine *qemu_start(struct loop *loop, struct machine_spec *spec, struct err *e)
{
	struct qemu *q = xcalloc(1, sizeof(*q));
	int r = 0;

	q->m.ops = &qemu_machine_ops;
	q->loop = loop;
	q->exit_ev.fd = -1;
	if (spec->load_fd >= 0)
		r = err_set(e, ERR_UNSUPPORTED, "a saved machine needs KVM");
	if (r == 0)
		r = start(q, spec, e);
	for (unsigned int i = 0; i < spec->n_devices; i++) {
		virtio_device_free(spec->devices[i]);
		spec->devices[i] = NULL;
	}
	spec->n_devices = 0;
	if (r == 0) {
		r = jail_thread(JAIL_MAIN_QEMU);
		if (r < 0)
			err_sys(e, -r, "cannot confine the main thread");
	}
	return r < 0 ? qemu_free(&q->m) : &q->m;
}

/* --- While it runs. */

/*
 * By its descriptor: there is no other process that a signal of ours could reach.
 * #syscalls:qemu pidfd_send_signal(SIGKILL) pidfd_send_signal(SIGSTOP) pidfd_send_signal(SIGCONT)
 */
static int send_signal(const struct qemu *q, int number)
{
	return pidfd_send_signal(q->exit_ev.fd, number, NULL, 0) < 0 ? -errno : 0;
}

static void on_console_line(struct relay *r, const char *line)
{
	struct qemu *q = container_of(r, struct qemu, console);
	const char *panic = console_panic(line);

	/* The last one counts: only it can have been the end. */
	if (panic)
		snprintf(q->panic, sizeof(q->panic), "%s", panic);
	if (console_halted(line) && q->pid > 0) {
		q->switched_off = true;
		send_signal(q, SIGKILL);
	}
}

static void on_words_line(struct relay *r, const char *line)
{
	struct qemu *q = container_of(r, struct qemu, words);

	log_debug("qemu: %s", line);
	snprintf(q->last_words, sizeof(q->last_words), "%s", line);
}

static int qemu_pause(struct machine *m)
{
	struct qemu *q = container_of(m, struct qemu, m);

	return send_signal(q, SIGSTOP);
}

static int qemu_resume(struct machine *m)
{
	struct qemu *q = container_of(m, struct qemu, m);

	return send_signal(q, SIGCONT);
}

static int qemu_save(struct machine *m, int fd, struct err *e)
{
	err_set(e, ERR_UNSUPPORTED, "a machine in software emulation cannot be saved");
	return err_hint(e, "--machine kvm can, on a host that has it");
}

static void qemu_stop(struct machine *m)
{
	struct qemu *q = container_of(m, struct qemu, m);

	q->stopping = true;
	if (q->pid > 0)
		send_signal(q, SIGKILL);
}

/* --- End. */

static void report_end(void *ctx)
{
	struct qemu *q = ctx;
	char text[RELAY_LINE + 64] = "";
	enum machine_end end = MACHINE_END_ERROR;
	const char *words = q->last_words[0] ? q->last_words : "it left no message";

	if (q->stopping) {
		end = MACHINE_END_KILLED;
	} else if (q->switched_off) {
		end = MACHINE_END_SHUTDOWN;
	} else if (WIFSIGNALED(q->status)) {
		snprintf(text, sizeof(text), "qemu was killed by signal %d: %s",
			 WTERMSIG(q->status), words);
	} else if (WEXITSTATUS(q->status) == EXIT_NO_EXEC) {
		snprintf(text, sizeof(text), "cannot run qemu: %s", words);
	} else if (WEXITSTATUS(q->status)) {
		snprintf(text, sizeof(text), "qemu exited with status %d: %s",
			 WEXITSTATUS(q->status), words);
	} else if (q->panic[0]) {
		end = MACHINE_END_PANIC;
		snprintf(text, sizeof(text), "%s", q->panic);
	} else {
		end = MACHINE_END_REBOOT;
	}
	q->m.on_end(&q->m, end, text);
}

static bool devices_idle(void *ctx)
{
	struct qemu *q = ctx;

	for (unsigned int i = 0; i < q->n_devices; i++)
		if (!vhost_user_idle(q->devices[i]))
			return false;
	return true;
}

/* #syscalls:qemu wait4 close */
static void on_exit_ev(struct ev *ev, uint32_t events)
{
	struct qemu *q = container_of(ev, struct qemu, exit_ev);

	if (waitpid(q->pid, &q->status, WNOHANG) != q->pid)
		return;
	q->pid = 0;
	loop_del(q->loop, ev);
	close_fd(&ev->fd);
	relay_finish(&q->console, RELAY_MS);
	relay_finish(&q->words, 0);
	drain_start(&q->drain, q->loop, q->stopping ? 0 : MACHINE_DRAIN_MAX, devices_idle,
		    report_end, q);
}

/* #syscalls:qemu munmap */
static struct machine *qemu_free(struct machine *m)
{
	struct qemu *q = container_of(m, struct qemu, m);

	if (q->pid > 0) {
		send_signal(q, SIGKILL);
		while (waitpid(q->pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	drain_cancel(&q->drain);
	loop_del(q->loop, &q->exit_ev);
	close_fd(&q->exit_ev.fd);
	relay_finish(&q->console, 0);
	relay_finish(&q->words, 0);
	for (unsigned int i = 0; i < q->n_devices; i++)
		vhost_user_free(q->devices[i]);
	free(q);
	return NULL;
}

const struct machine_ops qemu_machine_ops = {
	.name = "qemu",
	.start = qemu_start,
	.pause = qemu_pause,
	.resume = qemu_resume,
	.save = qemu_save,
	.stop = qemu_stop,
	.free = qemu_free,
};
