/* SPDX-License-Identifier: Apache-2.0 */
/* The program that is spawned is this one: with an argument it does what the argument says. */
#include "../testing.h"

#include "base/process.h"

#include <dirent.h>
#include <sched.h>
#include <signal.h>

/* Prints the descriptors above standard error, in order, each followed by a blank. */
static int print_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");

	for (int fd = 3; fd < 1000; fd++)
		if (fd != dirfd(dir) && fcntl(fd, F_GETFD) >= 0)
			printf("%d ", fd);
	closedir(dir);
	return 0;
}

static int print_signals(void)
{
	struct sigaction sa;
	sigset_t blocked;

	sigprocmask(SIG_SETMASK, NULL, &blocked);
	sigaction(SIGPIPE, NULL, &sa);
	printf("%d %d", sigismember(&blocked, SIGTERM), sa.sa_handler == SIG_DFL);
	return 0;
}

static int print_streams(void)
{
	struct stat null, st;

	stat("/dev/null", &null);
	for (int fd = 0; fd < 3; fd++)
		if (fd != 1)
			printf("%d ", fstat(fd, &st) == 0 && st.st_rdev == null.st_rdev);
	return 0;
}

static int child(const char *what)
{
	if (strcmp(what, "fds") == 0)
		return print_fds();
	if (strcmp(what, "signals") == 0)
		return print_signals();
	if (strcmp(what, "streams") == 0)
		return print_streams();
	if (strcmp(what, "session") == 0)
		return getsid(0) == getpid();
	if (strcmp(what, "kill") == 0)
		return raise(SIGKILL);
	return 37;
}

/* Runs `what` and returns its exit status; `out` gets its standard output. */
static int run(struct spawn *s, const char *what, char *out, size_t size)
{
	char *argv[] = {(char *)(uintptr_t) "test", (char *)(uintptr_t)what, NULL};
	int fds[2];
	ssize_t n;
	pid_t pid;

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	s->path = "/proc/self/exe";
	s->argv = argv;
	s->out = fds[1];
	pid = spawn_run(s);
	close(fds[1]);
	assert_true(pid > 0);
	n = read_full(fds[0], out, size - 1);
	close(fds[0]);
	assert_true(n >= 0);
	out[n] = '\0';
	return spawn_wait(pid);
}

static void test_exit_status(void **state)
{
	struct spawn s = {.in = -1, .err = 2};
	char out[64];

	assert_int_equal(run(&s, "exit", out, sizeof(out)), 37);
	assert_int_equal(run(&s, "kill", out, sizeof(out)), 128 + SIGKILL);
	assert_int_equal(spawn_wait(getpid()), -ECHILD);
}

static void test_no_such_program(void **state)
{
	char *argv[] = {(char *)(uintptr_t) "x", NULL};
	struct spawn s = {.path = "/nonexistent/x", .argv = argv, .in = -1, .out = -1, .err = -1};

	assert_int_equal(spawn_run(&s), -ENOENT);
}

/* The child has what it was given, under the same number, and nothing else that we have open. */
static void test_passing_descriptors(void **state)
{
	struct spawn s = {.in = -1, .err = 2};
	int a = fcntl(0, F_DUPFD_CLOEXEC, 50), b = fcntl(0, F_DUPFD_CLOEXEC, 60);
	int hidden = fcntl(0, F_DUPFD_CLOEXEC, 70);
	char out[256], want[64];

	assert_int_equal(spawn_pass_fd(&s, a), a);
	assert_int_equal(spawn_pass_fd(&s, b), b);
	assert_int_equal(run(&s, "fds", out, sizeof(out)), 0);
	snprintf(want, sizeof(want), "%d %d ", a, b);
	assert_string_equal(out, want);
	/* Ours stay as they were. */
	assert_int_equal(fcntl(a, F_GETFD), FD_CLOEXEC);
	close(a);
	close(b);
	close(hidden);
}

static void test_too_many_descriptors(void **state)
{
	struct spawn s = {0};

	for (int i = 0; i < SPAWN_FDS_MAX; i++)
		assert_int_equal(spawn_pass_fd(&s, i), i);
	assert_int_equal(spawn_pass_fd(&s, 1000), -1);
	assert_int_equal(s.n_fds, SPAWN_FDS_MAX);
}

static void test_signals_are_reset(void **state)
{
	struct spawn s = {.in = -1, .err = 2};
	sigset_t set, old;
	char out[64];

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, &old);
	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(run(&s, "signals", out, sizeof(out)), 0);
	signal(SIGPIPE, SIG_DFL);
	sigprocmask(SIG_SETMASK, &old, NULL);
	assert_string_equal(out, "0 1");
}

static void test_streams(void **state)
{
	struct spawn s = {.in = -1, .err = -1};
	int pipe_fds[2];
	char out[64];

	assert_int_equal(run(&s, "streams", out, sizeof(out)), 0);
	assert_string_equal(out, "1 1 ");
	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
	s.in = pipe_fds[0];
	s.err = pipe_fds[1];
	assert_int_equal(run(&s, "streams", out, sizeof(out)), 0);
	assert_string_equal(out, "0 0 ");
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

static void test_new_session(void **state)
{
	struct spawn s = {.in = -1, .err = 2};
	char out[8];

	assert_int_equal(run(&s, "session", out, sizeof(out)), 0);
	s.new_session = true;
	assert_int_equal(run(&s, "session", out, sizeof(out)), 1);
}

static void test_program_relative_path(void **state)
{
	_cleanup_free_ char *path = program_relative_path("../lib/x");

	assert_non_null(path);
	assert_int_equal(path[0], '/');
	assert_true(str_ends_with(path, "/../lib/x"));
}

static void test_batch(void **state)
{
	pid_t pid = fork();

	if (pid == 0) {
		bool before = sched_getscheduler(0) == SCHED_OTHER;

		process_batch();
		_exit(before && sched_getscheduler(0) == SCHED_BATCH ? 0 : 1);
	}
	assert_int_equal(child_status(pid), 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exit_status),
		cmocka_unit_test(test_no_such_program),
		cmocka_unit_test(test_passing_descriptors),
		cmocka_unit_test(test_too_many_descriptors),
		cmocka_unit_test(test_signals_are_reset),
		cmocka_unit_test(test_streams),
		cmocka_unit_test(test_new_session),
		cmocka_unit_test(test_batch),
		cmocka_unit_test(test_program_relative_path),
	};

	if (argc > 1)
		return child(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
