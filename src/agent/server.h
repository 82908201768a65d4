/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent's connections: one operation each, started by a request frame and ended by a result
 * frame. Everything runs on the loop's thread and nothing blocks.
 */
#pragma once

#include "base/loop.h"
#include "proto/message.h"

#include <sys/types.h>

#define CONNECTIONS_MAX 512
/* How long a connection waits for its peer to close once the result is on its way. */
#define LINGER_NS (5 * NSEC_PER_SEC)

struct server;
struct session;
struct conn;
struct reply;

enum conn_state {
	CONN_REQUEST, /* the request is not complete yet */
	CONN_EXEC,    /* a program runs */
	CONN_HALT,    /* asked for the shutdown, which is in progress */
	CONN_LINGER,  /* the result is in `out`; then the peer is to close */
};

/* Called for a shutdown request; the connection stays until the machine stops. */
typedef void (*shutdown_fn)(void *ctx, struct conn *c, uint64_t grace_ns);

struct server {
	struct loop *loop;
	const struct boot_config *config; /* borrowed */
	int devpts;                       /* directory to open terminals in; -1: /dev */
	int random_fd;                    /* the kernel's random device */
	shutdown_fn on_shutdown;          /* NULL: such requests are refused */
	void (*on_childless)(void *ctx);  /* the last child is gone; may be NULL */
	void *ctx;                        /* for both */
	bool halting;                     /* no new operations */
	int listen_fd;
	struct ev listen_ev;
	struct conn *conns;
	size_t n_conns;
	struct session *sessions;
	size_t n_sessions;
	struct session *init; /* one of them; NULL: there is none, or it has ended */
};

struct conn {
	struct server *server;
	struct conn *next;
	int fd;
	struct ev ev;
	struct timer linger;
	enum conn_state state;
	bool hold_input; /* the session cannot take more at the moment */
	struct buf in;
	struct buf out;
	struct session *session;
};

void server_init(struct server *s, struct loop *l, const struct boot_config *config);
/* Hangs up on everybody and forgets all sessions without waiting for them. */
void server_release(struct server *s);

/* Accepts connections of the host on a listening vsock descriptor, which it owns. 0 or -errno. */
int server_listen(struct server *s, int fd);
/* Serves a connected stream socket, which it owns. 0 or -errno. */
int server_add(struct server *s, int fd);

/* Collects every child that has ended; to be called on SIGCHLD. */
void server_reap(struct server *s);

/* --- for sessions and the shutdown --------------------------------------------------------- */

/* Above this many unsent bytes a session stops producing. */
#define CONN_OUT_HIGH ((size_t)256 << 10)

/* Sends what it can and adjusts what is waited for. The connection may be gone afterwards. */
void conn_flush(struct conn *c);
/* Completes the result frame, which is the last one. May free the connection. */
void conn_finish(struct conn *c, struct reply *r);
/* The same with {"ok": true}, and with an error. */
void conn_ok(struct conn *c);
void conn_fail(struct conn *c, const struct err *e);
