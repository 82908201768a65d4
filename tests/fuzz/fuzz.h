/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the fuzz targets share. An input is a list of operations, each a byte and its arguments, so
 * that changing a few bytes changes a few operations. Everything runs on one thread: a worker that
 * was not started leaves its loop to the caller, and worker_call calls directly. An input that
 * is run again does the same again.
 */
#pragma once

#include "base/loop.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* A finding. */
#define CHECK(x)                                                                \
	do {                                                                    \
		if (!(x)) {                                                     \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #x); \
			abort();                                                \
		}                                                               \
	} while (0)

struct input {
	const uint8_t *p;
	size_t n;
};

/* Copies what there is, followed by zeroes. */
static inline void take(struct input *in, void *to, size_t n)
{
	size_t have = MIN(n, in->n);

	memset(to, 0, n);
	if (have)
		memcpy(to, in->p, have);
	in->p += have;
	in->n -= have;
}

static inline uint8_t take8(struct input *in)
{
	uint8_t v;

	take(in, &v, sizeof(v));
	return v;
}

static inline uint16_t take16(struct input *in)
{
	uint16_t v;

	take(in, &v, sizeof(v));
	return v;
}

static inline uint32_t take32(struct input *in)
{
	uint32_t v;

	take(in, &v, sizeof(v));
	return v;
}

static inline uint64_t take64(struct input *in)
{
	uint64_t v;

	take(in, &v, sizeof(v));
	return v;
}

struct round_end {
	struct timer t;
	struct loop *loop;
};

static inline void end_round(struct timer *t)
{
	loop_stop(container_of(t, struct round_end, t)->loop);
}

/* Delivers what is ready now, without waiting. */
static inline void run_round(struct loop *loop)
{
	struct round_end end = {.t.fn = end_round, .loop = loop};

	timer_set(loop, &end.t, 0);
	CHECK(loop_run(loop) == 0);
}

/*
 * Descriptors are given out lowest number first: one that is still open when an input ends makes
 * the next number higher than it was before.
 */
static inline int next_fd(void)
{
	int fd = dup(STDERR_FILENO);

	CHECK(fd >= 0);
	close(fd);
	return fd;
}
