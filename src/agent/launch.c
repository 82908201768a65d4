/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/launch.h"

#include "agent/accounts.h"
#include "agent/environment.h"
#include "agent/restrict.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "proto/rlimit.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/close_range.h>

#define SHELL "/bin/sh"

/* A report is one atomic write. */
_Static_assert(sizeof(struct err) <= PIPE_BUF, "a report fits into one atomic write");

static int attach_streams(const struct launch *l, struct err *e)
{
	bool tty = l->request->tty;
	int in = l->in;

	if (in < 0) {
		in = open("/dev/null", O_RDONLY | O_CLOEXEC);
		if (in < 0)
			return err_sys(e, errno, "cannot open /dev/null");
	}
	if (dup2(in, STDIN_FILENO) < 0 || dup2(tty ? in : l->out, STDOUT_FILENO) < 0 ||
	    dup2(tty ? in : l->err, STDERR_FILENO) < 0)
		return err_sys(e, errno, "cannot attach the program's streams");
	if (tty && ioctl(STDIN_FILENO, TIOCSCTTY, 0) < 0)
		return err_sys(e, errno, "cannot take the terminal over");
	return 0;
}

static int set_limits(const struct rlimit_spec *specs, size_t n, struct err *e)
{
	for (const struct rlimit_spec *s = specs; s < specs + n; s++) {
		struct rlimit lim = {.rlim_cur = s->soft, .rlim_max = s->hard};

		if (s->soft > s->hard)
			return err_set(e, ERR_INVALID,
				       "resource limit '%s': the soft limit is above the hard one",
				       rlimit_name(s->resource));
		if (setrlimit((__rlimit_resource_t)s->resource, &lim) < 0)
			return err_set(e, ERR_INVALID, "cannot set resource limit '%s': %s",
				       rlimit_name(s->resource), strerror(errno));
	}
	return 0;
}

/* Returns 1 when the caller should try again as the program's user. */
static int enter_directory(const struct launch *l, struct err *e)
{
	const char *dir = l->request->cwd;
	bool image_dir = !dir;

	if (!dir)
		dir = l->config->workdir ? l->config->workdir : "/";
	if (dir[0] != '/')
		return err_set(e, ERR_INVALID, "working directory '%s' is not absolute", dir);
	if (chdir(dir) == 0)
		return 0;
	/* Image builders expect what container engines do: WORKDIR comes into being. */
	if (errno == ENOENT && image_dir && mkdir_p(dir, 0755) == 0 && chdir(dir) == 0)
		return 0;
	if (errno == EACCES)
		return 1;
	if (errno == ENOENT)
		return err_set(e, ERR_INVALID, "no such directory '%s'", dir);
	return err_set(e, ERR_INVALID, "cannot enter directory '%s': %s", dir, strerror(errno));
}

static int become(const struct account *a, struct err *e)
{
	gid_t groups[ACCOUNT_GROUPS_MAX + 1];

	/* Outside a guest (tests) the agent is not root and everything runs as its user. */
	if (geteuid() != 0)
		return 0;
	/* Already so. Most programs run as this, and each step saved shortens their start. */
	if (a->uid == 0 && a->gid == 0 && a->n_groups == 0)
		return 0;
	if (a->uid != 0) {
		/* As container engines do: else /dev/stdout could not be reopened. */
		for (int fd = 0; fd <= 2; fd++) {
			struct stat st;

			if (fstat(fd, &st) == 0 && (S_ISFIFO(st.st_mode) || isatty(fd)) &&
			    fchown(fd, a->uid, (gid_t)-1) < 0)
				return err_sys(e, errno, "cannot hand the streams over");
		}
	}
	/* With its own group among them, so that giving that up later cannot gain anything. */
	groups[0] = a->gid;
	for (size_t i = 0; i < a->n_groups; i++)
		groups[i + 1] = a->groups[i];
	if (setgroups(a->n_groups + 1, groups) < 0 || setresgid(a->gid, a->gid, a->gid) < 0 ||
	    setresuid(a->uid, a->uid, a->uid) < 0)
		return err_sys(e, errno, "cannot become user %u", a->uid);
	return 0;
}

/* Whether a file that the kernel takes for no program may be a shell script. */
static bool looks_like_script(const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	char head[128];
	ssize_t n = fd < 0 ? -1 : read(fd, head, sizeof(head));

	/* Unreadable ones are left to the shell to complain about. */
	return n < 0 || !memchr(head, '\0', (size_t)n);
}

static int exec_shell(const char *path, const struct strv *argv, const struct strv *env)
{
	char **v = xcalloc(argv->n + 2, sizeof(*v));

	v[0] = (char *)(uintptr_t)SHELL;
	v[1] = (char *)(uintptr_t)path;
	/* With the terminating NULL. */
	memcpy(v + 2, argv->v + 1, argv->n * sizeof(*v));
	execve(SHELL, v, env->v);
	return -errno;
}

static bool is_directory(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* Only returns when there is nothing to execute. */
static int exec_command(const struct strv *argv, const struct strv *env, struct err *e)
{
	const char *command = argv->v[0], *path = env_get(env, "PATH");
	_cleanup_free_ char *denied = NULL;

	for (size_t n = 0; *command; n++) {
		_cleanup_free_ char *file =
			command_candidate(command, path ? path : DEFAULT_PATH, n);

		if (!file)
			break;
		execve(file, argv->v, env->v);
		switch (errno) {
		case ENOENT:
			if (access(file, F_OK) == 0)
				return err_set(e, ERR_EXEC_NOT_FOUND,
					       "cannot execute '%s': its interpreter is missing",
					       file);
			break;
		case ENOTDIR:
			break;
		case EACCES:
			if (!denied && (strchr(command, '/') || !is_directory(file)))
				denied = steal_ptr(&file);
			break;
		case ENOEXEC:
			if (!looks_like_script(file))
				return err_set(
					e, ERR_EXEC_DENIED,
					"cannot execute '%s': not a program for this machine",
					file);
			exec_shell(file, argv, env);
			return err_set(e, ERR_EXEC_DENIED,
				       "cannot execute '%s': no program, and %s cannot run it: %s",
				       file, SHELL, strerror(errno));
		case E2BIG:
			return err_set(e, ERR_INVALID,
				       "cannot execute '%s': arguments and environment too long",
				       file);
		default:
			return err_set(e, ERR_EXEC_DENIED, "cannot execute '%s': %s", file,
				       strerror(errno));
		}
	}
	if (denied)
		return err_set(e, ERR_EXEC_DENIED, "cannot execute '%s': %s", denied,
			       is_directory(denied) ? "is a directory" : "permission denied");
	if (strchr(command, '/'))
		return err_set(e, ERR_EXEC_NOT_FOUND, "no such file '%s' in the sandbox", command);
	return err_set(e, ERR_EXEC_NOT_FOUND, "command '%s' not found in the sandbox", command);
}

static int run(const struct launch *l, struct err *e)
{
	const struct exec_request *r = l->request;
	const struct boot_config *c = l->config;
	struct account account;
	struct strv env;
	int retry;

	if (l->prepare && l->prepare(e) < 0)
		return -1;
	if (attach_streams(l, e) < 0)
		return -1;
	if (account_lookup(r->user ? r->user : c->user, &account, e) < 0 ||
	    set_limits(c->rlimits, c->n_rlimits, e) < 0 ||
	    set_limits(r->rlimits, r->n_rlimits, e) < 0)
		return -1;
	retry = enter_directory(l, e);
	if (retry < 0 || (c->restricted && restrict_self(e) < 0) || become(&account, e) < 0)
		return -1;
	if (retry && enter_directory(l, e) != 0)
		return err_set(e, ERR_INVALID, "cannot enter the working directory: %s",
			       strerror(EACCES));
	env_build(&env, &c->env, &r->env, account.home, r->tty);
	return exec_command(&r->argv, &env, e);
}

static _Noreturn void child(const struct launch *l, int report)
{
	struct err e = {0};
	sigset_t none;

	/* Dispositions are the default ones: the agent has no others. */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setsid();
	/* There should be nothing but this report that outlives us; it is closed by execve, too. */
	close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC);
	run(l, &e);
	/* The exit status is not looked at; the report is. */
	_exit(write(report, &e, sizeof(e)) == sizeof(e) ? 127 : 126);
}

pid_t launch_start(const struct launch *l, int *ret_report)
{
	int p[2];
	pid_t pid;

	/* Every descriptor of the agent is close-on-exec, so the end of file means "it runs". */
	if (pipe2(p, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	pid = _Fork();
	if (pid == 0)
		child(l, p[1]);
	if (pid < 0)
		pid = -errno;
	close(p[1]);
	if (pid < 0)
		close(p[0]);
	else
		*ret_report = p[0];
	return pid;
}

int launch_read_report(int report, struct err *e)
{
	struct err r;
	ssize_t n;

	do
		n = read(report, &r, sizeof(r));
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN)
		return 0;
	if (n != sizeof(r))
		return 1;
	if (r.code <= ERR_NONE || r.code >= ERR_CODE_COUNT)
		r.code = ERR_INTERNAL;
	r.msg[sizeof(r.msg) - 1] = '\0';
	return err_set(e, r.code, "%s", r.msg);
}
