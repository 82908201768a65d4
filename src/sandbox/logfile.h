/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Log files of a sandbox with a bound on their size. A file is moved to NAME.1 (and NAME.1 to
 * NAME.2 ...) when it is full, so that what a guest prints never fills the host's disk.
 *
 * exec.log has one JSON object a line:
 *   {"t": RFC 3339, "s": "stdout" | "stderr" | "output" | "system", "id": session, "d": text,
 *    "e": "b64" when d is base64, because the bytes are not UTF-8 or that is shorter}
 * kernel.log has the lines of the guest's console, each after the time and a space. runtime.log has
 * what msb-monitor, msb-vmm and the emulator say; lines without a time belong to the last one that
 * has one, of the launcher.
 */
#pragma once

#include "base/buf.h"

#include <sys/types.h>

#define LOGFILE_SIZE_MAX (10 * MIB)
#define LOGFILE_KEEP     3 /* full files kept besides the current one */

struct logfile {
	int dirfd; /* not owned */
	char name[32];
	int fd;
	uint64_t size;
	bool torn;    /* the last line has no end */
	bool in_line; /* for logfile_console */
};

/*
 * Opens NAME in a directory for appending. 0 or -errno. A last line that a writer before could not
 * finish is ended by the next write, so that it spoils no other.
 */
int logfile_open(struct logfile *l, int dirfd, const char *name);
void logfile_close(struct logfile *l);
/* Appends bytes as they are. Errors are not reported: a full disk must not stop a sandbox. */
void logfile_write(struct logfile *l, const void *data, size_t n);
/* Appends bytes as they come from a console, with the time before each line. */
void logfile_console(struct logfile *l, const char *data, size_t n);

enum log_stream { LOG_STDOUT, LOG_STDERR, LOG_OUTPUT, LOG_SYSTEM, LOG_STREAM_COUNT };
const char *log_stream_name(enum log_stream s);

/* What an entry holds at most, and what its line is at most: a byte can become \u00xx. */
#define LOGFILE_ENTRY_MAX   ((size_t)64 << 10)
#define LOGFILE_LINE_MAX(n) (6 * (size_t)(n) + 256)

/*
 * Writes an entry as a line with its end to `line`, which has room for LOGFILE_LINE_MAX(n) bytes,
 * and returns its length. `from`, unless it is NULL, is put in as a further member.
 */
size_t logfile_format(char *line, uint64_t real_ns, enum log_stream s, const char *from,
		      uint64_t session, const void *data, size_t n);

/* Appends an entry of exec.log; `session` 0 is left out. */
void logfile_entry(struct logfile *l, enum log_stream s, uint64_t session, const void *data,
		   size_t n);
