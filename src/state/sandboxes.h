/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sandboxes by name. A row holds the configuration and the last known state; whether a sandbox
 * is alive is told by the lock on run/ID/lock, which its monitor holds as long as it lives. Who
 * reads rows repairs those that say running while nobody holds the lock, from the end.json that
 * the monitor left behind, or as crashed when it could not leave one.
 */
#pragma once

#include "state/labels.h"

#include <jansson.h>

#define SANDBOX_NAME_MAX 128
#define SANDBOX_SLOT_MAX 65535

enum sandbox_status {
	SANDBOX_CREATED, /* never started */
	SANDBOX_RUNNING,
	SANDBOX_PAUSED, /* is in no row: it runs, but its machine stands still */
	SANDBOX_STOPPED,
	SANDBOX_CRASHED, /* ended without being asked to */
	SANDBOX_FAILED,  /* did not come up */
	SANDBOX_STATUS_COUNT
};

struct sandbox_row {
	int64_t id;
	char *name;
	char *image; /* as the user typed it */
	bool ephemeral;
	/*
	 * Its place in the address plan of networks, which no other sandbox has as long as it
	 * exists; 0: there was none left.
	 */
	unsigned net_slot;
	json_t *config; /* see cli/start.h; NULL when it was not asked for */
	json_t *labels; /* an object of strings, by key; NULL when it was not asked for */
	enum sandbox_status status;
	char *reason;        /* why it ended; NULL when there is nothing to say */
	uint64_t created_at; /* ns, CLOCK_REALTIME */
	uint64_t updated_at;
};

void sandbox_row_release(struct sandbox_row *r);
/* "Running" and so on. */
const char *sandbox_status_name(enum sandbox_status s);

/* Whether it has a machine, paused or not. */
bool sandbox_is_up(const struct sandbox_row *r);
/* -1 with ERR_STATE for a paused one, which can do nothing. */
int sandbox_check_not_paused(const struct sandbox_row *r, struct err *e);

/* Checks a name given by the user: 1 to 128 bytes of the allowed set. 0 or -1. */
int sandbox_name_check(const char *name, struct err *e);

/* A file in a sandbox's directory that says that the row is about to be deleted, or is. */
#define SANDBOX_REMOVED_MARK "removed"

/* Owned paths of a sandbox's directories. */
char *sandbox_dir(const struct home *h, const char *name);
char *sandbox_run_dir(const struct home *h, int64_t id);

/*
 * Adds a sandbox in state created, with its directories made and its run lock taken: `ret_lock`
 * is the locked descriptor. A NULL name gives a new unused one. `labels` are checked ones, or
 * NULL. ERR_EXISTS when the name is taken.
 */
int sandboxes_create(struct db *db, const struct home *h, const char *name, const char *image,
		     bool ephemeral, json_t *config, const struct strv *labels,
		     struct sandbox_row *ret, int *ret_lock, struct err *e);

/* How much of a configuration to read. */
enum config_part {
	CONFIG_NOTHING,
	CONFIG_SETTINGS, /* all but the record of the image, which is most of it */
	CONFIG_WHOLE,
};

/* Which sandboxes to read and what of them. A zeroed one: all, without the two JSON objects. */
struct sandbox_query {
	const char *name;          /* only this one */
	const struct strv *labels; /* only those for which all of these conditions hold */
	bool running;              /* only those that, by their rows, ran when last looked at */
	bool by_name;              /* in order of names, not of creation */
	enum config_part config;
	bool with_labels;
};

/* Reads one whole, repaired. 0, or -1 with ERR_NOT_FOUND or another error. */
int sandboxes_get(struct db *db, const struct home *h, const char *name, struct sandbox_row *ret,
		  struct err *e);
/* Reads those that the query describes, repaired, as an owned array; see sandbox_rows_free. */
int sandboxes_list(struct db *db, const struct home *h, const struct sandbox_query *q,
		   struct sandbox_row **ret, size_t *ret_n, struct err *e);
void sandbox_rows_free(struct sandbox_row *rows, size_t n);

/*
 * What the monitor wrote about the last end, an object with "status", "cause", "reason", "ended_at"
 * and, of a workload, "exit_code". Owned; NULL if it wrote nothing, also while the sandbox runs.
 */
json_t *sandbox_read_end(const struct home *h, const struct sandbox_row *row);

/*
 * Removes directories that belong to no row, given all rows as sandboxes_list found them. It
 * does so by itself; errors are left for the next time.
 */
void sandboxes_sweep(struct db *db, const struct home *h, const struct sandbox_row *rows, size_t n);

/* Removes a sandbox's directory that no row names any more; one that is missing is fine. 0 or
 * -errno. */
int sandbox_remove_dir(const char *dir);

/*
 * A sandbox that is made step by step is created as an ephemeral one, which goes when its maker
 * dies; this makes it one to be kept, in state created. The caller holds the run lock.
 */
int sandboxes_keep(struct db *db, struct sandbox_row *row, struct err *e);

/*
 * Takes the run lock of a sandbox that does not run, making its run directory anew. Returns the
 * locked descriptor, or -1 with ERR_BUSY when it runs or somebody is about to note its end.
 */
int sandboxes_lock(const struct home *h, const struct sandbox_row *row, struct err *e);

/*
 * The same for one that is about to end, or that by its row does not run while the caller has the
 * lock of its name: waits until it has ended, and everybody is done who wanted to note that.
 * -1 on an error.
 */
int sandboxes_lock_wait(const struct home *h, const struct sandbox_row *row, struct err *e);

/* Waits until nobody holds the run lock any more. 0 or -1. */
int sandboxes_wait_unlocked(const struct home *h, const struct sandbox_row *row, struct err *e);

/* Records a state; the caller holds the run lock. */
int sandboxes_set_status(struct db *db, const struct sandbox_row *row, enum sandbox_status status,
			 const char *reason, struct err *e);

/* For one that is used after all, since whoever wanted to delete it was killed. */
void sandboxes_unmark(const struct home *h, const struct sandbox_row *row);

/*
 * Deletes a sandbox that does not run, with all its files; the caller holds the run lock. One with
 * a disk is wholly there until its row is gone; whatever is left then is never seen again.
 */
int sandboxes_delete(struct db *db, const struct home *h, const struct sandbox_row *row,
		     struct err *e);
