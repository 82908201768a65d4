/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Progress for the calling program: one JSON object per line on a descriptor.
 *
 *	{"event":"stage","stage":"resolve"|"download"|"metadata"}
 *	{"event":"resolved","manifest_digest":"sha256:…","layer_count":N,"total_bytes":BYTES}
 *	{"event":"layer","digest":"sha256:…","state":"waiting"|"downloading"|"unpacking"|"exists"|
 *	 "done","done":BYTES,"total":BYTES}
 *
 * Any thread may report. A reader that has gone away is no error.
 */
#pragma once

#include "image/digest.h"

#include <stddef.h>

struct progress;

enum progress_stage { PROGRESS_RESOLVE, PROGRESS_DOWNLOAD, PROGRESS_METADATA };
enum progress_state {
	PROGRESS_WAITING,
	PROGRESS_DOWNLOADING,
	PROGRESS_UNPACKING, /* all bytes are here, but not all that is made of them */
	PROGRESS_EXISTS,
	PROGRESS_DONE,
};

/* What is known of one layer; one thread at a time. */
struct progress_layer {
	struct digest digest;
	uint64_t total;
	uint64_t last_ns; /* of the last line about bytes */
};

/* `fd` is -1 for silence and stays the caller's. */
struct progress *progress_new(int fd);
struct progress *progress_free(struct progress *p);

void progress_stage(struct progress *p, enum progress_stage stage);
/* What a reference has led to. */
void progress_resolved(struct progress *p, const struct digest *manifest, size_t layers,
		       uint64_t total);
/* While downloading at most about ten lines per second and layer come out. */
void progress_layer(struct progress *p, struct progress_layer *l, enum progress_state state,
		    uint64_t done);
