/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening by name without ever leaving a directory, and again what is open already. Names are
 * single components: no slash, not "..".
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Whether the bytes are a name that may be looked for in a directory. */
bool beneath_name_ok(const char *name);

/*
 * Opens, or makes with O_CREAT, `name` in the directory `dir`; "." is the directory itself. No
 * link is followed, whoever changes it meanwhile (openat2: RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS). A
 * descriptor or -errno. `mode` counts only for what is made.
 */
int beneath_open(int dir, const char *name, int flags);
int beneath_create(int dir, const char *name, int flags, unsigned int mode);

#define BENEATH_PATH_MAX 320 /* "/proc/self/fd/N/NAME" */

/* Opens the directory of our descriptors, to be called before anything else here. 0 or -errno. */
int beneath_setup(void);
/*
 * Opens again what `fd` (which may be O_PATH) is open for; it must be known to be no link, device
 * or pipe. A descriptor or -errno.
 */
int beneath_reopen(int fd, int flags);
/* The name of a descriptor for calls that follow it: relative to beneath_self(). */
int beneath_self(void);
void beneath_number(int fd, char *ret, size_t size);
/*
 * The same for calls that know no directory: "/proc/self/fd/N", with `name` of a file in there
 * "/proc/self/fd/N/NAME".
 */
void beneath_path(int fd, const char *name, char *ret, size_t size);
