/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/logread.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "sandbox/ansi.h"
#include "sandbox/logstream.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define PLAIN_LINE_MAX ((size_t)64 << 10)
#define TAIL_FIRST     (64 * KIB) /* how much of the end is tried first, */
#define TAIL_FACTOR    4          /* and how much more each time after */

/* A log and its first entry that has not been handed out. */
struct source {
	struct logstream lines;
	bool open;
	bool plain;      /* lines of text, not entries */
	unsigned source; /* of a plain one */
	uint64_t time;   /* of the last line that had one */

	bool has_head;
	bool handed_out; /* the head, which its user may still look at */
	struct log_entry head;
	json_t *json;     /* owns the head's text, */
	uint8_t *decoded; /* or this does */
};

struct log_reader {
	struct log_filter filter;
	struct source sources[3];
	uint64_t skip;    /* entries still to leave out */
	uint8_t *scratch; /* for text without escape sequences, or NULL */
};

/* --- entries ------------------------------------------------------------------------------- */

static bool find_source(const char *name, unsigned *ret)
{
	for (unsigned i = 0; i < LOG_STREAM_COUNT; i++) {
		if (strcmp(name, log_stream_name((enum log_stream)i)) == 0) {
			*ret = i;
			return true;
		}
	}
	return false;
}

static void drop_head(struct source *s)
{
	json_decref(s->json);
	s->json = NULL;
	free(s->decoded);
	s->decoded = NULL;
	s->has_head = s->handed_out = false;
}

/* Fills the head from a line of exec.log. False if it is no entry. */
static bool parse_entry(struct source *s, const char *line, size_t len)
{
	const char *t, *name, *text, *encoding = NULL;
	json_int_t session = 0;
	size_t n;

	/* A program that prints zeros puts \u0000 there. */
	s->json = json_loadb(line, len, JSON_ALLOW_NUL, NULL);
	if (json_unpack(s->json, "{s:s, s:s, s:s%, s?I, s?s}", "t", &t, "s", &name, "d", &text, &n,
			"id", &session, "e", &encoding) < 0 ||
	    !find_source(name, &s->head.source) || rfc3339_parse(t, &s->head.time) < 0)
		return false;
	if (encoding) {
		s->decoded = xmalloc(n + 1);
		n = base64_decode(text, n, s->decoded, &(size_t){0});
		text = (const char *)s->decoded;
	}
	s->head.session = session > 0 ? (uint64_t)session : 0;
	s->head.text = (const uint8_t *)text;
	s->head.len = n;
	s->head.line = line;
	s->head.line_len = len;
	return true;
}

/* Fills the head from a line that may start with a time. */
static void parse_plain(struct source *s, const char *line, size_t len)
{
	char when[RFC3339_LEN];
	const char *space = memchr(line, ' ', MIN(len, sizeof(when)));
	size_t n = space ? (size_t)(space - line) : 0;

	if (n && n < sizeof(when)) {
		memcpy(when, line, n);
		when[n] = '\0';
		if (rfc3339_parse(when, &s->time) == 0) {
			line += n + 1;
			len -= n + 1;
		}
	}
	while (len && line[len - 1] == '\r')
		len--;
	s->head = (struct log_entry){
		.time = s->time,
		.source = s->source,
		.text = (const uint8_t *)line,
		.len = len,
	};
}

/* --- filters ------------------------------------------------------------------------------- */

/* Most lines that are left out need no look at their text, and so no parser. */
static bool is_unwanted(const struct log_filter *f, const char *line, size_t len)
{
	static const char before[] = "{\"t\":\"", between[] = "\",\"s\":\"";
	char when[RFC3339_LEN], name[16];
	uint64_t time = 0;
	unsigned source;
	const char *end;
	size_t n;

	if (len < sizeof(before) || memcmp(line, before, sizeof(before) - 1) != 0)
		return false;
	line += sizeof(before) - 1;
	len -= sizeof(before) - 1;
	end = memchr(line, '"', MIN(len, sizeof(when)));
	n = end ? (size_t)(end - line) : sizeof(when);
	if (n >= sizeof(when) || len - n < sizeof(between) + sizeof(name) ||
	    memcmp(end, between, sizeof(between) - 1) != 0)
		return false;
	memcpy(when, line, n);
	when[n] = '\0';
	memcpy(name, end + sizeof(between) - 1, sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	name[strcspn(name, "\"")] = '\0';
	if (!find_source(name, &source))
		return false;
	if (!f->sources[source])
		return true;
	if (f->since == 0 && f->until == UINT64_MAX)
		return false;
	return rfc3339_parse(when, &time) == 0 && (time < f->since || time >= f->until);
}

static bool passes(struct log_reader *r, const struct log_entry *entry)
{
	const struct log_filter *f = &r->filter;
	enum ansi_state state = ANSI_TEXT;
	regmatch_t range = {0};
	size_t n;

	if (!f->sources[entry->source] || entry->time < f->since || entry->time >= f->until)
		return false;
	if (!f->grep)
		return true;
	/* An entry of the file can hold more than ours do. */
	n = MIN(entry->len, LOGFILE_LINE_MAX(LOGFILE_ENTRY_MAX));
	n = ansi_strip(&state, entry->text, n, r->scratch);
	range.rm_eo = (regoff_t)n;
	return regexec(f->grep, (const char *)r->scratch, 1, &range, REG_STARTEND) == 0;
}

/* Makes the next entry that passes the head. 1, 0 or -errno. */
static int advance(struct log_reader *r, struct source *s, bool last)
{
	size_t len;
	char *line;
	int found;

	while (!s->has_head && (found = logstream_next(&s->lines, last, &line, &len)) != 0) {
		if (found < 0)
			return found;
		if (!s->plain && is_unwanted(&r->filter, line, len))
			continue;
		s->has_head = true;
		if (s->plain)
			parse_plain(s, line, len);
		else if (!parse_entry(s, line, len))
			s->has_head = false;
		if (!s->has_head || !passes(r, &s->head))
			drop_head(s);
	}
	return s->has_head;
}

/* --- the reader ---------------------------------------------------------------------------- */

static int open_source(struct log_reader *r, struct source *s, int dirfd, const char *name)
{
	int e = logstream_open(&s->lines, dirfd, name,
			       s->plain ? PLAIN_LINE_MAX : LOGFILE_LINE_MAX(LOGFILE_ENTRY_MAX),
			       s->plain);

	s->open = e == 0;
	return e;
}

int log_reader_open(int dirfd, const struct log_filter *filter, struct log_reader **ret)
{
	struct log_reader *r = xcalloc(1, sizeof(*r));
	/* Of entries with the same time the first of these comes first. */
	struct source *runtime = &r->sources[0], *kernel = &r->sources[1], *exec = &r->sources[2];
	bool wants_exec = false;
	int e = 0;

	r->filter = *filter;
	if (filter->grep)
		r->scratch = xmalloc(LOGFILE_LINE_MAX(LOGFILE_ENTRY_MAX));
	*runtime = (struct source){.plain = true, .source = LOG_SOURCE_RUNTIME};
	*kernel = (struct source){.plain = true, .source = LOG_SOURCE_KERNEL};
	for (unsigned i = 0; i < LOG_STREAM_COUNT; i++)
		wants_exec |= filter->sources[i];
	if (wants_exec)
		e = open_source(r, exec, dirfd, "exec.log");
	if (e == 0 && filter->sources[LOG_SOURCE_KERNEL])
		e = open_source(r, kernel, dirfd, "kernel.log");
	if (e == 0 && filter->sources[LOG_SOURCE_RUNTIME])
		e = open_source(r, runtime, dirfd, "runtime.log");
	if (e < 0)
		log_reader_free(r);
	else
		*ret = r;
	return e;
}

void log_reader_free(struct log_reader *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(r->sources); i++) {
		drop_head(&r->sources[i]);
		if (r->sources[i].open)
			logstream_close(&r->sources[i].lines);
	}
	free(r->scratch);
	free(r);
}

/* Counts what passes in the last `back` bytes, and goes back there. */
static int count(struct log_reader *r, struct source *s, uint64_t back, uint64_t *ret)
{
	int found;

	s->time = 0;
	logstream_seek(&s->lines, back);
	for (*ret = 0; (found = advance(r, s, true)) > 0; ++*ret)
		drop_head(s);
	s->time = 0;
	logstream_seek(&s->lines, back);
	return found;
}

int log_reader_tail(struct log_reader *r, uint64_t n)
{
	uint64_t all = 0;

	for (size_t i = 0; i < ARRAY_SIZE(r->sources); i++) {
		struct source *s = &r->sources[i];
		uint64_t size = s->open ? logstream_size(&s->lines) : 0, found = 0;
		/* Lines of the runtime have no times but that of the first; the log is short. */
		uint64_t back = s->source == LOG_SOURCE_RUNTIME ? size : TAIL_FIRST;
		int e;

		if (!s->open)
			continue;
		while ((e = count(r, s, back, &found)) == 0 && found < n && back < size)
			back *= TAIL_FACTOR;
		if (e < 0)
			return e;
		all += found;
	}
	/* Each log has its last n from here, so the last n of them all are among these. */
	r->skip = all - MIN(all, n);
	return 0;
}

void log_reader_follow(struct log_reader *r)
{
	for (size_t i = 0; i < ARRAY_SIZE(r->sources); i++)
		if (r->sources[i].open)
			logstream_follow(&r->sources[i].lines);
}

int log_reader_next(struct log_reader *r, bool last, struct log_entry *ret)
{
	for (;;) {
		struct source *next = NULL;

		for (size_t i = 0; i < ARRAY_SIZE(r->sources); i++) {
			struct source *s = &r->sources[i];
			int e;

			/* The entry that was handed out is not needed any more. */
			if (s->handed_out)
				drop_head(s);
			e = s->open ? advance(r, s, last) : 0;
			if (e < 0)
				return e;
			if (e > 0 && (!next || s->head.time < next->head.time))
				next = s;
		}
		if (!next)
			return 0;
		*ret = next->head;
		next->handed_out = true;
		if (r->skip == 0)
			return 1;
		r->skip--;
	}
}

bool log_reader_missed(struct log_reader *r)
{
	bool missed = false;

	for (size_t i = 0; i < ARRAY_SIZE(r->sources); i++) {
		missed |= r->sources[i].lines.missed;
		r->sources[i].lines.missed = false;
	}
	return missed;
}
