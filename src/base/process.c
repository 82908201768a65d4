/* SPDX-License-Identifier: Apache-2.0 */
#include "base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

int spawn_pass_fd(struct spawn *s, int fd)
{
	if (s->n_fds == ARRAY_SIZE(s->fds))
		return -1;
	s->fds[s->n_fds++] = fd;
	return fd;
}

static int add_actions(const struct spawn *s, posix_spawn_file_actions_t *actions)
{
	const int streams[3] = {s->in, s->out, s->err};
	int r = 0;

	for (int i = 0; i < 3 && r == 0; i++) {
		if (streams[i] >= 0)
			r = posix_spawn_file_actions_adddup2(actions, streams[i], i);
		else
			r = posix_spawn_file_actions_addopen(actions, i, "/dev/null",
							     i ? O_WRONLY : O_RDONLY, 0);
	}
	/* Duplicating a descriptor onto itself clears its close-on-exec flag in the child. */
	for (size_t i = 0; i < s->n_fds && r == 0; i++)
		r = posix_spawn_file_actions_adddup2(actions, s->fds[i], s->fds[i]);
	return r;
}

pid_t spawn_run(const struct spawn *s)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t all, none;
	short flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
	pid_t pid = -1;
	int r;

	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attr);
	sigfillset(&all);
	sigemptyset(&none);
	posix_spawnattr_setsigdefault(&attr, &all);
	posix_spawnattr_setsigmask(&attr, &none);
	if (s->new_session)
		flags |= POSIX_SPAWN_SETSID;
	posix_spawnattr_setflags(&attr, flags);
	r = add_actions(s, &actions);
	if (r == 0)
		r = posix_spawn(&pid, s->path, &actions, &attr, s->argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attr);
	return r ? -r : pid;
}

int spawn_wait(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

void process_batch(void)
{
	sched_setscheduler(0, SCHED_BATCH, &(struct sched_param){});
}

char *program_find(const char *name)
{
	const char *path = secure_getenv("PATH");

	if (!path)
		path = "/usr/local/bin:/usr/bin:/bin";
	while (*path) {
		size_t len = strcspn(path, ":");
		char *candidate = xasprintf("%.*s/%s", (int)len, path, name);

		if (len && access(candidate, X_OK) == 0)
			return candidate;
		free(candidate);
		path += len + (path[len] == ':');
	}
	return NULL;
}

char *program_relative_path(const char *relative)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	if (n < 0)
		return NULL;
	self[n] = '\0';
	slash = strrchr(self, '/');
	if (!slash)
		return NULL;
	*slash = '\0';
	return xasprintf("%s/%s", self, relative);
}
