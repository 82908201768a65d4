/* SPDX-License-Identifier: Apache-2.0 */
/* msb rmi, image rm, image prune: how images go, and what that gives back. */
#include "cli/commands.h"

#include "base/cleanup.h"
#include "cli/image_tool.h"
#include "state/image_files.h"

#include <stdio.h>
#include <string.h>

/* --- what was given back ------------------------------------------------------------------- */

static json_t *freed_json(const struct images_freed *f)
{
	json_t *names = json_array();

	for (size_t i = 0; i < f->references.n; i++)
		json_array_append_new(names, json_string(f->references.v[i]));
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:o}", "image_refs_removed",
			 (json_int_t)f->references.n, "manifests_removed", (json_int_t)f->manifests,
			 "layers_removed", (json_int_t)f->layers, "blobs_removed",
			 (json_int_t)f->blobs, "bytes_reclaimed", (json_int_t)f->bytes,
			 "references", names);
}

static void print_reclaimed(bool quiet, const char *verb, const struct images_freed *f)
{
	_cleanup_free_ char *bytes = format_bytes(f->bytes);

	print_success(quiet, verb, bytes, 0);
}

/* --- rm ------------------------------------------------------------------------------------ */

struct image_rm_args {
	bool force;
	bool quiet;
	char *format;
};

static const struct opt image_rm_opts[] = {
	{"force", 'f', NULL, NULL, offsetof(struct image_rm_args, force),
	 "Also when a sandbox was made from it (which keeps working)"},
	{"format", 0, "FORMAT", opt_string, offsetof(struct image_rm_args, format), "json", "json"},
	{"quiet", 'q', NULL, NULL, offsetof(struct image_rm_args, quiet), "Print nothing"},
	{0},
};

const struct opt *const image_rm_options[] = {image_rm_opts, NULL};
const size_t image_rm_args_size = sizeof(struct image_rm_args);

static int remove_reference(struct cli *cli, const char *reference, bool force,
			    struct images_freed *freed, struct err *e)
{
	struct image_row row;
	int r;

	if (image_find(cli, reference, &row, e) < 0)
		return -1;
	r = images_remove(&cli->db, row.reference, force, e);
	if (r == 0)
		strv_add(&freed->references, row.reference);
	image_row_release(&row);
	return r;
}

static int collect(struct cli *cli, bool quiet, struct images_freed *freed, struct err *e)
{
	_cleanup_close_ int lock = lock_cache(cli, true, quiet, e);

	return lock < 0 ? -1 : images_collect(&cli->db, &cli->home, freed, e);
}

int cmd_image_rm(struct cli *cli, void *args, struct operands *ops, struct err *e)
{
	const struct image_rm_args *a = args;
	struct images_freed freed = {0};
	bool quiet = a->quiet || a->format;
	json_t *failed;
	int r = 0;

	for (size_t i = 0; i < ops->args.n; i++)
		if (check_reference(ops->args.v[i], e) < 0)
			return -1;
	if (cli_open_to_remove(cli, e) < 0)
		return -1;
	failed = json_array();
	for (size_t i = 0; i < ops->args.n; i++) {
		const char *reference = ops->args.v[i];
		struct err one = {0};

		if (remove_reference(cli, reference, a->force, &freed, &one) == 0) {
			print_success(quiet, "Removed", reference, 0);
			continue;
		}
		err_print(&one);
		json_array_append_new(failed,
				      json_pack("{s:s, s:s, s:s}", "reference", reference, "code",
						err_code_name(one.code), "message", one.msg));
	}
	if (freed.references.n)
		r = collect(cli, a->quiet, &freed, e);
	if (r == 0 && a->format) {
		json_t *j = freed_json(&freed);

		json_object_set(j, "failed", failed);
		print_json(j);
	} else if (r == 0 && freed.references.n) {
		print_reclaimed(quiet, "Reclaimed", &freed);
	}
	if (r == 0)
		r = json_array_size(failed) ? 1 : 0;
	json_decref(failed);
	images_freed_release(&freed);
	return r;
}

/* --- prune --------------------------------------------------------------------------------- */

struct image_prune_args {
	bool yes;
	bool dry_run;
	bool quiet;
	char *format;
};

static const struct opt image_prune_opts[] = {
	{"yes", 'y', NULL, NULL, offsetof(struct image_prune_args, yes), "Do not ask"},
	{"dry-run", 0, NULL, NULL, offsetof(struct image_prune_args, dry_run),
	 "Only say what would be removed"},
	{"format", 0, "FORMAT", opt_string, offsetof(struct image_prune_args, format), "json",
	 "json"},
	{"quiet", 'q', NULL, NULL, offsetof(struct image_prune_args, quiet), "Print nothing"},
	{0},
};

const struct opt *const image_prune_options[] = {image_prune_opts, NULL};
const size_t image_prune_args_size = sizeof(struct image_prune_args);

static void report(const struct image_prune_args *a, const struct images_freed *f)
{
	if (a->format) {
		print_json(freed_json(f));
		return;
	}
	if (f->references.n == 0 && f->bytes == 0) {
		if (!a->quiet)
			fputs("Nothing to prune.\n", stderr);
		return;
	}
	for (size_t i = 0; i < f->references.n; i++)
		print_success(a->quiet, a->dry_run ? "Would remove" : "Removed", f->references.v[i],
			      0);
	print_reclaimed(a->quiet, a->dry_run ? "Would give" : "Reclaimed", f);
}

int cmd_image_prune(struct cli *cli, void *args, struct operands *ops, struct err *e)
{
	const struct image_prune_args *a = args;
	struct images_freed freed = {0};
	_cleanup_close_ int lock = -1;
	int r = 1;

	if (!a->yes && !a->dry_run)
		r = cli_confirm("images", "Remove all cached images not used by sandboxes?", e);
	if (r <= 0)
		return r;
	if (cli_open_to_remove(cli, e) < 0)
		return -1;
	lock = lock_cache(cli, true, a->quiet, e);
	if (lock < 0)
		return -1;
	r = images_prune(&cli->db, &cli->home, a->dry_run, &freed, e);
	if (r == 0)
		report(a, &freed);
	images_freed_release(&freed);
	return r;
}
