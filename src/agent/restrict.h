/* SPDX-License-Identifier: Apache-2.0 */
/* What the programs of a sandbox with --security restricted lose. */
#pragma once

#include "base/err.h"

/*
 * For the calling process and all that it becomes and starts: no privileges are gained by execve
 * any more, and CAP_SYS_ADMIN is gone for good. To be called while it still may become another
 * user. 0, or -1 with the error set.
 */
int restrict_self(struct err *e);
