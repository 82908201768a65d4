/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The seam between a guest's TCP connection and whatever is at its far end: a kernel socket, our
 * resolver, a proxy, a filter in front of another stream. Neither side knows what the other is.
 *
 *	guest <-> tcp.c (struct tcp_conn) <-> struct stream <-> [filters] <-> socket
 *
 * The TCP side calls the operations; the stream calls its user (the TCP side, or the filter in
 * front of it) when something has changed, from the loop and never out of an operation. A user's
 * function may call operations of the stream, also close, before it returns: the stream does not
 * touch itself afterwards.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

struct stream;

struct stream_ops {
	/*
	 * Bytes of the guest, which lie in memory that may change meanwhile. How many were taken,
	 * 0: none now (user->writable follows), or -errno: the connection is reset.
	 */
	ssize_t (*write)(struct stream *s, const struct iovec *iov, int n);
	/* The guest sends no more; everything before was taken. */
	void (*shut)(struct stream *s);
	/*
	 * Bytes for the guest. How many, 0: no more will come, -EAGAIN: none now (user->readable
	 * follows), another -errno: the connection is reset.
	 */
	ssize_t (*read)(struct stream *s, const struct iovec *iov, int n);
	/* Ends it and frees it; `reset`: the far side is to notice that it was cut off. */
	void (*close)(struct stream *s, bool reset);
};

struct stream_user_ops {
	/* The far side is there, or -errno: it is not. Exactly once; not before the opener
	 * returned. */
	void (*opened)(void *ctx, int error);
	/* There is something to be read, or the end; also when it was there before `opened`. */
	void (*readable)(void *ctx);
	void (*writable)(void *ctx);
	/* It is broken (-errno); what follows from it is read's and write's error as well. */
	void (*failed)(void *ctx, int error);
};

struct stream {
	const struct stream_ops *ops;
	const struct stream_user_ops *user;
	void *ctx; /* for the user's functions */
};

static inline ssize_t stream_write(struct stream *s, const struct iovec *iov, int n)
{
	return s->ops->write(s, iov, n);
}

static inline void stream_shut(struct stream *s)
{
	s->ops->shut(s);
}

static inline ssize_t stream_read(struct stream *s, const struct iovec *iov, int n)
{
	return s->ops->read(s, iov, n);
}

static inline void stream_close(struct stream *s, bool reset)
{
	s->ops->close(s, reset);
}
