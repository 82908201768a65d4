/* SPDX-License-Identifier: Apache-2.0 */
/* msb pull, load, images, image ls|inspect|rm. */
#include "cli/commands.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "cli/image_tool.h"
#include "cli/password.h"
#include "image/reference.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* --- pull ---------------------------------------------------------------------------------- */

struct pull_args {
	bool force;
	bool insecure;
	char *ca_certs;
	char *username;
	bool password_stdin;
	bool quiet;
};

static const struct opt pull_opts[] = {
	{"force", 'f', NULL, NULL, offsetof(struct pull_args, force),
	 "Fetch layers again that are there already"},
	{"insecure", 0, NULL, NULL, offsetof(struct pull_args, insecure),
	 "Allow plain HTTP (always allowed for registries on this host)"},
	{"ca-certs", 0, "FILE", opt_string, offsetof(struct pull_args, ca_certs),
	 "Trust the authorities in this PEM file, too"},
	{"username", 'u', "USER", opt_string, offsetof(struct pull_args, username),
	 "Log in to the registry as this user, just for now"},
	{"password-stdin", 0, NULL, NULL, offsetof(struct pull_args, password_stdin),
	 "Read that user's password or token from standard input"},
	{"quiet", 'q', NULL, NULL, offsetof(struct pull_args, quiet), "Print no progress"},
	{0},
};

const struct opt *const pull_options[] = {pull_opts, NULL};
const size_t pull_args_size = sizeof(struct pull_args);

static int check_reference(const char *reference, struct err *e)
{
	struct reference ref;

	if (reference_parse(reference, &ref, e) < 0)
		return -1;
	reference_release(&ref);
	return 0;
}

int cmd_pull(struct cli *cli, void *args, struct operands *ops, struct err *e)
{
	const struct pull_args *a = args;
	_cleanup_secret_ char *password = NULL;
	struct registry_overrides o = {
		.insecure = a->insecure, .ca_certs = a->ca_certs, .username = a->username};
	json_t *record;

	if (check_reference(ops->args.v[0], e) < 0 || registry_ca_certs_check(a->ca_certs, e) < 0 ||
	    registry_username_check(a->username, a->password_stdin, e) < 0)
		return -1;
	if (a->username) {
		password = password_read(a->password_stdin, e);
		if (!password)
			return -1;
		o.password = password;
	}
	if (cli_open(cli, e) < 0 ||
	    image_pull(cli, ops->args.v[0], &o, a->force, a->quiet, &record, e) < 0)
		return -1;
	json_decref(record);
	return 0;
}

/* --- load ---------------------------------------------------------------------------------- */

struct load_args {
	char *input;
	struct strv tags;
	bool quiet;
};

static const struct opt load_opts[] = {
	{"input", 'i', "FILE", opt_string, offsetof(struct load_args, input),
	 "Archive to read; - is standard input [default: -]"},
	{"tag", 't', "REFERENCE", opt_strings, offsetof(struct load_args, tags),
	 "Name for the first image of the archive"},
	{"quiet", 'q', NULL, NULL, offsetof(struct load_args, quiet), "Print no progress"},
	{0},
};

const struct opt *const load_options[] = {load_opts, NULL};
const size_t load_args_size = sizeof(struct load_args);

int cmd_load(struct cli *cli, void *args, struct operands *ops, struct err *e)
{
	const struct load_args *a = args;
	const char *file = a->input ? a->input : "-";
	uint64_t started = clock_mono_ns();
	json_t *records, *record;
	size_t i;

	for (i = 0; i < a->tags.n; i++)
		if (check_reference(a->tags.v[i], e) < 0)
			return -1;
	if (strcmp(file, "-") != 0 && access(file, R_OK) < 0)
		return err_sys(e, errno, "cannot read '%s'", file);
	if (strcmp(file, "-") == 0 && isatty(STDIN_FILENO)) {
		err_set(e, ERR_USAGE, "standard input is a terminal, not an archive");
		return err_hint(e, "name the archive with -i FILE");
	}
	if (cli_open(cli, e) < 0 || image_load(cli, file, &a->tags, a->quiet, &records, e) < 0)
		return -1;
	json_array_foreach (records, i, record) {
		const char *reference = json_string_value(json_object_get(record, "reference"));
		const char *digest = json_string_value(json_object_get(record, "manifest_digest"));

		print_success(a->quiet, "Loaded", reference ? reference : digest,
			      i == 0 ? clock_mono_ns() - started : 0);
		if (!reference)
			print_warning("the archive gives the image no name: load it with --tag");
	}
	json_decref(records);
	return 0;
}

/* --- ls ------------------------------------------------------------------------------------ */

struct image_ls_args {
	bool quiet;
	char *format;
};

static const struct opt image_ls_opts[] = {
	{"format", 0, "FORMAT", opt_string, offsetof(struct image_ls_args, format), "json"},
	{"quiet", 'q', NULL, NULL, offsetof(struct image_ls_args, quiet), "Print only references"},
	{0},
};

const struct opt *const image_ls_options[] = {image_ls_opts, NULL};
const size_t image_ls_args_size = sizeof(struct image_ls_args);

static json_t *summary(const struct image_row *row)
{
	char when[RFC3339_LEN];

	rfc3339_format(row->created_at, when);
	return json_pack("{s:s, s:s, s:O?, s:O?, s:O?, s:O?, s:s}", "reference", row->reference,
			 "digest", row->manifest_digest, "size_bytes",
			 json_object_get(row->record, "size_bytes"), "architecture",
			 json_object_get(row->record, "architecture"), "os",
			 json_object_get(row->record, "os"), "layer_count",
			 json_object_get(row->record, "layer_count"), "created_at", when);
}

static uint64_t image_size(const struct image_row *row)
{
	return (uint64_t)json_integer_value(json_object_get(row->record, "size_bytes"));
}

/* "sha256:" and twelve digits; owned. */
static char *short_digest(const char *digest)
{
	return xstrndup(digest, strlen("sha256:") + 12);
}

static void list_images(const struct image_ls_args *a, const struct image_row *rows, size_t n)
{
	json_t *json = a->format ? json_array() : NULL;
	struct table t;

	table_init(&t, 4, "REFERENCE", "DIGEST", "SIZE", "CREATED");
	for (size_t i = 0; i < n; i++) {
		char when[RFC3339_LEN];

		if (a->quiet) {
			puts(rows[i].reference);
		} else if (json) {
			json_array_append_new(json, summary(&rows[i]));
		} else {
			local_time_format(rows[i].created_at, when);
			table_add(&t, xstrdup(rows[i].reference));
			table_add(&t, short_digest(rows[i].manifest_digest));
			table_add(&t, format_bytes(image_size(&rows[i])));
			table_add(&t, xstrdup(when));
		}
	}
	if (!a->quiet && !json && n == 0)
		fputs("No images found.\n", stderr);
	table_print(&t);
	if (json)
		print_json(json);
}

int cmd_image_ls(struct cli *cli, void *args, struct operands *ops, struct err *e)
{
	const struct image_ls_args *a = args;
	struct image_row *rows;
	size_t n;

	if (check_format(a->format, e) < 0 || cli_open(cli, e) < 0 ||
	    images_list(&cli->db, &rows, &n, e) < 0)
		return -1;
	list_images(a, rows, n);
	for (size_t i = 0; i < n; i++)
		image_row_release(&rows[i]);
	free(rows);
	return 0;
}

/* --- inspect ------------------------------------------------------------------------------- */

struct image_inspect_args {
	char *format;
};

static const struct opt image_inspect_opts[] = {
	{"format", 0, "FORMAT", opt_string, offsetof(struct image_inspect_args, format), "json"},
	{0},
};

const struct opt *const image_inspect_options[] = {image_inspect_opts, NULL};
const size_t image_inspect_args_size = sizeof(struct image_inspect_args);

static void print_words(const char *key, json_t *array)
{
	json_t *item;
	size_t i;

	if (!json_array_size(array))
		return;
	printf("  %-14s", key);
	json_array_foreach (array, i, item)
		printf("%s%s", i ? " " : "", json_string_value(item));
	putchar('\n');
}

static void print_text(const char *key, json_t *value)
{
	if (json_string_length(value))
		printf("  %-14s%s\n", key, json_string_value(value));
}

static void print_config(json_t *config)
{
	json_t *item;
	size_t i;

	puts("\nConfig");
	print_words("Entrypoint:", json_object_get(config, "Entrypoint"));
	print_words("Cmd:", json_object_get(config, "Cmd"));
	print_text("WorkingDir:", json_object_get(config, "WorkingDir"));
	print_text("User:", json_object_get(config, "User"));
	json_array_foreach (json_object_get(config, "Env"), i, item)
		printf("  %-14s%s\n", i ? "" : "Env:", json_string_value(item));
}

static void print_image(const struct image_row *row)
{
	json_t *layers = json_object_get(row->record, "layers"), *layer;
	_cleanup_free_ char *size = format_bytes(image_size(row));
	char when[RFC3339_LEN];
	size_t i;

	local_time_format(row->created_at, when);
	printf("%-16s%s\n", "Reference:", row->reference);
	printf("%-16s%s\n", "Digest:", row->manifest_digest);
	printf("%-16s%s\n",
	       "Architecture:", json_string_value(json_object_get(row->record, "architecture")));
	printf("%-16s%s\n", "OS:", json_string_value(json_object_get(row->record, "os")));
	printf("%-16s%s\n", "Size:", size);
	printf("%-16s%s\n", "Created:", when);
	print_config(json_object_get(row->record, "config"));
	printf("\nLayers (%zu)\n", json_array_size(layers));
	json_array_foreach (layers, i, layer) {
		_cleanup_free_ char *bytes =
			format_bytes((uint64_t)json_integer_value(json_object_get(layer, "size")));

		printf("  %-4zu%s    %-12s%s\n", i,
		       json_string_value(json_object_get(layer, "digest")), bytes,
		       json_string_value(json_object_get(layer, "media_type")));
	}
}

int cmd_image_inspect(struct cli *cli, void *args, struct operands *ops, struct err *e)
{
	const struct image_inspect_args *a = args;
	struct image_row row;

	if (check_format(a->format, e) < 0 || check_reference(ops->args.v[0], e) < 0 ||
	    cli_open(cli, e) < 0 || image_find(cli, ops->args.v[0], &row, e) < 0)
		return -1;
	if (a->format) {
		json_t *j = summary(&row);

		json_object_update_missing(j, row.record);
		json_object_set_new(j, "reference", json_string(row.reference));
		print_json(j);
	} else {
		print_image(&row);
	}
	image_row_release(&row);
	return 0;
}

/* --- rm ------------------------------------------------------------------------------------ */

struct image_rm_args {
	bool force;
	bool quiet;
};

static const struct opt image_rm_opts[] = {
	{"force", 'f', NULL, NULL, offsetof(struct image_rm_args, force),
	 "Also when a sandbox was made from it (which keeps working)"},
	{"quiet", 'q', NULL, NULL, offsetof(struct image_rm_args, quiet), "Print nothing"},
	{0},
};

const struct opt *const image_rm_options[] = {image_rm_opts, NULL};
const size_t image_rm_args_size = sizeof(struct image_rm_args);

int cmd_image_rm(struct cli *cli, void *args, struct operands *ops, struct err *e)
{
	const struct image_rm_args *a = args;
	size_t removed = 0;
	int status = 0;

	for (size_t i = 0; i < ops->args.n; i++)
		if (check_reference(ops->args.v[i], e) < 0)
			return -1;
	if (cli_open(cli, e) < 0)
		return -1;
	for (size_t i = 0; i < ops->args.n; i++) {
		struct image_row row;
		struct err one = {0};

		if (image_find(cli, ops->args.v[i], &row, &one) < 0) {
			err_print(&one);
			status = 1;
			continue;
		}
		if (images_remove(&cli->db, row.reference, a->force, &one) < 0) {
			err_print(&one);
			status = 1;
		} else {
			print_success(a->quiet, "Removed", ops->args.v[i], 0);
			removed++;
		}
		image_row_release(&row);
	}
	if (removed && images_collect(&cli->db, &cli->home, NULL, e) < 0)
		return -1;
	return status;
}
