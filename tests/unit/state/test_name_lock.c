/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include "state/name_lock.h"

#include <signal.h>

static char *lock_path(struct fixture *f, const char *name)
{
	return home_path(&f->home, "run/locks/%s.lock", name);
}

static void test_taken_and_given_up(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *path = lock_path(f, "box");
	struct name_lock_holder holder;
	struct name_lock a, b, other;

	assert_int_equal(name_lock_try(&f->home, "box", "msb stop", &a, &holder, &f->e), 1);
	assert_int_equal(fcntl(a.fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(name_lock_try(&f->home, "box", "msb rm", &b, &holder, &f->e), 0);
	assert_int_equal(holder.pid, getpid());
	assert_string_equal(holder.command, "msb stop");
	assert_int_equal(name_lock_try(&f->home, "box2", "msb rm", &other, &holder, &f->e), 1);
	name_lock_release(&other);
	name_lock_release(&a);
	assert_false(path_exists(path));
	name_lock_release(&a); /* no harm */
	assert_int_equal(name_lock_try(&f->home, "box", "msb rm", &b, &holder, &f->e), 1);
	name_lock_release(&b);
}

static void test_what_the_holder_says(void **state)
{
	static const struct {
		const char *text;
		uint64_t pid;
		const char *command;
	} cases[] = {
		{"12 msb stop\n", 12, "msb stop"},
		{"12 msb image pull\nmore\n", 12, "msb image pull"},
		{"12 \n", 12, ""},
		{"12 msb stop", 0, ""}, /* half written */
		{"12\n", 0, ""},
		{"12\nmsb stop\n", 0, ""},
		{"", 0, ""},
		{"x msb stop\n", 0, "msb stop"},
		{"-1 msb stop\n", 0, "msb stop"},
		{"99999999999999999999 msb\n", 0, "msb"},
		{"1 0123456789012345678901234567890123456789012345\n", 1,
		 "0123456789012345678901234567890123456789012345"},
		{"1 012345678901234567890123456789012345678901234567\n", 0, ""},
		{"1 0123456789012345678901234567890123456789012345678901234567890123456789\n", 0,
		 ""},
	};
	struct fixture *f = *state;
	_cleanup_free_ char *path = lock_path(f, "box");
	struct name_lock_holder holder;
	struct name_lock a, b;

	assert_int_equal(name_lock_try(&f->home, "box", "msb", &a, &holder, &f->e), 1);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(ftruncate(a.fd, 0), 0);
		assert_int_equal(pwrite_full(a.fd, cases[i].text, strlen(cases[i].text), 0), 0);
		assert_int_equal(name_lock_try(&f->home, "box", "msb", &b, &holder, &f->e), 0);
		assert_int_equal(holder.pid, cases[i].pid);
		assert_string_equal(holder.command, cases[i].command);
	}
	name_lock_release(&a);
}

/* A process that dies with the lock held; what it wrote is longer than what comes after it. */
static void die_with_lock(struct fixture *f, const char *name)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		struct name_lock_holder holder;
		struct name_lock l;

		if (name_lock_try(&f->home, name, "a command of many words", &l, &holder, NULL) ==
		    1)
			raise(SIGKILL);
		_exit(1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
}

static void test_holder_was_killed(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *path = lock_path(f, "box");
	_cleanup_free_ char *text = NULL, *want = xasprintf("%d msb\n", getpid());
	struct name_lock_holder holder;
	struct name_lock a;

	die_with_lock(f, "box");
	assert_true(path_exists(path));
	assert_int_equal(name_lock_try(&f->home, "box", "msb", &a, &holder, &f->e), 1);
	text = get_file(path);
	assert_string_equal(text, want);
	name_lock_release(&a);
	assert_false(path_exists(path));
}

static void test_sweep(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *dead = lock_path(f, "dead"), *held = lock_path(f, "held");
	_cleanup_free_ char *other = home_path(&f->home, "run/locks/README");
	struct name_lock_holder holder;
	struct name_lock a;

	name_locks_sweep(&f->home); /* nothing there at all */
	die_with_lock(f, "dead");
	put_file(other, "not ours");
	assert_int_equal(name_lock_try(&f->home, "held", "msb", &a, &holder, &f->e), 1);
	name_locks_sweep(&f->home);
	assert_false(path_exists(dead));
	assert_true(path_exists(held));
	assert_true(path_exists(other));
	name_lock_release(&a);
}

static void test_errors(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *folder = home_path(&f->home, "run/locks");
	struct name_lock_holder holder;
	struct name_lock a = {0};

	put_file(folder, "a file in the folder's place");
	assert_err(name_lock_try(&f->home, "box", "msb", &a, &holder, &f->e), &f->e, ERR_SYSTEM);
	assert_err(name_lock_wait(&f->home, "box", "msb", &a, &f->e), &f->e, ERR_SYSTEM);
	name_lock_release(&a);
}

/* Everybody gets it in the end, one at a time, though each removes the file. */
static int take_many_times(const struct fixture *f, int i)
{
	_cleanup_free_ char *inside = home_path(&f->home, "inside");

	for (int n = 0; n < 50; n++) {
		struct name_lock l;
		struct err e;

		if (name_lock_wait(&f->home, "box", "msb", &l, &e) < 0 || mkdir(inside, 0700) < 0 ||
		    rmdir(inside) < 0)
			return 1;
		name_lock_release(&l);
	}
	return 0;
}

static void test_one_at_a_time(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *path = lock_path(f, "box");

	assert_int_equal(count_children(8, take_many_times, f, 0), 8);
	assert_false(path_exists(path));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		home_test(test_taken_and_given_up),
		home_test(test_what_the_holder_says),
		home_test(test_holder_was_killed),
		home_test(test_sweep),
		home_test(test_errors),
		home_test(test_one_at_a_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
