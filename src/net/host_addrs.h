/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The addresses that the host has or had since the start, by a netlink socket that is opened before
 * the jail: what reaches one of them reaches the host, whatever range it is in.
 */
#pragma once

#include "base/loop.h"
#include "net/addr.h"

struct host_addrs;

/* NULL with errno. */
struct host_addrs *host_addrs_new(struct loop *loop);
struct host_addrs *host_addrs_free(struct host_addrs *h);
bool host_addrs_has(const struct host_addrs *h, const struct addr *a);
