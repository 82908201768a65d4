/* SPDX-License-Identifier: Apache-2.0 */
/* Confinement, tried out by children of ours. */
#include "../testing.h"

#include "virtio/rng.h"
#include "vmm/jail.h"
#include "base/landlock.h"
#include "vmm/qemu_jail.h"

#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>

#define SURVIVED 42

/* What became of a child: its exit status, or 128 + the signal that killed it. */
static int outcome(pid_t pid)
{
	int status = -1;

	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* --- Filters. */

#define K(kind) (1u << JAIL_##kind)
#define MAINS   (K(MAIN_QEMU) | K(MAIN_KVM))
#define BLK     (K(BLK_MMIO) | K(BLK_VHOST_USER))
#define VSOCK   (K(VSOCK_MMIO) | K(VSOCK_VHOST_USER))
#define RNG     (K(RNG_MMIO) | K(RNG_VHOST_USER))
#define FS      (K(FS_MMIO) | K(FS_VHOST_USER))
#define MMIO \
	(K(BLK_MMIO) | K(VSOCK_MMIO) | K(RNG_MMIO) | K(NET_MMIO) | K(BALLOON_MMIO) | K(FS_MMIO))
#define VHOST                                                                              \
	(K(BLK_VHOST_USER) | K(VSOCK_VHOST_USER) | K(RNG_VHOST_USER) | K(NET_VHOST_USER) | \
	 K(FS_VHOST_USER))
#define LOOPS   (MAINS | MMIO | VHOST)
#define THREADS (ALL & ~MAINS)
#define ALL     ((1u << JAIL_KIND_COUNT) - 1)
#define NONE    0u

#define RW     ((long)(PROT_READ | PROT_WRITE))
#define STREAM (SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK)

/* Without harm wherever it is allowed: mostly about a descriptor that is none. */
static const struct probe {
	const char *what;
	unsigned int allowed; /* in which kinds */
	long nr;
	long args[6];
} probes[] = {
	{"read", ALL & ~K(VCPU), SYS_read, {-1}},
	{"write", ALL, SYS_write, {-1}},
	{"close",
	 ALL & ~(K(VCPU) | K(BLK_MMIO) | K(RNG_MMIO) | K(NET_MMIO) | K(BALLOON_MMIO)),
	 SYS_close,
	 {-1}},
	{"futex", ALL, SYS_futex, {0}},
	{"brk", ALL, SYS_brk, {0}},
	{"mmap", ALL, SYS_mmap, {0, 4096, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0}},
	{"munmap", ALL, SYS_munmap, {0, 0}},
	{"mremap", ALL, SYS_mremap, {1, 0}},
	{"epoll_wait", LOOPS, SYS_epoll_wait, {-1}},
	{"epoll_ctl", LOOPS, SYS_epoll_ctl, {-1}},
	{"poll", MMIO | MAINS | K(VCPU), SYS_poll, {0}},
	{"preadv", BLK | FS, SYS_preadv, {-1}},
	{"pwritev", BLK | FS, SYS_pwritev, {-1}},
	{"fdatasync", BLK | FS, SYS_fdatasync, {-1}},
	{"fallocate", BLK | FS, SYS_fallocate, {-1}},
	{"getrandom", RNG, SYS_getrandom, {0}},
	{"accept4", VSOCK, SYS_accept4, {-1}},
	{"readv", VSOCK, SYS_readv, {-1}},
	{"sendto", VSOCK, SYS_sendto, {-1}},
	{"recvfrom", VSOCK, SYS_recvfrom, {-1}},
	{"shutdown", VSOCK, SYS_shutdown, {-1}},
	{"socketpair(AF_UNIX)", VSOCK, SYS_socketpair, {AF_UNIX, STREAM, 0, 0}},
	{"sendmsg", VSOCK | VHOST, SYS_sendmsg, {-1}},
	{"recvmsg", VHOST | MAINS, SYS_recvmsg, {-1}},
	{"lseek", VHOST | FS, SYS_lseek, {-1}},
	{"fcntl(F_GETFL)", VHOST, SYS_fcntl, {-1, F_GETFL}},
	{"fcntl(F_SETFL)", VHOST, SYS_fcntl, {-1, F_SETFL}},
	{"madvise(MADV_DONTNEED)", THREADS, SYS_madvise, {0, 0, MADV_DONTNEED}},
	{"madvise(MADV_DONTFORK)", VHOST, SYS_madvise, {0, 0, MADV_DONTFORK}},
	{"ioctl(KVM_RUN)", K(VCPU), SYS_ioctl, {-1, (long)KVM_RUN}},
	{"ioctl(KVM_GET_REGS)", K(VCPU) | K(MAIN_KVM), SYS_ioctl, {-1, (long)KVM_GET_REGS}},
	{"tgkill(SIGUSR1)", K(MAIN_KVM), SYS_tgkill, {-1, -1, SIGUSR1}},
	{"ftruncate", K(MAIN_KVM) | FS, SYS_ftruncate, {-1}},
	{"pwrite64", K(MAIN_KVM), SYS_pwrite64, {-1}},
	{"wait4", K(MAIN_QEMU), SYS_wait4, {-1}},
	{"pidfd_send_signal(SIGKILL)", K(MAIN_QEMU), SYS_pidfd_send_signal, {-1, SIGKILL}},
	/* Another value of the same argument, or of its upper half, which the kernel ignores. */
	{"pidfd_send_signal(SIGUSR1)", NONE, SYS_pidfd_send_signal, {-1, SIGUSR1}},
	{"tgkill(SIGKILL)", NONE, SYS_tgkill, {-1, -1, SIGKILL}},
	{"ioctl(TIOCSTI)", NONE, SYS_ioctl, {-1, TIOCSTI}},
	{"ioctl(TIOCSTI), upper half", NONE, SYS_ioctl, {-1, TIOCSTI | 1L << 32}},
	{"ioctl(KVM_CREATE_VM)", NONE, SYS_ioctl, {-1, KVM_CREATE_VM}},
	{"ioctl(FIONREAD)", NONE, SYS_ioctl, {-1, FIONREAD}},
	{"fcntl(F_SETOWN)", NONE, SYS_fcntl, {-1, F_SETOWN}},
	{"fcntl(F_DUPFD_CLOEXEC)", FS, SYS_fcntl, {-1, F_DUPFD_CLOEXEC}},
	{"fcntl(F_DUPFD)", NONE, SYS_fcntl, {-1, F_DUPFD}},
	{"socketpair(AF_INET)", NONE, SYS_socketpair, {AF_INET, STREAM, 0, 0}},
	{"socketpair(SOCK_DGRAM)", NONE, SYS_socketpair, {AF_UNIX, SOCK_DGRAM, 0, 0}},
	{"socketpair(AF_NETLINK)", NONE, SYS_socketpair, {AF_NETLINK, SOCK_RAW, 0, 0}},
	{"mmap(PROT_EXEC)", NONE, SYS_mmap, {0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, -1, 0}},
	{"mmap(RWX)", NONE, SYS_mmap, {0, 4096, RW | PROT_EXEC, MAP_PRIVATE, -1, 0}},
	{"madvise(MADV_REMOVE)", NONE, SYS_madvise, {0, 0, MADV_REMOVE}},
	/* Files. */
	{"open", NONE, SYS_open, {0}},
	{"openat", FS, SYS_openat, {-1}},
	{"openat2", FS, SYS_openat2, {-1}},
	{"unlinkat", FS, SYS_unlinkat, {-1}},
	{"mkdirat", FS, SYS_mkdirat, {-1}},
	{"linkat", FS, SYS_linkat, {-1}},
	{"fchmod", FS, SYS_fchmod, {-1}},
	{"fsetxattr", FS, SYS_fsetxattr, {-1}},
	{"fchmodat", NONE, SYS_fchmodat, {-1}},
	{"fchownat", NONE, SYS_fchownat, {-1}},
	{"setxattr", NONE, SYS_setxattr, {0}},
	{"mknodat", NONE, SYS_mknodat, {-1}},
	{"creat", NONE, SYS_creat, {0}},
	{"newfstatat", FS, SYS_newfstatat, {-1}},
	{"readlink", NONE, SYS_readlink, {0}},
	{"getdents64", FS, SYS_getdents64, {-1}},
	{"unlink", NONE, SYS_unlink, {0}},
	{"rename", NONE, SYS_rename, {0}},
	{"chmod", NONE, SYS_chmod, {0}},
	{"chdir", NONE, SYS_chdir, {0}},
	{"mount", NONE, SYS_mount, {0}},
	{"open_by_handle_at", NONE, SYS_open_by_handle_at, {-1}},
	{"memfd_create", NONE, SYS_memfd_create, {0}},
	/* Network. */
	{"socket(AF_INET)", NONE, SYS_socket, {AF_INET, SOCK_STREAM, 0}},
	{"socket(AF_UNIX)", NONE, SYS_socket, {AF_UNIX, SOCK_STREAM, 0}},
	{"socket(AF_VSOCK)", NONE, SYS_socket, {AF_VSOCK, SOCK_STREAM, 0}},
	{"connect", NONE, SYS_connect, {-1}},
	{"bind", NONE, SYS_bind, {-1}},
	{"listen", NONE, SYS_listen, {-1}},
	{"setsockopt", NONE, SYS_setsockopt, {-1}},
	/* Processes. */
	{"execve", NONE, SYS_execve, {0}},
	{"execveat", NONE, SYS_execveat, {-1}},
	{"clone", NONE, SYS_clone, {SIGCHLD}},
	{"clone(CLONE_VM)", NONE, SYS_clone, {CLONE_VM | CLONE_THREAD | CLONE_SIGHAND}},
	{"clone3", NONE, SYS_clone3, {0}},
	{"fork", NONE, SYS_fork, {0}},
	{"vfork", NONE, SYS_vfork, {0}},
	{"ptrace", NONE, SYS_ptrace, {-1}},
	{"process_vm_readv", NONE, SYS_process_vm_readv, {-1}},
	{"kill", NONE, SYS_kill, {1, 0}},
	{"tkill", NONE, SYS_tkill, {1, 0}},
	{"pidfd_open", NONE, SYS_pidfd_open, {1}},
	{"pidfd_getfd", NONE, SYS_pidfd_getfd, {-1}},
	{"rt_sigqueueinfo", NONE, SYS_rt_sigqueueinfo, {1}},
	{"prlimit64", NONE, SYS_prlimit64, {1}},
	/* Privileges, and much code of the kernel. */
	{"prctl(PR_SET_DUMPABLE)", NONE, SYS_prctl, {PR_SET_DUMPABLE, 1}},
	{"setuid", NONE, SYS_setuid, {0}},
	{"unshare", NONE, SYS_unshare, {CLONE_NEWUSER}},
	{"setns", NONE, SYS_setns, {-1}},
	{"mprotect", NONE, SYS_mprotect, {0}},
	{"bpf", NONE, SYS_bpf, {0}},
	{"io_uring_setup", NONE, SYS_io_uring_setup, {0}},
	{"io_uring_enter", NONE, SYS_io_uring_enter, {-1}},
	{"perf_event_open", NONE, SYS_perf_event_open, {0}},
	{"userfaultfd", NONE, SYS_userfaultfd, {0}},
	{"keyctl", NONE, SYS_keyctl, {0}},
	{"shmget", NONE, SYS_shmget, {0}},
	{"seccomp", NONE, SYS_seccomp, {SECCOMP_SET_MODE_FILTER, 0, 0}},
	{"landlock_create_ruleset", NONE, SYS_landlock_create_ruleset, {0}},
	{"reboot", NONE, SYS_reboot, {0}},
	{"no such call", NONE, 1000, {0}},
	{"x32", NONE, __X32_SYSCALL_BIT | SYS_read, {-1}},
};

/* Ends a confined child by the one call for it that its kind has. */
_Noreturn static void leave(enum jail_kind kind)
{
	for (;;)
		syscall(MAINS & (1u << kind) ? SYS_exit_group : SYS_exit, SURVIVED);
}

static void confined(enum jail_kind kind)
{
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (jail_thread(kind) < 0)
		_exit(1);
}

/* There are no filters then, see jail_thread. */
static void need_filters(void)
{
#ifdef __SANITIZE_ADDRESS__
	skip();
#endif
}

static void test_system_calls(void **state)
{
	need_filters();
	for (unsigned int kind = 0; kind < JAIL_KIND_COUNT; kind++) {
		for (unsigned int i = 0; i < ARRAY_SIZE(probes); i++) {
			const struct probe *p = &probes[i];
			bool allowed = p->allowed & (1u << kind);
			pid_t pid = fork();
			int got;

			if (pid == 0) {
				confined(kind);
				syscall(p->nr, p->args[0], p->args[1], p->args[2], p->args[3],
					p->args[4], p->args[5]);
				leave(kind);
			}
			got = outcome(pid);
			if (got != (allowed ? SURVIVED : 128 + SIGSYS))
				fail_msg("%s in kind %u gives %d", p->what, kind, got);
		}
	}
}

/* The same numbers mean other calls there: close is read. */
static void test_32_bit_calls(void **state)
{
	pid_t pid;
	int got;

	need_filters();
	pid = fork();
	if (pid == 0) {
		long r = SYS_close;

		confined(JAIL_MAIN_QEMU);
		__asm__ volatile("int $0x80" : "+a"(r) : "b"(-1L), "c"(0L), "d"(0L) : "memory");
		leave(JAIL_MAIN_QEMU);
	}
	got = outcome(pid);
	/* A kernel without these calls does not even get to the filter. */
	assert_true(got == 128 + SIGSYS || got == 128 + SIGSEGV);
}

/* What finds the program in a state that cannot be ends it at once, filter or not. */
static void test_abort(void **state)
{
	need_filters();
	for (unsigned int kind = 0; kind < JAIL_KIND_COUNT; kind++) {
		pid_t pid = fork();

		if (pid == 0) {
			confined(kind);
			abort();
		}
		assert_int_equal(outcome(pid), 128 + SIGSYS);
	}
}

/* --- A device's thread. */

static void open_a_file(void *arg)
{
	syscall(SYS_openat, AT_FDCWD, "/", O_RDONLY);
}

static void call_nothing(void *arg)
{
}

static void test_device_thread(void **state)
{
	static void (*const calls[])(void *arg) = {call_nothing, open_a_file};

	need_filters();
	for (unsigned int i = 0; i < ARRAY_SIZE(calls); i++) {
		pid_t pid = fork();

		if (pid == 0) {
			struct virtio_device *dev = rng_new();

			prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
			if (jail_device(dev, JAIL_VHOST_USER) < 0 || worker_start(dev->worker) < 0)
				_exit(1);
			worker_call(dev->worker, calls[i], NULL);
			/* It concerned that thread alone. */
			open_a_file(NULL);
			_exit(SURVIVED);
		}
		assert_int_equal(outcome(pid), i ? 128 + SIGSYS : SURVIVED);
	}
}

static void test_unknown_device(void **state)
{
	struct virtio_device *dev = rng_new();

	dev->id = VIRTIO_ID_BALLOON;
	assert_int_equal(jail_device(dev, JAIL_VHOST_USER), -ENOTSUP);
	assert_int_equal(jail_device(dev, JAIL_MMIO), 0);
	dev->id = VIRTIO_ID_GPU;
	assert_int_equal(jail_device(dev, JAIL_MMIO), -ENOTSUP);
	virtio_device_free(dev);
}

/* --- Landlock and the rest of the process. */

/* In a child: stops at the first thing that is not as it should be, and says where. */
#define MUST(condition)                                               \
	do {                                                          \
		if (!(condition)) {                                   \
			dprintf(2, "%d: %s\n", __LINE__, #condition); \
			_exit(1);                                     \
		}                                                     \
	} while (0)

static bool denied(int r)
{
	return r < 0 && errno == EACCES;
}

static void need_landlock(int abi)
{
	if (landlock_abi() < abi)
		skip();
}

static void test_process_files(void **state)
{
	char *file = xasprintf("%s/file", (char *)*state);
	pid_t pid;

	need_landlock(1);
	put_file(file, "contents");
	pid = fork();
	if (pid == 0) {
		int fd = open(file, O_RDWR | O_CLOEXEC);
		struct err e;
		char got[8];

		MUST(jail_process(&e) == 0);
		MUST(denied(open(file, O_RDONLY)));
		MUST(denied(open(file, O_WRONLY)));
		MUST(denied(open("/etc/passwd", O_RDONLY)));
		MUST(denied(open("/", O_RDONLY | O_DIRECTORY)));
		MUST(denied(open("/dev/null", O_RDWR)));
		MUST(denied(open("/proc/self/mem", O_RDWR)));
		MUST(denied(openat(AT_FDCWD, xasprintf("%s.new", file), O_CREAT | O_RDWR, 0600)));
		MUST(denied(mkdir(xasprintf("%s.new", file), 0700)));
		MUST(denied(unlink(file)));
		MUST(denied(rename(file, xasprintf("%s.new", file))));
		MUST(denied(execl("/bin/true", "true", NULL)));
		/* What is open stays open. */
		MUST(pread_full(fd, got, sizeof(got), 0) == 8);
		MUST(pwrite_full(fd, "CONTENTS", 8, 0) == 0);
		_exit(SURVIVED);
	}
	assert_int_equal(outcome(pid), SURVIVED);
	free(file);
}

static void test_process_network(void **state)
{
	pid_t pid;

	need_landlock(4);
	pid = fork();
	if (pid == 0) {
		struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(9)};
		int fd = socket(AF_INET, SOCK_STREAM, 0);
		struct err e;

		sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		MUST(jail_process(&e) == 0);
		MUST(denied(connect(fd, (struct sockaddr *)&sa, sizeof(sa))));
		sa.sin_port = 0;
		MUST(denied(bind(fd, (struct sockaddr *)&sa, sizeof(sa))));
		_exit(SURVIVED);
	}
	assert_int_equal(outcome(pid), SURVIVED);
}

static void test_process_state(void **state)
{
	for (int debug = 0; debug < 2; debug++) {
		pid_t pid = fork();

		if (pid == 0) {
			struct rlimit core;
			struct err e;

			MUST((debug ? setenv("MSB_DEBUG", "1", 1) : unsetenv("MSB_DEBUG")) == 0);
			MUST(jail_process(&e) == 0);
			MUST(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
			MUST(prctl(PR_GET_DUMPABLE) == debug);
			MUST(getrlimit(RLIMIT_CORE, &core) == 0 && core.rlim_max == 0);
			_exit(SURVIVED);
		}
		assert_int_equal(outcome(pid), SURVIVED);
	}
}

/* We and what we start reach each other, nobody else; not even from where files are denied. */
static void test_family(void **state)
{
	pid_t pid;

	need_landlock(6);
	pid = fork();
	if (pid == 0) {
		pid_t child;
		struct err e;

		MUST(jail_family(&e) == 0);
		MUST(open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC) >= 0);
		MUST(kill(getppid(), 0) < 0 && errno == EPERM);
		child = fork();
		if (child == 0)
			for (;;)
				pause();
		MUST(jail_process(&e) == 0);
		MUST(kill(child, SIGKILL) == 0);
		MUST(outcome(child) == 128 + SIGKILL);
		_exit(SURVIVED);
	}
	assert_int_equal(outcome(pid), SURVIVED);
}

/* --- The emulator. */

static void test_qemu(void **state)
{
	char *dir = *state, *file = xasprintf("%s/file", dir), *other = xasprintf("%s/other", dir);
	char *program = xasprintf("%s/program", dir);
	pid_t pid;

	need_landlock(6);
	put_file(file, "contents");
	put_file(other, "contents");
	put_file(program, "#!/bin/sh\nexit 42\n");
	assert_int_equal(chmod(program, 0700), 0);
	pid = fork();
	if (pid == 0) {
		int fd = open(file, O_RDONLY), pair[2];

		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		MUST(qemu_confine(program, &fd, 1, false) == 0);
		MUST(open(xasprintf("/proc/self/fd/%d", fd), O_RDONLY) >= 0);
		MUST(open("/usr/bin/env", O_RDONLY) >= 0);
		MUST(denied(open(xasprintf("/proc/self/fd/%d", fd), O_RDWR)));
		MUST(denied(open(other, O_RDONLY)));
		MUST(denied(open("/etc/passwd", O_RDONLY)));
		MUST(denied(open(dir, O_RDONLY | O_DIRECTORY)));
		MUST(denied(openat(AT_FDCWD, xasprintf("%s.new", file), O_CREAT | O_RDWR, 0600)));
		MUST(socket(AF_UNIX, SOCK_STREAM, 0) < 0 && errno == EPERM);
		MUST(socket(AF_INET, SOCK_DGRAM, 0) < 0 && errno == EPERM);
		MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) < 0 && errno == EPERM);
		MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
		MUST(syscall(SYS_io_uring_setup, 1, NULL) < 0 && errno == EPERM);
		MUST(kill(getppid(), 0) < 0 && errno == EPERM);
		execl(program, program, NULL);
		_exit(1);
	}
	assert_int_equal(outcome(pid), SURVIVED);
	free(program);
	free(other);
	free(file);
}

/* Connecting by a name is not done, and answered as if standard input were what came of it. */
static void test_qemu_connected(void **state)
{
	char *dir = *state, *path;
	int at, listener, pair[2], in;
	pid_t pid;

	need_filters();
	path = xasprintf("%s/socket", dir);
	at = open(dir, O_PATH | O_CLOEXEC);
	listener = unix_listen_at(at, "socket", 1);
	assert_true(listener >= 0);
	assert_int_equal(fd_set_nonblock(listener, true), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	pid = fork();
	if (pid == 0) {
		struct sockaddr_un a = {.sun_family = AF_UNIX};
		char c;

		strncpy(a.sun_path, path, sizeof(a.sun_path) - 1);
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		MUST(dup2(pair[0], STDIN_FILENO) == STDIN_FILENO);
		in = socket(AF_UNIX, SOCK_STREAM, 0);
		MUST(in > 0);
		MUST(qemu_confine("/bin/true", NULL, 0, true) == 0);
		MUST(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) == STDIN_FILENO);
		MUST(connect(STDIN_FILENO, (struct sockaddr *)&a, sizeof(a)) == 0);
		MUST(send(STDIN_FILENO, "x", 1, 0) == 1);
		MUST(recv(STDIN_FILENO, &c, 1, 0) == 1 && c == 'y');
		/* Any other socket, and any other way. */
		MUST(socket(AF_UNIX, SOCK_STREAM, 0) < 0 && errno == EPERM);
		MUST(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0) < 0 && errno == EPERM);
		MUST(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 1) < 0 && errno == EPERM);
		MUST(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) < 0 && errno == EPERM);
		MUST(connect(in, (struct sockaddr *)&a, sizeof(a)) < 0 && errno == EPERM);
		MUST(bind(STDIN_FILENO, (struct sockaddr *)&a, sizeof(a)) < 0 && errno == EPERM);
		_exit(SURVIVED);
	}
	assert_int_equal(write(pair[1], "y", 1), 1);
	assert_int_equal(outcome(pid), SURVIVED);
	/* Nobody came; what was sent went to where standard input leads. */
	assert_true(accept(listener, NULL, NULL) < 0 && errno == EAGAIN);
	assert_int_equal(read(pair[1], &(char){0}, 1), 1);
	close(pair[0]);
	close(pair[1]);
	close(listener);
	close(at);
	free(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_system_calls),    cmocka_unit_test(test_32_bit_calls),
		cmocka_unit_test(test_abort),           cmocka_unit_test(test_device_thread),
		cmocka_unit_test(test_unknown_device),  temp_test(test_process_files),
		cmocka_unit_test(test_process_network), cmocka_unit_test(test_process_state),
		cmocka_unit_test(test_family),          temp_test(test_qemu),
		temp_test(test_qemu_connected),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
