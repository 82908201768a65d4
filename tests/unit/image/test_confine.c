/* SPDX-License-Identifier: Apache-2.0 */
/* What msb-image can still do once it has confined itself. */
#include "../testing.h"

#include "base/landlock.h"
#include "image/confine.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define ABI_TCP 4

/* A directory with a cache and a file that is none of the program's business. */
struct place {
	char *dir, *cache, *private;
};

static struct place make_place(void **state)
{
	struct place p = {*state, xasprintf("%s/cache", (char *)*state),
			  xasprintf("%s/private", (char *)*state)};

	assert_int_equal(mkdir(p.cache, 0700), 0);
	put_file(p.private, "secret");
	return p;
}

static void release(struct place *p)
{
	free(p->cache);
	free(p->private);
}

/* 0, or the errno of opening a file. */
static int try_open(const char *path, int flags)
{
	_cleanup_close_ int fd = open(path, flags | O_CLOEXEC, 0600);

	return fd < 0 ? errno : 0;
}

/* 0 or an errno; whether anybody listens does not matter. */
static int try_connect(void)
{
	struct sockaddr_in a = {
		.sin_family = AF_INET, .sin_port = htons(1), .sin_addr = {htonl(INADDR_LOOPBACK)}};
	_cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int r = connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0 ? errno : 0;

	return r == ECONNREFUSED ? 0 : r;
}

/* The checks are made in a process of their own; its status names the one that failed. */
static int confined(const struct place *p, bool network)
{
	_cleanup_free_ char *inside = xasprintf("%s/new", p->cache);
	_cleanup_free_ char *renamed = xasprintf("%s/renamed", p->cache);
	_cleanup_free_ char *folder = xasprintf("%s/folder", p->cache);
	_cleanup_free_ char *outside = xasprintf("%s/outside", p->dir);
	int cache = open(p->cache, O_RDONLY | O_DIRECTORY | O_CLOEXEC), status;
	pid_t pid = fork();
	struct err e = {0};

	if (pid == 0) {
		char program[] = "/bin/true", *argv[] = {program, NULL};
		int tcp = network || landlock_abi() < ABI_TCP ? 0 : EACCES;

		if (image_confine(cache, network, &e) < 0)
			_exit(1);
		if (try_open(inside, O_CREAT | O_EXCL | O_RDWR) != 0 ||
		    try_open(inside, O_RDWR | O_TRUNC) != 0 || rename(inside, renamed) < 0 ||
		    try_open(renamed, O_RDONLY) != 0 || unlink(renamed) < 0)
			_exit(2);
		if (mkdir(folder, 0700) == 0 || symlink("x", folder) == 0)
			_exit(3);
		if (try_open(p->private, O_RDONLY) != EACCES ||
		    try_open(p->private, O_WRONLY) != EACCES ||
		    try_open(outside, O_CREAT | O_WRONLY) != EACCES || unlink(p->private) == 0 ||
		    try_open("/etc/new-file", O_CREAT | O_WRONLY) != EACCES)
			_exit(4);
		if (try_open("/etc/passwd", O_RDONLY) != 0)
			_exit(5);
		if (try_connect() != tcp)
			_exit(6);
		execv(argv[0], argv);
		_exit(errno == EACCES ? 0 : 7);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	close(cache);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void test_confined(void **state)
{
	struct place p;

	if (landlock_abi() < 1)
		skip();
	p = make_place(state);
	assert_int_equal(confined(&p, true), 0);
	assert_int_equal(confined(&p, false), 0);
	release(&p);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		temp_test(test_confined),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
