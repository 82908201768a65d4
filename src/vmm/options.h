/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line of msb-vmm. Everything comes as an argument or as an inherited descriptor; see
 * usage_text in options.c. A descriptor is owned by the options until it is stolen; each may be
 * named only once.
 */
#pragma once

#include "base/err.h"
#include "base/log.h"
#include "fs/server.h"
#include "vmm/machine.h"

#define OPTIONS_DISK_SERIAL_MAX 20

struct option_disk {
	bool writable;
	char serial[OPTIONS_DISK_SERIAL_MAX + 1];
	int *fds;
	unsigned int n_fds;
};

struct options {
	bool help;
	const char *machine;
	unsigned int parent; /* process id; 0: whoever is the parent at the start */
	unsigned int cpus;
	unsigned int memory_mib;
	int kernel_fd;
	int initrd_fd;
	int console_fd;
	int events_fd;
	int load_fd;
	int control_fd;
	int stats_fd;
	const char *cmdline;
	const char *qemu;
	struct option_disk disks[MACHINE_DEVICES_MAX];
	unsigned int n_disks;
	struct share_config shares[SHARES_MAX];
	unsigned int n_shares;
	bool vsock;
	int vsock_listen_fd;
	int vsock_offers_fd;
	uint64_t vsock_cid;
	bool rng;
	bool net;
	uint8_t net_mac[6];
	unsigned int net_mtu;
	int net_rings_fd;
	int net_wake_fd;
	int net_call_fd;
	bool pit;
	enum log_level log_level;
};

extern const char options_usage[];

/* Strings of `o` that are const point into argv. 0, or -1 with an error; release it in both cases.
 */
int options_parse(struct options *o, int argc, char **argv, struct err *e);
/* Closes the descriptors that nobody took. */
void options_release(struct options *o);
