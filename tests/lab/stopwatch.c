/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stopwatch COMMAND...: runs it with nothing on standard input and output, and prints how long it
 * took, from before the fork to after the wait, in seconds. A scripting language would add
 * milliseconds of its own, which is what some commands take.
 */
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	posix_spawn_file_actions_t files;
	double start;
	pid_t pid;
	int r, status;

	if (argc < 2) {
		fputs("usage: stopwatch COMMAND...\n", stderr);
		return 2;
	}
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
	start = now();
	r = posix_spawnp(&pid, argv[1], &files, NULL, argv + 1, environ);
	if (r) {
		fprintf(stderr, "stopwatch: %s: %s\n", argv[1], strerror(r));
		return 1;
	}
	if (waitpid(pid, &status, 0) != pid)
		return 1;
	printf("%.6f\n", now() - start);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
