/* SPDX-License-Identifier: Apache-2.0 */
/* msb pull, msb load: what brings images in. */
#include "cli/commands.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "cli/image_tool.h"
#include "cli/password.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- pull ---------------------------------------------------------------------------------- */

struct pull_args {
	bool force;
	bool insecure;
	char *ca_certs;
	char *username;
	bool password_stdin;
	bool quiet;
	uint64_t max_size;
	char *platform;
	char *progress;
	char *format;
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
	{"platform", 0, "OS/ARCH", opt_string, offsetof(struct pull_args, platform),
	 "Choose the image for another platform, e.g. linux/arm64"},
	{"max-size", 0, "SIZE", opt_memory, offsetof(struct pull_args, max_size),
	 "Refuse layers that are larger, unpacked or not [default: 64G]"},
	{"progress", 0, "HOW", opt_string, offsetof(struct pull_args, progress),
	 "Show progress as bars, lines, json (on standard output), or none [default: auto]",
	 "auto bars lines json none"},
	{"format", 0, "FORMAT", opt_string, offsetof(struct pull_args, format),
	 "json: print what was pulled", "json"},
	{0},
};

const struct opt *const pull_options[] = {pull_opts, NULL};
const size_t pull_args_size = sizeof(struct pull_args);

/* Ends the events of --progress json. */
static int report(enum progress_mode mode, int r, json_t *images, const struct err *e)
{
	if (mode != PROGRESS_JSON)
		json_decref(images);
	else if (r == 0)
		progress_print_complete(images);
	else
		progress_print_error(e);
	return r;
}

int cmd_pull(struct cli *cli, void *args, struct operands *ops, struct err *e)
{
	const struct pull_args *a = args;
	_cleanup_secret_ char *password = NULL;
	const char *reference = ops->args.v[0];
	struct image_fetch f = {.registry = {.insecure = a->insecure,
					     .ca_certs = a->ca_certs,
					     .username = a->username},
				.max_size = a->max_size,
				.force = a->force,
				.quiet = a->quiet};
	json_t *images = NULL, *record;
	int r = -1;

	if (image_fetch_options(a->progress, !a->format, a->platform, &f, e) < 0)
		return -1;
	if (check_reference(reference, e) < 0 || registry_ca_certs_check(a->ca_certs, e) < 0 ||
	    registry_username_check(a->username, a->password_stdin, e) < 0)
		return report(f.progress, -1, NULL, e);
	if (a->username) {
		password = password_read(a->password_stdin, e);
		if (!password)
			return report(f.progress, -1, NULL, e);
		f.registry.password = password;
	}
	if (cli_open(cli, e) == 0)
		r = image_pull(cli, reference, &f, &record, e);
	if (r == 0) {
		images = json_pack("[o]", image_record_summary(reference, record));
		json_decref(record);
		if (a->format)
			print_json(json_incref(json_array_get(images, 0)));
	}
	return report(f.progress, r, images, e);
}

/* --- load ---------------------------------------------------------------------------------- */

struct load_args {
	char *input;
	struct strv tags;
	bool quiet;
	char *platform;
	char *progress;
	char *format;
	uint64_t max_size;
};

static const struct opt load_opts[] = {
	{"input", 'i', "FILE", opt_string, offsetof(struct load_args, input),
	 "Archive to read; - is standard input [default: -]"},
	{"tag", 't', "REFERENCE", opt_strings, offsetof(struct load_args, tags),
	 "Name for the first image of the archive"},
	{"platform", 0, "OS/ARCH", opt_string, offsetof(struct load_args, platform),
	 "Choose the image for another platform, e.g. linux/arm64"},
	{"max-size", 0, "SIZE", opt_memory, offsetof(struct load_args, max_size),
	 "Refuse layers that are larger, unpacked or not [default: 64G]"},
	{"progress", 0, "HOW", opt_string, offsetof(struct load_args, progress),
	 "Show progress as bars, lines, json (on standard output), or none [default: auto]",
	 "auto bars lines json none"},
	{"format", 0, "FORMAT", opt_string, offsetof(struct load_args, format),
	 "json: print what was loaded", "json"},
	{"quiet", 'q', NULL, NULL, offsetof(struct load_args, quiet), "Print only references"},
	{0},
};

const struct opt *const load_options[] = {load_opts, NULL};
const size_t load_args_size = sizeof(struct load_args);

static int check_load(const struct load_args *a, const char *file, struct err *e)
{
	struct stat st = {0};

	for (size_t i = 0; i < a->tags.n; i++)
		if (check_reference(a->tags.v[i], e) < 0)
			return -1;
	if (strcmp(file, "-") != 0 && (access(file, R_OK) < 0 || stat(file, &st) < 0))
		return err_sys(e, errno, "cannot read '%s'", file);
	if (strcmp(file, "-") != 0 && S_ISDIR(st.st_mode))
		return err_sys(e, EISDIR, "cannot read '%s'", file);
	if (strcmp(file, "-") == 0 && isatty(STDIN_FILENO)) {
		err_set(e, ERR_USAGE, "standard input is a terminal, not an archive");
		return err_hint(e, "name the archive with -i FILE");
	}
	return 0;
}

/* Summaries of what was loaded, said to the user in passing. */
static json_t *loaded(const struct load_args *a, const struct image_fetch *f, json_t *records,
		      uint64_t duration_ns)
{
	json_t *images = json_array(), *record;
	size_t i;

	json_array_foreach (records, i, record) {
		const char *reference = json_string_value(json_object_get(record, "reference"));

		if (a->quiet && !a->format && f->progress != PROGRESS_JSON)
			puts(reference);
		print_success(f->quiet, "Loaded", reference, i == 0 ? duration_ns : 0);
		json_array_append_new(images, image_record_summary(reference, record));
	}
	return images;
}

int cmd_load(struct cli *cli, void *args, struct operands *ops, struct err *e)
{
	const struct load_args *a = args;
	const char *file = a->input ? a->input : "-";
	uint64_t started = clock_mono_ns();
	struct image_fetch f = {.max_size = a->max_size, .quiet = a->quiet};
	json_t *records, *images = NULL;
	int r = -1;

	if (image_fetch_options(a->progress, !a->format, a->platform, &f, e) < 0)
		return -1;
	if (check_load(a, file, e) == 0 && cli_open(cli, e) == 0)
		r = image_load(cli, file, &a->tags, &f, &records, e);
	if (r == 0) {
		images = loaded(a, &f, records, clock_mono_ns() - started);
		json_decref(records);
		if (a->format)
			print_json(json_incref(images));
	}
	return report(f.progress, r, images, e);
}
