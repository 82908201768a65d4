/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Passes the output of a child from a pipe on to a descriptor and looks at its lines on the way.
 * The reader at the far end may be slow: then the child's pipe fills up and the child has to wait;
 * the loop never does.
 */
#pragma once

#include "base/loop.h"

#define RELAY_CHUNK 4096 /* PIPE_BUF: a write of this size to a writable pipe never blocks */
#define RELAY_LINE  256

struct relay {
	struct loop *loop;
	struct ev in;  /* fd owned */
	struct ev out; /* fd not owned; -1: the output goes nowhere */
	void (*on_line)(struct relay *r, const char *line); /* without its end, cut at RELAY_LINE */
	char line[RELAY_LINE];
	size_t line_len;
	char chunk[RELAY_CHUNK]; /* read but not written yet */
	size_t chunk_len;
};

/* Takes `in_fd` over, in any case. 0 or -errno. */
int relay_start(struct relay *r, struct loop *loop, int in_fd, int out_fd,
		void (*on_line)(struct relay *r, const char *line));
/* Passes on what is left, as far as the reader takes it within `timeout_ms`, and closes the pipe.
 */
void relay_finish(struct relay *r, int timeout_ms);
