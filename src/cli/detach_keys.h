/* SPDX-License-Identifier: Apache-2.0 */
/* The keys by which the user of a terminal leaves a session that is to go on. */
#pragma once

#include "cli/opt.h"

#define DETACH_KEYS_MAX 16

struct detach_keys {
	uint8_t keys[DETACH_KEYS_MAX];
	size_t n;       /* 0: there is no way to detach */
	size_t matched; /* how many of them were typed last, held back until more is known */
	bool given;     /* by the user: otherwise the default */
};

/* Ctrl-], unless the user has chosen. */
void detach_keys_default(struct detach_keys *k);

/* struct detach_keys: keys separated by commas, each a character or ctrl-X; "" for none. */
opt_parse_fn opt_detach_keys;

/* The row of commands' option tables; `args` has a struct detach_keys detach_keys. */
#define DETACH_KEYS_OPT(args)                                                           \
	{                                                                               \
		"detach-keys", 0, "KEYS", opt_detach_keys, offsetof(args, detach_keys), \
			"Keys that leave the session running, e.g. ctrl-p,ctrl-q "      \
			"[default: ctrl-]]"                                             \
	}

/*
 * Takes `n` typed bytes and writes those that are for the program to `out`, which has room for
 * n + DETACH_KEYS_MAX. Returns their number. *ret_detach tells that all keys have come; what was
 * typed behind them is dropped.
 */
size_t detach_keys_filter(struct detach_keys *k, const uint8_t *in, size_t n, uint8_t *out,
			  bool *ret_detach);
