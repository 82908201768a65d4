/* SPDX-License-Identifier: Apache-2.0 */
/* How msb logs prints entries on standard output. */
#pragma once

#include "sandbox/ansi.h"
#include "sandbox/logread.h"

struct log_view {
	/* Set by the user. */
	bool json; /* an object a line; the others have no effect */
	bool timestamps;
	bool show_id;
	bool color_sessions; /* each session's lines in a colour of its own */
	bool strip;          /* escape sequences are taken out */

	/* The state of printing; starts as zeros. */
	bool in_line; /* what was printed last has no line end */
	unsigned source;
	uint64_t session;
	enum ansi_state ansi;
	uint8_t *scratch;
	size_t scratch_size;
};

/* Prints an entry. 0, or -errno when standard output takes no more. */
int log_view_print(struct log_view *v, const struct log_entry *entry);
void log_view_release(struct log_view *v);
