/* SPDX-License-Identifier: Apache-2.0 */
/* Each step is taken by a child of ours. */
#include "../testing.h"

#include "base/confine.h"
#include "base/landlock.h"

#include <linux/seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#define SURVIVED 42

static int outcome(void (*fn)(void))
{
	pid_t pid = fork();
	int status = -1;

	if (pid == 0) {
		fn();
		_exit(SURVIVED);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

#define MUST(condition)                                               \
	do {                                                          \
		if (!(condition)) {                                   \
			dprintf(2, "%d: %s\n", __LINE__, #condition); \
			_exit(1);                                     \
		}                                                     \
	} while (0)

static void privileges(void)
{
	struct rlimit core;
	struct err e;

	MUST(confine_privileges(&e) == 0);
	MUST(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
	MUST(getrlimit(RLIMIT_CORE, &core) == 0 && core.rlim_cur == 0 && core.rlim_max == 0);
	/* Once more is nothing special. */
	MUST(confine_privileges(&e) == 0);
}

static void debuggers(void)
{
	struct err e;

	MUST(setenv("MSB_DEBUG", "1", 1) == 0);
	MUST(confine_debuggers(&e) == 0 && prctl(PR_GET_DUMPABLE) == 1);
	MUST(unsetenv("MSB_DEBUG") == 0);
	MUST(confine_debuggers(&e) == 0 && prctl(PR_GET_DUMPABLE) == 0);
}

static void no_files(void)
{
	struct err e;

	MUST(confine_privileges(&e) == 0);
	MUST(confine_landlock(LANDLOCK_DENY_FILES, &e) == 0);
	MUST(open("/dev/null", O_RDONLY | O_CLOEXEC) < 0 && errno == EACCES);
}

/* Landlock is for those who cannot get privileges any more. */
static void privileges_first(void)
{
	struct err e = {};

	if (geteuid() == 0)
		return;
	MUST(confine_landlock(LANDLOCK_DENY_FILES, &e) < 0 && e.code == ERR_SYSTEM);
}

/* Ends the process for getppid and nothing else. */
static const struct sock_filter no_getppid[] = {
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_getppid, 0, 1),
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
};
static const struct jail_filter filter = {"test", no_getppid, ARRAY_SIZE(no_getppid)};
static const struct jail_filter malformed = {"test", no_getppid, 1};

static void allowed_call(void)
{
	struct err e;

	MUST(confine_privileges(&e) == 0 && confine_calls_available(&e) == 0);
	MUST(confine_calls(&filter) == 0);
	MUST(getpid() > 0);
}

static void other_call(void)
{
	allowed_call();
	getppid();
}

static void malformed_filter(void)
{
	struct err e;

	MUST(confine_privileges(&e) == 0);
	MUST(confine_calls(&malformed) == -EINVAL);
}

static void test_steps(void **state)
{
	assert_int_equal(outcome(privileges), SURVIVED);
	assert_int_equal(outcome(debuggers), SURVIVED);
}

static void test_landlock(void **state)
{
	if (landlock_abi() < 1)
		skip();
	assert_int_equal(outcome(no_files), SURVIVED);
	assert_int_equal(outcome(privileges_first), SURVIVED);
}

static void test_calls(void **state)
{
#ifdef __SANITIZE_ADDRESS__
	/* There are no filters then. */
	skip();
#endif
	assert_int_equal(outcome(allowed_call), SURVIVED);
	assert_int_equal(outcome(other_call), 128 + SIGSYS);
	assert_int_equal(outcome(malformed_filter), SURVIVED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_steps),
		cmocka_unit_test(test_landlock),
		cmocka_unit_test(test_calls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
