/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Takes the escape sequences of terminals (ECMA-48: colours, cursor movements, titles) out of
 * text. Everything else stays as it is, other control characters too.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum ansi_state {
	ANSI_TEXT,   /* the state to start with */
	ANSI_ESCAPE, /* after ESC */
	ANSI_FINAL,  /* of an escape sequence with intermediate bytes */
	ANSI_CSI,
	ANSI_STRING, /* up to BEL or ESC \: titles and such */
	ANSI_STRING_ESCAPE
};

/*
 * Copies `n` bytes without the sequences to `out`, which has room for as many and may be `in`.
 * Returns how many are left. A sequence that is not over at the end goes on with the next call.
 */
size_t ansi_strip(enum ansi_state *state, const uint8_t *in, size_t n, uint8_t *out);
