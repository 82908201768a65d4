/* SPDX-License-Identifier: Apache-2.0 */
#include "state/images.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "state/image_files.h"

#include <string.h>

void image_row_release(struct image_row *r)
{
	free(r->reference);
	free(r->manifest_digest);
	json_decref(r->record);
	*r = (struct image_row){0};
}

void image_list_release(struct image_list *l)
{
	for (size_t i = 0; i < l->n; i++) {
		free(l->v[i].reference);
		free(l->v[i].manifest_digest);
		free(l->v[i].os);
		free(l->v[i].architecture);
		free(l->v[i].variant);
	}
	free(l->v);
	*l = (struct image_list){0};
}

/* --- adding -------------------------------------------------------------------------------- */

static const char *record_string(json_t *record, const char *key)
{
	const char *s = json_string_value(json_object_get(record, key));

	return s ? s : "";
}

static int64_t record_number(json_t *record, const char *key)
{
	return json_integer_value(json_object_get(record, key));
}

static int put_row(struct db *db, const char *reference, const char *canonical, json_t *record,
		   int64_t *ret_id, struct err *e)
{
	_cleanup_stmt_ sqlite3_stmt *st = db_prepare(
		db, e,
		"INSERT INTO images (reference, canonical, manifest_digest, os, architecture, "
		"variant, "
		"layer_count, size_bytes, created_at, counted) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, "
		"1) "
		"ON CONFLICT (reference) DO UPDATE SET manifest_digest = excluded.manifest_digest, "
		"os = excluded.os, architecture = excluded.architecture, variant = "
		"excluded.variant, "
		"layer_count = excluded.layer_count, size_bytes = excluded.size_bytes, "
		"created_at = excluded.created_at, counted = 1 RETURNING id",
		"ssssssiii", reference, canonical, record_string(record, "manifest_digest"),
		record_string(record, "os"), record_string(record, "architecture"),
		record_string(record, "variant"), record_number(record, "layer_count"),
		record_number(record, "size_bytes"), (int64_t)clock_real_ns());

	if (!st || db_step(db, st, e) < 0)
		return -1;
	*ret_id = sqlite3_column_int64(st, 0);
	return db_step(db, st, e);
}

int images_put(struct db *db, const struct home *h, const char *reference, const char *canonical,
	       json_t *record, struct err *e)
{
	_cleanup_free_ char *text = json_dumps(record, JSON_COMPACT);
	int64_t id;
	int r;

	if (!text || !*record_string(record, "manifest_digest"))
		return err_set(e, ERR_INTERNAL, "image record without a digest");
	if (db_begin(db, e) < 0)
		return -1;
	r = put_row(db, reference, canonical, record, &id, e);
	if (r == 0)
		r = db_run(db, e, "REPLACE INTO image_records (image, record) VALUES (?, ?)", "is",
			   id, text);
	if (r == 0)
		r = image_files_put(db, h, id, record, e);
	if (r == 0)
		r = db_commit(db, e);
	db_rollback(db);
	return r;
}

/* --- reading ------------------------------------------------------------------------------- */

static int read_row(sqlite3_stmt *st, struct image_row *ret, struct err *e)
{
	const char *text = (const char *)sqlite3_column_text(st, 2);

	*ret = (struct image_row){
		.record = text ? json_loads(text, 0, NULL) : NULL,
		.created_at = (uint64_t)sqlite3_column_int64(st, 3),
	};
	if (!ret->record)
		return err_set(e, ERR_CORRUPT, "damaged image record in the database");
	ret->reference = db_column_string(st, 0);
	ret->manifest_digest = db_column_string(st, 1);
	return 0;
}

#define IMAGE_COLUMNS                                                 \
	"SELECT reference, manifest_digest, record, created_at FROM " \
	"images JOIN image_records ON image = id "

static int get_row(struct db *db, const char *sql, const char *key, const char *reference,
		   struct image_row *ret, struct err *e)
{
	_cleanup_stmt_ sqlite3_stmt *st = db_prepare(db, e, sql, "s", key);
	int r = st ? db_step(db, st, e) : -1;

	if (r < 0)
		return -1;
	if (r == 0)
		return err_set(e, ERR_NOT_FOUND, "image not found: %s", reference);
	return read_row(st, ret, e);
}

int images_get(struct db *db, const char *reference, struct image_row *ret, struct err *e)
{
	return get_row(db, IMAGE_COLUMNS "WHERE reference = ?", reference, reference, ret, e);
}

int images_get_canonical(struct db *db, const char *reference, const char *canonical,
			 struct image_row *ret, struct err *e)
{
	return get_row(db, IMAGE_COLUMNS "WHERE canonical = ? ORDER BY created_at DESC LIMIT 1",
		       canonical, reference, ret, e);
}

/* --- lists --------------------------------------------------------------------------------- */

static void read_summary(sqlite3_stmt *st, struct image_summary *ret)
{
	*ret = (struct image_summary){
		.reference = db_column_string(st, 0),
		.manifest_digest = db_column_string(st, 1),
		.os = db_column_string(st, 2),
		.architecture = db_column_string(st, 3),
		.variant = db_column_string(st, 4),
		.layer_count = (uint64_t)sqlite3_column_int64(st, 5),
		.size_bytes = (uint64_t)sqlite3_column_int64(st, 6),
		.created_at = (uint64_t)sqlite3_column_int64(st, 7),
		.disk_bytes = (uint64_t)sqlite3_column_int64(st, 8),
		.shared_bytes = (uint64_t)sqlite3_column_int64(st, 9),
	};
}

static int read_list(struct db *db, sqlite3_stmt *st, struct image_list *ret, struct err *e)
{
	size_t room = 0;
	int r = -1;

	*ret = (struct image_list){0};
	while (st && (r = db_step(db, st, e)) > 0) {
		if (ret->n == room) {
			room = room ? room * 2 : 16;
			ret->v = xreallocarray(ret->v, room, sizeof(*ret->v));
		}
		read_summary(st, &ret->v[ret->n++]);
	}
	if (r < 0)
		image_list_release(ret);
	return r;
}

#define SUMMARY_COLUMNS                                                                           \
	"SELECT reference, manifest_digest, os, architecture, variant, layer_count, size_bytes, " \
	"created_at, disk, shared FROM images "

int images_list(struct db *db, const struct home *h, struct image_list *ret, struct err *e)
{
	_cleanup_stmt_ sqlite3_stmt *st = NULL;

	if (image_files_complete(db, h, e) < 0)
		return -1;
	st = db_prepare(db, e,
			"WITH users AS MATERIALIZED (SELECT file, count(*) AS n FROM image_files "
			"GROUP BY file), sums AS MATERIALIZED (SELECT image, sum(bytes) AS disk, "
			"sum(iif(n > 1, bytes, 0)) AS shared FROM image_files JOIN files ON "
			"files.id = file JOIN users USING (file) GROUP BY image) " SUMMARY_COLUMNS
			"LEFT JOIN sums ON image = id ORDER BY reference",
			"");
	return read_list(db, st, ret, e);
}

int images_summary(struct db *db, const struct home *h, const char *reference,
		   struct image_list *ret, struct err *e)
{
	_cleanup_stmt_ sqlite3_stmt *st = NULL;

	if (image_files_complete(db, h, e) < 0)
		return -1;
	st = db_prepare(
		db, e,
		SUMMARY_COLUMNS
		"LEFT JOIN (SELECT a.image, sum(bytes) AS disk, sum(iif((SELECT count(*) FROM "
		"image_files AS b WHERE b.file = a.file) > 1, bytes, 0)) AS shared FROM "
		"image_files AS a JOIN files ON files.id = a.file WHERE a.image = "
		"(SELECT id FROM images WHERE reference = ?1)) WHERE reference = ?1",
		"s", reference);
	if (read_list(db, st, ret, e) < 0)
		return -1;
	if (ret->n == 1)
		return 0;
	image_list_release(ret);
	return err_set(e, ERR_NOT_FOUND, "image not found: %s", reference);
}

static int read_names(struct db *db, sqlite3_stmt *st, struct strv *ret, struct err *e)
{
	int r = -1;

	while (st && (r = db_step(db, st, e)) > 0)
		strv_take(ret, db_column_string(st, 0));
	return r;
}

int images_same(struct db *db, const struct image_row *row, struct strv *ret, struct err *e)
{
	_cleanup_stmt_ sqlite3_stmt *st =
		db_prepare(db, e,
			   "SELECT reference FROM images WHERE manifest_digest = ? AND "
			   "reference != ? ORDER BY reference",
			   "ss", row->manifest_digest, row->reference);

	return read_names(db, st, ret, e);
}

int images_users(struct db *db, const struct image_row *row, struct strv *ret, struct err *e)
{
	_cleanup_stmt_ sqlite3_stmt *st =
		db_prepare(db, e,
			   "SELECT name FROM image_users WHERE kind = 'sandbox' AND "
			   "(manifest_digest = ? OR reference = ?) ORDER BY name",
			   "ss", row->manifest_digest, row->reference);

	return read_names(db, st, ret, e);
}

/* --- removing ------------------------------------------------------------------------------ */

static int check_unused(struct db *db, const char *reference, struct err *e)
{
	/* Made from this reference, or from any spelling when nothing else refers to the image. */
	_cleanup_stmt_ sqlite3_stmt *st = db_prepare(
		db, e,
		"WITH same AS (SELECT reference, manifest_digest FROM images WHERE "
		"manifest_digest = (SELECT manifest_digest FROM images WHERE reference = ?)) "
		"SELECT kind, name FROM image_users WHERE reference = ? OR "
		"(SELECT count(*) FROM same) = 1 AND manifest_digest = "
		"(SELECT manifest_digest FROM same) LIMIT 1",
		"ss", reference, reference);
	int r = st ? db_step(db, st, e) : -1;
	const char *kind;

	if (r <= 0)
		return r;
	kind = (const char *)sqlite3_column_text(st, 0);
	err_set(e, ERR_BUSY, "image '%s' is used by %s '%s'", reference, kind,
		(const char *)sqlite3_column_text(st, 1));
	return err_hint(e, "remove the %s first, or use --force to drop the reference", kind);
}

int images_remove(struct db *db, const char *reference, bool force, struct err *e)
{
	int r;

	if (db_begin(db, e) < 0)
		return -1;
	r = force ? 0 : check_unused(db, reference, e);
	if (r == 0)
		r = image_files_forget(db, reference, e);
	if (r == 0)
		r = db_commit(db, e);
	db_rollback(db);
	return r;
}
