/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copies trees of files over control connections of sandboxes, each made for one copy. Each
 * function closes the connections that it is given. While one runs, SIGINT, SIGTERM and SIGHUP end
 * it (ERR_CANCELLED), and nothing unfinished is left under a file's own name.
 */
#pragma once

#include "proto/tree_receive.h"

/* One side of a copy that is in a sandbox. */
struct copy_peer {
	int fd;
	const char *sandbox; /* its name, for messages */
};

/* All return 0, or -1 with the error set. What sources leave out is told in warnings. */
int copy_to_host(const struct copy_peer *from, const struct fs_read_request *what,
		 const struct tree_place *where, struct err *e);
int copy_from_host(const char *what, bool follow, const struct copy_peer *to,
		   const struct fs_write_request *where, struct err *e);
/* The frames are passed on as they come. */
int copy_between(const struct copy_peer *from, const struct fs_read_request *what,
		 const struct copy_peer *to, const struct fs_write_request *where, struct err *e);
