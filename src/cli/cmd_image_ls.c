/* SPDX-License-Identifier: Apache-2.0 */
/* msb images, image ls, image inspect: what is there and what it occupies. */
#include "cli/commands.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "cli/image_tool.h"
#include "image/platform.h"
#include "state/image_files.h"

#include <stdio.h>
#include <string.h>

/* --- ls ------------------------------------------------------------------------------------ */

struct image_ls_args {
	bool quiet;
	char *format;
};

static const struct opt image_ls_opts[] = {
	{"format", 0, "FORMAT", opt_string, offsetof(struct image_ls_args, format), "json", "json"},
	{"quiet", 'q', NULL, NULL, offsetof(struct image_ls_args, quiet), "Print only references"},
	{0},
};

const struct opt *const image_ls_options[] = {image_ls_opts, NULL};
const size_t image_ls_args_size = sizeof(struct image_ls_args);

static json_t *summary_json(const struct image_summary *s)
{
	char when[RFC3339_LEN];

	rfc3339_format(s->created_at, when);
	return json_pack("{s:s, s:s, s:I, s:I, s:I, s:s, s:s, s:s, s:I, s:s}", "reference",
			 s->reference, "digest", s->manifest_digest, "size_bytes",
			 (json_int_t)s->size_bytes, "disk_bytes", (json_int_t)s->disk_bytes,
			 "shared_bytes", (json_int_t)s->shared_bytes, "architecture",
			 s->architecture, "os", s->os, "variant", s->variant, "layer_count",
			 (json_int_t)s->layer_count, "created_at", when);
}

/* "sha256:" and twelve digits; owned. */
static char *short_digest(const char *digest)
{
	return xstrndup(digest, strlen("sha256:") + 12);
}

static void print_table(const struct image_list *l)
{
	struct table t;

	table_init(&t, 6, "REFERENCE", "DIGEST", "SIZE", "CREATED", "DISK", "SHARED");
	for (size_t i = 0; i < l->n; i++) {
		const struct image_summary *s = &l->v[i];
		char when[RFC3339_LEN];

		local_time_format(s->created_at, when);
		table_add(&t, xstrdup(s->reference));
		table_add(&t, short_digest(s->manifest_digest));
		table_add(&t, format_bytes(s->size_bytes));
		table_add(&t, xstrdup(when));
		table_add(&t, format_bytes(s->disk_bytes));
		table_add(&t, format_bytes(s->shared_bytes));
	}
	table_print(&t);
}

int cmd_image_ls(struct cli *cli, void *args, struct operands *ops, struct err *e)
{
	const struct image_ls_args *a = args;
	struct image_list l;

	if (cli_open(cli, e) < 0 || images_list(&cli->db, &cli->home, &l, e) < 0)
		return -1;
	if (a->quiet) {
		for (size_t i = 0; i < l.n; i++)
			puts(l.v[i].reference);
	} else if (a->format) {
		json_t *j = json_array();

		for (size_t i = 0; i < l.n; i++)
			json_array_append_new(j, summary_json(&l.v[i]));
		print_json(j);
	} else if (l.n == 0) {
		fputs("No images found.\n", stderr);
	} else {
		print_table(&l);
	}
	image_list_release(&l);
	return 0;
}

/* --- inspect ------------------------------------------------------------------------------- */

struct image_inspect_args {
	char *format;
};

static const struct opt image_inspect_opts[] = {
	{"format", 0, "FORMAT", opt_string, offsetof(struct image_inspect_args, format), "json",
	 "json"},
	{0},
};

const struct opt *const image_inspect_options[] = {image_inspect_opts, NULL};
const size_t image_inspect_args_size = sizeof(struct image_inspect_args);

static json_t *strv_json(const struct strv *sv)
{
	json_t *a = json_array();

	for (size_t i = 0; i < sv->n; i++)
		json_array_append_new(a, json_string(sv->v[i]));
	return a;
}

static json_t *layer_json(struct cli *cli, size_t i, json_t *layer, const char *reference,
			  struct err *e)
{
	static const char *const keys[] = {"digest", "diff_id", "media_type", "size"};
	json_t *j = json_pack("{s:I}", "position", (json_int_t)i);
	struct strv others = {0};
	uint64_t bytes = 0;

	for (size_t k = 0; k < ARRAY_SIZE(keys); k++)
		json_object_set(j, keys[k], json_object_get(layer, keys[k]));
	if (image_files_layer(&cli->db, layer, reference, &bytes, &others, e) < 0) {
		json_decref(j);
		j = NULL;
	} else {
		json_object_set_new(j, "stored_bytes", json_integer((json_int_t)bytes));
		json_object_set_new(j, "shared_with", strv_json(&others));
	}
	strv_release(&others);
	return j;
}

static json_t *layers_json(struct cli *cli, const struct image_row *row, struct err *e)
{
	json_t *a = json_array(), *layer, *j;
	size_t i;

	json_array_foreach (json_object_get(row->record, "layers"), i, layer) {
		j = layer_json(cli, i, layer, row->reference, e);
		if (!j) {
			json_decref(a);
			return NULL;
		}
		json_array_append_new(a, j);
	}
	return a;
}

/* All there is to say about an image; the text form shows it, too. NULL with the error set. */
static json_t *details(struct cli *cli, const struct image_row *row, struct err *e)
{
	struct strv same = {0}, users = {0};
	struct image_list l = {0};
	json_t *j = NULL, *layers = NULL;

	if (images_summary(&cli->db, &cli->home, row->reference, &l, e) == 0 &&
	    images_same(&cli->db, row, &same, e) == 0 &&
	    images_users(&cli->db, row, &users, e) == 0)
		layers = layers_json(cli, row, e);
	if (layers) {
		j = summary_json(&l.v[0]);
		json_object_set_new(j, "references", strv_json(&same));
		json_object_set_new(j, "sandboxes", strv_json(&users));
		json_object_set(j, "config_digest", json_object_get(row->record, "config_digest"));
		json_object_set(j, "created", json_object_get(row->record, "created"));
		json_object_set(j, "config", json_object_get(row->record, "config"));
		json_object_set_new(j, "layers", layers);
	}
	image_list_release(&l);
	strv_release(&same);
	strv_release(&users);
	return j;
}

/* A value per line, the key before the first. */
static void print_list(int indent, int width, const char *key, json_t *array)
{
	json_t *item;
	size_t i;

	json_array_foreach (array, i, item)
		print_key_value(indent, width, i ? "" : key, json_string_value(item));
}

static void print_words(const char *key, json_t *array)
{
	json_t *item;
	size_t i;

	if (!json_array_size(array))
		return;
	printf("  %-14s", key);
	json_array_foreach (array, i, item) {
		_cleanup_free_ char *text = str_printable(json_string_value(item) ?: "");

		printf("%s%s", i ? " " : "", text);
	}
	putchar('\n');
}

static void print_text(const char *key, json_t *value)
{
	if (json_string_length(value))
		print_key_value(2, 14, key, json_string_value(value));
}

static void print_config(json_t *config)
{
	json_t *value;
	const char *key;
	bool first = true;

	puts("\nConfig");
	print_words("Entrypoint:", json_object_get(config, "Entrypoint"));
	print_words("Cmd:", json_object_get(config, "Cmd"));
	print_text("WorkingDir:", json_object_get(config, "WorkingDir"));
	print_text("User:", json_object_get(config, "User"));
	print_text("StopSignal:", json_object_get(config, "StopSignal"));
	print_list(2, 14, "Env:", json_object_get(config, "Env"));
	json_object_foreach (json_object_get(config, "Labels"), key, value) {
		_cleanup_free_ char *label =
			xasprintf("%s=%s", key, json_string_value(value) ?: "");

		print_key_value(2, 14, first ? "Labels:" : "", label);
		first = false;
	}
}

static void print_layers(json_t *layers)
{
	struct table t;
	json_t *layer;
	size_t i;

	printf("\nLayers (%zu)\n", json_array_size(layers));
	table_init(&t, 6, "  #", "DIGEST", "SIZE", "STORED", "SHARED WITH", "TYPE");
	json_array_foreach (layers, i, layer) {
		size_t others = json_array_size(json_object_get(layer, "shared_with"));

		table_add(&t, xasprintf("  %zu", i));
		table_add(&t, xstrdup(json_string_of(layer, "digest")));
		table_add(&t, format_bytes(json_number_of(layer, "size")));
		table_add(&t, format_bytes(json_number_of(layer, "stored_bytes")));
		table_add(&t, others ? xasprintf("%zu", others) : xstrdup("-"));
		table_add(&t, xstrdup(json_string_of(layer, "media_type")));
	}
	table_print(&t);
}

static void print_image(const struct image_row *row, json_t *j)
{
	_cleanup_free_ char *size = format_bytes(json_number_of(j, "size_bytes"));
	_cleanup_free_ char *disk = format_bytes(json_number_of(j, "disk_bytes"));
	_cleanup_free_ char *shared = format_bytes(json_number_of(j, "shared_bytes"));
	_cleanup_free_ char *on_disk = xasprintf("%s, %s of it shared", disk, shared);
	char pulled[RFC3339_LEN], platform[PLATFORM_TEXT_LEN];
	struct platform p;

	platform_set(&p, json_string_of(j, "os"), json_string_of(j, "architecture"),
		     json_string_of(j, "variant"));
	platform_format(&p, platform);
	local_time_format(row->created_at, pulled);
	print_field("Reference:", row->reference);
	print_list(0, 16, "Also known as:", json_object_get(j, "references"));
	print_field("Digest:", row->manifest_digest);
	print_field("Config digest:", json_string_of(j, "config_digest"));
	print_field("Platform:", platform);
	print_field("Architecture:", p.architecture);
	print_field("OS:", p.os);
	print_field("Size:", size);
	print_field("On disk:", on_disk);
	print_field("Built:", json_string_of(j, "created"));
	print_field("Created:", pulled);
	print_list(0, 16, "Used by:", json_object_get(j, "sandboxes"));
	print_config(json_object_get(j, "config"));
	print_layers(json_object_get(j, "layers"));
}

int cmd_image_inspect(struct cli *cli, void *args, struct operands *ops, struct err *e)
{
	const struct image_inspect_args *a = args;
	struct image_row row;
	json_t *j;

	if (check_reference(ops->args.v[0], e) < 0 || cli_open(cli, e) < 0 ||
	    image_find(cli, ops->args.v[0], &row, e) < 0)
		return -1;
	j = details(cli, &row, e);
	if (j && a->format)
		print_json(json_incref(j));
	else if (j)
		print_image(&row, j);
	json_decref(j);
	image_row_release(&row);
	return j ? 0 : -1;
}
