/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Platforms of images: OS/ARCH[/VARIANT] as in "linux/arm/v7". Names are kept in the form that
 * images use (amd64, not x86_64), and the variant that goes without saying is empty (arm64/v8,
 * amd64/v1); that of arm is v7 unless it is given.
 */
#pragma once

#include "base/err.h"

#define PLATFORM_PART_LEN 32U
#define PLATFORM_TEXT_LEN 96 /* three parts, slashes and a NUL */

struct platform {
	char os[PLATFORM_PART_LEN];
	char architecture[PLATFORM_PART_LEN];
	char variant[PLATFORM_PART_LEN];
};

/* Parses what a user types. 0, or -1 with ERR_INVALID. */
int platform_parse(const char *text, struct platform *ret, struct err *e);
/*
 * Takes the parts as an image states them, any of which may be NULL, and puts them into their
 * usual form. What cannot be the name of any platform gives an empty string.
 */
void platform_set(struct platform *p, const char *os, const char *architecture,
		  const char *variant);
/* "linux/arm/v7" */
void platform_format(const struct platform *p, char out[PLATFORM_TEXT_LEN]);

/* That of this machine, as far as its programs are concerned. */
void platform_host(struct platform *ret);

/*
 * How well an image for `offered` suits `wanted`: 0 not at all, else more is better. An older
 * variant of the same architecture will do; what the image does not say is no obstacle.
 */
unsigned platform_score(const struct platform *wanted, const struct platform *offered);
