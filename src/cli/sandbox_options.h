/* SPDX-License-Identifier: Apache-2.0 */
/* Options of the commands that create sandboxes, and the stored configuration made of them. */
#pragma once

#include "cli/cli.h"
#include "cli/image_tool.h"
#include "cli/mount_options.h"
#include "cli/network_options.h"
#include "proto/message.h"

#define SANDBOX_HOSTNAME_MAX  64
#define SANDBOX_SHELL_DEFAULT "/bin/sh"

/* What --rlimit was given, one of each resource. */
struct rlimit_options {
	struct rlimit_spec v[EXEC_RLIMIT_MAX];
	size_t n;
};

/* Options of commands that create sandboxes. */
struct sandbox_options {
	char *name;
	uint64_t memory;    /* bytes; 0: default */
	uint64_t root_disk; /* bytes; 0: default */
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
	struct mount_options mounts;
	struct rlimit_options rlimits;
	struct strv scripts;      /* NAME=BODY */
	struct strv raw_scripts;  /* NAME=BODY */
	struct strv script_paths; /* NAME:PATH */
	char *security;
	char *init;
	struct strv init_args, init_env;
	char *machine;
	char *kernel;
	uint64_t max_duration; /* ms; 0: none, as of the next */
	uint64_t idle_timeout;
	char *log_level;
	bool replace;
	struct replace_grace {
		bool given; /* implies `replace` */
		uint64_t ms;
	} replace_grace;
	bool insecure;
	bool rw_root;
	char *ca_certs;
	bool quiet;
	struct network_options network;
	struct strv conf;                   /* files, see conf.h */
	json_t *conf_entrypoint, *conf_cmd; /* arrays from them; NULL: the image's */
};

extern const struct opt sandbox_opts[];
/* Options of the command line to come, each refused with what it needs. */
extern const struct opt later_opts[];

/*
 * Checks everything that can be checked before any work is done, the machine included, on which
 * it may print a notice. `image` may be a directory, or NULL: that of a sandbox that exists.
 */
int sandbox_options_check(const struct sandbox_options *o, const char *image, struct err *e);

/*
 * Whether an existing sandbox of the name is to be replaced, and then how long it has to end. The
 * options are checked ones.
 */
bool sandbox_replaces(const struct sandbox_options *o, uint64_t *ret_grace_ms);

/* Whether the image argument names a directory: it starts with /, ./ or ../, or is . or .. */
bool image_is_path(const char *image);

/* Environment variable options: K=V as it is, K copies the caller's variable. */
opt_parse_fn opt_env;
/* struct replace_grace: a duration, also in milliseconds. */
opt_parse_fn opt_replace_grace;
/* RESOURCE=SOFT[:HARD] into a struct rlimit_options. */
opt_parse_fn opt_rlimit;
/* NAME=BODY and NAME:PATH, kept as text. */
opt_parse_fn opt_script;
opt_parse_fn opt_script_path;

/* A duration of at least a second, in ms. */
opt_parse_fn opt_limit;

/* How the options want an image to be brought in; checks their values. 0 or -1. */
int sandbox_fetch_options(const struct sandbox_options *o, struct image_fetch *ret, struct err *e);

/*
 * The configuration that is stored with the sandbox (start.h says what is in it), of the options
 * and the image's record (NULL: a directory). Owned; NULL when a value is not UTF-8.
 */
json_t *sandbox_config_build(const struct sandbox_options *o, json_t *record);
