/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines for the sandbox's log about what was denied and who came. A guest decides how often, so the
 * same line comes at most once a second, and all together at a bounded rate; what was left out
 * is counted, and the number told. The clock is the caller's, in ns.
 */
#pragma once

#include "base/util.h"

#include <stdint.h>

#define NET_LOG_LINE 448 /* the longest text, with the NUL */

struct net_log;

typedef void net_log_write_fn(void *ctx, const char *line);

/* NULL: no memory. */
struct net_log *net_log_new(net_log_write_fn *write, void *ctx);
/* Tells what is not told yet. */
struct net_log *net_log_free(struct net_log *l);
void net_log_line(struct net_log *l, uint64_t now, const char *fmt, ...) PRINTF_FORMAT(3, 4);
/* Tells the numbers of lines that were left out, when it is time. */
void net_log_tick(struct net_log *l, uint64_t now);
/* When net_log_tick has something to do next; UINT64_MAX: never. */
uint64_t net_log_next_deadline(const struct net_log *l);
