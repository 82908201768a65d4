/* SPDX-License-Identifier: Apache-2.0 */
/* Runs msb-image, which has the libraries for registries and archives, and shows its progress. */
#pragma once

#include "cli/cli.h"
#include "cli/registry_settings.h"
#include "proto/message.h"

/* Pulls a reference and records it; `ret` gets the image record, owned. */
int image_pull(struct cli *cli, const char *reference, const struct registry_overrides *o,
	       bool force, bool quiet, json_t **ret, struct err *e);

/*
 * Shows a login, in the overrides, to a registry. ERR_AUTH when it is refused, ERR_UNREACHABLE
 * when there is nobody to ask.
 */
int image_check_login(struct cli *cli, const char *host, const struct registry_overrides *o,
		      struct err *e);

/* Loads an archive ("-" is standard input) and records its images; `ret` is their array, owned. */
int image_load(struct cli *cli, const char *file, const struct strv *tags, bool quiet, json_t **ret,
	       struct err *e);

/* Makes an EROFS image of a directory. */
int image_from_dir(struct cli *cli, const char *dir, const char *out, struct err *e);

/* Looks an image up as it was typed or by its canonical form. ERR_NOT_FOUND when it is absent. */
int image_find(struct cli *cli, const char *reference, struct image_row *ret, struct err *e);
