/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Named volumes: folders, or disk images, that outlive the sandboxes which mount them. A volume is
 * a row and a directory volumes/NAME: the folder itself, or what holds the image.
 *
 * Neither is ever there without the other for long. A directory is made, and is removed, under the
 * name volumes/.ID: the row decides what it is. Whoever reads a row whose directory is missing
 * moves it into place; whoever lists volumes removes what has no row. A directory volumes/NAME
 * without a row is of a database that was lost, and is not touched.
 */
#pragma once

#include "state/db.h"

#include <jansson.h>

#define VOLUME_NAME_MAX 128

/* What an ext4 with a journal needs to be of use. */
#define VOLUME_DISK_MIN     (128 * MIB)
#define VOLUME_DISK_DEFAULT (4 * GIB)
#define VOLUME_DISK_MAX     (1024 * GIB) /* what the guest still makes in good time */
#define VOLUME_SIZE_MAX     (16384 * GIB)

enum volume_kind { VOLUME_DIR, VOLUME_DISK, VOLUME_KIND_COUNT };

struct volume_row {
	int64_t id;
	char *name;
	enum volume_kind kind;
	uint64_t size;       /* bytes: what may be in a folder (0: no bound), or of the disk */
	json_t *labels;      /* an object of strings */
	struct strv users;   /* names of sandboxes that it is attached to */
	uint64_t created_at; /* ns, CLOCK_REALTIME */
};

void volume_row_release(struct volume_row *r);
void volume_rows_free(struct volume_row *rows, size_t n);

/* "dir", "disk". */
const char *volume_kind_name(enum volume_kind k);
/* 0, or -EINVAL for an unknown word. */
int volume_kind_parse(const char *s, enum volume_kind *ret);

/* Checks a name given by the user, as those of sandboxes. 0 or -1. */
int volume_name_check(const char *name, struct err *e);
/* Checks a size for a volume of the kind; 0 is none given. 0 or -1. */
int volume_size_check(enum volume_kind kind, uint64_t size, struct err *e);

/* Owned path of what is mounted: the folder or the image. */
char *volume_path(const struct home *h, const char *name, enum volume_kind kind);
/* What it occupies on the host's disk, in bytes. */
uint64_t volume_used(const struct home *h, const struct volume_row *row);

/* What a volume is made of. */
struct volume_new {
	const char *name;
	enum volume_kind kind;
	uint64_t size;             /* 0: no bound, or the default size of a disk */
	const struct strv *labels; /* checked ones; NULL: none */
	const char *template;      /* of a disk: the path of an empty ext4 */
};

/* Makes one. ERR_EXISTS when the name is taken. `ret` may be NULL. 0 or -1. */
int volumes_create(struct db *db, const struct home *h, const struct volume_new *v,
		   struct volume_row *ret, struct err *e);
/* Reads one. 0, or -1 with ERR_NOT_FOUND or another error. */
int volumes_get(struct db *db, const struct home *h, const char *name, struct volume_row *ret,
		struct err *e);
/* Reads all in the order of their names, as an owned array; see volume_rows_free. */
int volumes_list(struct db *db, const struct home *h, struct volume_row **ret, size_t *ret_n,
		 struct err *e);
/* Removes one with all that is in it. ERR_BUSY while it is attached to a sandbox. 0 or -1. */
int volumes_remove(struct db *db, const struct home *h, const char *name, struct err *e);

/*
 * Removes all that no sandbox has, or with `dry_run` only says which: adds their names and what
 * they occupied to `ret_names` and `ret_bytes`. 0 or -1.
 */
int volumes_prune(struct db *db, const struct home *h, bool dry_run, struct strv *ret_names,
		  uint64_t *ret_bytes, struct err *e);

/*
 * Records which volumes a new sandbox has, by the mounts of its configuration. The caller has begun
 * a transaction. 0, or -1 with ERR_NOT_FOUND if one of them is gone.
 */
int volumes_attach(struct db *db, int64_t sandbox, json_t *config, struct err *e);
