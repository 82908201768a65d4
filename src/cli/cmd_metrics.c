/* SPDX-License-Identifier: Apache-2.0 */
/*
 * msb metrics: what sandboxes use. Their monitors know, and are asked all at once; from here on a
 * sandbox is the object that its monitor answered, with its labels added.
 */
#include "cli/commands.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "cli/metrics_http.h"
#include "cli/metrics_view.h"
#include "cli/prometheus.h"
#include "sandbox/control_each.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>

#define ANSWER_TIMEOUT   NSEC_PER_SEC
#define INTERVAL_DEFAULT 1000 /* ms */
#define INTERVAL_MIN     100

struct metrics_args {
	struct strv labels;
	bool watch;
	uint64_t interval; /* ms; 0: not given */
	bool all;
	char *sort;
	char *format;
	bool prometheus;
	char *listen;
};

#define FIELD(name) offsetof(struct metrics_args, name)

static int opt_interval(const char *value, void *field, struct err *e)
{
	uint64_t ms;

	if (opt_duration_ms(value, &ms, e) < 0)
		return -1;
	if (ms < INTERVAL_MIN)
		return err_set(e, ERR_INVALID, "must be at least %d ms", INTERVAL_MIN);
	*(uint64_t *)field = ms;
	return 0;
}

static const struct opt opts[] = {
	{"watch", 'w', NULL, NULL, FIELD(watch), "Go on, until interrupted"},
	{"interval", 0, "DURATION", opt_interval, FIELD(interval),
	 "How often to look with --watch, e.g. 5s or 500ms [default: 1s]"},
	{"all", 'a', NULL, NULL, FIELD(all), "Those not running, too"},
	LABEL_OPT(struct metrics_args),
	{"sort", 0, "KEY", opt_string, FIELD(sort), "Order: cpu, mem, name [default: name]",
	 "cpu mem name"},
	{"format", 0, "FORMAT", opt_string, FIELD(format), "json", "json"},
	{"prometheus", 0, NULL, NULL, FIELD(prometheus), "Print them in Prometheus' text format"},
	{"listen", 0, "ADDRESS:PORT", opt_string, FIELD(listen),
	 "Serve that on the loopback interface instead; port 0: a free one"},
	{0},
};

const struct opt *const metrics_options[] = {opts, NULL};
const size_t metrics_args_size = sizeof(struct metrics_args);

/* What one look is taken with. */
struct look {
	struct cli *cli;
	const struct metrics_args *args;
	const struct strv *names;
	bool again; /* it is not the first one: what has ended meanwhile is no error */
};

/* --- choosing ------------------------------------------------------------------------------ */

struct rows {
	struct sandbox_row *v;
	size_t n;
};

static bool has_row(const struct rows *rows, const char *name)
{
	for (size_t i = 0; i < rows->n; i++)
		if (strcmp(rows->v[i].name, name) == 0)
			return true;
	return false;
}

static int add_named(const struct look *l, const char *name, struct rows *rows, struct err *e)
{
	struct cli *cli = l->cli;
	struct sandbox_row row;

	if (has_row(rows, name))
		return 0;
	if (sandboxes_get(&cli->db, &cli->home, name, &row, e) < 0)
		return l->again && e->code == ERR_NOT_FOUND ? 0 : -1;
	if (!sandbox_is_up(&row) && !l->args->all) {
		sandbox_row_release(&row);
		return l->again ? 0 : err_set(e, ERR_STATE, "sandbox is not running: %s", name);
	}
	rows->v = xreallocarray(rows->v, rows->n + 1, sizeof(*rows->v));
	rows->v[rows->n++] = row;
	return 0;
}

static int choose(const struct look *l, struct rows *ret, struct err *e)
{
	const struct metrics_args *a = l->args;
	const struct sandbox_query q = {
		.labels = &a->labels, .running = !a->all, .by_name = true, .with_labels = true};
	struct cli *cli = l->cli;

	*ret = (struct rows){0};
	if ((l->names->n == 0 || a->labels.n) &&
	    sandboxes_list(&cli->db, &cli->home, &q, &ret->v, &ret->n, e) < 0)
		return -1;
	for (size_t i = 0; i < l->names->n; i++) {
		if (add_named(l, l->names->v[i], ret, e) < 0) {
			sandbox_rows_free(ret->v, ret->n);
			return -1;
		}
	}
	return 0;
}

/* --- asking -------------------------------------------------------------------------------- */

/* For one that has no metrics. */
static json_t *without(const struct sandbox_row *row, const char *state)
{
	_cleanup_free_ char *lower = xstrdup(state);

	for (char *p = lower; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	return json_pack("{s:s, s:s}", "name", row->name, "state", lower);
}

static json_t *describe(const struct metrics_args *a, const struct sandbox_row *row,
			struct control_answer *answer)
{
	json_t *j = NULL;

	if (answer && answer->outcome == CONTROL_ANSWERED)
		j = answer->json;
	else if (answer && answer->outcome == CONTROL_SILENT)
		j = without(row, "stalled");
	else if (answer && a->all)
		j = without(row, "stopped"); /* this moment */
	else if (!answer && a->all)
		j = without(row, sandbox_status_name(row->status));
	if (!j)
		return NULL;
	json_object_del(j, "ok");
	json_object_set(j, "labels", row->labels);
	return j;
}

static enum metrics_order order_of(const struct metrics_args *a)
{
	if (str_eq(a->sort, "cpu"))
		return METRICS_BY_CPU;
	return str_eq(a->sort, "mem") ? METRICS_BY_MEMORY : METRICS_BY_NAME;
}

/* The chosen sandboxes as an owned array; NULL with an error. */
static json_t *look_at(const struct look *l, struct err *e)
{
	const struct sandbox_row **up;
	struct control_answer *answers;
	json_t *request, *list;
	struct rows rows;
	size_t n = 0, k = 0;

	if (choose(l, &rows, e) < 0)
		return NULL;
	up = xcalloc(rows.n + 1, sizeof(struct sandbox_row *));
	answers = xcalloc(rows.n + 1, sizeof(*answers));
	for (size_t i = 0; i < rows.n; i++)
		if (sandbox_is_up(&rows.v[i]))
			up[n++] = &rows.v[i];
	request = json_pack("{s:s}", "op", "metrics");
	control_call_each(&l->cli->home, up, n, request, ANSWER_TIMEOUT, answers);
	json_decref(request);
	list = json_array();
	for (size_t i = 0; i < rows.n; i++) {
		bool asked = k < n && up[k] == &rows.v[i];
		json_t *j = describe(l->args, &rows.v[i], asked ? &answers[k++] : NULL);

		if (j)
			json_array_append_new(list, j);
	}
	metrics_sort(list, order_of(l->args));
	free(up);
	free(answers);
	sandbox_rows_free(rows.v, rows.n);
	if (l->names->n && !l->again && json_array_size(list) == 0) {
		/* It has just ended. */
		err_set(e, ERR_STATE, "sandbox is not running: %s", l->names->v[0]);
		json_decref(list);
		return NULL;
	}
	return list;
}

/* --- printing ------------------------------------------------------------------------------ */

/* With one name JSON is an object, not a list. */
static bool is_single(const struct look *l)
{
	return l->names->n == 1 && l->args->labels.n == 0;
}

static void print_note(const struct look *l, json_t *list)
{
	if (json_array_size(list) == 0)
		fputs(l->args->all ? "No sandboxes found.\n" : "No running sandboxes.\n", stderr);
}

static void print_once(const struct look *l, json_t *list)
{
	if (l->args->prometheus) {
		prometheus_write(list, stdout);
	} else if (l->args->format) {
		print_json(json_incref(is_single(l) ? json_array_get(list, 0) : list));
	} else {
		metrics_print_table(list, SIZE_MAX);
		print_note(l, list);
	}
}

/* --- watching ------------------------------------------------------------------------------ */

/* Draws over the table before it, which had so many lines; returns the lines of this one. */
static size_t redraw(json_t *list, size_t lines)
{
	struct winsize ws = {0};
	size_t room = SIZE_MAX, n = json_array_size(list);

	/* The header, what is left out, and the line of the cursor. */
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws) == 0 && ws.ws_row > 4)
		room = ws.ws_row - 3U;
	if (lines)
		printf("\033[%zuA", lines);
	/* A line that is too long is cut, so that one line stays one. */
	fputs("\r\033[J\033[?7l", stdout);
	lines = metrics_print_table(list, room);
	if (n == 0) {
		puts("No running sandboxes.");
		lines = 1;
	} else if (n > room) {
		printf("... and %zu more\n", n - room);
		lines++;
	}
	fputs("\033[?7h", stdout);
	return lines;
}

static void print_line(const struct look *l, json_t *list)
{
	json_dumpf(is_single(l) ? json_array_get(list, 0) : list, stdout, JSON_COMPACT);
	putchar('\n');
}

static void sleep_until(uint64_t when)
{
	struct timespec ts = {.tv_sec = (time_t)(when / NSEC_PER_SEC),
			      .tv_nsec = (long)(when % NSEC_PER_SEC)};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) != 0)
		;
}

/* Ctrl-C ends it; so does the end of all that were named. */
static int watch(struct look *l, struct err *e)
{
	uint64_t interval =
		(l->args->interval ? l->args->interval : INTERVAL_DEFAULT) * NSEC_PER_MSEC;
	bool live = !l->args->format && isatty(STDOUT_FILENO);
	uint64_t next = clock_mono_ns();
	size_t lines = 0;
	json_t *list;

	/* A table is written at once. */
	setvbuf(stdout, NULL, _IOFBF, 64 * KIB);
	while ((list = look_at(l, e))) {
		bool over = l->names->n && json_array_size(list) == 0;

		if (over) {
			json_decref(list);
			return 0;
		}
		if (live) {
			lines = redraw(list, lines);
		} else if (l->args->format) {
			print_line(l, list);
		} else {
			print_once(l, list);
			putchar('\n');
		}
		json_decref(list);
		if (fflush(stdout) != 0)
			return err_set(e, ERR_SYSTEM, "cannot write to standard output");
		l->again = true;
		next = MAX(next + interval, clock_mono_ns());
		sleep_until(next);
	}
	return -1;
}

/* --- serving ------------------------------------------------------------------------------- */

static int write_page(void *ctx, FILE *out)
{
	struct err e = {0};
	json_t *list = look_at(ctx, &e);

	if (!list) {
		err_print(&e);
		return -1;
	}
	prometheus_write(list, out);
	json_decref(list);
	return 0;
}

static int serve(struct look *l, struct err *e)
{
	char url[80];
	int fd = metrics_http_listen(l->args->listen, url, e);

	if (fd < 0)
		return -1;
	puts(url);
	fflush(stdout);
	l->again = true;
	return metrics_http_serve(fd, write_page, l, e);
}

/* --- command ------------------------------------------------------------------------------- */

static int conflict(const char *a, const char *b, struct err *e)
{
	return err_set(e, ERR_USAGE, "the argument '--%s' cannot be used with '--%s'", a, b);
}

static int check_args(const struct metrics_args *a, struct err *e)
{
	if (a->prometheus && a->format)
		return conflict("prometheus", "format", e);
	if (a->prometheus && a->watch)
		return conflict("prometheus", "watch", e);
	if (a->listen && !a->prometheus)
		return err_set(e, ERR_USAGE, "the argument '--listen' needs '--prometheus'");
	if (a->interval && !a->watch)
		return err_set(e, ERR_USAGE, "the argument '--interval' needs '--watch'");
	return 0;
}

int cmd_metrics(struct cli *cli, void *args, struct operands *ops, struct err *e)
{
	const struct metrics_args *a = args;
	struct look l = {.cli = cli, .args = a, .names = &ops->args};
	json_t *list;

	if (check_args(a, e) < 0 || cli_open(cli, e) < 0)
		return -1;
	if (a->listen)
		return serve(&l, e);
	if (a->watch)
		return watch(&l, e);
	list = look_at(&l, e);
	if (!list)
		return -1;
	print_once(&l, list);
	json_decref(list);
	return 0;
}
