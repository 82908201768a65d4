/* SPDX-License-Identifier: Apache-2.0 */
/* Confinement, tried out by children of ours. */
#include "../testing.h"

#include "net/jail.h"

#include <linux/seccomp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#define SURVIVED 42

#define STREAM ((long)(SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK))
#define DGRAM  ((long)(SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK))
#define RW     ((long)(PROT_READ | PROT_WRITE))

/* Without harm wherever it is allowed: mostly about a descriptor that is none. */
static const struct probe {
	const char *what;
	bool allowed;
	long nr;
	long args[6];
} probes[] = {
	{"read", true, SYS_read, {-1}},
	{"write", true, SYS_write, {-1}},
	{"close", true, SYS_close, {-1}},
	{"epoll_wait", true, SYS_epoll_wait, {-1}},
	{"epoll_ctl", true, SYS_epoll_ctl, {-1}},
	{"brk", true, SYS_brk, {0}},
	{"mmap", true, SYS_mmap, {0, 4096, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0}},
	{"munmap", true, SYS_munmap, {0, 0}},
	/* Sockets of the guest's conversations. */
	{"socket(TCP)", true, SYS_socket, {AF_INET, STREAM, 0}},
	{"socket(TCP, IPv6)", true, SYS_socket, {AF_INET6, STREAM, 0}},
	{"socket(UDP)", true, SYS_socket, {AF_INET, DGRAM, 0}},
	{"socket(UDP, IPv6)", true, SYS_socket, {AF_INET6, DGRAM, 0}},
	{"socket(ping)", true, SYS_socket, {AF_INET, DGRAM, IPPROTO_ICMP}},
	{"socket(ping, IPv6)", true, SYS_socket, {AF_INET6, DGRAM, IPPROTO_ICMPV6}},
	{"connect", true, SYS_connect, {-1}},
	{"accept4", true, SYS_accept4, {-1}},
	{"shutdown", true, SYS_shutdown, {-1}},
	{"setsockopt(TCP_NODELAY)", true, SYS_setsockopt, {-1, IPPROTO_TCP, TCP_NODELAY}},
	{"setsockopt(SO_LINGER)", true, SYS_setsockopt, {-1, SOL_SOCKET, SO_LINGER}},
	/* Of other kinds, or for others to come to. */
	{"bind", false, SYS_bind, {-1}},
	{"listen", false, SYS_listen, {-1}},
	{"socket(AF_UNIX)", false, SYS_socket, {AF_UNIX, STREAM, 0}},
	{"socket(AF_NETLINK)", false, SYS_socket, {AF_NETLINK, SOCK_RAW, 0}},
	{"socket(AF_PACKET)", false, SYS_socket, {AF_PACKET, SOCK_RAW, 0}},
	{"socket(AF_VSOCK)", false, SYS_socket, {AF_VSOCK, STREAM, 0}},
	{"socket(SOCK_RAW)", false, SYS_socket, {AF_INET, SOCK_RAW, IPPROTO_ICMP}},
	{"socket(SOCK_RAW, IPv6)", false, SYS_socket, {AF_INET6, SOCK_RAW, IPPROTO_ICMPV6}},
	{"socket(SOCK_SEQPACKET)", false, SYS_socket, {AF_INET, SOCK_SEQPACKET, 0}},
	{"socket(SCTP)", false, SYS_socket, {AF_INET, STREAM, IPPROTO_SCTP}},
	{"socket(MPTCP)", false, SYS_socket, {AF_INET6, STREAM, 262}},
	{"socket(UDP-Lite)", false, SYS_socket, {AF_INET, DGRAM, IPPROTO_UDPLITE}},
	{"socketpair", false, SYS_socketpair, {AF_UNIX, STREAM, 0, 0}},
	{"setsockopt(SO_ATTACH_FILTER)", false, SYS_setsockopt, {-1, SOL_SOCKET, SO_ATTACH_FILTER}},
	{"setsockopt(TCP_ULP)", false, SYS_setsockopt, {-1, SOL_TCP, TCP_ULP}},
	{"setsockopt(TCP_REPAIR)", false, SYS_setsockopt, {-1, SOL_TCP, TCP_REPAIR}},
	{"ioctl", false, SYS_ioctl, {-1, 0x8913}},
	/* Files. */
	{"open", false, SYS_open, {0}},
	{"openat", false, SYS_openat, {-1}},
	{"openat2", false, SYS_openat2, {-1}},
	{"creat", false, SYS_creat, {0}},
	{"newfstatat", false, SYS_newfstatat, {-1}},
	{"readlink", false, SYS_readlink, {0}},
	{"getdents64", false, SYS_getdents64, {-1}},
	{"unlink", false, SYS_unlink, {0}},
	{"rename", false, SYS_rename, {0}},
	{"mount", false, SYS_mount, {0}},
	{"open_by_handle_at", false, SYS_open_by_handle_at, {-1}},
	{"memfd_create", false, SYS_memfd_create, {0}},
	{"ftruncate", false, SYS_ftruncate, {-1}},
	/* Processes. There are no threads. */
	{"futex", false, SYS_futex, {0}},
	{"execve", false, SYS_execve, {0}},
	{"execveat", false, SYS_execveat, {-1}},
	{"clone", false, SYS_clone, {SIGCHLD}},
	{"clone(CLONE_VM)", false, SYS_clone, {CLONE_VM | CLONE_THREAD | CLONE_SIGHAND}},
	{"clone3", false, SYS_clone3, {0}},
	{"fork", false, SYS_fork, {0}},
	{"vfork", false, SYS_vfork, {0}},
	{"ptrace", false, SYS_ptrace, {-1}},
	{"process_vm_readv", false, SYS_process_vm_readv, {-1}},
	{"kill", false, SYS_kill, {1, 0}},
	{"tkill", false, SYS_tkill, {1, 0}},
	{"tgkill", false, SYS_tgkill, {-1, -1, SIGUSR1}},
	{"pidfd_open", false, SYS_pidfd_open, {1}},
	{"pidfd_getfd", false, SYS_pidfd_getfd, {-1}},
	{"rt_sigqueueinfo", false, SYS_rt_sigqueueinfo, {1}},
	{"prlimit64", false, SYS_prlimit64, {1}},
	/* Privileges, and much code of the kernel. */
	{"prctl(PR_SET_DUMPABLE)", false, SYS_prctl, {PR_SET_DUMPABLE, 1}},
	{"setuid", false, SYS_setuid, {0}},
	{"unshare", false, SYS_unshare, {CLONE_NEWUSER}},
	{"setns", false, SYS_setns, {-1}},
	{"mmap(PROT_EXEC)", false, SYS_mmap, {0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, -1, 0}},
	{"mprotect", false, SYS_mprotect, {0}},
	{"bpf", false, SYS_bpf, {0}},
	{"io_uring_setup", false, SYS_io_uring_setup, {0}},
	{"perf_event_open", false, SYS_perf_event_open, {0}},
	{"userfaultfd", false, SYS_userfaultfd, {0}},
	{"keyctl", false, SYS_keyctl, {0}},
	{"shmget", false, SYS_shmget, {0}},
	{"seccomp", false, SYS_seccomp, {SECCOMP_SET_MODE_FILTER, 0, 0}},
	{"landlock_create_ruleset", false, SYS_landlock_create_ruleset, {0}},
	{"no such call", false, 1000, {0}},
	{"x32", false, __X32_SYSCALL_BIT | SYS_read, {-1}},
};

/* What becomes of a child that does `fn`: its exit status, or 128 + the signal that killed it. */
static int outcome(void (*fn)(const void *arg), const void *arg)
{
	pid_t pid = fork();
	int status = -1;

	if (pid == 0) {
		fn(arg);
		for (;;)
			syscall(SYS_exit_group, SURVIVED);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* Filters are left out then, see confine_calls. */
static void need_filters(void)
{
#ifdef __SANITIZE_ADDRESS__
	skip();
#endif
}

static void try_call(const void *arg)
{
	const struct probe *p = arg;
	struct err e;

	if (jail_enter(&e) < 0)
		_exit(1);
	syscall(p->nr, p->args[0], p->args[1], p->args[2], p->args[3], p->args[4], p->args[5]);
}

static void test_system_calls(void **state)
{
	need_filters();
	for (unsigned int i = 0; i < ARRAY_SIZE(probes); i++) {
		int got = outcome(try_call, &probes[i]);

		if (got != (probes[i].allowed ? SURVIVED : 128 + SIGSYS))
			fail_msg("%s gives %d", probes[i].what, got);
	}
}

static void call_abort(const void *arg)
{
	struct err e;

	if (jail_enter(&e) == 0)
		abort();
}

/* What finds the program in a state that cannot be ends it at once, filter or not. */
static void test_abort(void **state)
{
	need_filters();
	assert_int_equal(outcome(call_abort, NULL), 128 + SIGSYS);
}

static void call_32_bit(const void *arg)
{
	struct err e;
	long r = SYS_close;

	if (jail_enter(&e) < 0)
		_exit(1);
	__asm__ volatile("int $0x80" : "+a"(r) : "b"(-1L), "c"(0L), "d"(0L) : "memory");
}

/* The same numbers mean other calls there: close is read. */
static void test_32_bit_calls(void **state)
{
	int got;

	need_filters();
	got = outcome(call_32_bit, NULL);
	/* A kernel without these calls does not even get to the filter. */
	assert_true(got == 128 + SIGSYS || got == 128 + SIGSEGV);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_system_calls),
		cmocka_unit_test(test_abort),
		cmocka_unit_test(test_32_bit_calls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
