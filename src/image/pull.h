/* SPDX-License-Identifier: Apache-2.0 */
/* Brings an image from a registry into the store. */
#pragma once

#include "image/endpoint.h"
#include "image/platform.h"
#include "image/progress.h"
#include "image/store.h"

#include <jansson.h>

struct pull_options {
	const char *reference; /* as typed */
	struct platform platform;
	const struct endpoints *endpoints; /* NULL: only the registry that the reference names */
	bool force; /* fetch layers and make metadata even if they are there */
	uint64_t max_size;
};

/* The image's record, or NULL with the error set. Several threads; the caller has just one. */
json_t *pull_image(struct store *s, const struct pull_options *o, struct progress *p,
		   struct err *e);
