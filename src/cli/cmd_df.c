/* SPDX-License-Identifier: Apache-2.0 */
/* msb df, msb prune: what occupies the disk, and what of it nobody needs. */
#include "cli/commands.h"

#include "base/cleanup.h"
#include "base/io.h"
#include "cli/image_tool.h"
#include "state/image_files.h"
#include "state/volumes.h"

#include <stdio.h>
#include <string.h>

/* --- what there is ------------------------------------------------------------------------- */

/* One kind of things, for a line of the table. */
struct kind {
	const char *key, *title;
	size_t count, active;
	uint64_t bytes, reclaimable;
	bool known; /* what could be given back */
	json_t *items;
};

static int look_at_sandboxes(struct cli *cli, struct kind *k, struct err *e)
{
	const struct sandbox_query q = {.by_name = true};
	struct sandbox_row *rows;
	size_t n;

	if (sandboxes_list(&cli->db, &cli->home, &q, &rows, &n, e) < 0)
		return -1;
	for (size_t i = 0; i < n; i++) {
		_cleanup_free_ char *dir = sandbox_dir(&cli->home, rows[i].name);
		uint64_t bytes = tree_disk_bytes(dir);

		k->count++;
		k->bytes += bytes;
		if (sandbox_is_up(&rows[i]))
			k->active++;
		else
			k->reclaimable += bytes;
		json_array_append_new(k->items,
				      json_pack("{s:s, s:s, s:I}", "name", rows[i].name, "status",
						sandbox_status_name(rows[i].status), "disk_bytes",
						(json_int_t)bytes));
	}
	sandbox_rows_free(rows, n);
	k->known = true;
	return 0;
}

/* While images are brought in or used, nobody can tell what is needed. */
static int look_at_unused_images(struct cli *cli, struct kind *k, struct err *e)
{
	_cleanup_close_ int lock = home_lock_cache(&cli->home, true, false, e);
	struct images_freed freed = {0};

	if (lock < 0)
		return e->code == ERR_BUSY ? 0 : -1;
	if (images_prune(&cli->db, &cli->home, true, &freed, e) < 0)
		return -1;
	k->active = k->count - freed.references.n;
	k->reclaimable = freed.bytes;
	k->known = true;
	images_freed_release(&freed);
	return 0;
}

static int look_at_images(struct cli *cli, struct kind *k, struct err *e)
{
	_cleanup_free_ char *cache = home_path(&cli->home, "cache");
	struct image_list l;

	if (images_list(&cli->db, &cli->home, &l, e) < 0)
		return -1;
	k->count = l.n;
	k->bytes = tree_disk_bytes(cache);
	for (size_t i = 0; i < l.n; i++)
		json_array_append_new(k->items,
				      json_pack("{s:s, s:I, s:I}", "reference", l.v[i].reference,
						"disk_bytes", (json_int_t)l.v[i].disk_bytes,
						"shared_bytes", (json_int_t)l.v[i].shared_bytes));
	image_list_release(&l);
	return look_at_unused_images(cli, k, e);
}

static int look_at_volumes(struct cli *cli, struct kind *k, struct err *e)
{
	struct volume_row *rows;
	size_t n;

	if (volumes_list(&cli->db, &cli->home, &rows, &n, e) < 0)
		return -1;
	for (size_t i = 0; i < n; i++) {
		uint64_t bytes = volume_used(&cli->home, &rows[i]);

		k->count++;
		k->bytes += bytes;
		if (rows[i].users.n)
			k->active++;
		else
			k->reclaimable += bytes;
		json_array_append_new(k->items,
				      json_pack("{s:s, s:s, s:I, s:o}", "name", rows[i].name,
						"kind", volume_kind_name(rows[i].kind),
						"disk_bytes", (json_int_t)bytes, "sandboxes",
						message_strings(&rows[i].users)));
	}
	volume_rows_free(rows, n);
	k->known = true;
	return 0;
}

/* --- df ------------------------------------------------------------------------------------ */

struct df_args {
	char *format;
};

static const struct opt df_opts[] = {
	{"format", 0, "FORMAT", opt_string, offsetof(struct df_args, format),
	 "json, with every single sandbox, image and volume", "json"},
	{0},
};

const struct opt *const df_options[] = {df_opts, NULL};
const size_t df_args_size = sizeof(struct df_args);

static json_t *kind_json(const struct kind *k)
{
	json_t *j = json_pack("{s:I, s:I, s:O}", "count", (json_int_t)k->count, "disk_bytes",
			      (json_int_t)k->bytes, "items", k->items);

	json_object_set_new(j, "active",
			    k->known ? json_integer((json_int_t)k->active) : json_null());
	json_object_set_new(j, "reclaimable_bytes",
			    k->known ? json_integer((json_int_t)k->reclaimable) : json_null());
	return j;
}

static void print_kinds_json(const struct kind *kinds, size_t n, uint64_t total)
{
	json_t *j = json_pack("{s:I}", "total_disk_bytes", (json_int_t)total);

	for (size_t i = 0; i < n; i++)
		json_object_set_new(j, kinds[i].key, kind_json(&kinds[i]));
	print_json(j);
}

static void print_kinds(const struct kind *kinds, size_t n)
{
	struct table t;

	table_init(&t, 5, "TYPE", "COUNT", "ACTIVE", "SIZE", "RECLAIMABLE");
	for (size_t i = 0; i < n; i++) {
		const struct kind *k = &kinds[i];

		table_add(&t, xstrdup(k->title));
		table_add(&t, xasprintf("%zu", k->count));
		table_add(&t, k->known ? xasprintf("%zu", k->active) : xstrdup("-"));
		table_add(&t, format_bytes(k->bytes));
		table_add(&t, k->known ? format_bytes(k->reclaimable) : xstrdup("-"));
	}
	table_print(&t);
}

int cmd_df(struct cli *cli, void *args, struct operands *ops, struct err *e)
{
	const struct df_args *a = args;
	struct kind kinds[] = {
		{.key = "sandboxes", .title = "Sandboxes", .items = json_array()},
		{.key = "images", .title = "Images", .items = json_array()},
		{.key = "volumes", .title = "Volumes", .items = json_array()},
	};
	int r = cli_open(cli, e);

	if (r == 0 &&
	    (look_at_sandboxes(cli, &kinds[0], e) < 0 || look_at_images(cli, &kinds[1], e) < 0 ||
	     look_at_volumes(cli, &kinds[2], e) < 0))
		r = -1;
	if (r == 0 && a->format)
		print_kinds_json(kinds, ARRAY_SIZE(kinds), tree_disk_bytes(cli->home.path));
	else if (r == 0)
		print_kinds(kinds, ARRAY_SIZE(kinds));
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		json_decref(kinds[i].items);
	return r;
}

/* --- prune --------------------------------------------------------------------------------- */

struct prune_args {
	bool volumes;
	bool yes;
	bool dry_run;
	char *format;
	bool quiet;
};

#define PRUNE(field) offsetof(struct prune_args, field)

static const struct opt prune_opts[] = {
	{"volumes", 0, NULL, NULL, PRUNE(volumes), "Also volumes that no sandbox has"},
	{"yes", 'y', NULL, NULL, PRUNE(yes), "Do not ask"},
	{"dry-run", 0, NULL, NULL, PRUNE(dry_run), "Only say what would be removed"},
	{"format", 0, "FORMAT", opt_string, PRUNE(format), "json", "json"},
	{"quiet", 'q', NULL, NULL, PRUNE(quiet), "Print nothing"},
	{0},
};

const struct opt *const prune_options[] = {prune_opts, NULL};
const size_t prune_args_size = sizeof(struct prune_args);

struct pruned {
	struct images_freed images;
	struct strv volumes;
	uint64_t volume_bytes;
};

static int prune(struct cli *cli, const struct prune_args *a, struct pruned *p, struct err *e)
{
	_cleanup_close_ int lock = lock_cache(cli, true, a->quiet || a->format, e);

	if (lock < 0 || images_prune(&cli->db, &cli->home, a->dry_run, &p->images, e) < 0)
		return -1;
	close_fd(&lock);
	return a->volumes ? volumes_prune(&cli->db, &cli->home, a->dry_run, &p->volumes,
					  &p->volume_bytes, e)
			  : 0;
}

static void report(const struct prune_args *a, const struct pruned *p)
{
	uint64_t bytes = p->images.bytes + p->volume_bytes;
	const char *verb = a->dry_run ? "Would remove" : "Removed";
	_cleanup_free_ char *text = format_bytes(bytes);

	if (a->format) {
		print_json(json_pack("{s:o, s:o, s:I}", "images_removed",
				     message_strings(&p->images.references), "volumes_removed",
				     message_strings(&p->volumes), "bytes_reclaimed",
				     (json_int_t)bytes));
		return;
	}
	for (size_t i = 0; i < p->images.references.n; i++)
		print_success(a->quiet, verb, p->images.references.v[i], 0);
	for (size_t i = 0; i < p->volumes.n; i++)
		print_success(a->quiet, verb, p->volumes.v[i], 0);
	if (bytes || p->images.references.n || p->volumes.n)
		print_success(a->quiet, a->dry_run ? "Would give" : "Reclaimed", text, 0);
	else if (!a->quiet)
		fputs("Nothing to prune.\n", stderr);
}

int cmd_prune(struct cli *cli, void *args, struct operands *ops, struct err *e)
{
	const struct prune_args *a = args;
	struct pruned p = {0};
	int r = 1;

	if (!a->yes && !a->dry_run)
		r = cli_confirm(a->volumes ? "images and volumes" : "images",
				a->volumes ? "Remove all images and volumes not used by sandboxes?"
					   : "Remove all cached images not used by sandboxes?",
				e);
	if (r <= 0)
		return r;
	r = cli_open_to_remove(cli, e);
	if (r == 0)
		r = prune(cli, a, &p, e);
	if (r == 0)
		report(a, &p);
	images_freed_release(&p.images);
	strv_release(&p.volumes);
	return r;
}
