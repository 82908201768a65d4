/* SPDX-License-Identifier: Apache-2.0 */
#include "state/labels.h"

#include "base/cleanup.h"

#include <string.h>

/* "K=V" or "K" in its parts; the value, a part of the text, is NULL if there is none. Owned key. */
static char *split(const char *text, const char **ret_value)
{
	size_t len = strcspn(text, "=");

	*ret_value = text[len] ? text + len + 1 : NULL;
	return xstrndup(text, len);
}

int label_check(const char *text, struct err *e)
{
	size_t key = strcspn(text, "="), value = text[key] ? strlen(text + key + 1) : 0;
	_cleanup_free_ char *printable = str_printable(text);

	if (key == 0)
		return err_set(e, ERR_INVALID, "the label has no key");
	if (key > LABEL_KEY_MAX)
		return err_set(e, ERR_INVALID, "the key of a label has at most %d bytes",
			       LABEL_KEY_MAX);
	if (value > LABEL_VALUE_MAX)
		return err_set(e, ERR_INVALID, "the value of a label has at most %d bytes",
			       LABEL_VALUE_MAX);
	if (!str_eq(printable, text))
		return err_set(e, ERR_INVALID, "a label is UTF-8 without control characters");
	return 0;
}

int label_check_new(const char *text, struct err *e)
{
	static const char *const reserved[] = {"sandbox.", "microsandbox.", "service."};

	for (size_t i = 0; i < ARRAY_SIZE(reserved); i++)
		if (str_starts_with(text, reserved[i]))
			return err_set(e, ERR_INVALID, "keys that start with '%s' are reserved",
				       reserved[i]);
	return label_check(text, e);
}

int labels_put(struct db *db, int64_t sandbox, const struct strv *labels, struct err *e)
{
	for (size_t i = 0; labels && i < labels->n; i++) {
		const char *value;
		_cleanup_free_ char *key = split(labels->v[i], &value);

		if (db_run(db, e,
			   "INSERT OR REPLACE INTO sandbox_labels (sandbox, key, value) "
			   "VALUES (?, ?, ?)",
			   "iss", sandbox, key, value ? value : "") < 0)
			return -1;
	}
	return 0;
}

char *labels_condition(const struct strv *labels)
{
	char *sql = xstrdup("");

	for (size_t i = 0; labels && i < labels->n; i++) {
		char *more = xasprintf("%s AND id IN (SELECT sandbox FROM sandbox_labels "
				       "WHERE key = ?%s)",
				       sql, strchr(labels->v[i], '=') ? " AND value = ?" : "");

		free(sql);
		sql = more;
	}
	return sql;
}

int labels_bind(struct db *db, sqlite3_stmt *st, int first, const struct strv *labels,
		struct err *e)
{
	for (size_t i = 0; labels && i < labels->n; i++) {
		const char *value;
		_cleanup_free_ char *key = split(labels->v[i], &value);

		if (db_bind_string(db, st, first++, key, e) < 0 ||
		    (value && db_bind_string(db, st, first++, value, e) < 0))
			return -1;
	}
	return 0;
}
