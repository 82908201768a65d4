/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/credential_helper.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>

#include <jansson.h>

#define OUTPUT_MAX (64 * KIB)
/* What helpers answer instead of a login, word for word. */
#define NOT_FOUND_TEXT "credentials not found in native keychain"
/* The name of a login whose secret is an identity token. */
#define TOKEN_NAME "<token>"

static bool is_name(const char *s)
{
	static const char chars[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789._-";

	return *s && s[strspn(s, chars)] == '\0';
}

/* A file to read the text from: unlike a pipe it is no trouble when nobody does. */
static int input_file(const char *text, struct err *e)
{
	_cleanup_close_ int fd = memfd_create("server", MFD_CLOEXEC);
	int r = fd < 0 ? -errno : pwrite_full(fd, text, strlen(text), 0);

	return r < 0 ? err_sys(e, -r, "cannot pass the registry's name on") : steal_fd(&fd);
}

/* Takes what there is to read. 1, 0 at the end, or -EFBIG. */
static int take_output(int fd, struct buf *out)
{
	for (;;) {
		size_t room = MIN(buf_room(out), (size_t)4096);
		uint8_t *p = room ? buf_reserve(out, room) : NULL;
		ssize_t n;

		if (!p)
			return -EFBIG;
		n = read(fd, p, room);
		if (n <= 0)
			return n < 0 && (errno == EAGAIN || errno == EINTR);
		buf_commit(out, (size_t)n);
	}
}

/*
 * Collects the output until the program has ended: something that it leaves behind may keep the
 * pipe open. 0, -ETIME or -EFBIG.
 */
static int collect(int fd, int pidfd, struct buf *out, unsigned limit_ms)
{
	uint64_t end = clock_mono_ns() + limit_ms * NSEC_PER_MSEC;
	struct pollfd fds[2] = {{.fd = fd, .events = POLLIN}, {.fd = pidfd, .events = POLLIN}};

	for (;;) {
		uint64_t now = clock_mono_ns();
		int r;

		if (now >= end)
			return -ETIME;
		if (poll(fds, 2, (int)((end - now) / NSEC_PER_MSEC) + 1) < 0)
			continue;
		/* The last words may come along with the end. */
		r = fds[0].fd < 0 ? 0 : take_output(fd, out);
		if (r < 0 || fds[1].revents)
			return MIN(r, 0);
		if (r == 0)
			fds[0].fd = -1;
	}
}

/* Runs the program; its exit status, or -1 with the error set. */
static int run(const char *path, const char *server, unsigned limit_ms, struct buf *out,
	       struct err *e)
{
	_cleanup_free_ char *arg0 = xstrdup(path), *arg1 = xstrdup("get");
	_cleanup_close_ int in = input_file(server, e), read_fd = -1, write_fd = -1, pidfd = -1;
	char *argv[] = {arg0, arg1, NULL};
	struct spawn s = {.path = path, .argv = argv, .in = in, .err = STDERR_FILENO};
	int fds[2], r;
	pid_t pid;

	if (in < 0)
		return -1;
	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_sys(e, errno, "cannot make a pipe");
	read_fd = fds[0];
	write_fd = fds[1];
	fd_set_nonblock(read_fd, true);
	s.out = write_fd;
	pid = spawn_run(&s);
	if (pid < 0)
		return err_sys(e, -pid, "cannot start '%s'", path);
	close_fd(&write_fd);
	pidfd = pidfd_open(pid, 0);
	r = pidfd < 0 ? -errno : collect(read_fd, pidfd, out, limit_ms);
	if (r < 0)
		kill(pid, SIGKILL);
	if (r == -ETIME)
		err_set(e, ERR_TIMEOUT, "'%s' does not answer", path);
	else if (r == -EFBIG)
		err_set(e, ERR_CORRUPT, "'%s' does not answer with a login", path);
	else if (r < 0)
		err_sys(e, -r, "cannot wait for '%s'", path);
	return r < 0 ? (spawn_wait(pid), -1) : spawn_wait(pid);
}

static int parse_answer(const char *path, const struct buf *out, struct login *ret, struct err *e)
{
	json_t *j = json_loadb((const char *)buf_data(out), buf_len(out), 0, NULL);
	const char *username = json_string_value(json_object_get(j, "Username"));
	const char *secret = json_string_value(json_object_get(j, "Secret"));
	int r = 1;

	if (!username || !secret)
		r = err_set(e, ERR_CORRUPT, "'%s' does not answer with a login", path);
	else if (!*secret)
		r = 0;
	else if (strcmp(username, TOKEN_NAME) == 0)
		ret->identity_token = xstrdup(secret);
	else
		*ret = (struct login){.username = xstrdup(username), .password = xstrdup(secret)};
	json_decref(j);
	return r;
}

static bool says_not_found(const struct buf *out)
{
	size_t n = strlen(NOT_FOUND_TEXT);

	return buf_len(out) >= n && memcmp(buf_data(out), NOT_FOUND_TEXT, n) == 0;
}

int credential_helper_get(const char *name, const char *server, unsigned limit_ms,
			  struct login *ret, struct err *e)
{
	_cleanup_free_ char *program = xasprintf("docker-credential-%s", name), *path = NULL;
	struct buf out;
	int r;

	*ret = (struct login){0};
	if (!is_name(name))
		return err_set(e, ERR_INVALID, "bad name of a credential helper: '%s'", name);
	path = program_find(program);
	if (!path)
		return err_set(e, ERR_NOT_FOUND, "'%s' is not installed", program);
	buf_init(&out, OUTPUT_MAX);
	r = run(path, server, limit_ms, &out, e);
	if (r == 0)
		r = parse_answer(path, &out, ret, e);
	else if (r > 0 && says_not_found(&out))
		r = 0;
	else if (r > 0)
		r = err_set(e, ERR_SYSTEM, "'%s' failed with status %d", path, r);
	if (buf_len(&out))
		explicit_bzero(out.mem, out.cap);
	buf_release(&out);
	return r;
}
