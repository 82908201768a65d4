/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the user's options to a running sandbox: the image, the choice of machine, the launch.
 *
 * The configuration is a JSON object kept with the sandbox:
 *   {"image": RECORD of msb-image, or null for a directory, "disk": [absolute paths],
 *    "cpus", "memory_mib", "machine", "kernel", "hostname", "workdir", "user", "shell",
 *    "env": [K=V], "entrypoint": [..], "cmd": [..],
 *    "root_dir": absolute path of the folder that is the root and is written to; else missing,
 *    "root_disk_bytes": of the writable disk; missing: as it comes,
 *    "mounts": [{"kind": "dir", "file", "named", "disk" or "tmpfs", "source", "target",
 *       "read_only", "noexec", "nosuid", "nodev", "follow_root_symlinks", "stat_virt",
 *       "host_perms", "quota" and "size" in bytes, "uid", "gid", "fstype"}], parents first,
 *    "max_duration_secs", "idle_timeout_secs",
 *    "security": "default" or "restricted",
 *    "rlimits": [{"resource": "nofile", "soft", "hard": number or "unlimited"}],
 *    "scripts": [{"name", "text" or "base64"}],
 *    "init": {"path": absolute or "auto", "args": [..], "env": [K=V]},
 *    "network": null (or missing) for no network device, or
 *      {"policy": its name; missing: none but what follows,
 *       "egress", "ingress": "allow" or "deny", instead of the policy's defaults,
 *       "rules": [texts in front of the policy's],
 *       "ports": [{"protocol": "tcp" or "udp", "bind", "host_port": 0 for any, "guest_port"}],
 *       "nameservers": ["ADDRESS:PORT"], "rebind_protection": bool, "max_connections",
 *       "egress_bytes_per_sec", "ingress_bytes_per_sec", "egress_packets_per_sec",
 *       "ingress_packets_per_sec", "proxy": URL (never shown), "proxy_password_env"}}
 */
#pragma once

#include "cli/sandbox_options.h"
#include "sandbox/launch.h"
#include "state/name_lock.h"

/*
 * Finds the image, pulling it if the options say so, and creates the sandbox. It ends and removes
 * one of that name if the options say so, when all is there for the new one. `ret_lock` is its run
 * lock. The caller holds the lock of the name if it has one. `command`, unless it is NULL, is what
 * the user wants to be run; it is an error then if the image adds no command to none.
 */
int sandbox_create(struct cli *cli, const struct sandbox_options *o, const char *image,
		   bool ephemeral, const struct strv *command, struct sandbox_row *ret,
		   int *ret_lock, struct err *e);

/*
 * Starts a sandbox whose lock is held. `command` is what will run in it, NULL if nothing: without
 * an attached client the sandbox's workload; one that joins the init (see sandbox_run_request)
 * says how that is started. On success the row is recorded as running; on failure of a sandbox
 * that just was made, see sandbox_discard.
 */
int sandbox_start(struct cli *cli, const struct sandbox_row *row, int lock_fd, bool attached,
		  const struct exec_request *command, const char *log_level, struct launch *ret,
		  struct err *e);

/*
 * For the time of one command: a sandbox that does not run is started for it, and stopped again.
 *
 * sandbox_find reads the row. Of a sandbox that does not run it does so when it is this command's
 * turn to start it, and then `turn` is held. sandbox_enter starts it and gives the turn up; one
 * that is paused is an error. sandbox_leave stops it, which needs no turn: the monitor knows that
 * it lives no longer than this process. `status` is the command's, or -1 with its error, of which a
 * sandbox that did not come up is the reason. Returns it, or -1 if the sandbox ended in a way that
 * the user has to know of. `ret_times`, unless it is NULL, is when it came up.
 */
int sandbox_find(struct cli *cli, const char *name, bool quiet, struct name_lock *turn,
		 struct sandbox_row *ret, struct err *e);
int sandbox_enter(struct cli *cli, const struct sandbox_row *row, struct name_lock *turn,
		  struct launch *ret, struct err *e);
int sandbox_leave(struct cli *cli, const struct sandbox_row *row, struct launch *l,
		  struct launch_times *ret_times, int status, struct err *e);

/*
 * Waits until a sandbox that is to live on by itself is up, and lets go of it. 0, or -1 with the
 * reason, and it is down. `ret_times` may be NULL.
 */
int sandbox_wait_up(struct cli *cli, const struct sandbox_row *row, struct launch *l,
		    struct launch_times *ret_times, struct err *e);

/* Removes what sandbox_create made, for a launch that did not happen. Releases the lock. */
void sandbox_discard(struct cli *cli, const struct sandbox_row *row, int *lock_fd);

/*
 * The command to run: `command` behind the image's entrypoint if it is given, else entrypoint
 * and default command. Empty when there is none.
 */
void sandbox_resolve_command(const struct sandbox_row *row, const struct strv *command,
			     struct strv *ret);
/* Sets the error that there is no command; -1. */
int sandbox_no_command(struct err *e);
/*
 * Fills argv of the request that `msb run` makes of a sandbox which is about to be started, or runs
 * already. When the sandbox's init is what the image starts with, it joins the init, which then
 * gets the command; if that runs already, `command` alone is run.
 */
void sandbox_run_request(const struct sandbox_row *row, bool running, const struct strv *command,
			 struct exec_request *ret);
/* As sandbox_resolve_command without a command, as one text for people; owned, "" when there is
 * none. */
char *sandbox_command_text(const struct sandbox_row *row);
/* The shell for sessions without a command. */
const char *sandbox_shell(const struct sandbox_row *row);
