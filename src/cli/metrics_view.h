/* SPDX-License-Identifier: Apache-2.0 */
/* Metrics of sandboxes as a table. */
#pragma once

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

/* "1d2h", "3h4m", "5m6s", "7s"; owned. */
char *metrics_uptime(uint64_t seconds);

/*
 * Prints a table of the first `max` in `list`, an array of objects as the monitors answer them;
 * what is missing in one (it does not run, or does not answer) is shown as "-". Returns the number
 * of lines, which is 0 for an empty list.
 */
size_t metrics_print_table(json_t *list, size_t max);

enum metrics_order { METRICS_BY_NAME, METRICS_BY_CPU, METRICS_BY_MEMORY };

/* Sorts such an array: by name, or those that take most first. */
void metrics_sort(json_t *list, enum metrics_order order);
