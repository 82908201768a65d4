/* SPDX-License-Identifier: Apache-2.0 */
/* The network of a sandbox that is about to be started, in the words of all who need to know. */
#pragma once

#include "net/spec.h"
#include "sandbox/spec.h"

/* What the guest has to know of the network; `ret` is zeroed. */
void network_boot(const struct net_spec *s, struct boot_network *ret);

/*
 * Fills the network of a launch spec from the stored configuration, if there is one, for the
 * sandbox's place in the plan of addresses. 0 or -1.
 */
int network_launch(json_t *network, unsigned slot, struct launch_spec *ret, struct err *e);
