/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file server: FUSE requests of the guest in, replies out (linux/fuse.h; the protocol has no
 * other description). Nothing here knows about virtqueues.
 */
#pragma once

#include "fs/share.h"
#include "virtio/iov.h"

#include <stddef.h>

#define SHARES_MAX 32

struct server;

/*
 * A server of `n` shares, which are called "0", "1" and so on in its root. Takes their descriptors
 * over, also when it fails: NULL with errno set, and the share's index in *ret_bad. The guest may
 * hold `max_nodes` files at a time.
 */
struct server *server_new(const struct share_config *shares, unsigned n, size_t max_nodes,
			  unsigned *ret_bad);
struct server *server_free(struct server *s);

/*
 * Handles one request: reads it from `in`, writes the reply to `out`. Returns the length of the
 * reply; 0 for a request that has none, or that is none.
 */
size_t server_handle(struct server *s, struct iov_iter *in, struct iov_iter *out);

/* The guest's kernel is another one, or has started anew: everything that it held is gone. */
void server_reset(struct server *s);
