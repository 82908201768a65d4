/* SPDX-License-Identifier: Apache-2.0 */
/* The stored configuration of a network (start.h): what msb-net gets of it, and what people see. */
#pragma once

#include "cli/cli.h"
#include "net/spec.h"

/*
 * The specification of the network for a sandbox with this place in the plan of addresses.
 * `network` is an object. A password may have to come from the environment. 0, or -1; release it
 * in both cases.
 */
int network_spec(json_t *network, unsigned slot, struct net_spec *ret, struct err *e);
/* The same without a password that is not in it, for what only looks. */
int network_spec_open(json_t *network, unsigned slot, struct net_spec *ret, struct err *e);
/* Its text, owned, a secret. NULL when the sandbox has no network device: `network` is NULL or
 * null. 0 or -1. */
int network_spec_text(json_t *network, unsigned slot, char **ret, struct err *e);

/*
 * What is in force, in words of policies and rules, without secrets: "policy" (null: only the
 * sandbox's own), "egress", "ingress", "rules" (all of them in order), "ports", "nameservers",
 * "rebind_protection", limits, "proxy". Owned; null for no network device.
 */
json_t *network_describe(json_t *network);
/* The same on standard output, with a heading. */
void network_print(json_t *described);

/*
 * Published ports of `n` sandboxes: an owned array for each in `ret`, of those that run with the
 * numbers that were chosen.
 */
void network_ports(const struct home *h, const struct sandbox_row *rows, size_t n, json_t **ret);
/* "127.0.0.1:8080->80/tcp, ..." of such an array, "-" for none; owned. */
char *network_ports_text(json_t *ports);
