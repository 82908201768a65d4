/* SPDX-License-Identifier: Apache-2.0 */
/*
 * killat PROGRAM N REPORT COMMAND...: runs a command, and kills (SIGKILL) one of the processes that
 * come of it just before its N-th system call that changes anything. So a test can walk through
 * all the moments in which a process can die: N = 1, 2, 3, ... until it is no longer reached.
 *
 * The process is the first below COMMAND that executes a file named PROGRAM. Until there is one,
 * the others are traced for fork and exec alone; then they are let go, and only that process and
 * its threads are stopped at system calls. Nothing is killed when this tool ends.
 *
 * It ends when COMMAND has, with its status. REPORT then says
 *   killed N CALL   the process was killed before its N-th such call, which is CALL
 *   passed N        it only made N of them until it, or COMMAND, ended
 *   absent          there was no such process
 *
 * What counts as changing (see counts()): whatever others can see after the process is dead, in
 * files, in locks, or at the other ends of sockets and pipes, and what starts or ends processes.
 * Closing does not count, because death closes everything, nor does memory of the process's own.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define TRACEES_MAX 4096

#define FOLLOW                                                                                    \
	(PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | \
	 PTRACE_O_TRACEEXEC)

struct tool {
	const char *program;
	unsigned long n;
	pid_t command, target; /* 0: not there yet */
	unsigned long count;   /* calls of the target so far */
	const char *killed_at; /* NULL: not reached */
	bool command_ended, target_ended;
	int command_status;
	pid_t tracees[TRACEES_MAX];
	size_t n_tracees;
};

static void die(const char *what)
{
	fprintf(stderr, "killat: %s: %s\n", what, strerror(errno));
	exit(125);
}

/* --- which calls --------------------------------------------------------------------------- */

#define CALL(name)                \
	{                         \
		SYS_##name, #name \
	}

static const struct call {
	uint64_t nr;
	const char *name;
} calls[] = {
	CALL(open),         CALL(openat),
	CALL(openat2),      CALL(creat),
	CALL(memfd_create), CALL(write),
	CALL(pwrite64),     CALL(writev),
	CALL(pwritev),      CALL(pwritev2),
	CALL(sendto),       CALL(sendmsg),
	CALL(sendmmsg),     CALL(sendfile),
	CALL(splice),       CALL(copy_file_range),
	CALL(rename),       CALL(renameat),
	CALL(renameat2),    CALL(link),
	CALL(linkat),       CALL(symlink),
	CALL(symlinkat),    CALL(unlink),
	CALL(unlinkat),     CALL(mkdir),
	CALL(mkdirat),      CALL(rmdir),
	CALL(truncate),     CALL(ftruncate),
	CALL(fallocate),    CALL(fsync),
	CALL(fdatasync),    CALL(sync_file_range),
	CALL(msync),        CALL(chmod),
	CALL(fchmod),       CALL(fchmodat),
	CALL(chown),        CALL(fchown),
	CALL(fchownat),     CALL(utimensat),
	CALL(setxattr),     CALL(fsetxattr),
	CALL(flock),        CALL(fcntl),
	CALL(ioctl),        CALL(mmap),
	CALL(pipe2),        CALL(socket),
	CALL(socketpair),   CALL(bind),
	CALL(listen),       CALL(connect),
	CALL(accept),       CALL(accept4),
	CALL(shutdown),     CALL(fork),
	CALL(vfork),        CALL(clone),
	CALL(clone3),       CALL(execve),
	CALL(execveat),     CALL(kill),
	CALL(tgkill),       CALL(pidfd_send_signal),
	CALL(exit_group),
};

static bool opens_to_change(uint64_t flags)
{
	return (flags & O_ACCMODE) != O_RDONLY || (flags & (O_CREAT | O_TRUNC));
}

/* The name of a call if it counts, or NULL. */
static const char *counts(const struct __ptrace_syscall_info *info)
{
	const uint64_t *args = info->entry.args;
	const struct call *c = calls;

	while (c < calls + sizeof(calls) / sizeof(calls[0]) && c->nr != info->entry.nr)
		c++;
	if (c == calls + sizeof(calls) / sizeof(calls[0]))
		return NULL;
	switch (c->nr) {
	case SYS_open:
		return opens_to_change(args[1]) ? c->name : NULL;
	case SYS_openat:
		return opens_to_change(args[2]) ? c->name : NULL;
	case SYS_fcntl:
		return args[1] == F_SETLK || args[1] == F_SETLKW || args[1] == F_OFD_SETLK ||
				       args[1] == F_OFD_SETLKW
			       ? c->name
			       : NULL;
	case SYS_ioctl:
		return args[1] == FICLONE || args[1] == FICLONERANGE ? c->name : NULL;
	case SYS_mmap: /* a file, or memory with a descriptor, that others see */
		return (int)args[4] >= 0 && (args[3] & MAP_SHARED) ? c->name : NULL;
	default:
		return c->name;
	}
}

/* --- tracing ------------------------------------------------------------------------------- */

static bool is_known(const struct tool *t, pid_t pid)
{
	for (size_t i = 0; i < t->n_tracees; i++)
		if (t->tracees[i] == pid)
			return true;
	return false;
}

static void forget(struct tool *t, pid_t pid)
{
	for (size_t i = 0; i < t->n_tracees; i++)
		if (t->tracees[i] == pid)
			t->tracees[i--] = t->tracees[--t->n_tracees];
}

static void remember(struct tool *t, pid_t pid)
{
	if (is_known(t, pid))
		return;
	if (t->n_tracees == TRACEES_MAX) {
		errno = EAGAIN;
		die("too many processes");
	}
	t->tracees[t->n_tracees++] = pid;
}

static bool is_of_target(const struct tool *t, pid_t pid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/task/%d", t->target, pid);
	return t->target && (pid == t->target || access(path, F_OK) == 0);
}

static bool has_name(pid_t pid, const char *name)
{
	char path[64], exe[4096];
	const char *slash;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	n = readlink(path, exe, sizeof(exe) - 1);
	if (n <= 0)
		return false;
	exe[n] = '\0';
	slash = strrchr(exe, '/');
	return slash && strcmp(slash + 1, name) == 0;
}

/* Goes on in the way that is due; the process may have been killed meanwhile. */
static void go_on(struct tool *t, pid_t pid, int sig)
{
	if (!t->target) {
		ptrace(PTRACE_CONT, pid, NULL, sig);
	} else if (is_of_target(t, pid)) {
		ptrace(PTRACE_SYSCALL, pid, NULL, sig);
	} else {
		ptrace(PTRACE_DETACH, pid, NULL, sig);
		forget(t, pid);
	}
}

static void found_target(struct tool *t, pid_t pid)
{
	t->target = pid;
	/* They can only be let go of while they are stopped. */
	for (size_t i = 0; i < t->n_tracees; i++)
		if (t->tracees[i] != pid)
			ptrace(PTRACE_INTERRUPT, t->tracees[i], NULL, NULL);
}

static void on_call(struct tool *t, pid_t pid)
{
	struct __ptrace_syscall_info info;
	const char *name;

	if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof(info), &info) <= 0 ||
	    info.op != PTRACE_SYSCALL_INFO_ENTRY)
		return;
	name = counts(&info);
	if (!name || t->killed_at || ++t->count != t->n)
		return;
	t->killed_at = name;
	kill(t->target, SIGKILL);
}

static void on_stop(struct tool *t, pid_t pid, int status)
{
	int sig = WSTOPSIG(status), event = status >> 16;

	remember(t, pid);
	if (sig == (SIGTRAP | 0x80)) {
		on_call(t, pid);
		sig = 0;
	} else if (event == PTRACE_EVENT_EXEC) {
		if (!t->target && has_name(pid, t->program))
			found_target(t, pid);
		sig = 0;
	} else if (event == PTRACE_EVENT_STOP && sig != SIGTRAP &&
		   (!t->target || is_of_target(t, pid))) {
		ptrace(PTRACE_LISTEN, pid, NULL, NULL); /* somebody else has stopped it */
		return;
	} else if (event) {
		sig = 0;
	}
	go_on(t, pid, sig);
}

static void on_end(struct tool *t, pid_t pid, int status)
{
	forget(t, pid);
	if (pid == t->command) {
		t->command_ended = true;
		t->command_status =
			WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	}
	if (pid == t->target)
		t->target_ended = true;
}

static void watch(struct tool *t)
{
	while (!t->command_ended || (t->killed_at && !t->target_ended)) {
		int status;
		pid_t pid = waitpid(-1, &status, __WALL);

		if (pid < 0 && errno == EINTR)
			continue;
		if (pid < 0)
			die("wait");
		if (WIFSTOPPED(status))
			on_stop(t, pid, status);
		else
			on_end(t, pid, status);
	}
}

static pid_t start(char **argv)
{
	int gate[2];
	pid_t pid;
	char c = 0;

	if (pipe2(gate, O_CLOEXEC) < 0)
		die("pipe");
	pid = fork();
	if (pid < 0)
		die("fork");
	if (pid == 0) {
		if (read(gate[0], &c, 1) == 1)
			execvp(argv[0], argv);
		die(argv[0]);
	}
	if (ptrace(PTRACE_SEIZE, pid, NULL, FOLLOW) < 0)
		die("ptrace");
	if (write(gate[1], &c, 1) != 1)
		die("pipe");
	close(gate[0]);
	close(gate[1]);
	return pid;
}

static void report(const struct tool *t, const char *path)
{
	FILE *f = fopen(path, "we");

	if (!f)
		die(path);
	if (t->killed_at)
		fprintf(f, "killed %lu %s\n", t->n, t->killed_at);
	else if (t->target)
		fprintf(f, "passed %lu\n", t->count);
	else
		fputs("absent\n", f);
	if (fclose(f) != 0)
		die(path);
}

int main(int argc, char **argv)
{
	static struct tool t;
	char *end;

	if (argc < 5) {
		fputs("usage: killat PROGRAM N REPORT COMMAND...\n", stderr);
		return 125;
	}
	t.program = argv[1];
	t.n = strtoul(argv[2], &end, 10);
	if (*end || t.n == 0) {
		fputs("killat: N has to be a number above 0\n", stderr);
		return 125;
	}
	t.command = start(argv + 4);
	watch(&t);
	report(&t, argv[3]);
	return t.command_status;
}
