/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the user's options to a running sandbox: the stored configuration, the image, the choice
 * of machine, the launch.
 *
 * The configuration is a JSON object kept with the sandbox:
 *   {"image": RECORD of msb-image, or null for a directory, "disk": [absolute paths],
 *    "cpus", "memory_mib", "machine", "kernel", "hostname", "workdir", "user", "shell",
 *    "env": [K=V], "entrypoint": [..], "cmd": [..], "tmpfs": [{"path", "size"}]}
 */
#pragma once

#include "cli/cli.h"
#include "sandbox/launch.h"

/* Options of commands that create sandboxes. */
struct sandbox_options {
	char *name;
	uint64_t memory;    /* bytes; 0: default */
	unsigned cpus;      /* 0: default */
	struct strv env;    /* K=V, checked */
	struct strv labels; /* checked */
	char *workdir;
	char *user;
	char *hostname;
	char *entrypoint;
	char *shell;
	char *pull;
	char *platform;
	char *progress;
	struct strv tmpfs;
	char *machine;
	char *kernel;
	char *log_level;
	bool insecure;
	char *ca_certs;
	bool quiet;
};

extern const struct opt sandbox_opts[];

/*
 * Checks everything that can be checked before any work is done, the machine included, on which
 * it may print a notice. `image` may be a directory.
 */
int sandbox_options_check(const struct sandbox_options *o, const char *image, struct err *e);

/* Whether the image argument names a directory: it starts with /, ./ or ../, or is . or .. */
bool image_is_path(const char *image);

/* Environment variable options: K=V as it is, K copies the caller's variable. */
opt_parse_fn opt_env;
/* PATH or PATH:SIZE, kept as text. */
opt_parse_fn opt_tmpfs;

/*
 * Finds the image, pulling it if the options say so, and creates the sandbox. `ret_lock` is its
 * run lock.
 */
int sandbox_create(struct cli *cli, const struct sandbox_options *o, const char *image,
		   bool ephemeral, struct sandbox_row *ret, int *ret_lock, struct err *e);

/*
 * Starts a sandbox whose lock is held. `workload` may be NULL. On success the row is recorded as
 * running; on failure of a sandbox that just was made, see sandbox_discard.
 */
int sandbox_start(struct cli *cli, const struct sandbox_row *row, int lock_fd, bool attached,
		  const struct exec_request *workload, const char *log_level, struct launch *ret,
		  struct err *e);

/* Removes what sandbox_create made, for a launch that did not happen. Releases the lock. */
void sandbox_discard(struct cli *cli, const struct sandbox_row *row, int *lock_fd);

/*
 * The command to run: `command` behind the image's entrypoint if it is given, else entrypoint
 * and default command. Empty when there is none.
 */
void sandbox_resolve_command(const struct sandbox_row *row, const struct strv *command,
			     struct strv *ret);
/* The same without a command, as one text for people; owned, "" when there is none. */
char *sandbox_command_text(const struct sandbox_row *row);
/* The shell for sessions without a command. */
const char *sandbox_shell(const struct sandbox_row *row);
