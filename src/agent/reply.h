/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent's own JSON frames. They consist of fixed names and numbers, and are on the path that
 * every sandbox and every program takes, so they are put together by hand: in an emulated machine
 * the JSON library's first use alone takes as long as starting a process.
 */
#pragma once

#include "proto/message.h"

/* A frame that is being written into a buffer. */
struct reply {
	struct buf *out;
	size_t start; /* unread bytes before its header */
	bool inner;   /* something stands before the next member */
	int error;
};

/* Starts a frame with an object in it. */
void reply_begin(struct reply *r, struct buf *out, uint8_t type);
/* Members. The strings are plain text of ours: nothing is escaped. */
void reply_string(struct reply *r, const char *name, const char *value);
void reply_number(struct reply *r, const char *name, uint64_t value);
void reply_true(struct reply *r, const char *name);
/* A member that is an object, until reply_close. */
void reply_open(struct reply *r, const char *name);
void reply_close(struct reply *r);
/* Completes the frame. 0, or -ENOBUFS or -ENOMEM: then nothing was appended. */
int reply_end(struct reply *r);
