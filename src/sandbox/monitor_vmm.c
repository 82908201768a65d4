/* SPDX-License-Identifier: Apache-2.0 */
/* The machine's process: its start with every file as an open descriptor, its events, its end. */
#include "sandbox/monitor.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define EVENTS_MAX ((size_t)8 << 10)

/* --- events, console, end ------------------------------------------------------------------ */

static void handle_event(struct monitor *m, const char *line)
{
	if (str_starts_with(line, "end "))
		snprintf(m->vmm.end, sizeof(m->vmm.end), "%s", line + 4);
	else if (str_starts_with(line, "emulator "))
		metrics_set_emulator(m, line + strlen("emulator "));
}

static void read_events(struct monitor *m)
{
	uint8_t *p, *nl;
	ssize_t n;

	for (;;) {
		p = buf_reserve(&m->vmm.events, 1024);
		n = p ? read(m->vmm.events_fd, p, 1024) : 0;
		if (n <= 0)
			break;
		buf_commit(&m->vmm.events, (size_t)n);
		p = m->vmm.events.mem + m->vmm.events.start;
		while ((nl = memchr(p, '\n', buf_len(&m->vmm.events)))) {
			*nl = '\0';
			handle_event(m, (char *)p);
			buf_consume(&m->vmm.events, (size_t)(nl + 1 - p));
			p = m->vmm.events.mem + m->vmm.events.start;
		}
	}
	if (n == 0)
		loop_del(m->loop, &m->vmm.events_ev);
}

static void on_events(struct ev *ev, uint32_t events)
{
	read_events(container_of(ev, struct monitor, vmm.events_ev));
}

static bool read_console(struct monitor *m)
{
	char data[4096];
	ssize_t n = read(m->vmm.console_fd, data, sizeof(data));

	if (n > 0)
		logfile_console(&m->kernel_log, data, (size_t)n);
	else if (n == 0)
		loop_del(m->loop, &m->vmm.console_ev);
	return n > 0;
}

static void on_console(struct ev *ev, uint32_t events)
{
	read_console(container_of(ev, struct monitor, vmm.console_ev));
}

static void on_vmm_exit(struct ev *ev, uint32_t events)
{
	struct monitor *m = container_of(ev, struct monitor, vmm.pid_ev);
	int status = 0;

	if (waitpid(m->vmm.pid, &status, 0) != m->vmm.pid)
		return;
	m->vmm.pid = 0;
	read_events(m);
	while (read_console(m))
		;
	monitor_ended(m, status);
}

/* --- start --------------------------------------------------------------------------------- */

struct arguments {
	struct strv argv;
	struct spawn spawn;
	/* Ours only until the child has its copies. */
	int fds[SPAWN_FDS_MAX];
	size_t n_fds;
};

/* Gives the child a descriptor and takes ownership of ours. */
static int hand_over(struct arguments *a, int fd)
{
	if (a->n_fds < ARRAY_SIZE(a->fds))
		a->fds[a->n_fds++] = fd;
	return spawn_pass_fd(&a->spawn, fd);
}

static void arguments_release(struct arguments *a)
{
	strv_release(&a->argv);
	for (size_t i = 0; i < a->n_fds; i++)
		close(a->fds[i]);
}

static int add_file(struct arguments *a, const char *option, const char *path, struct err *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return err_sys(e, errno, "cannot open '%s'", path);
	strv_take(&a->argv, xasprintf("%s=%d", option, hand_over(a, fd)));
	return 0;
}

static int add_disks(struct monitor *m, struct arguments *a, struct err *e)
{
	_cleanup_free_ char *template = program_relative_path("upper.ext4");
	_cleanup_free_ char *image = xstrdup("--disk=ro,serial=image");
	int fd;

	/* The image's parts, the writable disk and a few more must fit. */
	if (m->spec.image_files.n > SPAWN_FDS_MAX - 16)
		return err_set(e, ERR_UNSUPPORTED, "the image has too many layers");
	for (size_t i = 0; i < m->spec.image_files.n; i++) {
		char *next;

		fd = open(m->spec.image_files.v[i], O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			return err_sys(e, errno, "cannot open '%s'", m->spec.image_files.v[i]);
		next = xasprintf("%s,fd=%d", image, hand_over(a, fd));
		free(image);
		image = next;
	}
	strv_add(&a->argv, image);
	fd = upper_open(m->sandbox_dir, m->spec.ephemeral, template, e);
	if (fd < 0)
		return -1;
	strv_take(&a->argv, xasprintf("--disk=rw,serial=upper,fd=%d", hand_over(a, fd)));
	m->metrics.upper_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return 0;
}

static int add_pipe(struct arguments *a, const char *option, int *ret_read, struct err *e)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_sys(e, errno, "cannot make a pipe");
	*ret_read = fds[0];
	fd_set_nonblock(fds[0], true);
	strv_take(&a->argv, xasprintf("%s=%d", option, hand_over(a, fds[1])));
	return 0;
}

static int add_vsock(struct monitor *m, struct arguments *a, struct err *e)
{
	int listen_fd = unix_listen_at(m->run_dir, "vsock.sock", 128), offers_fd;

	if (listen_fd < 0)
		return err_sys(e, -listen_fd, "cannot make the vsock socket");
	hand_over(a, listen_fd);
	offers_fd = boot_await_call(m, e);
	if (offers_fd < 0)
		return -1;
	strv_take(&a->argv, xasprintf("--vsock=%d,%d", listen_fd, hand_over(a, offers_fd)));
	return 0;
}

static int add_control(struct monitor *m, struct arguments *a, struct err *e)
{
	int fd = pause_open(m, e);

	if (fd < 0)
		return -1;
	strv_take(&a->argv, xasprintf("--control=%d", hand_over(a, fd)));
	return 0;
}

static int add_stats(struct monitor *m, struct arguments *a, struct err *e)
{
	int fd = metrics_open(m, e);

	if (fd < 0)
		return -1;
	strv_take(&a->argv, xasprintf("--stats=%d", hand_over(a, fd)));
	return 0;
}

static int build_arguments(struct monitor *m, struct arguments *a, const char *program,
			   struct err *e)
{
	_cleanup_free_ char *ours = program_relative_path("vmlinux");
	const char *kernel = m->spec.kernel ? m->spec.kernel : ours;
	_cleanup_free_ char *initrd = program_relative_path("initramfs.cpio");

	strv_add(&a->argv, program);
	strv_take(&a->argv, xasprintf("--parent=%d", getpid()));
	strv_take(&a->argv, xasprintf("--machine=%s", machine_kind_name(m->spec.machine)));
	strv_take(&a->argv, xasprintf("--cpus=%u", m->spec.cpus));
	strv_take(&a->argv, xasprintf("--memory=%u", m->spec.memory_mib));
	if (m->spec.qemu)
		strv_take(&a->argv, xasprintf("--qemu=%s", m->spec.qemu));
	if (m->spec.log_level)
		strv_take(&a->argv, xasprintf("--log-level=%s", m->spec.log_level));
	/* A kernel that we do not know may calibrate its clocks by the oldest of timers. */
	if (m->spec.kernel)
		strv_add(&a->argv, "--pit");
	strv_add(&a->argv, "--rng");
	if (add_file(a, "--kernel", kernel, e) < 0 || add_file(a, "--initrd", initrd, e) < 0 ||
	    add_disks(m, a, e) < 0 || add_vsock(m, a, e) < 0 || add_control(m, a, e) < 0 ||
	    add_stats(m, a, e) < 0 || add_pipe(a, "--console", &m->vmm.console_fd, e) < 0 ||
	    add_pipe(a, "--events", &m->vmm.events_fd, e) < 0)
		return -1;
	return 0;
}

static int watch(struct monitor *m)
{
	struct vmm *v = &m->vmm;

	v->pidfd = (int)syscall(SYS_pidfd_open, v->pid, 0);
	if (v->pidfd < 0)
		return -errno;
	v->pid_ev = (struct ev){.fd = v->pidfd, .fn = on_vmm_exit};
	v->events_ev = (struct ev){.fd = v->events_fd, .fn = on_events};
	v->console_ev = (struct ev){.fd = v->console_fd, .fn = on_console};
	if (loop_add(m->loop, &v->pid_ev, EPOLLIN) < 0 ||
	    loop_add(m->loop, &v->events_ev, EPOLLIN) < 0 ||
	    loop_add(m->loop, &v->console_ev, EPOLLIN) < 0)
		return -errno;
	return 0;
}

int vmm_start(struct monitor *m, struct err *e)
{
	_cleanup_free_ char *program = program_relative_path("msb-vmm");
	struct arguments a = {.spawn = {.path = program, .in = -1, .out = 2, .err = 2}};
	pid_t pid = -1;
	int r;

	buf_init(&m->vmm.events, EVENTS_MAX);
	r = build_arguments(m, &a, program, e);
	if (r == 0) {
		a.spawn.argv = a.argv.v;
		pid = spawn_run(&a.spawn);
		if (pid < 0)
			r = err_sys(e, -pid, "cannot start '%s'", program);
	}
	arguments_release(&a);
	if (r < 0)
		return r;
	m->vmm.pid = pid;
	m->times.spawned = clock_mono_ns();
	metrics_start(m);
	r = watch(m);
	return r < 0 ? err_sys(e, -r, "cannot watch the machine") : 0;
}

void vmm_kill(struct monitor *m)
{
	if (m->vmm.pid > 0) {
		kill(m->vmm.pid, SIGKILL);
		m->vmm.killed = true;
	}
}

void vmm_release(struct monitor *m)
{
	struct vmm *v = &m->vmm;

	loop_del(m->loop, &v->pid_ev);
	loop_del(m->loop, &v->events_ev);
	loop_del(m->loop, &v->console_ev);
	close_fd(&v->pidfd);
	close_fd(&v->events_fd);
	close_fd(&v->console_fd);
	buf_release(&v->events);
}
