/* SPDX-License-Identifier: Apache-2.0 */
/* Options about the network of a sandbox that is to be made. */
#pragma once

#include "cli/opt.h"

#include <jansson.h>

struct network_options {
	struct strv ports; /* as typed, checked */
	char *policy;      /* one of the four words; NULL: not given */
	bool off;
	struct strv rules;                       /* texts of rules, as of the next two */
	struct strv deny_domains, deny_suffixes; /* in front of them */
	struct strv conf_rules;                  /* of files, behind them */
	char *default_both, *default_egress, *default_ingress;
	uint64_t max_connections;           /* 0: default */
	uint64_t rate_egress, rate_ingress; /* bytes per second; 0: none, as of the next */
	uint64_t packets_egress, packets_ingress;
	struct strv nameservers; /* as typed, checked */
	bool no_rebind_protection;
	char *proxy; /* a secret if there is a password in it */
	bool proxy_from_env;
	char *proxy_password_env;
};

extern const struct opt network_opts[];

/* Checks the options with each other; warns, unless `quiet`, of ports open to other machines. */
int network_options_check(const struct network_options *o, bool quiet, struct err *e);
/* Adds "network" to a configuration that is to be stored (start.h); the options are checked. */
int network_options_store(const struct network_options *o, json_t *config, struct err *e);
