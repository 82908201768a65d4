/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Options that reach into the guest: resource limits, scripts, the security profile and an init of
 * the sandbox's own. They are kept in the stored configuration (start.h) and go from there into
 * the boot configuration.
 */
#pragma once

#include "cli/sandbox_options.h"
#include "proto/message.h"

/*
 * Checks the options with each other; reads the files of scripts, which guest_options_store does
 * again. 0 or -1.
 */
int guest_options_check(const struct sandbox_options *o, struct err *e);
/* Adds them to a configuration that is to be stored. 0 or -1. */
int guest_options_store(const struct sandbox_options *o, json_t *config, struct err *e);

/* The line that makes a script one of this shell, a path or a name; NULL: the default. Owned. */
char *guest_script_line(const char *shell);

/* Fills rlimits, scripts and restricted of a boot configuration. -1 with a message to be wrapped.
 */
int guest_boot(json_t *config, struct boot_config *boot, struct err *e);

/* Whether the sandbox has an init of its own. */
bool guest_has_init(json_t *config);
/*
 * The request that starts its init. `words` is the image's entrypoint with the command to be run.
 * If these begin with the init (or with a well-known one for "auto"), the rest are arguments of it,
 * it runs as a command would, and true is returned. `ret` is filled but for its streams.
 */
bool guest_init_request(json_t *config, const struct strv *words, struct exec_request *ret);
