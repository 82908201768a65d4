/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sends a file or a tree of files as the frames of fs.read and fs.write, depth first: each entry,
 * behind it its content, or the entries in it and the event `leave`.
 *
 * No symbolic link in the tree is followed. Everything is put together in one buffer of a fixed
 * size and goes out on a blocking descriptor; nothing grows with the tree.
 */
#pragma once

#include "proto/fs_message.h"

struct tree_out {
	int fd;       /* blocking; writing to it must raise no SIGPIPE */
	bool answers; /* the peer says nothing until the end: what it says earlier is a refusal */
	bool owners;  /* send them */
	/* Told of each thing that is left out: its path from the top, and what it is. */
	void (*skipped)(struct tree_out *out, const char *path, const char *kind);
	struct buf buf;
	bool broken; /* the connection, or the peer has answered: not an error of the files */
};

/* `skipped` is still to be set. */
void tree_out_init(struct tree_out *out, int fd);
void tree_out_release(struct tree_out *out);

/*
 * Sends the tree at `path`, and what is buffered before it; if that is a symbolic link, with
 * `follow` what it points to. 0, or -1: with out->broken when nobody takes it any more.
 */
int tree_send(struct tree_out *out, const char *path, bool follow, struct err *e);

/* For messages among the tree: appends one, sends everything. 0, or -1 with out->broken. */
int tree_out_event(struct tree_out *out, uint8_t type, json_t *event); /* takes the event over */
/* One of a tree that somebody else sends; too long ones are cut, or refused with out->broken. */
int tree_out_pass(struct tree_out *out, const struct frame *f);
int tree_out_flush(struct tree_out *out);
