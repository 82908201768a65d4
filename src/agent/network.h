/* SPDX-License-Identifier: Apache-2.0 */
/* The machine's network interface: addresses and routes, and what programs need to use it. */
#pragma once

#include "proto/message.h"

/*
 * Brings the interface up with its addresses and default routes, which can be used at once: nothing
 * is waited for. A kernel without IPv6 goes without it.
 */
int network_up(const struct boot_network *n, struct err *e);

/*
 * Makes a resolv.conf at `path`, in place of whatever is there, if there is a name server. 0 or
 * -errno.
 */
int network_write_resolv_conf(const char *path, const struct boot_network *n);

/* Lets every user ping, as far as the kernel can; `path` is its ping_group_range. */
#define NETWORK_PING_PATH "/proc/sys/net/ipv4/ping_group_range"
void network_allow_ping(const char *path);
