/* SPDX-License-Identifier: Apache-2.0 */
/* Metrics in Prometheus' text format, version 0.0.4. */
#pragma once

#include <jansson.h>
#include <stdio.h>

#define PROMETHEUS_TYPE "text/plain; version=0.0.4; charset=utf-8"

/*
 * Writes the metrics of all sandboxes in `list`, an array of objects as the monitors answer them,
 * with their "labels".
 */
void prometheus_write(json_t *list, FILE *out);
