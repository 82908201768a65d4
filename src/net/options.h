/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line of msb-net. Everything comes as an inherited descriptor; see the usage text in
 * options.c. A descriptor is owned by the options until it is stolen.
 */
#pragma once

#include "base/err.h"
#include "base/log.h"

struct net_options {
	bool help;
	unsigned int parent; /* process id; 0: whoever is the parent at the start */
	int rings_fd;
	int wake_fd;
	int call_fd;
	int events_fd;
	int spec_fd;
	int resolv_conf_fd; /* -1: none */
	enum log_level log_level;
};

extern const char net_options_usage[];

/* 0, or -1 with an error; release it in both cases. */
int net_options_parse(struct net_options *o, int argc, char **argv, struct err *e);
/* Closes the descriptors that nobody took. */
void net_options_release(struct net_options *o);
