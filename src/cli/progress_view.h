/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is known of a transfer of layers, and how it looks on a terminal of a given size. Nothing
 * here reads a clock or writes to a terminal: that is progress.c.
 */
#pragma once

#include "base/buf.h"

#define VIEW_LAYERS_MAX 4096
#define VIEW_NAME_LEN   12

enum view_stage { VIEW_RESOLVE, VIEW_TRANSFER, VIEW_METADATA };

enum view_state {
	VIEW_WAITING,
	VIEW_TRANSFERRING,
	VIEW_UNPACKING,
	VIEW_EXISTS,
	VIEW_DONE,
	VIEW_STATE_COUNT
};

/* What is done, with the words for it. */
struct view_words {
	const char *verb;     /* "Pulling" */
	const char *transfer; /* "downloading" */
};

struct view_rate {
	uint64_t since_ns, bytes; /* of the last sample; since_ns is 0 before the first */
	double per_second;
};

struct view_layer {
	char *digest;
	enum view_state state;
	uint64_t done, total;
	struct view_rate rate;
};

struct progress_view {
	const struct view_words *words;
	const char *subject; /* what is pulled, loaded or saved */
	enum view_stage stage;
	struct view_layer *layers; /* in order of their appearance */
	size_t n_layers;
	struct view_rate rate;
};

void view_release(struct progress_view *v);

/* Notes down the state of a layer, which may be new. Layers above VIEW_LAYERS_MAX are ignored. */
void view_set_layer(struct progress_view *v, const char *digest, enum view_state state,
		    uint64_t done, uint64_t total);
/* Brings the rates up to date. */
void view_tick(struct progress_view *v, uint64_t now_ns);
/* Whether anything is being transferred, so that rates change by themselves. */
bool view_active(const struct progress_view *v);

/* The digits by which users know a layer: those after "sha256:", VIEW_NAME_LEN of them at most. */
const char *view_short_digest(const char *digest);

/*
 * Draws at most `rows` lines of at most `cols` - 1 columns, each ended by a newline: every layer
 * if there is room, else those that something happens to, and the sum. Columns that do not fit
 * are left out. Returns the number of lines.
 */
size_t view_render(const struct progress_view *v, unsigned rows, unsigned cols, struct buf *out);
