/* SPDX-License-Identifier: Apache-2.0 */
/*
 * YAML and JSON of users as JSON values, strictly: one document without anchors, aliases, tags,
 * merge keys or repeated keys, and no plain word that some versions of YAML take for a truth value
 * (yes, no, on, off). Plain numbers stay text as they are written, since 3.10 means a version
 * more often than 3.1; `null` and `~`, `true` and `false` are what they are in JSON.
 */
#pragma once

#include "base/err.h"

#include <jansson.h>

#define YAML_SIZE_MAX  (1 * MIB)
#define YAML_DEPTH_MAX 16

/* The value of a text, owned; NULL with an error that tells the line. */
json_t *yaml_parse(const char *text, size_t len, struct err *e);

/* The same for a file of at most YAML_SIZE_MAX bytes, of JSON if its name ends in .json. */
json_t *yaml_read_file(const char *path, struct err *e);
