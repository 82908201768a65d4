/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commands for a running machine, over a connected SOCK_SEQPACKET socket. A message is a command,
 * without a NUL, and gets one message as its answer: "ok", or "error TEXT". At most one descriptor
 * comes with it. Whoever does not read the answers is not listened to any more.
 *
 *	pause	the vCPUs stand still when it is answered
 *	resume
 *	save	with one descriptor, an empty regular file: the machine is written to it
 */
#pragma once

#include "vmm/machine.h"

struct control {
	struct ev ev; /* fd owned */
	struct loop *loop;
	struct machine *machine; /* to be set before the loop runs */
};

/* Takes `fd` over in any case; -1: there is no such socket. 0, or -1 with an error. */
int control_start(struct control *c, struct loop *loop, int fd, struct err *e);
void control_release(struct control *c);
