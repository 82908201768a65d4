/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An init of the sandbox's own (--init): the first process of a PID namespace, in which all other
 * programs run, too. The agent stays outside: it sees and signals them by the numbers they have
 * for it, and the init's end is one more child to be collected. For the kernel an init that ends
 * takes its namespace with it, and reboot(2) in there kills it by a signal that tells what was
 * wanted.
 */
#pragma once

#include "agent/server.h"
#include "agent/setup.h"

/*
 * Starts the init of the configuration and waits until it runs. From then on all that the agent
 * starts runs in its namespace. /proc becomes that namespace's. 0, or -1 with the error set.
 */
int init_start(struct server *server, struct setup *setup, struct boot_config *c, struct err *e);

/*
 * Whether the signal reaches a process, the first of a namespace, which only gets what it asks
 * for: it has a handler for it, or has blocked it to fetch it. `proc` is the agent's /proc.
 */
bool init_heeds(int proc, pid_t pid, int sig);
