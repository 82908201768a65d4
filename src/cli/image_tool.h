/* SPDX-License-Identifier: Apache-2.0 */
/* Runs msb-image, which has the libraries for registries and archives, and shows its progress. */
#pragma once

#include "cli/cli.h"
#include "cli/progress.h"
#include "cli/registry_settings.h"
#include "proto/message.h"

/* How images are brought in. */
struct image_fetch {
	const char *platform; /* OS/ARCH[/VARIANT], checked; NULL: this machine's */
	struct registry_overrides registry;
	uint64_t max_size; /* bytes that a layer may have, unpacked or not; 0: as usual */
	bool force;
	bool quiet; /* no success lines */
	enum progress_mode progress;
};

/* Whether a text is a reference: 0, or -1 with what is wrong with it. */
int check_reference(const char *reference, struct err *e);

/*
 * Locks the image cache, see home_lock_cache. When that takes waiting for another process it says
 * so on standard error, unless quiet. A descriptor, or -1 with the error set.
 */
int lock_cache(const struct cli *cli, bool exclusive, bool quiet, struct err *e);

/*
 * Checks the values of --progress and --platform, for a command that may print events on standard
 * output or not, and fills in the fields. The platform's text must outlive `f`.
 */
int image_fetch_options(const char *progress, bool json_allowed, const char *platform,
			struct image_fetch *f, struct err *e);

/* Pulls a reference and records it; `ret` gets the image record, owned. */
int image_pull(struct cli *cli, const char *reference, const struct image_fetch *f, json_t **ret,
	       struct err *e);

/*
 * Shows a login, in the overrides, to a registry. ERR_AUTH when it is refused, ERR_UNREACHABLE
 * when there is nobody to ask.
 */
int image_check_login(struct cli *cli, const char *host, const struct registry_overrides *o,
		      struct err *e);

/* Loads an archive ("-" is standard input) and records its images; `ret` is their array, owned. */
int image_load(struct cli *cli, const char *file, const struct strv *tags,
	       const struct image_fetch *f, json_t **ret, struct err *e);

/* Writes images to an archive in a format of `msb-image save`; "-" is standard output. */
int image_save(struct cli *cli, const struct strv *references, const char *format, const char *file,
	       bool quiet, struct err *e);

/* What to tell programs about an image that was brought in; owned. */
json_t *image_record_summary(const char *reference, json_t *record);

/* ERR_UNSUPPORTED for a platform, as the user typed it, that this machine is not. */
int platform_check_runnable(const char *text, struct err *e);
/* ERR_UNSUPPORTED for an image that cannot run on this machine. */
int image_check_runnable(const char *reference, json_t *record, struct err *e);

/* Whether it will do for a platform, as image_fetch_options has checked it. */
bool image_is_for(json_t *record, const char *platform);

/* Makes an EROFS image of a directory. */
int image_from_dir(struct cli *cli, const char *dir, const char *out, struct err *e);

/* Looks an image up as it was typed or by its canonical form. ERR_NOT_FOUND when it is absent. */
int image_find(struct cli *cli, const char *reference, struct image_row *ret, struct err *e);
