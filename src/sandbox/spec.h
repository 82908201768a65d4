/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The launch spec: everything that msb-monitor must know to run one sandbox. The launcher sends
 * it as the first request on the launch connection; it is not kept on disk.
 */
#pragma once

#include "proto/message.h"
#include "sandbox/spec_mounts.h"

enum machine_kind { MACHINE_AUTO, MACHINE_KVM, MACHINE_QEMU, MACHINE_KIND_COUNT };

const char *machine_kind_name(enum machine_kind m);
/* 0, or -EINVAL for an unknown word. */
int machine_kind_parse(const char *s, enum machine_kind *ret);

#define SPEC_CPUS_MAX       32
#define SPEC_MEMORY_MIB_MIN 64
#define SPEC_MEMORY_MIB_MAX (1 << 20)
/* A hundred years: everything that computes with it stays far from overflow. */
#define SPEC_DURATION_MAX_S (UINT64_C(100) * 365 * 86400)

struct launch_spec {
	char *name;
	char *sandbox_dir; /* upper.ext4, logs/, end.json */
	char *run_dir;     /* sockets */
	bool ephemeral;    /* everything is deleted at the end */
	bool attached;     /* ends when the launch connection closes */
	enum machine_kind machine;
	char *qemu;   /* path of the emulator; NULL when the machine is kvm */
	char *kernel; /* path of a kernel that the user brings; NULL: ours */
	unsigned cpus;
	unsigned memory_mib;
	struct strv image_files;                   /* the read-only disk, part by part */
	struct share_spec shares[SPEC_SHARES_MAX]; /* boot.mounts calls them "0", "1" ... */
	size_t n_shares;
	struct disk_spec disks[SPEC_DISKS_MAX]; /* beside the image and the writable one */
	size_t n_disks;
	struct boot_config boot;
	/*
	 * The network in the words of msb-net (net/spec.h), which the monitor only passes on and
	 * then forgets, because it may hold a proxy's password. It comes with boot.network; NULL:
	 * there is no network.
	 */
	char *net;
	bool has_workload; /* runs without a client; the sandbox ends with it */
	struct exec_request workload;
	bool init_client;        /* the launcher itself joins the init, whose output it wants */
	uint64_t max_duration_s; /* from ready on; 0: for ever */
	uint64_t idle_timeout_s; /* 0: never */
	char *log_level;         /* of the runtime's own log; NULL: warn */
};

void launch_spec_release(struct launch_spec *s);
/* NULL when a string is not UTF-8. */
json_t *launch_spec_to_json(const struct launch_spec *s);
int launch_spec_from_json(json_t *j, struct launch_spec *ret, struct err *e);
