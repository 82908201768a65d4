/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/qemu_jail.h"

#include "base/cleanup.h"
#include "base/util.h"
#include "base/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#define SOCKET_TYPE_MASK 0xf /* the rest are flags */

/* Its libraries and firmware. What a system does not have is passed over. */
static const char *const readable[] = {"/usr", "/lib", "/lib64", "/etc/ld.so.cache"};

static int allow(int ruleset, const char *path)
{
	_cleanup_close_ int fd = open(path, O_PATH | O_CLOEXEC);

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	return landlock_allow_read(ruleset, fd, true);
}

static int confine_files(const char *program, const int *files, size_t n_files)
{
	int ruleset = landlock_new(LANDLOCK_DENY_FILES | LANDLOCK_DENY_TCP | LANDLOCK_DENY_UNIX |
				   LANDLOCK_DENY_SIGNALS);
	int r;

	if (ruleset == -ENOSYS || ruleset == -EOPNOTSUPP)
		return 0;
	if (ruleset < 0)
		return ruleset;
	r = allow(ruleset, program);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(readable); i++)
		r = allow(ruleset, readable[i]);
	/* QEMU opens those anew, by their name in /proc/self/fd. */
	for (size_t i = 0; r == 0 && i < n_files; i++)
		r = landlock_allow_read(ruleset, files[i], false);
	if (r < 0) {
		close(ruleset);
		return r;
	}
	return landlock_enforce(ruleset);
}

/*
 * Its sockets are connected when it gets them. Landlock knows no sockets with a name in the file
 * system, and behind those are the user's session bus, keys and container engine. io_uring makes
 * sockets as well; the others reach into other processes. An error instead of death, because a
 * library may try one of them in passing.
 */
#define DENY(call)                                              \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_##call, 0, 1), \
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM)

static int install(const struct sock_filter *code, size_t n)
{
	struct sock_fprog program = {(unsigned short)n, (struct sock_filter *)code};

	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0 ? -errno : 0;
}

static int confine_calls(void)
{
	static const struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		/* x32 has the same calls under other numbers. */
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, __X32_SYSCALL_BIT, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		DENY(socket),
		DENY(connect),
		DENY(bind),
		DENY(io_uring_setup),
		DENY(ptrace),
		DENY(process_vm_readv),
		DENY(process_vm_writev),
		DENY(pidfd_getfd),
		DENY(bpf),
		DENY(perf_event_open),
		DENY(keyctl),
		DENY(add_key),
		DENY(request_key),
		/* A pair of datagram sockets can send to others by their name. */
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_socketpair, 0, 4),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
		BPF_STMT(BPF_ALU | BPF_AND | BPF_K, SOCKET_TYPE_MASK),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SOCK_DGRAM, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};

	return install(code, ARRAY_SIZE(code));
}

/*
 * A network card of QEMU's can be served by us only over a socket that QEMU has connected itself,
 * by a name in the file system. It does so with
 *
 *	socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)	connect(that, ...)
 *
 * which here are not done, and said to have been: the answer of both is 0, which is success and the
 * number of standard input, the socket that is meant. This filter allows nothing, it only changes
 * an answer: where several refuse a call, the one that was installed last says with which error,
 * and "no error" is one. So it has to come after the one that refuses.
 */
#define ARG(n) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[n]))

static int pretend_connected(void)
{
	static const struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_connect, 0, 2),
		ARG(0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, STDIN_FILENO, 7, 8),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_socket, 0, 7),
		ARG(0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_UNIX, 0, 5),
		ARG(1),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SOCK_STREAM | SOCK_CLOEXEC, 0, 3),
		ARG(2),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};

	return install(code, ARRAY_SIZE(code));
}

int qemu_confine(const char *program, const int *files, size_t n_files, bool connected)
{
	int r = confine_files(program, files, n_files);

	if (r == 0)
		r = confine_calls();
	if (r == 0 && connected)
		r = pretend_connected();
	return r;
}
