/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/log_view.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static bool is_system(const struct log_entry *entry)
{
	return entry->source >= LOG_SYSTEM;
}

static void print_json(const struct log_entry *entry)
{
	_cleanup_free_ char *line = NULL;
	const char *from = entry->source == LOG_SOURCE_KERNEL ? "kernel" : "runtime";

	if (entry->line) {
		fwrite(entry->line, 1, entry->line_len, stdout);
		putchar('\n');
		return;
	}
	line = xmalloc(LOGFILE_LINE_MAX(entry->len));
	fwrite(line, 1,
	       logfile_format(line, entry->time, LOG_SYSTEM, from, 0, entry->text, entry->len),
	       stdout);
}

/* What each line starts with. */
static void print_prefix(const struct log_view *v, const struct log_entry *entry)
{
	char when[RFC3339_LEN];

	if (v->timestamps) {
		rfc3339_format(entry->time, when);
		printf("%s ", when);
	}
	if (v->show_id && is_system(entry))
		fputs("[id:sys] ", stdout);
	else if (v->show_id)
		printf("[id:%3llu] ", (unsigned long long)entry->session);
}

static void print_lines(struct log_view *v, const struct log_entry *entry, const uint8_t *text,
			size_t n)
{
	static const unsigned char colours[] = {36, 35, 32, 34, 96, 95, 92, 94};
	bool coloured = v->color_sessions && !is_system(entry);

	while (n) {
		const uint8_t *nl = memchr(text, '\n', n);
		size_t len = nl ? (size_t)(nl - text) : n;

		if (coloured)
			printf("\033[%um", colours[entry->session % ARRAY_SIZE(colours)]);
		if (!v->in_line)
			print_prefix(v, entry);
		fwrite(text, 1, len, stdout);
		if (coloured)
			fputs("\033[0m", stdout);
		if (nl)
			putchar('\n');
		v->in_line = !nl;
		text += len + (nl != NULL);
		n -= len + (nl != NULL);
	}
}

static const uint8_t *stripped(struct log_view *v, const uint8_t *text, size_t *n)
{
	if (*n > v->scratch_size) {
		free(v->scratch);
		v->scratch = xmalloc(*n);
		v->scratch_size = *n;
	}
	*n = ansi_strip(&v->ansi, text, *n, v->scratch);
	return v->scratch;
}

static void print_text(struct log_view *v, const struct log_entry *entry)
{
	bool system = is_system(entry);
	bool prefixed = v->timestamps || v->show_id || v->color_sessions;
	bool changed = entry->source != v->source || entry->session != v->session;
	const uint8_t *text = entry->text;
	size_t n = entry->len;

	if (changed || system)
		v->ansi = ANSI_TEXT;
	if (n && (v->strip || system))
		text = stripped(v, text, &n);
	/* Without prefixes output is printed byte by byte as it came. */
	if (v->in_line && n && (system || (prefixed && changed))) {
		putchar('\n');
		v->in_line = false;
	}
	v->source = entry->source;
	v->session = entry->session;
	if (prefixed) {
		print_lines(v, entry, text, n);
	} else if (n) {
		fwrite(text, 1, n, stdout);
		v->in_line = text[n - 1] != '\n';
	}
	if (system && v->in_line) {
		putchar('\n');
		v->in_line = false;
	}
}

int log_view_print(struct log_view *v, const struct log_entry *entry)
{
	errno = 0;
	if (v->json)
		print_json(entry);
	else
		print_text(v, entry);
	if (!ferror(stdout))
		return 0;
	return errno ? -errno : -EIO;
}

void log_view_release(struct log_view *v)
{
	free(v->scratch);
	v->scratch = NULL;
}
