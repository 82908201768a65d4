/* SPDX-License-Identifier: Apache-2.0 */
/* Names of resource limits, without RLIMIT_ and in lower case. */
#pragma once

#include <stddef.h>

/* "nofile" for RLIMIT_NOFILE; NULL for a number that is no resource. */
const char *rlimit_name(int resource);
/* The number of a name of `len` bytes, in any case and with or without RLIMIT_; -1: none. */
int rlimit_find(const char *name, size_t len);
