/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/metrics_view.h"

#include "base/cleanup.h"
#include "cli/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- order --------------------------------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
	return strcmp(json_string_of(*(json_t *const *)a, "name"),
		      json_string_of(*(json_t *const *)b, "name"));
}

/* Largest first, what has none last. */
static int by_number(json_t *a, json_t *b, const char *key)
{
	double x = json_number_value(json_object_get(a, key));
	double y = json_number_value(json_object_get(b, key));

	return (x < y) - (x > y);
}

static int by_cpu(const void *a, const void *b)
{
	int r = by_number(*(json_t *const *)a, *(json_t *const *)b, "cpu_percent");

	return r ? r : by_name(a, b);
}

static int by_memory(const void *a, const void *b)
{
	int r = by_number(*(json_t *const *)a, *(json_t *const *)b, "memory_bytes");

	return r ? r : by_name(a, b);
}

void metrics_sort(json_t *list, enum metrics_order order)
{
	static int (*const compare[])(const void *, const void *) = {by_name, by_cpu, by_memory};
	size_t n = json_array_size(list), i;
	json_t **items = xcalloc(n + 1, sizeof(json_t *)), *item;

	json_array_foreach (list, i, item)
		items[i] = json_incref(item);
	qsort(items, n, sizeof(json_t *), compare[order]);
	json_array_clear(list);
	for (i = 0; i < n; i++)
		json_array_append_new(list, items[i]);
	free(items);
}

/* --- table --------------------------------------------------------------------------------- */

char *metrics_uptime(uint64_t seconds)
{
	static const struct {
		uint64_t seconds;
		char large, small;
	} units[] = {{86400, 'd', 'h'}, {3600, 'h', 'm'}, {60, 'm', 's'}};
	static const uint64_t small[] = {3600, 60, 1};

	for (size_t u = 0; u < ARRAY_SIZE(units); u++)
		if (seconds >= units[u].seconds)
			return xasprintf(
				"%llu%c%llu%c", (unsigned long long)(seconds / units[u].seconds),
				units[u].large,
				(unsigned long long)(seconds % units[u].seconds / small[u]),
				units[u].small);
	return xasprintf("%llus", (unsigned long long)seconds);
}

/* "a / b" of two numbers of bytes, perhaps fractions of some. */
static char *pair(json_t *j, const char *a, const char *b)
{
	_cleanup_free_ char *x = format_bytes((uint64_t)json_number_value(json_object_get(j, a)));
	_cleanup_free_ char *y = format_bytes((uint64_t)json_number_value(json_object_get(j, b)));

	return xasprintf("%s / %s", x, y);
}

static void add_values(struct table *t, json_t *j)
{
	table_add(t,
		  xasprintf("%.2f / %uc", json_real_value(json_object_get(j, "cpu_percent")) / 100,
			    (unsigned)json_number_of(j, "cpus")));
	table_add(t, pair(j, "memory_bytes", "memory_limit_bytes"));
	table_add(t, pair(j, "disk_read_bytes_per_sec", "disk_write_bytes_per_sec"));
	table_add(t, pair(j, "net_rx_bytes_per_sec", "net_tx_bytes_per_sec"));
	table_add(t, metrics_uptime(json_number_of(j, "uptime_secs")));
}

size_t metrics_print_table(json_t *list, size_t max)
{
	struct table t;
	json_t *j;
	size_t i;

	table_init(&t, 7, "NAME", "STATE", "CPU", "MEM", "DISK R/W /s", "NET RX/TX /s", "UPTIME");
	json_array_foreach (list, i, j) {
		if (i == max)
			break;
		table_add(&t, str_printable(json_string_of(j, "name")));
		table_add(&t, str_printable(json_string_of(j, "state")));
		if (json_object_get(j, "cpus"))
			add_values(&t, j);
		else
			for (int column = 2; column < 7; column++)
				table_add(&t, xstrdup("-"));
	}
	table_print(&t);
	return i ? i + 1 : 0;
}
