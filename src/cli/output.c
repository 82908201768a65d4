/* SPDX-License-Identifier: Apache-2.0 */
/* What commands print: success lines, warnings, tables, JSON. */
#include "cli/cli.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool colour_on(int fd)
{
	return isatty(fd) && !secure_getenv("NO_COLOR");
}

void print_success(bool quiet, const char *verb, const char *target, uint64_t duration_ns)
{
	bool colour = colour_on(STDERR_FILENO);
	double s = (double)duration_ns / NSEC_PER_SEC;

	if (quiet)
		return;
	fprintf(stderr, "   %s✓%s %-12s %s", colour ? "\033[32m" : "", colour ? "\033[0m" : "",
		verb, target);
	if (s >= 60)
		fprintf(stderr, " (%dm%ds)", (int)s / 60, (int)s % 60);
	else if (s > 0.5)
		fprintf(stderr, " (%.1fs)", s);
	fputc('\n', stderr);
}

void print_warning(const char *fmt, ...)
{
	bool colour = colour_on(STDERR_FILENO);
	_cleanup_free_ char *text = NULL, *shown = NULL;
	va_list ap;

	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
	va_end(ap);
	shown = str_printable(text);
	fprintf(stderr, "%swarn:%s %s\n", colour ? "\033[1;33m" : "", colour ? "\033[0m" : "",
		shown);
}

/* Texts here are well-formed UTF-8, in which these bytes begin a character. */
static bool begins_character(char c)
{
	return ((unsigned char)c & 0xc0) != 0x80;
}

static size_t characters(const char *s)
{
	size_t n = 0;

	for (; *s; s++)
		n += begins_character(*s);
	return n;
}

char *shorten(const char *s, size_t max)
{
	char *text = str_printable(s), *end = text, *shorter;

	if (characters(text) <= max)
		return text;
	for (size_t n = 0; n < max - 3 || !begins_character(*end); end++)
		n += begins_character(*end);
	shorter = xasprintf("%.*s...", (int)(end - text), text);
	free(text);
	return shorter;
}

void table_init(struct table *t, size_t columns, ...)
{
	va_list ap;

	*t = (struct table){.columns = columns};
	va_start(ap, columns);
	for (size_t i = 0; i < columns; i++)
		strv_add(&t->cells, va_arg(ap, const char *));
	va_end(ap);
}

void table_add(struct table *t, char *cell)
{
	strv_take(&t->cells, cell);
}

void table_print(struct table *t)
{
	bool colour = colour_on(STDOUT_FILENO);
	_cleanup_free_ size_t *width = xcalloc(t->columns, sizeof(*width));

	for (size_t i = 0; i < t->cells.n; i++)
		width[i % t->columns] = MAX(width[i % t->columns], characters(t->cells.v[i]));
	for (size_t i = 0; t->cells.n > t->columns && i < t->cells.n; i++) {
		bool last = i % t->columns == t->columns - 1;
		bool header = colour && i < t->columns;
		size_t pad = last ? 0 : width[i % t->columns] - characters(t->cells.v[i]) + 4;

		printf("%s%s%s%*s%s", header ? "\033[1;36m" : "", t->cells.v[i],
		       header ? "\033[0m" : "", (int)pad, "", last ? "\n" : "");
	}
	strv_release(&t->cells);
}

void print_key_value(int indent, int width, const char *key, const char *value)
{
	_cleanup_free_ char *text = str_printable(value ? value : "");

	printf("%*s%-*s%s\n", indent, "", width, key, text);
}

void print_field(const char *key, const char *value)
{
	if (value && *value)
		print_key_value(0, FIELD_WIDTH, key, value);
}

void json_add_strings(struct strv *to, json_t *array)
{
	json_t *item;
	size_t i;

	json_array_foreach (array, i, item)
		if (json_is_string(item))
			strv_add(to, json_string_value(item));
}

const char *json_string_of(json_t *j, const char *key)
{
	return json_string_value(json_object_get(j, key));
}

uint64_t json_number_of(json_t *j, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(j, key));
}

char *format_bytes(uint64_t n)
{
	static const char *const units[] = {"KiB", "MiB", "GiB", "TiB"};
	double v = (double)n / KIB;
	size_t u = 0;

	if (n < KIB)
		return xasprintf("%u B", (unsigned)n);
	/* What would be shown as 1024.0 is one of the next unit. */
	for (; v >= 1023.95 && u + 1 < ARRAY_SIZE(units); u++)
		v /= 1024;
	return xasprintf("%.1f %s", v, units[u]);
}

json_t *json_text(const char *s)
{
	json_t *j = s ? json_string(s) : json_null();

	if (!j) {
		_cleanup_free_ char *shown = str_printable(s);

		j = json_string(shown);
	}
	return j;
}

void print_json(json_t *j)
{
	json_dumpf(j, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(j);
}
