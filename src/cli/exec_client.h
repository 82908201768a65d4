/* SPDX-License-Identifier: Apache-2.0 */
/* Relays between a program in a sandbox and this process's standard streams and terminal. */
#pragma once

#include "cli/detach_keys.h"
#include "proto/message.h"

struct exec_client {
	int fd;                             /* a fresh control connection; closed in any case */
	const struct exec_request *request; /* what to start; NULL: attach to what runs */
	uint64_t session;                   /* of the one to attach to; 0: there is only one */
	const struct detach_keys *keys;     /* of a terminal */
	/* Makes the sandbox let the session go on without us. 0, or -1: it goes on with us. */
	int (*detach)(void *ctx, uint64_t session, struct err *e);
	void *ctx;
};

struct exec_outcome {
	struct exec_result result;
	uint64_t asked;    /* CLOCK_MONOTONIC: the request is on its way */
	uint64_t started;  /* the same; 0: never */
	uint64_t detached; /* the session that was left running; 0: it ended */
};

/*
 * Sends the request and relays until the program has ended or the user has left it. SIGINT, SIGTERM
 * and SIGHUP go to the program; a second one, or one before the program runs, ends the session.
 * 0, or -1: ERR_CANCELLED after such a signal, ERR_STATE when the sandbox went away, ... `ret` is
 * filled as far as it is known in any case. When standard output is closed the session ends and the
 * result's signal is SIGPIPE.
 */
int exec_client_run(const struct exec_client *x, struct exec_outcome *ret, struct err *e);

/* Fills tty, rows, cols and has_stdin for this process: `force_tty` as if on a terminal. */
void exec_client_prepare(struct exec_request *request, bool force_tty);

/* The size of this process's terminal. False, and nothing is stored, when there is none. */
bool exec_client_window(uint16_t *rows, uint16_t *cols);
