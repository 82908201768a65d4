/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bars are a block of lines that is drawn over itself. The cursor, hidden meanwhile, rests at the
 * end of the block's last line, so a redraw goes up from there. Each redraw is one write and only
 * replaces lines, never clears first, so nothing flickers.
 */
#include "cli/progress.h"

#include "base/clock.h"
#include "base/io.h"
#include "cli/cli.h"
#include "cli/progress_view.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#define REDRAW_NS    (100 * NSEC_PER_MSEC)
#define TICK_NS      (1 * NSEC_PER_SEC) /* rates fade when nothing comes */
#define SCREEN_MAX   (256 * KIB)
#define DEFAULT_ROWS 24
#define DEFAULT_COLS 80
#define HIDE_CURSOR  "\033[?25l"
#define SHOW_CURSOR  "\033[?25h"
#define CLEAR_TO_EOL "\033[K"
#define CLEAR_TO_END "\033[J"

struct progress {
	enum progress_mode mode;
	struct progress_view view;
	bool changed;
	uint64_t drawn_ns; /* when it was drawn last */

	/* Bars. */
	bool taken; /* the terminal is ours: no cursor, no echo */
	bool echo_off;
	struct termios before;
	struct buf block; /* what is on the screen */
};

static const struct view_words words[] = {
	[PROGRESS_PULL] = {"Pulling", "downloading"},
	[PROGRESS_LOAD] = {"Loading", "reading"},
	[PROGRESS_SAVE] = {"Saving", "writing"},
};

int progress_mode_parse(const char *value, bool quiet, bool json_allowed, enum progress_mode *ret,
			struct err *e)
{
	static const char *const names[] = {"auto", "bars", "lines", "json", "none"};

	*ret = quiet ? PROGRESS_NONE : PROGRESS_AUTO;
	if (!value)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (strcmp(value, names[i]) != 0 || (i == PROGRESS_JSON && !json_allowed))
			continue;
		*ret = (enum progress_mode)i;
		return 0;
	}
	return err_set(e, ERR_USAGE,
		       "invalid value '%s' for '--progress <HOW>': expected auto, bars, lines%s or "
		       "none",
		       value, json_allowed ? ", json" : "");
}

/* --- the terminal -------------------------------------------------------------------------- */

static void terminal_size(unsigned *rows, unsigned *cols)
{
	struct winsize w;

	*rows = DEFAULT_ROWS;
	*cols = DEFAULT_COLS;
	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &w) < 0 || w.ws_row == 0 || w.ws_col == 0)
		return;
	*rows = w.ws_row;
	*cols = w.ws_col;
}

/* In the background the terminal belongs to others. One that is not ours at all has no owner. */
static bool in_foreground(void)
{
	pid_t owner = tcgetpgrp(STDERR_FILENO);

	return owner < 0 || owner == getpgrp();
}

/* Typed keys would be echoed into the bars. */
static void terminal_take(struct progress *p)
{
	struct termios quiet;

	p->taken = true;
	if (tcgetpgrp(STDERR_FILENO) != getpgrp() || tcgetattr(STDERR_FILENO, &p->before) < 0)
		return;
	quiet = p->before;
	quiet.c_lflag &= ~(tcflag_t)ECHO;
	p->echo_off = tcsetattr(STDERR_FILENO, TCSANOW, &quiet) == 0;
}

static void terminal_give_back(struct progress *p)
{
	if (p->echo_off)
		tcsetattr(STDERR_FILENO, TCSANOW, &p->before);
	p->echo_off = false;
	p->taken = false;
}

/*
 * How many lines the cursor is below the first one of the block. A terminal that has become
 * narrower since has broken the longer lines.
 */
static size_t lines_above(const struct progress *p, unsigned cols)
{
	const char *text = (const char *)buf_data(&p->block);
	size_t lines = 0, len = 0;

	for (size_t i = 0; i < buf_len(&p->block); i++) {
		if (text[i] != '\n') {
			len++;
			continue;
		}
		lines += len ? (len + cols - 1) / cols : 1;
		len = 0;
	}
	return lines ? lines - 1 : 0;
}

static void add_home(struct progress *p, unsigned cols, struct buf *screen)
{
	size_t up = lines_above(p, cols);

	buf_printf(screen, "\r");
	if (up)
		buf_printf(screen, "\033[%zuA", up);
}

/* What a terminal does not take is lost: there is nothing better to do. */
static void write_screen(struct buf *screen)
{
	(void)write_full(STDERR_FILENO, buf_data(screen), buf_len(screen));
	buf_release(screen);
}

static void draw_bars(struct progress *p, uint64_t now)
{
	unsigned rows, cols;
	struct buf screen;
	const char *line, *nl, *end;

	if (!in_foreground())
		return;
	buf_init(&screen, SCREEN_MAX);
	terminal_size(&rows, &cols);
	if (!p->taken) {
		terminal_take(p);
		buf_printf(&screen, HIDE_CURSOR);
	}
	add_home(p, cols, &screen);
	view_tick(&p->view, now);
	buf_consume(&p->block, buf_len(&p->block));
	view_render(&p->view, rows, cols, &p->block);
	line = (const char *)buf_data(&p->block);
	end = line + buf_len(&p->block);
	for (; line < end && (nl = memchr(line, '\n', (size_t)(end - line))); line = nl + 1) {
		buf_append(&screen, line, (size_t)(nl - line));
		buf_printf(&screen, CLEAR_TO_EOL "%s", nl + 1 < end ? "\n" : "");
	}
	buf_printf(&screen, CLEAR_TO_END);
	write_screen(&screen);
}

static void clear_bars(struct progress *p)
{
	unsigned rows, cols;
	struct buf screen;

	if (!p->taken)
		return;
	terminal_size(&rows, &cols);
	buf_init(&screen, SCREEN_MAX);
	if (in_foreground())
		add_home(p, cols, &screen);
	buf_consume(&p->block, buf_len(&p->block));
	buf_printf(&screen, "%s" SHOW_CURSOR, in_foreground() ? CLEAR_TO_END : "");
	write_screen(&screen);
	terminal_give_back(p);
}

/* --- life ---------------------------------------------------------------------------------- */

struct progress *progress_new(enum progress_mode mode, enum progress_task task, const char *subject)
{
	struct progress *p = xcalloc(1, sizeof(*p));

	if (mode == PROGRESS_AUTO)
		mode = isatty(STDERR_FILENO) ? PROGRESS_BARS : PROGRESS_LINES;
	p->mode = mode;
	p->view.words = &words[task];
	p->view.subject = subject;
	buf_init(&p->block, SCREEN_MAX);
	return p;
}

struct progress *progress_free(struct progress *p)
{
	clear_bars(p);
	view_release(&p->view);
	buf_release(&p->block);
	free(p);
	return NULL;
}

bool progress_has_bars(const struct progress *p)
{
	return p->mode == PROGRESS_BARS;
}

void progress_resized(struct progress *p)
{
	p->changed = true;
	p->drawn_ns = 0;
}

void progress_suspend(struct progress *p)
{
	clear_bars(p);
}

void progress_resume(struct progress *p)
{
	progress_resized(p);
}

int progress_wait_ms(const struct progress *p)
{
	uint64_t now = clock_mono_ns(), due;

	if (p->mode != PROGRESS_BARS || (!p->changed && !view_active(&p->view)))
		return -1;
	due = p->drawn_ns + (p->changed ? REDRAW_NS : TICK_NS);
	return due <= now ? 0 : (int)((due - now) / NSEC_PER_MSEC) + 1;
}

void progress_draw(struct progress *p)
{
	if (progress_wait_ms(p) != 0)
		return;
	p->drawn_ns = clock_mono_ns();
	p->changed = false;
	draw_bars(p, p->drawn_ns);
}

/* --- events -------------------------------------------------------------------------------- */

static void print_event(json_t *j)
{
	char *text = j ? json_dumps(j, JSON_COMPACT) : NULL;

	if (text) {
		puts(text);
		fflush(stdout);
	}
	free(text);
	json_decref(j);
}

void progress_print_complete(json_t *images)
{
	print_event(json_pack("{s:s, s:o}", "event", "complete", "images", images));
}

void progress_print_error(const struct err *e)
{
	print_event(json_pack("{s:s, s:{s:s, s:s, s:s?}}", "event", "error", "error", "code",
			      err_code_name(e->code), "message", e->msg, "hint",
			      e->hint[0] ? e->hint : NULL));
}

void progress_interrupted(struct progress *p, const struct err *e)
{
	if (p->mode == PROGRESS_JSON)
		progress_print_error(e);
}

static void layer_event(const char *digest, enum view_state state, uint64_t done, uint64_t total)
{
	json_int_t of = (json_int_t)total;

	switch (state) {
	case VIEW_TRANSFERRING:
		print_event(json_pack("{s:s, s:s, s:I, s:I}", "event", "layer_download_progress",
				      "digest", digest, "downloaded_bytes", (json_int_t)done,
				      "total_bytes", of));
		break;
	case VIEW_UNPACKING:
		print_event(json_pack("{s:s, s:s, s:I}", "event", "layer_download_complete",
				      "digest", digest, "total_bytes", of));
		break;
	case VIEW_EXISTS:
		print_event(json_pack("{s:s, s:s, s:I}", "event", "layer_exists", "digest", digest,
				      "total_bytes", of));
		break;
	case VIEW_DONE:
		print_event(json_pack("{s:s, s:s, s:I}", "event", "layer_materialize_complete",
				      "digest", digest, "total_bytes", of));
		break;
	case VIEW_WAITING:
	case VIEW_STATE_COUNT:
		break;
	}
}

static void layer_line(const char *digest, enum view_state state, uint64_t total)
{
	char *bytes;

	if (state != VIEW_EXISTS && state != VIEW_DONE)
		return;
	bytes = format_bytes(total);
	fprintf(stderr, "   layer %.*s  %s%s\n", VIEW_NAME_LEN, view_short_digest(digest), bytes,
		state == VIEW_EXISTS ? "  (exists)" : "");
	free(bytes);
}

static void take_layer(struct progress *p, json_t *j)
{
	static const char *const names[VIEW_STATE_COUNT] = {"waiting", "downloading", "unpacking",
							    "exists", "done"};
	const char *digest = NULL, *name = NULL;
	json_int_t done = 0, total = 0;
	size_t state = 0;

	if (json_unpack(j, "{s:s, s:s, s:I, s:I}", "digest", &digest, "state", &name, "done", &done,
			"total", &total) < 0 ||
	    done < 0 || total < 0)
		return;
	while (state < VIEW_STATE_COUNT && strcmp(names[state], name) != 0)
		state++;
	if (state == VIEW_STATE_COUNT)
		return;
	p->view.stage = VIEW_TRANSFER;
	view_set_layer(&p->view, digest, state, (uint64_t)done, (uint64_t)total);
	if (p->mode == PROGRESS_JSON)
		layer_event(digest, state, (uint64_t)done, (uint64_t)total);
	else if (p->mode == PROGRESS_LINES)
		layer_line(digest, state, (uint64_t)total);
}

static void take_stage(struct progress *p, const char *stage)
{
	if (str_eq(stage, "resolve")) {
		p->view.stage = VIEW_RESOLVE;
		if (p->mode == PROGRESS_JSON)
			print_event(json_pack("{s:s, s:s}", "event", "resolving", "reference",
					      p->view.subject));
	} else if (str_eq(stage, "metadata")) {
		p->view.stage = VIEW_METADATA;
		if (p->mode == PROGRESS_JSON)
			print_event(json_pack("{s:s}", "event", "stitch_merging_trees"));
		else if (p->mode == PROGRESS_LINES)
			fputs("   merging layers\n", stderr);
	} else if (str_eq(stage, "download") && p->mode == PROGRESS_LINES) {
		fprintf(stderr, "   %s %s\n", p->view.words->transfer, p->view.subject);
	}
}

static void take_resolved(struct progress *p, json_t *j)
{
	if (p->mode != PROGRESS_JSON)
		return;
	json_object_set_new(j, "reference", json_string(p->view.subject));
	print_event(json_incref(j));
}

void progress_take(struct progress *p, const char *line, size_t len)
{
	json_t *j;
	const char *event;

	if (p->mode == PROGRESS_NONE)
		return;
	j = json_loadb(line, len, 0, NULL);
	event = json_string_value(json_object_get(j, "event"));
	if (str_eq(event, "layer"))
		take_layer(p, j);
	else if (str_eq(event, "stage"))
		take_stage(p, json_string_value(json_object_get(j, "stage")));
	else if (str_eq(event, "resolved"))
		take_resolved(p, j);
	p->changed = true;
	json_decref(j);
}
