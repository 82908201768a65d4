/* SPDX-License-Identifier: Apache-2.0 */
/* msb logs: what the commands of a sandbox printed, and what the system said, from its logs. */
#include "cli/commands.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "cli/log_follow.h"
#include "sandbox/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

struct logs_args {
	char *tail, *since, *until, *source, *grep, *format, *color;
	bool follow, timestamps, json, no_color, show_id, color_sessions;
};

#define FIELD(name) offsetof(struct logs_args, name)

static const struct opt opts[] = {
	{"follow", 'f', NULL, NULL, FIELD(follow),
	 "Print what comes, too, until the sandbox stops"},
	{"tail", 0, "N", opt_string, FIELD(tail), "Only the last N entries"},
	{"since", 0, "T", opt_string, FIELD(since),
	 "Only from this time on: 2026-01-31T12:00:00Z, or 30s, 5m, 2h, 1d ago"},
	{"until", 0, "T", opt_string, FIELD(until), "Only what is older than this"},
	{"source", 0, "LIST", opt_string, FIELD(source),
	 "stdout, stderr, output (of terminals), system, kernel, runtime, all "
	 "[default: stdout,stderr,output]"},
	{"grep", 0, "RE", opt_string, FIELD(grep),
	 "Only entries whose text matches an extended regular expression"},
	{"timestamps", 0, NULL, NULL, FIELD(timestamps), "Start each line with its time"},
	{"show-id", 0, NULL, NULL, FIELD(show_id), "Start each line with its session's number"},
	{"color-sessions", 0, NULL, NULL, FIELD(color_sessions), "A colour for each session"},
	{"color", 0, "WHEN", opt_string, FIELD(color),
	 "Whether escape sequences are printed [default: auto]", "auto always never"},
	{"no-color", 0, NULL, NULL, FIELD(no_color), "The same as --color never"},
	{"json", 0, NULL, NULL, FIELD(json), "Print the entries as they are stored"},
	{"format", 0, "FORMAT", opt_string, FIELD(format), "json: the same as --json", "json"},
	{0},
};

const struct opt *const logs_options[] = {opts, NULL};
const size_t logs_args_size = sizeof(struct logs_args);

/* --- values -------------------------------------------------------------------------------- */

static bool add_source(const char *name, size_t len, struct log_filter *f)
{
	static const char *const further[] = {"all", "kernel", "runtime"};
	bool on[LOG_SOURCE_COUNT] = {0}, known = false;
	char word[16];

	if (len >= sizeof(word))
		return false;
	memcpy(word, name, len);
	word[len] = '\0';
	for (unsigned s = 0; s < LOG_STREAM_COUNT; s++)
		on[s] = strcmp(word, log_stream_name((enum log_stream)s)) == 0;
	on[LOG_SOURCE_KERNEL] = on[LOG_SYSTEM] || strcmp(word, further[1]) == 0;
	on[LOG_SOURCE_RUNTIME] = on[LOG_SYSTEM] || strcmp(word, further[2]) == 0;
	for (unsigned s = 0; s < LOG_SOURCE_COUNT; s++) {
		on[s] |= strcmp(word, further[0]) == 0;
		f->sources[s] |= on[s];
		known |= on[s];
	}
	return known;
}

static int parse_sources(const char *list, struct log_filter *f, struct err *e)
{
	const char *p = list ? list : "stdout,stderr,output";

	for (;;) {
		size_t len = strcspn(p, ",");

		if (!add_source(p, len, f))
			return err_set(e, ERR_USAGE,
				       "invalid value '%s' for '--source <LIST>': expected stdout, "
				       "stderr, output, system, kernel, runtime or all",
				       list);
		if (!p[len])
			return 0;
		p += len + 1;
	}
}

/* How many seconds "30s" and so on are. */
static bool parse_ago(const char *s, uint64_t *ret)
{
	static const char units[] = "smhd";
	static const unsigned seconds[] = {1, 60, 3600, 86400};
	size_t n = strspn(s, "0123456789");
	const char *unit = s[n] ? strchr(units, s[n]) : NULL;
	char digits[16];

	if (!unit || s[n + 1] || n >= sizeof(digits))
		return false;
	memcpy(digits, s, n);
	digits[n] = '\0';
	if (parse_u64(digits, UINT32_MAX, ret) < 0)
		return false;
	*ret *= seconds[unit - units];
	return true;
}

static int parse_time(const char *s, const char *option, uint64_t *ret, struct err *e)
{
	uint64_t now = clock_real_ns(), ago;

	if (!s || rfc3339_parse(s, ret) == 0)
		return 0;
	if (!parse_ago(s, &ago))
		return err_set(e, ERR_USAGE,
			       "invalid value '%s' for '--%s <T>': expected a time, such as "
			       "2026-01-31T12:00:00Z, or how long ago, such as 30s, 5m, 2h or 1d",
			       s, option);
	*ret = ago < now / NSEC_PER_SEC ? now - ago * NSEC_PER_SEC : 0;
	return 0;
}

static int parse_grep(const char *pattern, regex_t *re, struct err *e)
{
	char text[128];
	int r = regcomp(re, pattern, REG_EXTENDED | REG_NEWLINE | REG_NOSUB);

	if (r == 0)
		return 0;
	regerror(r, re, text, sizeof(text));
	return err_set(e, ERR_USAGE, "invalid value '%s' for '--grep <RE>': %s", pattern, text);
}

static void choose_view(const struct logs_args *a, struct log_view *v)
{
	const char *when = a->no_color ? "never" : a->color ? a->color : "auto";
	bool colour = strcmp(when, "always") == 0;

	if (strcmp(when, "auto") == 0)
		colour = isatty(STDOUT_FILENO) && !secure_getenv("NO_COLOR");
	*v = (struct log_view){
		.json = a->json || a->format,
		.timestamps = a->timestamps,
		.show_id = a->show_id,
		.color_sessions = a->color_sessions && colour,
		.strip = !colour,
	};
}

/* --- the command --------------------------------------------------------------------------- */

/* Why the last start failed comes first, whatever the filters. */
static void print_boot_error(const struct sandbox_row *row, bool json)
{
	_cleanup_free_ char *reason = row->reason ? str_printable(row->reason) : NULL;
	char when[RFC3339_LEN];
	json_t *j;

	if (row->status != SANDBOX_FAILED || !reason)
		return;
	if (!json) {
		fprintf(stderr,
			"error: failed to start '%s'\n  → %s\n"
			"  → `msb logs --source system %s` shows what the system said\n",
			row->name, reason, row->name);
		return;
	}
	rfc3339_format(row->updated_at, when);
	j = json_pack("{s:s, s:s, s:s}", "t", when, "s", "boot-error", "d", reason);
	json_dumpf(j, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(j);
}

/* A connection that ends when the sandbox does; -1 if it does not run. */
static int connect_monitor(struct cli *cli, const struct sandbox_row *row)
{
	struct err e;

	return sandbox_is_up(row) ? control_connect(&cli->home, row, &e) : -1;
}

static int show(struct cli *cli, const struct logs_args *a, const struct log_filter *f,
		const uint64_t *tail, const struct sandbox_row *row, struct log_view *v,
		struct err *e)
{
	_cleanup_free_ char *dir = home_path(&cli->home, "sandboxes/%s/logs", row->name);
	/* Before anything is read: what is written after this is followed. */
	_cleanup_close_ int monitor = a->follow ? connect_monitor(cli, row) : -1;
	_cleanup_close_ int dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct log_reader *reader = NULL;
	int r = dirfd < 0 ? errno : 0;

	print_boot_error(row, v->json);
	if (dirfd < 0)
		return r == ENOENT ? 0 : err_sys(e, r, "cannot open '%s'", dir);
	r = log_reader_open(dirfd, f, &reader);
	if (r == 0 && tail)
		r = log_reader_tail(reader, *tail);
	if (r < 0)
		r = err_sys(e, -r, "cannot read the logs in '%s'", dir);
	else if (monitor >= 0)
		r = log_follow(reader, v, dir, monitor, f->until, e);
	else
		r = log_print(reader, v, true, e);
	log_reader_free(reader);
	return r;
}

int cmd_logs(struct cli *cli, void *args, struct operands *ops, struct err *e)
{
	const struct logs_args *a = args;
	struct log_filter filter = {.until = UINT64_MAX};
	struct sandbox_row row;
	struct log_view view = {0};
	uint64_t tail = 0;
	regex_t re;
	int r = -1;

	if (parse_sources(a->source, &filter, e) < 0 ||
	    parse_time(a->since, "since", &filter.since, e) < 0 ||
	    parse_time(a->until, "until", &filter.until, e) < 0)
		return -1;
	if (a->tail && parse_u64(a->tail, UINT32_MAX, &tail) < 0)
		return err_set(e, ERR_USAGE,
			       "invalid value '%s' for '--tail <N>': expected a number", a->tail);
	if (a->grep) {
		if (parse_grep(a->grep, &re, e) < 0)
			return -1;
		filter.grep = &re;
	}
	choose_view(a, &view);
	if (cli_open(cli, e) == 0 &&
	    sandboxes_get(&cli->db, &cli->home, ops->args.v[0], &row, e) == 0) {
		r = show(cli, a, &filter, a->tail ? &tail : NULL, &row, &view, e);
		sandbox_row_release(&row);
	}
	log_view_release(&view);
	if (a->grep)
		regfree(&re);
	return r;
}
