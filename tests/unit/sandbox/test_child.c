/* SPDX-License-Identifier: Apache-2.0 */
/* Processes of the monitor, played by shells, which get their pipe for events as $1. */
#include "../testing.h"
#include "rounds.h"

#include "sandbox/monitor_child.c"

/* Where the shell writes its events. */
#define EVENTS "exec 3>/proc/self/fd/${1#*=}; "

struct fixture {
	struct child c;
	struct loop *loop;
	char lines[256]; /* those that came, with a '|' behind each */
	unsigned n_lines;
	const char *until; /* stops the loop */
	int status, exits;
};

static void on_line(struct child *c, const char *line)
{
	struct fixture *f = container_of(c, struct fixture, c);
	size_t len = strlen(f->lines);

	f->n_lines++;
	snprintf(f->lines + len, sizeof(f->lines) - len, "%.60s|", line);
	if (f->until && strcmp(line, f->until) == 0)
		loop_stop(f->loop);
}

static void on_end(struct child *c, int status)
{
	struct fixture *f = container_of(c, struct fixture, c);

	f->status = status;
	f->exits++;
	loop_stop(f->loop);
}

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));

	*state = f;
	f->loop = loop_new();
	f->c = (struct child)CHILD_INIT;
	f->c.loop = f->loop;
	f->c.on_event = on_line;
	f->c.on_exit = on_end;
	return f->loop ? 0 : -1;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	child_end(&f->c);
	child_release(&f->c);
	loop_free(f->loop);
	free(f);
	return 0;
}

static void start(struct fixture *f, const char *script)
{
	struct child_args a = {.spawn = {.path = "/bin/sh", .in = -1, .out = 2, .err = 2}};
	struct err e = {0};

	strv_add(&a.argv, "sh");
	strv_add(&a.argv, "-c");
	strv_add(&a.argv, script);
	strv_add(&a.argv, "sh");
	assert_int_equal(child_start(&f->c, &a, &e), 0);
	child_args_release(&a);
	assert_true(f->c.pid > 0);
}

/* Until it has ended, or has told what is waited for. */
static void run(struct fixture *f)
{
	assert_int_equal(loop_run(f->loop), 0);
	f->loop->stop = false;
}

static void test_events_and_status(void **state)
{
	struct fixture *f = *state;

	start(f, EVENTS "echo one >&3; echo two words >&3; echo end error it is over >&3; exit 3");
	run(f);
	assert_string_equal(f->lines, "one|two words|");
	assert_string_equal(f->c.end, "error it is over");
	assert_true(WIFEXITED(f->status));
	assert_int_equal(WEXITSTATUS(f->status), 3);
	assert_int_equal(f->exits, 1);
	assert_int_equal(f->c.pid, 0);
	assert_false(f->c.killed);
	/* There is nobody any more. */
	child_kill(&f->c);
	child_end(&f->c);
	assert_false(f->c.killed);
	assert_int_equal(f->exits, 1);
}

/* What it wrote last is not lost, however much it is; a line without an end is none. */
static void test_last_words(void **state)
{
	struct fixture *f = *state;

	start(f, EVENTS "i=0; while [ $i -lt 3000 ]; do echo line $i >&3; i=$((i+1)); done; "
			"printf rest >&3");
	run(f);
	assert_int_equal(f->n_lines, 3000);
	assert_true(str_starts_with(f->lines, "line 0|line 1|"));
}

/* The events of one that does not keep to the form are ended; its end is noticed as ever. */
static void test_endless_line(void **state)
{
	struct fixture *f = *state;

	start(f, EVENTS "echo before >&3; head -c 20000 /dev/zero >&3; echo >&3; echo after >&3");
	run(f);
	assert_string_equal(f->lines, "before|");
	assert_int_equal(f->exits, 1);
	assert_false(f->c.events_ev.active);
}

static void test_kill(void **state)
{
	struct fixture *f = *state;

	start(f, "exec sleep 1000");
	child_kill(&f->c);
	run(f);
	assert_true(f->c.killed);
	assert_true(WIFSIGNALED(f->status));
	assert_int_equal(WTERMSIG(f->status), SIGKILL);
}

static void test_end(void **state)
{
	struct fixture *f = *state;
	pid_t pid;

	f->until = "up";
	start(f, EVENTS "echo up >&3; exec sleep 1000");
	run(f);
	pid = f->c.pid;
	child_end(&f->c);
	assert_int_equal(f->c.pid, 0);
	assert_int_equal(kill(pid, 0), -1);
	assert_int_equal(errno, ESRCH);
	run_rounds(f->loop, 3);
	assert_int_equal(f->exits, 0);
	assert_string_equal(f->lines, "up|");
}

/* A child of the child that lives on and holds the pipe keeps nobody. */
static void test_descendant_with_the_pipe(void **state)
{
	struct fixture *f = *state;

	f->until = "2";
	start(f, EVENTS "(echo 1 >&3; exec sleep 1000) & echo $! >&3; wait");
	/* Both lines in either order: the second is the process id. */
	f->until = NULL;
	while (f->n_lines < 2)
		run_rounds(f->loop, 1);
	child_kill(&f->c);
	run(f);
	assert_int_equal(f->exits, 1);
	for (const char *p = f->lines; *p; p = strchr(p, '|') + 1) {
		long pid = strtol(p, NULL, 10);

		if (pid > 1)
			kill((pid_t)pid, SIGKILL);
	}
}

static void test_cannot_start(void **state)
{
	struct fixture *f = *state;
	struct child_args a;
	struct err e = {0};

	child_args_init(&a, "no-such-program", "debug");
	assert_string_equal(a.argv.v[2], "--log-level=debug");
	assert_true(str_starts_with(a.argv.v[1], "--parent="));
	assert_int_equal(child_start(&f->c, &a, &e), -1);
	assert_non_null(strstr(e.msg, "no-such-program"));
	assert_int_equal(f->c.pid, 0);
	child_args_release(&a);
}

static void test_descriptors(void **state)
{
	struct fixture *f = *state;
	struct child_args a = {.spawn = {.path = "/bin/sh", .in = -1, .out = 2, .err = 2}};
	_cleanup_free_ char *script = NULL;
	struct err e = {0};
	char text[16] = "";
	int p[2], given;

	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	given = child_hand_over(&a, p[1]);
	assert_int_equal(given, p[1]);
	script = xasprintf("echo hello >/proc/self/fd/%d", given);
	strv_add(&a.argv, "sh");
	strv_add(&a.argv, "-c");
	strv_add(&a.argv, script);
	assert_int_equal(child_start(&f->c, &a, &e), 0);
	child_args_release(&a);
	run(f);
	assert_int_equal(read_full(p[0], text, sizeof(text)), 6); /* ours is closed */
	assert_string_equal(text, "hello\n");
	close(p[0]);
}

#define child_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		child_test(test_events_and_status),
		child_test(test_last_words),
		child_test(test_endless_line),
		child_test(test_kill),
		child_test(test_end),
		child_test(test_descendant_with_the_pipe),
		child_test(test_cannot_start),
		child_test(test_descriptors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
