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

/* --- events, console, end ------------------------------------------------------------------ */

static void on_event(struct child *c, const char *line)
{
	if (str_starts_with(line, "emulator "))
		metrics_set_emulator(container_of(c, struct monitor, vmm.child),
				     line + strlen("emulator "));
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

static void on_exit_status(struct child *c, int status)
{
	struct monitor *m = container_of(c, struct monitor, vmm.child);

	while (read_console(m))
		;
	monitor_ended(m, status);
}

/* --- start --------------------------------------------------------------------------------- */

static int add_file(struct child_args *a, const char *option, const char *path, struct err *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return err_sys(e, errno, "cannot open '%s'", path);
	strv_take(&a->argv, xasprintf("%s=%d", option, child_hand_over(a, fd)));
	return 0;
}

static int add_disks(struct monitor *m, struct child_args *a, struct err *e)
{
	_cleanup_free_ char *image = xstrdup("--disk=ro,serial=image");
	int fd;

	/* The root may be a folder of the host. */
	if (m->spec.boot.root_share)
		return 0;
	/* The image's parts, what is shared, the writable disk and a few more must fit. */
	if (m->spec.image_files.n + m->spec.n_shares + m->spec.n_disks > SPAWN_FDS_MAX - 16)
		return err_set(e, ERR_UNSUPPORTED, "the image has too many layers");
	for (size_t i = 0; i < m->spec.image_files.n; i++) {
		char *next;

		fd = open(m->spec.image_files.v[i], O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			return err_sys(e, errno, "cannot open '%s'", m->spec.image_files.v[i]);
		next = xasprintf("%s,fd=%d", image, child_hand_over(a, fd));
		free(image);
		image = next;
	}
	strv_add(&a->argv, image);
	fd = upper_open(m->sandbox_dir, m->spec.ephemeral, m->spec.boot.upper_size, e);
	if (fd < 0)
		return -1;
	strv_take(&a->argv, xasprintf("--disk=rw,serial=upper,fd=%d", child_hand_over(a, fd)));
	m->metrics.upper_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return 0;
}

static int add_vsock(struct monitor *m, struct child_args *a, struct err *e)
{
	int listen_fd = unix_listen_at(m->run_dir, "vsock.sock", 128), offers_fd;

	if (listen_fd < 0)
		return err_sys(e, -listen_fd, "cannot make the vsock socket");
	child_hand_over(a, listen_fd);
	offers_fd = boot_await_call(m, e);
	if (offers_fd < 0)
		return -1;
	strv_take(&a->argv, xasprintf("--vsock=%d,%d", listen_fd, child_hand_over(a, offers_fd)));
	return 0;
}

static int add_control(struct monitor *m, struct child_args *a, struct err *e)
{
	int fd = pause_open(m, e);

	if (fd < 0)
		return -1;
	strv_take(&a->argv, xasprintf("--control=%d", child_hand_over(a, fd)));
	return 0;
}

static int add_stats(struct monitor *m, struct child_args *a, struct err *e)
{
	int fd = metrics_open(m, e);

	if (fd < 0)
		return -1;
	strv_take(&a->argv, xasprintf("--stats=%d", child_hand_over(a, fd)));
	return 0;
}

static int add_arguments(struct monitor *m, struct child_args *a, struct err *e)
{
	_cleanup_free_ char *ours = program_relative_path("vmlinux");
	const char *kernel = m->spec.kernel ? m->spec.kernel : ours;
	_cleanup_free_ char *initrd = program_relative_path("initramfs.cpio");

	strv_take(&a->argv, xasprintf("--machine=%s", machine_kind_name(m->spec.machine)));
	strv_take(&a->argv, xasprintf("--cpus=%u", m->spec.cpus));
	strv_take(&a->argv, xasprintf("--memory=%u", m->spec.memory_mib));
	if (m->spec.qemu)
		strv_take(&a->argv, xasprintf("--qemu=%s", m->spec.qemu));
	/* A kernel that we do not know may calibrate its clocks by the oldest of timers. */
	if (m->spec.kernel)
		strv_add(&a->argv, "--pit");
	strv_add(&a->argv, "--rng");
	net_add_device(m, a);
	if (add_file(a, "--kernel", kernel, e) < 0 || add_file(a, "--initrd", initrd, e) < 0 ||
	    add_disks(m, a, e) < 0 || mounts_add_disks(m, a, e) < 0 ||
	    mounts_add_shares(m, a, e) < 0 || add_vsock(m, a, e) < 0 || add_control(m, a, e) < 0 ||
	    add_stats(m, a, e) < 0 || child_add_pipe(a, "--console", &m->vmm.console_fd, e) < 0)
		return -1;
	return 0;
}

int vmm_start(struct monitor *m, struct err *e)
{
	struct vmm *v = &m->vmm;
	struct child_args a;
	int r;

	v->child.loop = m->loop;
	v->child.on_event = on_event;
	v->child.on_exit = on_exit_status;
	child_args_init(&a, "msb-vmm", m->spec.log_level);
	r = add_arguments(m, &a, e);
	if (r == 0)
		r = child_start(&v->child, &a, e);
	child_args_release(&a);
	if (r < 0)
		return r;
	m->times.spawned = clock_mono_ns();
	metrics_start(m);
	v->console_ev = (struct ev){.fd = v->console_fd, .fn = on_console};
	r = loop_add(m->loop, &v->console_ev, EPOLLIN);
	return r < 0 ? err_sys(e, -r, "cannot watch the machine") : 0;
}

void vmm_release(struct monitor *m)
{
	struct vmm *v = &m->vmm;

	child_release(&v->child);
	loop_del(m->loop, &v->console_ev);
	close_fd(&v->console_fd);
}
