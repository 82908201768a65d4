/* SPDX-License-Identifier: Apache-2.0 */
/* One question to many running sandboxes at once, none of which can make the others wait. */
#pragma once

#include "state/sandboxes.h"

enum control_outcome {
	CONTROL_ANSWERED,
	CONTROL_GONE,   /* it does not run any more */
	CONTROL_SILENT, /* there was no answer, or none that is one */
};

struct control_answer {
	enum control_outcome outcome;
	json_t *json; /* owned; NULL unless it has answered */
};

/*
 * Sends `request` to the monitors of `n` sandboxes and waits for their answers until `timeout_ns`
 * have passed for some of them; `ret` has an entry for each row. A result that is an error counts
 * as no answer.
 */
void control_call_each(const struct home *h, const struct sandbox_row *const *rows, size_t n,
		       json_t *request, uint64_t timeout_ns, struct control_answer *ret);
