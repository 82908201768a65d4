/* SPDX-License-Identifier: Apache-2.0 */
/* What the unit tests share: cmocka with the headers it wants before it, temporary directories. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* Setup and teardown of a test that needs a directory of its own: its path is the state. */
static inline int temp_setup(void **state)
{
	const char *base = secure_getenv("TMPDIR");
	char *dir = xasprintf("%s/msb-test-XXXXXX", base ? base : "/tmp");

	*state = dir;
	return mkdtemp(dir) ? 0 : -1;
}

static inline int temp_teardown(void **state)
{
	int r = remove_tree(AT_FDCWD, *state);

	free(*state);
	return r;
}

#define temp_test(f) cmocka_unit_test_setup_teardown(f, temp_setup, temp_teardown)

static inline void put_file(const char *path, const char *text)
{
	assert_int_equal(write_file_atomic(AT_FDCWD, path, text, strlen(text), 0600), 0);
}

/* The whole of a text file, owned. */
static inline char *get_file(const char *path)
{
	char *text = NULL;

	assert_int_equal(read_file(AT_FDCWD, path, 256 * MIB, &text, NULL), 0);
	return text;
}

static inline bool path_exists(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

/* A process that was told with fork() to do something; its exit status. */
static inline int child_status(pid_t pid)
{
	int status = -1;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}
