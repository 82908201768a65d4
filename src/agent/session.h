/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An exec session: one program, its streams, and how it ends.
 *
 * No output is lost: the result is sent when the program has ended and everything it wrote has
 * been sent. Processes that it leaves behind may hold its pipes open for ever; the session then
 * ends when the pipes have been silent for SESSION_QUIET_NS, at the latest SESSION_DRAIN_NS after
 * the program's own output is through. Those processes go on running.
 */
#pragma once

#include "agent/server.h"

#define SESSION_QUIET_NS (100 * NSEC_PER_MSEC)
#define SESSION_DRAIN_NS (1 * NSEC_PER_SEC)
/* From the hang-up that a lost connection causes to the kill. */
#define SESSION_HANGUP_NS (1 * NSEC_PER_SEC)

/* Starts what the request says for the connection, which becomes a CONN_EXEC. 0, or -1. */
int session_start(struct conn *c, const struct exec_request *r, struct err *e);
/*
 * Starts the sandbox's init, to which no connection belongs yet, and waits until it runs; its
 * output waits for one. `prepare` is called in the child. 0, or -1 with the error set.
 */
int session_start_init(struct server *server, const struct exec_request *r,
		       int (*prepare)(struct err *e), struct err *e);
/*
 * Makes the connection that of the init, as if it had started it. Of the request only the
 * terminal's size and the time-out count. One that has ended gives its result, once. 0, or -1.
 */
int session_join_init(struct conn *c, const struct exec_request *r, struct err *e);
/*
 * Nothing can be started any more once the init has ended, since the kernel puts no process into
 * its PID namespace then: -1 with the error set. 0 also if there never was one.
 */
int session_check_init(const struct server *server, struct err *e);
/* The init's number as long as it runs; 0: there is none. */
pid_t session_init_pid(const struct server *server);
/* Takes frames out of the connection's input buffer. 0, or -EBADMSG for a malformed stream. */
int session_input(struct session *s);
/* The connection has room for output again. */
void session_resume(struct session *s);
/* The peer is gone: hangs up on the program, and kills its process group when that does not help.
 */
void session_hangup(struct session *s);
/* Drops the session without any of this. */
void session_free(struct session *s);

/* A child can be collected: called before it is, so that its group still has its number. */
void session_leader_ended(struct session *s);
/* The child has been collected with this wait status. */
void session_collected(struct session *s, int status);

/* Shells at a terminal ignore a termination signal, but not that their terminal is gone. */
void session_hangup_terminals(struct server *server);

struct session *session_find(const struct server *server, pid_t pid);
/* Sends a signal to the program's process group, or the terminal's foreground group. 0/-errno. */
int session_signal(struct session *s, int sig);
