/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the programs have in common that work for a sandbox's monitor: options of the form
 * --name=VALUE, which may name inherited descriptors, the tie to the process that started them,
 * the signals that end them, and the lines by which they tell what happens.
 */
#pragma once

#include "base/err.h"
#include "base/log.h"
#include "base/loop.h"

#include <sys/types.h>

/* --- Options. All return 0, or -1 with a usage error that names the option. */

/* Takes --name=VALUE apart: *ret_name is "--name" and owned, *ret_value points into `arg`. */
int helper_option(const char *arg, char **ret_name, const char **ret_value, struct err *e);
/*
 * The number of an inherited descriptor, into *fd, which is -1 before. The descriptor belongs to
 * whoever owns *fd then, and is close-on-exec, by which it is noticed when it is named again.
 */
int helper_fd(const char *name, const char *value, int *fd, struct err *e);
int helper_count(const char *name, const char *value, unsigned int min, unsigned int max,
		 unsigned int *ret, struct err *e);
int helper_log_level(const char *name, const char *value, enum log_level *ret, struct err *e);

/* --- The process. */

/*
 * Lets the process end with `parent`, and not go on when that is gone already; allows it as many
 * descriptors as it may have. 0, or -1 with an error.
 */
int helper_bind(pid_t parent, struct err *e);

/*
 * Blocks SIGTERM, SIGINT and SIGHUP, ignores SIGPIPE, and calls ev->fn when one of the three has
 * come, which takes it by helper_take_signal. ev->fd, -1 before, is the caller's to close, also
 * after an error.
 */
int helper_watch_signals(struct loop *loop, struct ev *ev, struct err *e);
/* The signal; 0 when there is none. */
int helper_take_signal(struct ev *ev);

/* Writes one line, whatever the text contains, at most HELPER_EVENT_MAX bytes long. */
#define HELPER_EVENT_MAX 512
void helper_event(int fd, const char *fmt, ...) PRINTF_FORMAT(2, 3);
