/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The entries of a sandbox's logs in the order of their times: exec.log, and the lines of
 * kernel.log and runtime.log. Filters apply in the order source, time, text, tail. What is no
 * entry (garbage, a line that its writer could not finish) is passed over.
 */
#pragma once

#include "sandbox/logfile.h"

#include <regex.h>

/* The four of exec.log, and the two further logs. */
enum log_source { LOG_SOURCE_KERNEL = LOG_STREAM_COUNT, LOG_SOURCE_RUNTIME, LOG_SOURCE_COUNT };

struct log_filter {
	bool sources[LOG_SOURCE_COUNT];
	uint64_t since;      /* ns, CLOCK_REALTIME; inclusive */
	uint64_t until;      /* exclusive; UINT64_MAX: none */
	const regex_t *grep; /* on the text without escape sequences; NULL: none. Not owned */
};

/* Valid until the next call of the reader. */
struct log_entry {
	uint64_t time; /* of a line without one: that of the line before, 0 when there is none */
	unsigned source;
	uint64_t session; /* 0: none */
	const uint8_t *text;
	size_t len;
	const char *line; /* as it is stored; NULL when it is not stored as an entry */
	size_t line_len;
};

struct log_reader;

/*
 * Opens the logs in a directory as they are now; `dirfd` has to stay open. Logs that are missing
 * are empty. 0 or -errno.
 */
int log_reader_open(int dirfd, const struct log_filter *filter, struct log_reader **ret);
void log_reader_free(struct log_reader *r);

/*
 * Leaves out all but the last `n` entries that pass the filter. To be called before the first
 * entry is read. It reads from the end only as far as it has to. 0 or -errno.
 */
int log_reader_tail(struct log_reader *r, uint64_t n);

/* From here on entries count that are written later. */
void log_reader_follow(struct log_reader *r);

/*
 * The next entry: 1, 0 when there is none (for now), or -errno. `last` says that nothing more
 * will be written, so that a line without an end is taken as it is.
 */
int log_reader_next(struct log_reader *r, bool last, struct log_entry *ret);

/* Whether rotation has overtaken the reader since the last call, so that entries are missing. */
bool log_reader_missed(struct log_reader *r);
