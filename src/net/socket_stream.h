/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A kernel TCP socket as a stream. Edge-triggered: one epoll_ctl in the life of a connection,
 * because what is readable or writable is remembered until a call says otherwise.
 */
#pragma once

#include "base/loop.h"
#include "net/addr.h"
#include "net/stream.h"

/* Connects to the address. NULL with errno when it fails at once (no route, no descriptors). */
struct stream *socket_stream_connect(struct loop *loop, const struct addr *addr, uint16_t port);
/* One that is connected already; takes `fd` over, also when it fails. */
struct stream *socket_stream_accepted(struct loop *loop, int fd);
