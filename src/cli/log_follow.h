/* SPDX-License-Identifier: Apache-2.0 */
/* msb logs --follow: what is there, and then what comes. */
#pragma once

#include "base/err.h"
#include "cli/log_view.h"

/* Prints the entries that are there (`last`: nothing will come after them). 0 or -1. */
int log_print(struct log_reader *r, struct log_view *v, bool last, struct err *e);

/*
 * Prints entries until `until` (CLOCK_REALTIME, ns; UINT64_MAX: no end), or until the sandbox
 * has stopped, which hanging up of `monitor_fd`, a connection to its monitor, tells, and all that
 * it wrote is printed. Also when nobody reads standard output any more. SIGINT ends msb with
 * status 130. `dir` is the directory of the logs. 0 or -1.
 */
int log_follow(struct log_reader *r, struct log_view *v, const char *dir, int monitor_fd,
	       uint64_t until, struct err *e);
