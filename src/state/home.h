/* SPDX-License-Identifier: Apache-2.0 */
/*
 * $MSB_HOME, by default ~/.microsandbox, and what lives in it:
 *
 *   db/msb.db            names, configurations and images (SQLite)
 *   db/spare             room on the disk, given up when there is no other
 *   cache/               image content; laid out by src/image
 *   cache/lock           held shared while content is added, exclusively while it is removed
 *   sandboxes/NAME/      upper.ext4 and logs/ of a sandbox; end.json says how its last run ended
 *   volumes/NAME/        a named volume: the folder itself, or disk.raw
 *   run/ID/              of a sandbox that runs: lock, sockets
 */
#pragma once

#include "base/err.h"

struct home {
	char *path; /* absolute */
};

/* Finds the directory and makes sure that it and its parts exist. 0 or -1. */
int home_init(struct home *h, struct err *e);
void home_release(struct home *h);

/* An owned path below the directory. */
char *home_path(const struct home *h, const char *fmt, ...) PRINTF_FORMAT(2, 3);

/*
 * On a full disk the database could not even be opened to remove something. So a little room is
 * kept by a file that holds nothing: _keep makes it unless it is there or there is no room for it;
 * _release gives its room away.
 */
void home_spare_keep(const struct home *h);
void home_spare_release(const struct home *h);
/* The same if less than that is free. */
void home_spare_release_if_full(const struct home *h);

/*
 * Locks cache/lock until the returned descriptor is closed: shared for adding content or putting
 * it to use, exclusive for removing any. -1 with the error set: without `wait` ERR_BUSY when
 * another process holds it.
 */
int home_lock_cache(const struct home *h, bool exclusive, bool wait, struct err *e);
