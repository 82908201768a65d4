/* SPDX-License-Identifier: Apache-2.0 */
#include "../testing.h"

#include <sys/socket.h>

static void test_read_file(void **state)
{
	const char *dir = *state;
	_cleanup_free_ char *path = xasprintf("%s/f", dir), *text = NULL;
	char *untouched = NULL;
	size_t len;

	assert_int_equal(read_file(AT_FDCWD, path, 100, &untouched, NULL), -ENOENT);
	put_file(path, "0123456789");
	assert_int_equal(read_file(AT_FDCWD, path, 9, &untouched, NULL), -EFBIG);
	assert_int_equal(read_file(AT_FDCWD, dir, 1 << 20, &untouched, NULL), -EISDIR);
	assert_null(untouched);
	assert_int_equal(read_file(AT_FDCWD, path, 10, &text, &len), 0);
	assert_int_equal(len, 10);
	assert_string_equal(text, "0123456789");
}

static void test_read_empty_file(void **state)
{
	_cleanup_free_ char *path = xasprintf("%s/f", (char *)*state), *text = NULL;
	size_t len = 1;

	put_file(path, "");
	assert_int_equal(read_file(AT_FDCWD, path, 0, &text, &len), 0);
	assert_int_equal(len, 0);
	assert_string_equal(text, "");
}

/* Files in /proc say that they have no bytes; the bound holds all the same. */
static void test_read_proc(void **state)
{
	_cleanup_free_ char *text = NULL, *maps = NULL;
	char *untouched = NULL;
	size_t len;

	assert_int_equal(read_file(AT_FDCWD, "/proc/self/status", MIB, &text, &len), 0);
	assert_int_equal(len, strlen(text));
	assert_true(str_starts_with(text, "Name:"));
	assert_int_equal(read_file(AT_FDCWD, "/proc/self/status", 100, &untouched, NULL), -EFBIG);
	assert_null(untouched);
	/* Larger than the first guess. */
	assert_int_equal(read_file(AT_FDCWD, "/proc/kallsyms", 4 * 4096, &untouched, NULL), -EFBIG);
	assert_int_equal(read_file(AT_FDCWD, "/proc/self/maps", 64 * MIB, &maps, &len), 0);
	assert_int_equal(len, strlen(maps));
}

static void test_read_at(void **state)
{
	_cleanup_close_ int fd = open(*state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_free_ char *text = NULL;

	assert_int_equal(write_file_atomic(fd, "f", "x", 1, 0600), 0);
	assert_int_equal(read_file(fd, "f", 1, &text, NULL), 0);
	assert_string_equal(text, "x");
}

static void test_write_file_atomic(void **state)
{
	const char *dir = *state;
	_cleanup_free_ char *path = xasprintf("%s/f", dir), *text = NULL;
	_cleanup_free_ char *missing = xasprintf("%s/no/f", dir);
	_cleanup_free_ char *temporary = xasprintf("%s" WRITE_ATOMIC_SUFFIX, path);
	struct stat st;

	put_file(path, "old and long");
	assert_int_equal(write_file_atomic(AT_FDCWD, path, "new", 3, 0640), 0);
	text = get_file(path);
	assert_string_equal(text, "new");
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0640 & ~umask(umask(0)));
	assert_int_equal(write_file_atomic(AT_FDCWD, missing, "x", 1, 0600), -ENOENT);
	/* One that was killed left something, which others might read. */
	put_file(path, "old");
	put_file(temporary, "half of something secr");
	assert_int_equal(chmod(temporary, 0666), 0);
	assert_int_equal(write_file_atomic(AT_FDCWD, path, "new", 3, 0600), 0);
	free(text);
	text = get_file(path);
	assert_string_equal(text, "new");
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	/* Nothing else is left: the directory can be removed. */
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(dir), 0);
	assert_int_equal(mkdir(dir, 0700), 0);
}

/* When the last step fails, the old state stays and no temporary file does. */
static void test_write_file_fails_clean(void **state)
{
	const char *dir = *state;
	_cleanup_free_ char *target = xasprintf("%s/d", dir), *inside = xasprintf("%s/d/f", dir);

	assert_int_equal(mkdir(target, 0700), 0);
	put_file(inside, "x");
	assert_true(write_file_atomic(AT_FDCWD, target, "y", 1, 0600) < 0);
	assert_true(path_exists(inside));
	assert_int_equal(remove_tree(AT_FDCWD, target), 0);
	assert_int_equal(rmdir(dir), 0);
	assert_int_equal(mkdir(dir, 0700), 0);
}

static void test_mkdir_p(void **state)
{
	const char *dir = *state;
	_cleanup_free_ char *deep = xasprintf("%s/a/b/c", dir), *a = xasprintf("%s/a", dir);
	_cleanup_free_ char *slash = xasprintf("%s/x//y/", dir), *y = xasprintf("%s/x/y", dir);
	_cleanup_free_ char *file = xasprintf("%s/file", dir);
	_cleanup_free_ char *below = xasprintf("%s/file/d", dir);
	char huge[5000];
	mode_t mask = umask(022);
	struct stat st;

	assert_int_equal(mkdir_p(deep, 0700), 0);
	assert_int_equal(mkdir_p(deep, 0700), 0);
	assert_int_equal(stat(deep, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	assert_int_equal(stat(a, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0755);
	/* The last part is private however the path is written. */
	assert_int_equal(mkdir_p(slash, 0700), 0);
	assert_int_equal(stat(y, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	put_file(file, "");
	assert_int_equal(mkdir_p(file, 0700), -ENOTDIR);
	assert_int_equal(mkdir_p(below, 0700), -ENOTDIR);
	assert_int_equal(mkdir_p("", 0700), -EINVAL);
	assert_int_equal(mkdir_p("/", 0700), 0);
	memset(huge, 'a', sizeof(huge) - 1);
	huge[sizeof(huge) - 1] = '\0';
	assert_int_equal(mkdir_p(huge, 0700), -ENAMETOOLONG);
	umask(mask);
}

static void test_remove_tree(void **state)
{
	const char *dir = *state;
	_cleanup_free_ char *tree = xasprintf("%s/t", dir), *sub = xasprintf("%s/t/a/b", dir);
	_cleanup_free_ char *file = xasprintf("%s/t/a/f", dir);
	_cleanup_free_ char *outside = xasprintf("%s/out", dir);
	_cleanup_free_ char *kept = xasprintf("%s/out/kept", dir);
	_cleanup_free_ char *to_dir = xasprintf("%s/t/a/to_dir", dir);
	_cleanup_free_ char *dangling = xasprintf("%s/t/dangling", dir);
	_cleanup_free_ char *top = xasprintf("%s/top", dir);

	assert_int_equal(mkdir_p(sub, 0700), 0);
	assert_int_equal(mkdir_p(outside, 0700), 0);
	put_file(file, "x");
	put_file(kept, "x");
	assert_int_equal(symlink(outside, to_dir), 0);
	assert_int_equal(symlink("/nonexistent", dangling), 0);
	assert_int_equal(symlink(outside, top), 0);
	assert_int_equal(remove_tree(AT_FDCWD, tree), 0);
	assert_false(path_exists(tree));
	/* A link goes, what it points to does not: inside the tree and as the argument itself. */
	assert_int_equal(remove_tree(AT_FDCWD, top), 0);
	assert_false(path_exists(top));
	assert_true(path_exists(kept));
	assert_int_equal(remove_tree(AT_FDCWD, kept), 0);
	assert_false(path_exists(kept));
	assert_int_equal(remove_tree(AT_FDCWD, tree), 0); /* missing is fine */
	assert_true(remove_tree(AT_FDCWD, "/proc/self/status") < 0);
}

static void test_unix_sockets_in_a_long_directory(void **state)
{
	_cleanup_free_ char *path = NULL;
	_cleanup_close_ int dir = -1, listener = -1, again = -1, client = -1, server = -1;
	char part[101], c = 0;

	memset(part, 'd', sizeof(part) - 1);
	part[sizeof(part) - 1] = '\0';
	path = xasprintf("%s/%s/%s/%s", (char *)*state, part, part, part);
	assert_int_equal(mkdir_p(path, 0700), 0);
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(unix_connect_at(dir, "s"), -ENOENT);
	listener = unix_listen_at(dir, "s", 1);
	assert_true(listener >= 0);
	client = unix_connect_at(dir, "s");
	assert_true(client >= 0);
	assert_int_equal(fcntl(client, F_GETFD), FD_CLOEXEC);
	assert_int_equal(fcntl(listener, F_GETFD), FD_CLOEXEC);
	server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_int_equal(write_full(client, "x", 1), 0);
	assert_int_equal(read_full(server, &c, 1), 1);
	assert_int_equal(c, 'x');
	/* What a crash left behind does not matter. */
	close_fd(&listener);
	assert_int_equal(unix_connect_at(dir, "s"), -ECONNREFUSED);
	again = unix_listen_at(dir, "s", 1);
	assert_true(again >= 0);
	part[100] = '\0';
	assert_int_equal(unix_listen_at(dir, part, 1), -ENAMETOOLONG);
	assert_int_equal(unix_connect_at(dir, part), -ENAMETOOLONG);
}

static void test_full_reads_and_writes(void **state)
{
	_cleanup_free_ char *path = xasprintf("%s/f", (char *)*state);
	_cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	char data[8] = "";

	assert_int_equal(write_full(fd, "abcdef", 6), 0);
	assert_int_equal(pwrite_full(fd, "XY", 2, 2), 0);
	assert_int_equal(pread_full(fd, data, sizeof(data), 0), 6);
	assert_string_equal(data, "abXYef");
	assert_int_equal(pread_full(fd, data, 2, 4), 2);
	assert_int_equal(pread_full(fd, data, 2, 600), 0);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(read_full(fd, data, 3), 3);
	assert_int_equal(read_full(fd, data, sizeof(data)), 3);
	assert_int_equal(read_full(-1, data, 1), -EBADF);
	assert_int_equal(write_full(-1, data, 1), -EBADF);
	assert_int_equal(write_full(-1, data, 0), 0);
}

/* A pipe takes and gives less than what is asked for. */
static void test_full_over_a_pipe(void **state)
{
	enum { SIZE = 300000 };
	_cleanup_free_ uint8_t *data = xcalloc(1, SIZE);
	int fds[2];
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	pid = fork();
	if (pid == 0) {
		for (size_t i = 0; i < SIZE; i++)
			data[i] = (uint8_t)(i >> 4);
		close(fds[0]);
		_exit(write_full(fds[1], data, SIZE) != 0);
	}
	close(fds[1]);
	assert_int_equal(read_full(fds[0], data, SIZE), SIZE);
	for (size_t i = 0; i < SIZE; i++)
		assert_int_equal(data[i], (uint8_t)(i >> 4));
	assert_int_equal(read_full(fds[0], data, 1), 0);
	close(fds[0]);
	assert_int_equal(child_status(pid), 0);
}

static void test_descriptor_flags(void **state)
{
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	assert_int_equal(fd_set_nonblock(fds[0], true), 0);
	assert_true(fcntl(fds[0], F_GETFL) & O_NONBLOCK);
	assert_int_equal(fd_set_nonblock(fds[0], false), 0);
	assert_false(fcntl(fds[0], F_GETFL) & O_NONBLOCK);
	assert_int_equal(fd_set_cloexec(fds[0], true), 0);
	assert_int_equal(fcntl(fds[0], F_GETFD), FD_CLOEXEC);
	assert_int_equal(fd_set_cloexec(fds[0], false), 0);
	assert_int_equal(fcntl(fds[0], F_GETFD), 0);
	close(fds[0]);
	close(fds[1]);
	assert_int_equal(fd_set_nonblock(-1, true), -EBADF);
	assert_int_equal(fd_set_cloexec(-1, true), -EBADF);
}

/* Deeper than there are descriptors, and with directories that nobody may look into. */
static void test_remove_deep_tree(void **state)
{
	const char *dir = *state;
	_cleanup_free_ char *top = xasprintf("%s/top", dir);
	_cleanup_free_ char *closed = xasprintf("%s/top/closed", dir);
	_cleanup_free_ char *clash = xasprintf("%s/top/.msb-deep-0", dir);
	_cleanup_free_ char *inner = xasprintf("%s/file", closed);
	_cleanup_free_ char *other = xasprintf("%s/file", clash);
	_cleanup_close_ int at = -1;

	assert_int_equal(mkdir(top, 0700), 0);
	assert_int_equal(mkdir(closed, 0700), 0);
	assert_int_equal(mkdir(clash, 0700), 0);
	put_file(inner, "x");
	put_file(other, "x");
	assert_int_equal(chmod(closed, 0), 0);
	at = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; i < 3000; i++) {
		int next;

		assert_int_equal(mkdirat(at, "d", 0700), 0);
		next = openat(at, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		assert_true(next >= 0);
		close(at);
		at = next;
	}
	assert_true(tree_disk_bytes(top) > 0);
	assert_int_equal(remove_tree(AT_FDCWD, top), 0);
	assert_false(path_exists(top));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		temp_test(test_read_file),
		temp_test(test_read_empty_file),
		cmocka_unit_test(test_read_proc),
		temp_test(test_read_at),
		temp_test(test_write_file_atomic),
		temp_test(test_write_file_fails_clean),
		temp_test(test_mkdir_p),
		temp_test(test_remove_tree),
		temp_test(test_remove_deep_tree),
		temp_test(test_unix_sockets_in_a_long_directory),
		temp_test(test_full_reads_and_writes),
		cmocka_unit_test(test_full_over_a_pipe),
		cmocka_unit_test(test_descriptor_flags),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
