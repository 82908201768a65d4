/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a program in a sandbox with this process's standard streams and terminal. */
#pragma once

#include "proto/message.h"

/*
 * Sends the request on a fresh control connection (which it closes) and relays until the program
 * has ended. SIGINT, SIGTERM and SIGHUP go to the program; a second one, or one before the
 * program runs, ends the session.
 * `ret_started`, if not NULL, gets the CLOCK_MONOTONIC time at which the program started.
 * 0, or -1: ERR_CANCELLED after such a signal, ERR_STATE when the sandbox went away, ...
 * When standard output is closed the session ends and ret->signal is SIGPIPE.
 */
int exec_client_run(int fd, const struct exec_request *request, struct exec_result *ret,
		    uint64_t *ret_started, struct err *e);

/* Fills tty, rows, cols and has_stdin for this process: `force_tty` as if on a terminal. */
void exec_client_prepare(struct exec_request *request, bool force_tty);

/* The exit status of msb for a result; prints what the user should know. */
int exec_client_status(const struct exec_result *r, uint64_t timeout_ms);
