/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Labels of sandboxes: keys with values by which users find them again. As text they are K=V; a
 * label K alone has an empty value, a condition K alone holds for any value.
 */
#pragma once

#include "state/db.h"

#define LABEL_KEY_MAX   63  /* bytes */
#define LABEL_VALUE_MAX 255 /* bytes */
#define LABELS_MAX      64  /* of a sandbox, and in a condition */

/* Checks K or K=V: bounds, UTF-8, no control characters. 0, or -1 with ERR_INVALID. */
int label_check(const char *text, struct err *e);
/* The same for a label to be given: some keys are kept for what msb itself will say. */
int label_check_new(const char *text, struct err *e);

/*
 * Records the labels of a new sandbox; of several with one key the last one counts. The caller has
 * begun a transaction. 0 or -1.
 */
int labels_put(struct db *db, int64_t sandbox, const struct strv *labels, struct err *e);

/*
 * Conditions on sandboxes.id, as owned SQL "AND ..." for each label, and their values, of which
 * the first is parameter `first`. labels_bind returns 0 or -1.
 */
char *labels_condition(const struct strv *labels);
int labels_bind(struct db *db, sqlite3_stmt *st, int first, const struct strv *labels,
		struct err *e);
