/* SPDX-License-Identifier: Apache-2.0 */
#include "../testing.h"

#include "state/home.h"

#include <sys/file.h>

static void test_creates_its_parts(void **state)
{
	static const char *const parts[] = {"", "/db", "/cache", "/sandboxes", "/run"};
	_cleanup_free_ char *path = xasprintf("%s/a/home/", (char *)*state);
	struct home h = {0};
	struct err e = {0};
	struct stat st;

	setenv("MSB_HOME", path, 1);
	assert_int_equal(home_init(&h, &e), 0);
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		_cleanup_free_ char *part = home_path(&h, "%s", parts[i]);

		assert_int_equal(stat(part, &st), 0);
		assert_true(S_ISDIR(st.st_mode));
		/* What is in there is nobody else's business. */
		assert_int_equal(st.st_mode & 0777, 0700);
	}
	home_release(&h);
	assert_int_equal(home_init(&h, &e), 0);
	home_release(&h);
	home_release(&h);
}

static void test_relative_home(void **state)
{
	_cleanup_close_ int old = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_free_ char *want = xasprintf("%s/rel", (char *)*state);
	struct home h = {0};
	struct err e = {0};

	assert_int_equal(chdir(*state), 0);
	setenv("MSB_HOME", "rel", 1);
	assert_int_equal(home_init(&h, &e), 0);
	assert_int_equal(fchdir(old), 0);
	assert_int_equal(h.path[0], '/');
	assert_true(path_exists(want));
	home_release(&h);
}

static void test_default_is_below_home(void **state)
{
	_cleanup_free_ char *want = xasprintf("%s/.microsandbox", (char *)*state);
	struct home h = {0};
	struct err e = {0};

	setenv("MSB_HOME", "", 1);
	setenv("HOME", *state, 1);
	assert_int_equal(home_init(&h, &e), 0);
	assert_string_equal(h.path, want);
	home_release(&h);
}

static void test_unusable_home(void **state)
{
	_cleanup_free_ char *file = xasprintf("%s/file", (char *)*state);
	_cleanup_free_ char *below = xasprintf("%s/home", file);
	struct home h = {0};
	struct err e = {0};

	put_file(file, "");
	setenv("MSB_HOME", below, 1);
	assert_int_equal(home_init(&h, &e), -1);
	assert_int_equal(e.code, ERR_SYSTEM);
	assert_non_null(strstr(e.msg, below));
	assert_null(h.path);
}

/* Whether another process could take the lock now. */
static bool lock_is_free(const struct home *h, int how)
{
	_cleanup_free_ char *path = home_path(h, "cache/lock");
	_cleanup_close_ int fd = open(path, O_RDWR | O_CLOEXEC);

	return fd >= 0 && flock(fd, how | LOCK_NB) == 0;
}

static void test_cache_lock(void **state)
{
	struct home h = {0};
	struct err e = {0};
	int lock;

	setenv("MSB_HOME", *state, 1);
	assert_int_equal(home_init(&h, &e), 0);
	lock = home_lock_cache(&h, false, true, &e);
	assert_true(lock >= 0);
	assert_int_equal(fcntl(lock, F_GETFD), FD_CLOEXEC);
	assert_true(lock_is_free(&h, LOCK_SH));
	assert_false(lock_is_free(&h, LOCK_EX));
	close(lock);
	lock = home_lock_cache(&h, true, true, &e);
	assert_true(lock >= 0);
	assert_false(lock_is_free(&h, LOCK_SH));
	close(lock);
	assert_true(lock_is_free(&h, LOCK_EX));
	home_release(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		temp_test(test_creates_its_parts),
		temp_test(test_relative_home),
		temp_test(test_default_is_below_home),
		temp_test(test_unusable_home),
		temp_test(test_cache_lock),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
