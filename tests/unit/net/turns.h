/* SPDX-License-Identifier: Apache-2.0 */
/* A loop that a test turns by hand, and sockets of the loopback interface to go with it. */
#pragma once

#include "../testing.h"

#include "base/clock.h"
#include "base/loop.h"
#include "net/addr.h"

#include <sys/socket.h>
#include <unistd.h>

#define STUCK (20 * NSEC_PER_SEC) /* only ever reached by a test that fails */

struct turn_end {
	struct timer t;
	struct deferred d;
	struct loop *loop;
};

static inline void end_turn(struct deferred *d)
{
	loop_stop(container_of(d, struct turn_end, d)->loop);
}

static inline void after_events(struct timer *t)
{
	struct turn_end *end = container_of(t, struct turn_end, t);

	loop_defer(end->loop, &end->d);
}

/* Delivers what is ready and what was deferred, without waiting. */
static inline void turn(struct loop *loop)
{
	struct turn_end end = {.t.fn = after_events, .d.fn = end_turn, .loop = loop};

	timer_set(loop, &end.t, 0);
	assert_int_equal(loop_run(loop), 0);
}

/* Turns the loop until something is so. */
#define turn_until(loop, x)                                        \
	do {                                                       \
		uint64_t end_ = clock_mono_ns() + STUCK;           \
		while (!(x)) {                                     \
			if (clock_mono_ns() > end_)                \
				fail_msg("never happens: %s", #x); \
			turn(loop);                                \
		}                                                  \
	} while (0)

/* A socket on 127.0.0.1, of which *ret_port is the port (0 before: any that is free). */
static inline int socket_on(int type, uint16_t *ret_port)
{
	struct sockaddr_in sin = {.sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
				  .sin_port = htons(*ret_port)};
	socklen_t len = sizeof(sin);
	int fd = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&sin, len), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sin, &len), 0);
	*ret_port = ntohs(sin.sin_port);
	return fd;
}

static inline struct addr loopback(void)
{
	return addr_from_v4((struct in_addr){htonl(INADDR_LOOPBACK)});
}
