/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Configuration files of sandboxes (--conf): the options of run and create as YAML or JSON. What is
 * in a file is given to the same parsers as the options, before those of the command line, which
 * therefore win. docs/conf.md describes the fields.
 */
#pragma once

#include "cli/sandbox_options.h"

/*
 * If the parsed options name configuration files: reads and checks them, and parses the command
 * line once more on top. `args` is the command's argument struct, which begins with its
 * struct sandbox_options; `ops` gets the image of the files unless the command line has one.
 * *ret_image is the image, which `ops` owns; NULL when there is none anywhere. 0 or -1.
 */
int conf_use(const struct cli *cli, struct sandbox_options *args, struct operands *ops,
	     const char **ret_image, struct err *e);
/* Sets the error that an image is needed; -1. */
int conf_no_image(const struct cli *cli, const struct sandbox_options *args, struct err *e);
