/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The operations on files, fs.read and fs.write. Paths of the guest may lead anywhere, also to
 * where a system call never returns, so the first process opens none of them: a child of it, which
 * runs as root, gets the connection and serves it to its end with calls that block.
 */
#pragma once

#include "agent/server.h"

/* Whether it is the name of such an operation. */
bool files_is_operation(const char *op);

/*
 * Starts a child that serves the request on `fd`, of whose input `in` has been read already. On
 * success the caller has nothing more to do with the connection and closes it. 0, or -1 with the
 * error set.
 */
int files_start(int fd, struct buf *in, json_t *request, struct err *e);
