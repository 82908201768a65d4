/* SPDX-License-Identifier: Apache-2.0 */
#include "../testing.h"

#include "base/helper.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>

/* --- Options. */

static void test_option(void **state)
{
	struct err e = {};
	const char *value = NULL;
	char *name = NULL;

	assert_int_equal(helper_option("--name=a=b", &name, &value, &e), 0);
	assert_string_equal(name, "--name");
	assert_string_equal(value, "a=b");
	free(name);
	assert_int_equal(helper_option("--name=", &name, &value, &e), 0);
	assert_string_equal(value, "");
	free(name);
}

static void test_no_option(void **state)
{
	static const struct {
		const char *arg, *msg;
	} t[] = {
		{"name=a", "unexpected argument 'name=a'"},
		{"-n=a", "unexpected argument '-n=a'"},
		{"", "unexpected argument ''"},
		{"--name", "unknown option '--name', or its '=VALUE' is missing"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct err e = {};
		const char *value = NULL;
		char *name = NULL;

		assert_int_equal(helper_option(t[i].arg, &name, &value, &e), -1);
		assert_string_equal(e.msg, t[i].msg);
		assert_int_equal(e.code, ERR_USAGE);
		assert_null(name);
		assert_null(value);
	}
}

static void test_fd(void **state)
{
	/* As one that was inherited: not close-on-exec. */
	int file = open("/dev/null", O_RDWR), fd = -1, other = -1; /* NOLINT */
	_cleanup_free_ char *text = xasprintf("%d", file);
	struct err e = {};

	assert_int_equal(helper_fd("--x", text, &fd, &e), 0);
	assert_int_equal(fd, file);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	/* The same option, and another one with the same descriptor. */
	assert_int_equal(helper_fd("--x", text, &fd, &e), -1);
	assert_string_equal(e.msg, "--x is given twice");
	assert_int_equal(helper_fd("--y", text, &other, &e), -1);
	assert_non_null(strstr(e.msg, "is used twice"));
	assert_int_equal(other, -1);
	close(fd);
	assert_int_equal(helper_fd("--y", text, &other, &e), -1);
	assert_non_null(strstr(e.msg, "is not open"));
	assert_int_equal(other, -1);
}

static void test_no_fd(void **state)
{
	static const char *const bad[] = {"", "-1", "x", "1x", " 1", "2147483648", "0x1"};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct err e = {};
		int fd = -1;

		assert_int_equal(helper_fd("--x", bad[i], &fd, &e), -1);
		assert_non_null(strstr(e.msg, "is no descriptor number"));
		assert_int_equal(e.code, ERR_USAGE);
		assert_int_equal(fd, -1);
	}
}

static void test_count(void **state)
{
	static const struct {
		const char *value;
		unsigned int ret; /* 0: none */
	} t[] = {{"2", 2}, {"5", 5}, {"1", 0}, {"6", 0}, {"", 0}, {"-3", 0}, {"3k", 0}};

	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct err e = {};
		unsigned int n = 0;

		assert_int_equal(helper_count("--n", t[i].value, 2, 5, &n, &e), t[i].ret ? 0 : -1);
		assert_int_equal(n, t[i].ret);
		assert_int_equal(e.code, t[i].ret ? ERR_NONE : ERR_USAGE);
	}
}

static void test_log_level(void **state)
{
	enum log_level level = LOG_WARN;
	struct err e = {};

	assert_int_equal(helper_log_level("--log-level", "trace", &level, &e), 0);
	assert_int_equal(level, LOG_TRACE);
	assert_int_equal(helper_log_level("--log-level", "loud", &level, &e), -1);
	assert_string_equal(e.msg, "--log-level: unknown level 'loud'");
	assert_int_equal(level, LOG_TRACE);
}

/* --- The process. */

/* What a child of ours finds after binding to `parent`: its exit status. */
static int bind_in_child(pid_t parent)
{
	pid_t pid = fork();

	if (pid == 0) {
		struct rlimit files;
		struct err e;
		int sig = 0;

		if (helper_bind(parent, &e) < 0)
			_exit(e.code == ERR_CANCELLED ? 1 : 2);
		prctl(PR_GET_PDEATHSIG, &sig);
		getrlimit(RLIMIT_NOFILE, &files);
		_exit(sig == SIGKILL && files.rlim_cur == files.rlim_max ? 0 : 3);
	}
	return child_status(pid);
}

static void test_bind(void **state)
{
	struct rlimit before, fewer;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	fewer = before;
	fewer.rlim_cur = 64;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &fewer), 0);
	assert_int_equal(bind_in_child(getpid()), 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	/* Somebody else's child: the parent that was named is gone. */
	assert_int_equal(bind_in_child(getppid()), 1);
}

static int got_signal;
static struct loop *signal_loop;

static void on_signal(struct ev *ev, uint32_t events)
{
	got_signal = helper_take_signal(ev);
	assert_int_equal(helper_take_signal(ev), 0);
	loop_stop(signal_loop);
}

static void test_signals(void **state)
{
	static const int signals[] = {SIGTERM, SIGINT, SIGHUP};
	struct ev ev = {.fd = -1, .fn = on_signal};
	struct err e = {};
	int broken[2];

	signal_loop = loop_new();
	assert_non_null(signal_loop);
	assert_int_equal(helper_watch_signals(signal_loop, &ev, &e), 0);
	for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
		got_signal = 0;
		assert_int_equal(raise(signals[i]), 0);
		assert_int_equal(loop_run(signal_loop), 0);
		assert_int_equal(got_signal, signals[i]);
	}
	/* Nobody at the other end is an error and no signal. */
	assert_int_equal(pipe2(broken, O_CLOEXEC), 0);
	close(broken[0]);
	assert_int_equal(write(broken[1], "x", 1), -1);
	helper_event(broken[1], "text");
	close(broken[1]);
	loop_del(signal_loop, &ev);
	close(ev.fd);
	loop_free(signal_loop);
}

static void test_event(void **state)
{
	char longest[2 * HELPER_EVENT_MAX], got[4 * HELPER_EVENT_MAX];
	ssize_t n;
	int fds[2];

	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	helper_event(fds[1], "end %s", "a\nstart\tb\r\x01");
	n = read(fds[0], got, sizeof(got));
	assert_int_equal(n, strlen("end a start b  \n"));
	assert_memory_equal(got, "end a start b  \n", (size_t)n);
	helper_event(fds[1], "%s", longest);
	n = read(fds[0], got, sizeof(got));
	assert_in_range(n, HELPER_EVENT_MAX - 2, HELPER_EVENT_MAX);
	assert_ptr_equal(memchr(got, '\n', (size_t)n), got + n - 1);
	close(fds[0]);
	close(fds[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_option), cmocka_unit_test(test_no_option),
		cmocka_unit_test(test_fd),     cmocka_unit_test(test_no_fd),
		cmocka_unit_test(test_count),  cmocka_unit_test(test_log_level),
		cmocka_unit_test(test_bind),   cmocka_unit_test(test_signals),
		cmocka_unit_test(test_event),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
