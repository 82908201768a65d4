/* SPDX-License-Identifier: Apache-2.0 */
/* msb volume: folders and disks that outlive the sandboxes which mount them. */
#include "cli/commands.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "cli/mounts.h"

#include <stdio.h>
#include <string.h>

/* --- what there is to say about one -------------------------------------------------------- */

static json_t *volume_json(const struct cli *cli, const struct volume_row *row)
{
	_cleanup_free_ char *path = volume_path(&cli->home, row->name, row->kind);
	bool disk = row->kind == VOLUME_DISK;
	char created[RFC3339_LEN];
	json_t *j;

	rfc3339_format(row->created_at, created);
	j = json_pack("{s:s, s:s, s:I, s:s, s:o, s:O, s:o}", "name", row->name, "kind",
		      volume_kind_name(row->kind), "used_bytes",
		      (json_int_t)volume_used(&cli->home, row), "created_at", created, "path",
		      json_text(path), "labels", row->labels, "sandboxes",
		      message_strings(&row->users));
	json_object_set_new(j, "quota_mib",
			    !disk && row->size ? json_integer((json_int_t)(row->size / MIB))
					       : json_null());
	json_object_set_new(j, "capacity_bytes",
			    row->size ? json_integer((json_int_t)row->size) : json_null());
	json_object_set_new(j, "disk_format", disk ? json_string("raw") : json_null());
	json_object_set_new(j, "disk_fstype", disk ? json_string("ext4") : json_null());
	return j;
}

/* "5 GiB", "512 MiB", or what stands for no bound; owned. */
static char *size_text(uint64_t size, const char *none)
{
	if (!size)
		return xstrdup(none);
	if (size % GIB == 0)
		return xasprintf("%llu GiB", (unsigned long long)(size / GIB));
	return xasprintf("%llu MiB", (unsigned long long)(size / MIB));
}

/* --- create -------------------------------------------------------------------------------- */

struct volume_create_args {
	char *name;
	uint64_t size;
	char *kind;
	struct strv labels;
	char *format;
	bool quiet;
};

#define CREATE(field) offsetof(struct volume_create_args, field)

static const struct opt volume_create_opts[] = {
	{"name", 'n', "NAME", opt_string, CREATE(name), "Name it so, instead of the argument"},
	{"size", 0, "SIZE", opt_memory, CREATE(size),
	 "No more than that can be in it, e.g. 5G [default: none; a disk has 4G]"},
	{"kind", 0, "KIND", opt_string, CREATE(kind),
	 "A folder (dir), or a disk with a file system of its own [default: dir]", "dir disk"},
	{"label", 0, "KEY=VALUE", opt_label, CREATE(labels), "Label it"},
	{"format", 0, "FORMAT", opt_string, CREATE(format), "json", "json"},
	{"quiet", 'q', NULL, NULL, CREATE(quiet), "Print only the name"},
	{0},
};

const struct opt *const volume_create_options[] = {volume_create_opts, NULL};
const size_t volume_create_args_size = sizeof(struct volume_create_args);

int cmd_volume_create(struct cli *cli, void *args, struct operands *ops, struct err *e)
{
	const struct volume_create_args *a = args;
	_cleanup_free_ char *template = volume_template();
	uint64_t started = clock_mono_ns();
	struct volume_new v = {
		.name = a->name, .size = a->size, .labels = &a->labels, .template = template};
	struct volume_row row;

	if (ops->args.n && a->name)
		return err_set(e, ERR_USAGE, "the volume is named twice: '%s' and '%s'",
			       ops->args.v[0], a->name);
	if (ops->args.n)
		v.name = ops->args.v[0];
	if (!v.name)
		return err_set(e, ERR_USAGE,
			       "the following required arguments were not provided: <NAME>");
	if (a->kind)
		volume_kind_parse(a->kind, &v.kind);
	if (volume_name_check(v.name, e) < 0 || volume_size_check(v.kind, v.size, e) < 0 ||
	    cli_open(cli, e) < 0 || volumes_create(&cli->db, &cli->home, &v, &row, e) < 0)
		return -1;
	print_success(a->quiet, "Created", row.name, clock_mono_ns() - started);
	if (a->format)
		print_json(volume_json(cli, &row));
	else
		puts(row.name);
	volume_row_release(&row);
	return 0;
}

/* --- ls ------------------------------------------------------------------------------------ */

struct volume_ls_args {
	char *format;
	bool quiet;
};

static const struct opt volume_ls_opts[] = {
	{"format", 0, "FORMAT", opt_string, offsetof(struct volume_ls_args, format), "json",
	 "json"},
	{"quiet", 'q', NULL, NULL, offsetof(struct volume_ls_args, quiet), "Print only names"},
	{0},
};

const struct opt *const volume_ls_options[] = {volume_ls_opts, NULL};
const size_t volume_ls_args_size = sizeof(struct volume_ls_args);

static void print_table(const struct cli *cli, const struct volume_row *rows, size_t n)
{
	struct table t;

	table_init(&t, 5, "NAME", "KIND", "SIZE", "CREATED", "USED");
	for (size_t i = 0; i < n; i++) {
		char when[RFC3339_LEN];

		local_time_format(rows[i].created_at, when);
		table_add(&t, xstrdup(rows[i].name));
		table_add(&t, xstrdup(volume_kind_name(rows[i].kind)));
		table_add(&t, size_text(rows[i].size, "-"));
		table_add(&t, xstrdup(when));
		table_add(&t, format_bytes(volume_used(&cli->home, &rows[i])));
	}
	table_print(&t);
}

int cmd_volume_ls(struct cli *cli, void *args, struct operands *ops, struct err *e)
{
	const struct volume_ls_args *a = args;
	struct volume_row *rows;
	size_t n;

	if (cli_open(cli, e) < 0 || volumes_list(&cli->db, &cli->home, &rows, &n, e) < 0)
		return -1;
	if (a->quiet) {
		for (size_t i = 0; i < n; i++)
			puts(rows[i].name);
	} else if (a->format) {
		json_t *j = json_array();

		for (size_t i = 0; i < n; i++)
			json_array_append_new(j, volume_json(cli, &rows[i]));
		print_json(j);
	} else if (n == 0) {
		fputs("No volumes found.\n", stderr);
	} else {
		print_table(cli, rows, n);
	}
	volume_rows_free(rows, n);
	return 0;
}

/* --- inspect ------------------------------------------------------------------------------- */

struct volume_inspect_args {
	char *format;
};

static const struct opt volume_inspect_opts[] = {
	{"format", 0, "FORMAT", opt_string, offsetof(struct volume_inspect_args, format), "json",
	 "json"},
	{0},
};

const struct opt *const volume_inspect_options[] = {volume_inspect_opts, NULL};
const size_t volume_inspect_args_size = sizeof(struct volume_inspect_args);

static char *labels_text(json_t *labels)
{
	char *text = xstrdup("");
	const char *key;
	json_t *value;

	json_object_foreach (labels, key, value) {
		char *longer = xasprintf("%s%s%s=%s", text, *text ? ", " : "", key,
					 json_string_value(value));

		free(text);
		text = longer;
	}
	if (*text)
		return text;
	free(text);
	return xstrdup("-");
}

static void print_volume(const struct cli *cli, const struct volume_row *row)
{
	_cleanup_free_ char *path = volume_path(&cli->home, row->name, row->kind);
	_cleanup_free_ char *used = format_bytes(volume_used(&cli->home, row));
	_cleanup_free_ char *size = size_text(row->size, "unlimited");
	_cleanup_free_ char *labels = labels_text(row->labels);
	char created[RFC3339_LEN];

	local_time_format(row->created_at, created);
	print_field("Name:", row->name);
	print_field("Kind:", volume_kind_name(row->kind));
	if (row->kind == VOLUME_DISK) {
		print_field("Format:", "raw");
		print_field("Filesystem:", "ext4");
	}
	print_field(row->kind == VOLUME_DISK ? "Capacity:" : "Quota:", size);
	print_field("Used:", used);
	print_field("Created:", created);
	print_field("Path:", path);
	print_field("Labels:", labels);
	for (size_t i = 0; i < row->users.n; i++)
		print_field(i ? "" : "Sandboxes:", row->users.v[i]);
}

int cmd_volume_inspect(struct cli *cli, void *args, struct operands *ops, struct err *e)
{
	const struct volume_inspect_args *a = args;
	struct volume_row row;

	if (cli_open(cli, e) < 0 || volumes_get(&cli->db, &cli->home, ops->args.v[0], &row, e) < 0)
		return -1;
	if (a->format)
		print_json(volume_json(cli, &row));
	else
		print_volume(cli, &row);
	volume_row_release(&row);
	return 0;
}

/* --- rm ------------------------------------------------------------------------------------ */

struct volume_rm_args {
	char *format;
	bool quiet;
};

static const struct opt volume_rm_opts[] = {
	{"format", 0, "FORMAT", opt_string, offsetof(struct volume_rm_args, format), "json",
	 "json"},
	{"quiet", 'q', NULL, NULL, offsetof(struct volume_rm_args, quiet), "Print nothing"},
	{0},
};

const struct opt *const volume_rm_options[] = {volume_rm_opts, NULL};
const size_t volume_rm_args_size = sizeof(struct volume_rm_args);

int cmd_volume_rm(struct cli *cli, void *args, struct operands *ops, struct err *e)
{
	const struct volume_rm_args *a = args;
	json_t *removed = json_array(), *failed = json_array();
	int status;

	if (cli_open_to_remove(cli, e) < 0)
		return -1;
	for (size_t i = 0; i < ops->args.n; i++) {
		const char *name = ops->args.v[i];
		struct err one = {0};

		if (volumes_remove(&cli->db, &cli->home, name, &one) == 0) {
			print_success(a->quiet || a->format, "Removed", name, 0);
			json_array_append_new(removed, json_text(name));
			continue;
		}
		err_print(&one);
		json_array_append_new(failed, json_pack("{s:o, s:s, s:o}", "name", json_text(name),
							"code", err_code_name(one.code), "message",
							json_text(one.msg)));
	}
	status = json_array_size(failed) ? 1 : 0;
	if (a->format)
		print_json(json_pack("{s:O, s:O}", "removed", removed, "failed", failed));
	json_decref(removed);
	json_decref(failed);
	return status;
}

/* --- prune --------------------------------------------------------------------------------- */

struct volume_prune_args {
	bool yes;
	bool dry_run;
	char *format;
	bool quiet;
};

#define PRUNE(field) offsetof(struct volume_prune_args, field)

static const struct opt volume_prune_opts[] = {
	{"yes", 'y', NULL, NULL, PRUNE(yes), "Do not ask"},
	{"dry-run", 0, NULL, NULL, PRUNE(dry_run), "Only say what would be removed"},
	{"format", 0, "FORMAT", opt_string, PRUNE(format), "json", "json"},
	{"quiet", 'q', NULL, NULL, PRUNE(quiet), "Print nothing"},
	{0},
};

const struct opt *const volume_prune_options[] = {volume_prune_opts, NULL};
const size_t volume_prune_args_size = sizeof(struct volume_prune_args);

int cmd_volume_prune(struct cli *cli, void *args, struct operands *ops, struct err *e)
{
	const struct volume_prune_args *a = args;
	struct strv names = {0};
	uint64_t bytes = 0;
	int r = 1;

	if (!a->yes && !a->dry_run)
		r = cli_confirm("volumes", "Remove all volumes not attached to sandboxes?", e);
	if (r <= 0)
		return r;
	r = cli_open_to_remove(cli, e);
	if (r == 0)
		r = volumes_prune(&cli->db, &cli->home, a->dry_run, &names, &bytes, e);
	if (r == 0 && a->format)
		print_json(json_pack("{s:o, s:I}", "volumes_removed", message_strings(&names),
				     "bytes_reclaimed", (json_int_t)bytes));
	else if (r == 0 && !a->quiet && names.n == 0)
		fputs("Nothing to prune.\n", stderr);
	for (size_t i = 0; r == 0 && !a->format && i < names.n; i++)
		print_success(a->quiet, a->dry_run ? "Would remove" : "Removed", names.v[i], 0);
	strv_release(&names);
	return r;
}
