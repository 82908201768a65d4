/* SPDX-License-Identifier: Apache-2.0 */
/* Values of network options as people write them. */
#pragma once

#include "net/spec.h"

#include <jansson.h>

/* The word of a policy or of one of its other names; NULL with an error that names them. */
const char *network_policy_word(const char *s, struct err *e);
/* A rule, in which a domain name may have any letters; canonical text, owned, or NULL. */
char *network_rule(const char *s, struct err *e);
/* The text of a rule that denies a name (`suffix`: and all below it); owned, or NULL. */
char *network_deny_domain(const char *s, bool suffix, struct err *e);
/* A domain name in the form of domain.h, whatever letters it has. 0 or -1. */
int network_domain(const char *s, char out[DOMAIN_LEN], struct err *e);
/* [BIND:]HOST:GUEST[/tcp|udp] */
int network_port(const char *s, struct net_publish *ret, struct err *e);
/* ADDRESS[:PORT], IPv6 in brackets if there is a port. */
int network_nameserver(const char *s, struct net_server *ret, struct err *e);
/* Bytes per second: 500K, 10M, 1G; a bare number is bytes. */
int network_rate(const char *s, uint64_t *ret, struct err *e);
/* ADDRESS[:PORT] of the two forms; port 0 when there is none. 0 or -EINVAL. */
int network_place(const char *s, struct addr *ret, uint16_t *ret_port);
