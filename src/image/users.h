/* SPDX-License-Identifier: Apache-2.0 */
/* The users that an image knows, for who has to know their numbers without running it. */
#pragma once

#include "image/image.h"

/*
 * An object {NAME: [UID, GID]} from the image's /etc/passwd, after image_scan; owned. NULL when
 * there is none, or it is not simply a file: then only the guest knows.
 */
json_t *image_passwd(const struct image *im);
/* The same from the text of such a file, which ends with a NUL. */
json_t *passwd_parse(char *text);
