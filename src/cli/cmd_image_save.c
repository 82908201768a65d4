/* SPDX-License-Identifier: Apache-2.0 */
/* msb save, image save: images leave as they came. */
#include "cli/commands.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "cli/image_tool.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct image_save_args {
	char *format;
	char *output;
	bool quiet;
};

static const struct opt image_save_opts[] = {
	{"format", 0, "FORMAT", opt_string, offsetof(struct image_save_args, format),
	 "docker or oci [default: docker, which is an OCI layout, too]", "docker oci"},
	{"output", 'o', "FILE", opt_string, offsetof(struct image_save_args, output),
	 "File to write; - is standard output [default: -]"},
	{"quiet", 'q', NULL, NULL, offsetof(struct image_save_args, quiet), "Print no progress"},
	{0},
};

const struct opt *const image_save_options[] = {image_save_opts, NULL};
const size_t image_save_args_size = sizeof(struct image_save_args);

static int check_save(const struct image_save_args *a, const struct strv *references,
		      const char *file, struct err *e)
{
	for (size_t i = 0; i < references->n; i++)
		if (check_reference(references->v[i], e) < 0)
			return -1;
	if (strcmp(file, "-") == 0 && isatty(STDOUT_FILENO)) {
		err_set(e, ERR_USAGE, "standard output is a terminal, no place for an archive");
		return err_hint(e, "name a file with -o FILE");
	}
	return 0;
}

int cmd_image_save(struct cli *cli, void *args, struct operands *ops, struct err *e)
{
	const struct image_save_args *a = args;
	const char *file = a->output ? a->output : "-";
	uint64_t started = clock_mono_ns();

	if (check_save(a, &ops->args, file, e) < 0 || cli_open(cli, e) < 0 ||
	    image_save(cli, &ops->args, a->format ? a->format : "docker", file, a->quiet, e) < 0)
		return -1;
	for (size_t i = 0; i < ops->args.n; i++)
		print_success(a->quiet, "Saved", ops->args.v[i],
			      i == 0 ? clock_mono_ns() - started : 0);
	return 0;
}
