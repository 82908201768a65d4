/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/ansi.h"

#include <stdbool.h>

#define BEL 0x07
#define CAN 0x18
#define SUB 0x1a
#define ESC 0x1b

static enum ansi_state after_escape(uint8_t c)
{
	switch (c) {
	case '[':
		return ANSI_CSI;
	case ']': /* OSC */
	case 'P': /* DCS */
	case 'X': /* SOS */
	case '^': /* PM */
	case '_': /* APC */
		return ANSI_STRING;
	default:
		return c >= 0x20 && c <= 0x2f ? ANSI_FINAL : ANSI_TEXT;
	}
}

/* The state after a byte of a sequence; *ret_text if the byte is none of it after all. */
static enum ansi_state step(enum ansi_state state, uint8_t c, bool *ret_text)
{
	if (c == ESC)
		return state == ANSI_STRING ? ANSI_STRING_ESCAPE : ANSI_ESCAPE;
	if (c == CAN || c == SUB)
		return ANSI_TEXT;
	if (state == ANSI_STRING)
		return c == BEL ? ANSI_TEXT : ANSI_STRING;
	if (state == ANSI_STRING_ESCAPE)
		return c == '\\' ? ANSI_TEXT : after_escape(c);
	/* Line ends and what is no ASCII are never part of these: the sequence was cut off. */
	if (c < 0x20 || c >= 0x7f) {
		*ret_text = true;
		return ANSI_TEXT;
	}
	if (state == ANSI_ESCAPE)
		return after_escape(c);
	if (state == ANSI_FINAL)
		return c >= 0x30 ? ANSI_TEXT : ANSI_FINAL;
	return c >= 0x40 ? ANSI_TEXT : ANSI_CSI;
}

size_t ansi_strip(enum ansi_state *state, const uint8_t *in, size_t n, uint8_t *out)
{
	size_t len = 0;

	for (size_t i = 0; i < n; i++) {
		bool text = *state == ANSI_TEXT && in[i] != ESC;

		if (!text)
			*state = step(*state, in[i], &text);
		if (text)
			out[len++] = in[i];
	}
	return len;
}
