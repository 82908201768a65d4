/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/progress_view.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "cli/cli.h"

#include <stdio.h>
#include <string.h>

#define SAMPLE_NS   (500 * NSEC_PER_MSEC)
#define SMOOTHING   0.4 /* what the newest sample counts */
#define INDENT      3
#define STATE_WIDTH 11 /* "downloading" */
#define SIZES_WIDTH 23 /* "1023.9 MiB / 1023.9 MiB" */
#define RATE_WIDTH  12
#define BAR_MIN     10
#define BAR_MAX     40
#define COLS_MAX    512U

void view_release(struct progress_view *v)
{
	for (size_t i = 0; i < v->n_layers; i++)
		free(v->layers[i].digest);
	free(v->layers);
	*v = (struct progress_view){0};
}

static struct view_layer *layer_slot(struct progress_view *v, const char *digest)
{
	struct view_layer *l;

	for (size_t i = 0; i < v->n_layers; i++)
		if (strcmp(v->layers[i].digest, digest) == 0)
			return &v->layers[i];
	if (v->n_layers == VIEW_LAYERS_MAX)
		return NULL;
	v->layers = xreallocarray(v->layers, v->n_layers + 1, sizeof(*v->layers));
	l = &v->layers[v->n_layers++];
	*l = (struct view_layer){.digest = xstrdup(digest)};
	return l;
}

void view_set_layer(struct progress_view *v, const char *digest, enum view_state state,
		    uint64_t done, uint64_t total)
{
	struct view_layer *l = layer_slot(v, digest);

	if (!l)
		return;
	l->state = state;
	l->total = MAX(l->total, total);
	l->done = MIN(done, l->total);
}

bool view_active(const struct progress_view *v)
{
	for (size_t i = 0; i < v->n_layers; i++)
		if (v->layers[i].state == VIEW_TRANSFERRING)
			return true;
	return false;
}

/* What was there from the start has not been transferred, and says nothing about speed. */
static bool counts_for_rate(const struct view_layer *l)
{
	return l->state != VIEW_EXISTS;
}

static void rate_sample(struct view_rate *r, uint64_t bytes, uint64_t now)
{
	double seconds = (double)(now - r->since_ns) / NSEC_PER_SEC, fresh;

	if (r->since_ns && now - r->since_ns < SAMPLE_NS)
		return;
	if (r->since_ns && bytes >= r->bytes) {
		fresh = (double)(bytes - r->bytes) / seconds;
		r->per_second += r->per_second > 0 ? (fresh - r->per_second) * SMOOTHING : fresh;
	}
	r->since_ns = now;
	r->bytes = bytes;
}

void view_tick(struct progress_view *v, uint64_t now_ns)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < v->n_layers; i++) {
		struct view_layer *l = &v->layers[i];

		if (l->state == VIEW_TRANSFERRING)
			rate_sample(&l->rate, l->done, now_ns);
		bytes += counts_for_rate(l) ? l->done : 0;
	}
	rate_sample(&v->rate, bytes, now_ns);
}

const char *view_short_digest(const char *digest)
{
	const char *colon = strchr(digest, ':');

	return colon ? colon + 1 : digest;
}

/* --- drawing ------------------------------------------------------------------------------- */

/* A line under construction. What does not fit is cut off. */
struct line {
	char text[COLS_MAX * 4];
	size_t len;
};

static void add(struct line *l, const char *fmt, ...) PRINTF_FORMAT(2, 3);

static void add(struct line *l, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(l->text + l->len, sizeof(l->text) - l->len, fmt, ap);
	va_end(ap);
	if (n > 0)
		l->len = MIN(l->len + (size_t)n, sizeof(l->text) - 1);
}

/* References, digests and file names: one byte is taken for one column, a control for none. */
static void emit(struct line *l, unsigned cols, struct buf *out)
{
	size_t n = MIN(l->len, (size_t)cols - 1);

	while (n > 0 && l->text[n - 1] == ' ')
		n--;
	/* Never half a character. */
	while (n > 0 && n < l->len && ((unsigned char)l->text[n] & 0xc0) == 0x80)
		n--;
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)l->text[i] < ' ' || l->text[i] == 0x7f)
			l->text[i] = '?';
	buf_append(out, l->text, n);
	buf_append(out, "\n", 1);
}

static const char *state_name(const struct progress_view *v, enum view_state state)
{
	static const char *const names[VIEW_STATE_COUNT] = {"waiting", NULL, "unpacking", "exists",
							    "done"};

	return names[state] ? names[state] : v->words->transfer;
}

static void add_bar(struct line *l, unsigned width, uint64_t done, uint64_t total)
{
	unsigned inner = width - 2, full = 0;

	if (total)
		full = (unsigned)((double)done / (double)total * inner);
	full = MIN(full, inner);
	add(l, "[");
	for (unsigned i = 0; i < inner; i++)
		add(l, "%c", i < full ? '=' : i == full && done > 0 ? '>' : ' ');
	add(l, "]");
}

static unsigned percent(uint64_t done, uint64_t total)
{
	return total ? (unsigned)((double)done / (double)total * 100) : 0;
}

static char *sizes_text(uint64_t done, uint64_t total)
{
	_cleanup_free_ char *a = format_bytes(done), *b = format_bytes(total);

	return done == total ? xstrdup(b) : xasprintf("%s / %s", a, b);
}

static char *rate_text(double per_second)
{
	_cleanup_free_ char *bytes = NULL;

	if (per_second < 1)
		return xstrdup("");
	bytes = format_bytes((uint64_t)per_second);
	return xasprintf("%s/s", bytes);
}

static void draw_layer(const struct progress_view *v, const struct view_layer *l, unsigned cols,
		       struct buf *out)
{
	unsigned fixed = INDENT + VIEW_NAME_LEN + 2 + STATE_WIDTH + 2; /* name and state */
	unsigned room = cols - 1;
	bool moving = l->state == VIEW_TRANSFERRING;
	struct line line = {.len = 0};

	if (room < fixed + BAR_MIN + 2 + 4) {
		/* No bar at all: name, state if it fits, percentage. */
		add(&line, "%.*s ", VIEW_NAME_LEN, view_short_digest(l->digest));
		if (room >= VIEW_NAME_LEN + 1 + STATE_WIDTH + 5)
			add(&line, "%-*s ", STATE_WIDTH, state_name(v, l->state));
		add(&line, "%3u%%", percent(l->done, l->total));
	} else {
		bool sizes = room >= fixed + BAR_MIN + 2 + SIZES_WIDTH;
		bool rate = room >= fixed + BAR_MIN + 2 + SIZES_WIDTH + 2 + RATE_WIDTH;
		unsigned tail = 2 + (sizes ? SIZES_WIDTH : 4) + (rate ? 2 + RATE_WIDTH : 0);
		_cleanup_free_ char *bytes = sizes_text(l->done, l->total);
		_cleanup_free_ char *speed = rate_text(moving ? l->rate.per_second : 0);

		add(&line, "%*s%.*s  %-*s  ", INDENT, "", VIEW_NAME_LEN,
		    view_short_digest(l->digest), STATE_WIDTH, state_name(v, l->state));
		add_bar(&line, MIN(room - fixed - tail, (unsigned)BAR_MAX), l->done, l->total);
		if (sizes)
			add(&line, "  %*s", SIZES_WIDTH, bytes);
		else
			add(&line, "  %3u%%", percent(l->done, l->total));
		if (rate)
			add(&line, "  %*s", RATE_WIDTH, speed);
	}
	emit(&line, cols, out);
}

static void draw_sum(const struct progress_view *v, unsigned cols, struct buf *out)
{
	uint64_t done = 0, total = 0;
	size_t complete = 0;
	struct line line = {.len = 0};
	unsigned indent = cols > 40 ? INDENT : 0;

	for (size_t i = 0; i < v->n_layers; i++) {
		done += v->layers[i].done;
		total += v->layers[i].total;
		complete += v->layers[i].state >= VIEW_EXISTS;
	}
	add(&line, "%*s", (int)indent, "");
	if (v->stage == VIEW_METADATA) {
		add(&line, "Merging %zu layers of %s", v->n_layers, v->subject);
	} else if (v->n_layers == 0) {
		add(&line, "%s %s", v->words->verb, v->subject);
	} else {
		_cleanup_free_ char *bytes = sizes_text(done, total);
		_cleanup_free_ char *speed = rate_text(view_active(v) ? v->rate.per_second : 0);

		/* The numbers first: the subject may be longer than the line. */
		add(&line, "%zu/%zu layers  %s  %s%s%s", complete, v->n_layers, bytes, speed,
		    *speed ? "  " : "", v->subject);
	}
	emit(&line, cols, out);
}

/* How much a layer deserves one of too few lines. */
static int importance(const struct view_layer *l)
{
	switch (l->state) {
	case VIEW_TRANSFERRING:
	case VIEW_UNPACKING:
		return 2;
	case VIEW_WAITING:
		return 1;
	case VIEW_EXISTS:
	case VIEW_DONE:
	case VIEW_STATE_COUNT:
		break;
	}
	return 0;
}

/* Marks `room` layers: the most important ones, of equals the first. */
static void choose(const struct progress_view *v, size_t room, bool *chosen)
{
	for (int level = 2; level >= 0 && room > 0; level--) {
		for (size_t i = 0; i < v->n_layers && room > 0; i++) {
			if (importance(&v->layers[i]) != level)
				continue;
			chosen[i] = true;
			room--;
		}
	}
}

size_t view_render(const struct progress_view *v, unsigned rows, unsigned cols, struct buf *out)
{
	_cleanup_free_ bool *chosen = xcalloc(v->n_layers + 1, sizeof(*chosen));
	size_t room, n = 0;

	cols = MIN(MAX(cols, 2U), COLS_MAX);
	room = MAX(rows, 1U) - 1; /* but for the sum */
	choose(v, v->stage == VIEW_TRANSFER ? room : 0, chosen);
	for (size_t i = 0; i < v->n_layers; i++) {
		if (!chosen[i])
			continue;
		draw_layer(v, &v->layers[i], cols, out);
		n++;
	}
	draw_sum(v, cols, out);
	return n + 1;
}
