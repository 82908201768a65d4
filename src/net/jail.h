/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Confinement of msb-net, which reads what a guest and the Internet send. It has one thread and one
 * stage, after everything that it needs by name is open: no new privileges, no core files, no
 * debugger; Landlock takes files, other processes' abstract unix sockets and signals; and only the
 * system calls are left that its parts need, in which it differs from msb-vmm by making, binding
 * and connecting sockets of IPv4 and IPv6. Any other call ends the process.
 *
 * What it may call is declared where the calls are made (#syscalls, see tools/mkjail).
 */
#pragma once

#include "base/err.h"

/* The parts of the program, the busiest first. */
enum jail_kind {
	JAIL_MAIN_NET, /* #union: loop net socket outside dns ports host-addrs main libc */
	JAIL_KIND_COUNT
};

/*
 * With MSB_DEBUG in the environment a debugger may attach. A kernel without Landlock is fine, one
 * without seccomp is not. 0, or -1 with an error.
 */
int jail_enter(struct err *e);
