/* SPDX-License-Identifier: Apache-2.0 */
#include "state/images.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

void image_row_release(struct image_row *r)
{
	free(r->reference);
	free(r->manifest_digest);
	json_decref(r->record);
	*r = (struct image_row){0};
}

int images_put(struct db *db, const char *reference, const char *canonical, json_t *record,
	       struct err *e)
{
	_cleanup_free_ char *text = json_dumps(record, JSON_COMPACT);
	const char *digest = json_string_value(json_object_get(record, "manifest_digest"));

	if (!text || !digest)
		return err_set(e, ERR_INTERNAL, "image record without a digest");
	return db_run(db, e,
		      "INSERT INTO images (reference, canonical, manifest_digest, record, "
		      "created_at) VALUES (?, ?, ?, ?, ?) ON CONFLICT (reference) DO UPDATE SET "
		      "manifest_digest = excluded.manifest_digest, record = excluded.record, "
		      "created_at = excluded.created_at",
		      "ssssi", reference, canonical, digest, text, (int64_t)clock_real_ns());
}

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

#define IMAGE_COLUMNS "SELECT reference, manifest_digest, record, created_at FROM images "

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

int images_list(struct db *db, struct image_row **ret, size_t *ret_n, struct err *e)
{
	_cleanup_stmt_ sqlite3_stmt *st = db_prepare(db, e, IMAGE_COLUMNS "ORDER BY reference", "");
	struct image_row *rows = NULL;
	size_t n = 0;
	int r = -1;

	while (st && (r = db_step(db, st, e)) > 0) {
		rows = xreallocarray(rows, n + 1, sizeof(*rows));
		if (read_row(st, &rows[n], e) < 0) {
			r = -1;
			break;
		}
		n++;
	}
	if (r < 0) {
		while (n)
			image_row_release(&rows[--n]);
		free(rows);
		return -1;
	}
	*ret = rows;
	*ret_n = n;
	return 0;
}

int images_remove(struct db *db, const char *reference, bool force, struct err *e)
{
	_cleanup_stmt_ sqlite3_stmt *st = NULL;
	int r;

	if (db_begin(db, e) < 0)
		return -1;
	/* Made from this reference, or from any spelling when nothing else refers to the image. */
	st = db_prepare(
		db, e,
		"WITH same AS (SELECT reference, manifest_digest FROM images WHERE "
		"manifest_digest = (SELECT manifest_digest FROM images WHERE reference = ?)) "
		"SELECT name FROM sandboxes WHERE image = ? OR (SELECT count(*) FROM same) = 1 "
		"AND json_extract(config, '$.image.manifest_digest') = "
		"(SELECT manifest_digest FROM same) LIMIT 1",
		"ss", reference, reference);
	r = st ? db_step(db, st, e) : -1;
	if (r > 0 && !force) {
		err_set(e, ERR_BUSY, "image '%s' is used by sandbox '%s'", reference,
			(const char *)sqlite3_column_text(st, 0));
		r = err_hint(e, "remove the sandbox first, or use --force to drop the reference");
	}
	if (r >= 0)
		r = db_run(db, e, "DELETE FROM images WHERE reference = ?", "s", reference);
	if (r == 0 && sqlite3_changes(db->conn) == 0)
		r = err_set(e, ERR_NOT_FOUND, "image not found: %s", reference);
	if (r == 0)
		r = db_commit(db, e);
	db_rollback(db);
	return r;
}

/* --- garbage collection -------------------------------------------------------------------- */

/* Adds the file of a digest to a set (the keys of a JSON object), unless it is not one of ours. */
static void mark(json_t *keep, const char *folder, const char *digest, const char *suffix)
{
	_cleanup_free_ char *name = NULL;

	if (!digest || !str_starts_with(digest, "sha256:"))
		return;
	name = xasprintf("%s/sha256_%s%s", folder, digest + strlen("sha256:"), suffix);
	json_object_set_new(keep, name, json_true());
}

/* Adds the files below cache/ that a record needs. */
static void mark_record(json_t *record, json_t *keep)
{
	json_t *item;
	size_t i;

	json_array_foreach (json_object_get(record, "disk"), i, item)
		if (json_is_string(item))
			json_object_set_new(keep, json_string_value(item), json_true());
	mark(keep, "blobs", json_string_value(json_object_get(record, "manifest_digest")), "");
	mark(keep, "blobs", json_string_value(json_object_get(record, "resolved_digest")), "");
	mark(keep, "blobs", json_string_value(json_object_get(record, "config_digest")), "");
	json_array_foreach (json_object_get(record, "layers"), i, item) {
		const char *digest = json_string_value(json_object_get(item, "digest"));
		const char *diff_id = json_string_value(json_object_get(item, "diff_id"));

		mark(keep, "blobs", digest, "");
		mark(keep, "blobs", digest, ".zst");
		mark(keep, "layers", diff_id, ".data");
		mark(keep, "layers", diff_id, ".index");
	}
}

static int mark_all(struct db *db, json_t *keep, struct err *e)
{
	/* A sandbox's configuration carries the record of the image it was made from. */
	_cleanup_stmt_ sqlite3_stmt *st =
		db_prepare(db, e,
			   "SELECT record FROM images UNION ALL "
			   "SELECT json_extract(config, '$.image') FROM sandboxes",
			   "");
	int r = -1;

	while (st && (r = db_step(db, st, e)) > 0) {
		const char *text = (const char *)sqlite3_column_text(st, 0);
		json_t *record = text ? json_loads(text, 0, NULL) : NULL;

		if (text && !record)
			return err_set(e, ERR_CORRUPT, "damaged image record in the database");
		mark_record(record, keep);
		json_decref(record);
	}
	return r;
}

static int sweep(const struct home *h, const char *folder, json_t *keep, uint64_t *bytes,
		 struct err *e)
{
	_cleanup_free_ char *path = home_path(h, "cache/%s", folder);
	DIR *dir = opendir(path);
	struct dirent *de;

	if (!dir)
		return errno == ENOENT ? 0 : err_sys(e, errno, "cannot read '%s'", path);
	while ((de = readdir(dir))) {
		_cleanup_free_ char *name = xasprintf("%s/%s", folder, de->d_name);
		struct stat st;

		if (de->d_name[0] == '.' || json_object_get(keep, name) ||
		    !strstr(de->d_name, "sha256_") ||
		    fstatat(dirfd(dir), de->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (unlinkat(dirfd(dir), de->d_name, 0) == 0)
			*bytes += (uint64_t)st.st_blocks * 512;
	}
	closedir(dir);
	return 0;
}

int images_collect(struct db *db, const struct home *h, uint64_t *ret, struct err *e)
{
	static const char *const folders[] = {"images", "layers", "blobs"};
	_cleanup_close_ int lock = home_lock_cache(h, true, e);
	json_t *keep = json_object();
	uint64_t bytes = 0;
	int r = -1;

	if (lock >= 0)
		r = mark_all(db, keep, e);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(folders); i++)
		r = sweep(h, folders[i], keep, &bytes, e);
	json_decref(keep);
	if (r == 0 && ret)
		*ret = bytes;
	return r;
}
