/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shows what msb-image is doing: as bars on a terminal, as lines on standard error, as JSON events
 * on standard output, or not at all.
 *
 * The events are objects, one a line:
 *	{"event":"resolving","reference":R}
 *	{"event":"resolved","reference":R,"manifest_digest":D,"layer_count":N,"total_bytes":N}
 *	{"event":"layer_exists","digest":D,"total_bytes":N}
 *	{"event":"layer_download_progress","digest":D,"downloaded_bytes":N,"total_bytes":N}
 *	{"event":"layer_download_complete","digest":D,"total_bytes":N}
 *	{"event":"layer_materialize_complete","digest":D,"total_bytes":N}
 *	{"event":"stitch_merging_trees"}
 * and the last one is either of
 *	{"event":"complete","images":[{"reference","digest",…}]}
 *	{"event":"error","error":{"code","message","hint"}}
 */
#pragma once

#include "base/err.h"

#include <jansson.h>

enum progress_mode {
	PROGRESS_AUTO, /* bars on a terminal, else lines */
	PROGRESS_BARS,
	PROGRESS_LINES,
	PROGRESS_JSON,
	PROGRESS_NONE,
};

/*
 * Parses the value of --progress; NULL means auto, and `quiet` none unless a value is given.
 * ERR_USAGE for anything else, and for json unless it is allowed.
 */
int progress_mode_parse(const char *value, bool quiet, bool json_allowed, enum progress_mode *ret,
			struct err *e);

enum progress_task { PROGRESS_PULL, PROGRESS_LOAD, PROGRESS_SAVE };

struct progress;

/* `subject`, which must outlive the object, is the reference or file. */
struct progress *progress_new(enum progress_mode mode, enum progress_task task,
			      const char *subject);
/* Clears the bars away and gives the terminal back as it was. */
struct progress *progress_free(struct progress *p);

/* Takes a line of msb-image's report, without its newline. */
void progress_take(struct progress *p, const char *line, size_t len);
/* Draws if there is something new and it is time for it. */
void progress_draw(struct progress *p);
/* In how many milliseconds progress_draw is to be called again at the latest; -1: any time. */
int progress_wait_ms(const struct progress *p);

/* Whether bars are shown, which SIGWINCH, SIGTSTP and SIGCONT matter to. */
bool progress_has_bars(const struct progress *p);
/* The terminal has a new size. */
void progress_resized(struct progress *p);
/* Gives the terminal back before the process stops, and takes it again after it goes on. */
void progress_suspend(struct progress *p);
void progress_resume(struct progress *p);

/* The work was interrupted by a signal, which is about to end this process: the last event. */
void progress_interrupted(struct progress *p, const struct err *e);
/* The last event. `images` are summaries, which are taken over. */
void progress_print_complete(json_t *images);
void progress_print_error(const struct err *e);
