/* SPDX-License-Identifier: Apache-2.0 */
/* msb inspect: all there is to say about a sandbox. */
#include "cli/commands.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "cli/network.h"
#include "cli/start.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct inspect_args {
	char *format;
};

static const struct opt inspect_opts[] = {
	{"format", 0, "FORMAT", opt_string, offsetof(struct inspect_args, format), "json", "json"},
	{0},
};

const struct opt *const inspect_options[] = {inspect_opts, NULL};
const size_t inspect_args_size = sizeof(struct inspect_args);

/* The writable disk: its size for the guest and what it occupies. NULL if it has no file. */
static json_t *root_disk(const struct cli *cli, const struct sandbox_row *row)
{
	_cleanup_free_ char *path = home_path(&cli->home, "sandboxes/%s/upper.ext4", row->name);
	struct stat st;

	if (stat(path, &st) < 0)
		return NULL;
	return json_pack("{s:I, s:I, s:s}", "size_bytes", (json_int_t)st.st_size, "disk_bytes",
			 (json_int_t)st.st_blocks * 512, "filesystem", "ext4");
}

/* How it ended, unless it runs or never did; NULL then. */
static json_t *last_end(const struct cli *cli, const struct sandbox_row *row)
{
	json_t *written, *j;

	if (sandbox_is_up(row) || row->status == SANDBOX_CREATED)
		return NULL;
	j = json_pack("{s:o}", "reason", json_text(row->reason));
	written = sandbox_read_end(&cli->home, row);
	/* A start that failed before there was a monitor leaves what an earlier one wrote. */
	if (str_eq(json_string_value(json_object_get(written, "status")),
		   sandbox_status_name(row->status)) &&
	    str_eq(json_string_value(json_object_get(written, "reason")), row->reason)) {
		json_object_set(j, "cause", json_object_get(written, "cause"));
		json_object_set(j, "ended_at", json_object_get(written, "ended_at"));
		json_object_set(j, "exit_code", json_object_get(written, "exit_code"));
	}
	json_decref(written);
	return j;
}

/* The configuration with what the network's means in place of how it is kept. */
static json_t *shown_config(json_t *config)
{
	json_t *shown = json_copy(config);

	json_object_set_new(shown, "network", network_describe(json_object_get(config, "network")));
	return shown;
}

static json_t *to_json(const struct cli *cli, const struct sandbox_row *row)
{
	char created[RFC3339_LEN], updated[RFC3339_LEN];

	rfc3339_format(row->created_at, created);
	rfc3339_format(row->updated_at, updated);
	return json_pack("{s:s, s:s, s:o, s:b, s:s, s:s, s:O, s:o, s:o?, s:o?}", "name", row->name,
			 "status", sandbox_status_name(row->status), "image", json_text(row->image),
			 "ephemeral", row->ephemeral, "created_at", created, "updated_at", updated,
			 "labels", row->labels, "config", shown_config(row->config), "root_disk",
			 root_disk(cli, row), "last_end", last_end(cli, row));
}

static void print_time(const char *key, uint64_t when)
{
	char text[RFC3339_LEN];

	local_time_format(when, text);
	print_field(key, text);
}

static void print_end(json_t *end)
{
	json_t *exit_code = json_object_get(end, "exit_code");

	print_field("Reason:", json_string_of(end, "reason"));
	print_field("Ended:", json_string_of(end, "ended_at"));
	if (exit_code)
		printf("%-*s%lld\n", FIELD_WIDTH,
		       "Exit code:", (long long)json_integer_value(exit_code));
}

static void print_command(const struct sandbox_row *row)
{
	_cleanup_free_ char *command = sandbox_command_text(row);

	print_field("Command:", command);
}

static void print_limit(json_t *config, const char *key, const char *label)
{
	char text[DURATION_LEN];

	if (!json_object_get(config, key))
		return;
	duration_format(json_number_of(config, key), text);
	printf("  %-*s%s\n", FIELD_WIDTH - 2, label, text);
}

static void print_resources(json_t *config, json_t *disk)
{
	puts("\nResources");
	printf("  %-*s%u\n", FIELD_WIDTH - 2, "CPUs:", (unsigned)json_number_of(config, "cpus"));
	printf("  %-*s%u MiB\n", FIELD_WIDTH - 2,
	       "Memory:", (unsigned)json_number_of(config, "memory_mib"));
	if (json_is_object(disk)) {
		_cleanup_free_ char *used = format_bytes(json_number_of(disk, "disk_bytes"));

		printf("  %-*s%u MiB (managed, %s), occupies %s\n", FIELD_WIDTH - 2,
		       "Root Disk:", (unsigned)(json_number_of(disk, "size_bytes") / MIB),
		       json_string_of(disk, "filesystem"), used);
	}
	if (json_string_of(config, "root_dir")) {
		_cleanup_free_ char *path = str_printable(json_string_of(config, "root_dir"));

		printf("  %-*s%s (rw)\n", FIELD_WIDTH - 2, "Root Folder:", path);
	}
	print_limit(config, "max_duration_secs", "Max Duration:");
	print_limit(config, "idle_timeout_secs", "Idle Timeout:");
}

static void print_environment(json_t *env)
{
	json_t *item;
	size_t i;

	if (json_array_size(env))
		puts("\nEnvironment");
	json_array_foreach (env, i, item)
		print_key_value(2, 0, "", json_string_value(item));
}

static char *limit_text(json_t *limit)
{
	return json_is_integer(limit) ? xasprintf("%lld", (long long)json_integer_value(limit))
				      : xstrdup("unlimited");
}

static void print_mounts(json_t *mounts)
{
	json_t *item;
	size_t i;

	if (json_array_size(mounts))
		puts("\nMounts");
	json_array_foreach (mounts, i, item) {
		_cleanup_free_ char *text = NULL;
		struct mount m;

		if (mount_from_json(item, &m) < 0)
			continue;
		text = mount_text(&m);
		printf("  %s\n", text);
		mount_release(&m);
	}
}

static void print_limits(json_t *rlimits)
{
	json_t *item;
	size_t i;

	if (json_array_size(rlimits))
		puts("\nLimits");
	json_array_foreach (rlimits, i, item) {
		_cleanup_free_ char *soft = limit_text(json_object_get(item, "soft"));
		_cleanup_free_ char *hard = limit_text(json_object_get(item, "hard"));

		printf("  %-*s%s (hard %s)\n", FIELD_WIDTH - 2,
		       json_string_of(item, "resource") ?: "", soft, hard);
	}
}

static void print_scripts(json_t *scripts)
{
	json_t *item;
	size_t i;

	if (json_array_size(scripts))
		puts("\nScripts");
	json_array_foreach (scripts, i, item) {
		struct boot_script s;
		_cleanup_free_ char *size = NULL;

		if (boot_script_from_json(item, &s, NULL) < 0)
			continue;
		size = format_bytes(s.len);
		print_key_value(2, FIELD_WIDTH - 2, s.name, size);
		boot_script_release(&s);
	}
}

/* The path and its arguments as they will be given, then what it alone has in its environment. */
static void print_init(json_t *init)
{
	json_t *item;
	size_t i;

	if (!init)
		return;
	puts("\nInit");
	print_key_value(2, 0, "", json_string_of(init, "path") ?: "");
	json_array_foreach (json_object_get(init, "args"), i, item)
		print_key_value(4, 0, "", json_string_value(item));
	json_array_foreach (json_object_get(init, "env"), i, item)
		print_key_value(4, 0, "", json_string_value(item));
}

static void print_labels(json_t *labels)
{
	const char *key;
	json_t *value;

	if (json_object_size(labels))
		puts("\nLabels");
	json_object_foreach (labels, key, value) {
		_cleanup_free_ char *label = xasprintf("%s=%s", key, json_string_value(value));

		print_key_value(2, 0, "", label);
	}
}

static void print_sandbox(const struct sandbox_row *row, json_t *j)
{
	const char *workdir = json_string_of(row->config, "workdir");

	print_field("Name:", row->name);
	print_field("Status:", sandbox_status_name(row->status));
	print_end(json_object_get(j, "last_end"));
	print_time("Created:", row->created_at);
	print_time("Updated:", row->updated_at);
	print_field("Image:", row->image);
	print_resources(row->config, json_object_get(j, "root_disk"));
	putchar('\n');
	print_command(row);
	print_field("Workdir:", workdir ? workdir : "/");
	print_field("Shell:", sandbox_shell(row));
	print_field("User:", json_string_of(row->config, "user"));
	print_field("Hostname:", json_string_of(row->config, "hostname"));
	print_field("Machine:", json_string_of(row->config, "machine"));
	print_field("Kernel:", json_string_of(row->config, "kernel"));
	print_field("Security:", json_string_of(row->config, "security") ?: "default");
	network_print(json_object_get(json_object_get(j, "config"), "network"));
	print_environment(json_object_get(row->config, "env"));
	print_mounts(json_object_get(row->config, "mounts"));
	print_limits(json_object_get(row->config, "rlimits"));
	print_scripts(json_object_get(row->config, "scripts"));
	print_init(json_object_get(row->config, "init"));
	print_labels(row->labels);
}

int cmd_inspect(struct cli *cli, void *args, struct operands *ops, struct err *e)
{
	const struct inspect_args *a = args;
	struct sandbox_row row;
	json_t *j;

	if (cli_open(cli, e) < 0 ||
	    sandboxes_get(&cli->db, &cli->home, ops->args.v[0], &row, e) < 0)
		return -1;
	j = to_json(cli, &row);
	if (a->format)
		print_json(json_incref(j));
	else
		print_sandbox(&row, j);
	json_decref(j);
	sandbox_row_release(&row);
	return 0;
}
