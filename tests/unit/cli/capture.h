/* SPDX-License-Identifier: Apache-2.0 */
/* Catches what a function prints. */
#pragma once

#include "../testing.h"

#include <stdio.h>

/* Calls `fn(arg)` and returns what it wrote to the stream (stdout or stderr), owned. */
static inline char *capture(FILE *stream, void (*fn)(void *arg), void *arg)
{
	FILE *tmp = tmpfile();
	int fd = fileno(stream), saved;
	char *text;
	off_t n;

	assert_non_null(tmp);
	fflush(stream);
	saved = dup(fd);
	dup2(fileno(tmp), fd);
	fn(arg);
	fflush(stream);
	dup2(saved, fd);
	close(saved);
	n = lseek(fileno(tmp), 0, SEEK_END);
	text = xcalloc(1, (size_t)n + 1);
	assert_int_equal(pread_full(fileno(tmp), text, (size_t)n, 0), n);
	fclose(tmp);
	return text;
}
