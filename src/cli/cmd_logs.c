/* SPDX-License-Identifier: Apache-2.0 */
/* msb logs: what the commands of a sandbox printed, from its log files. */
#include "cli/commands.h"

#include "base/cleanup.h"
#include "base/io.h"
#include "sandbox/logfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

struct logs_args {
	char *tail;
	char *source;
	bool timestamps;
	bool json;
};

#define FIELD(name) offsetof(struct logs_args, name)

static const struct opt opts[] = {
	{"tail", 0, "N", opt_string, FIELD(tail), "Only the last N entries"},
	{"source", 0, "LIST", opt_string, FIELD(source),
	 "Comma-separated: stdout, stderr, output, system, all [default: all but system]"},
	{"timestamps", 0, NULL, NULL, FIELD(timestamps), "Start each entry with its time"},
	{"json", 0, NULL, NULL, FIELD(json), "Print the entries as they are stored"},
	{0},
};

const struct opt *const logs_options[] = {opts, NULL};
const size_t logs_args_size = sizeof(struct logs_args);

/* One file is bounded by rotation. */
#define FILE_MAX (LOGFILE_SIZE_MAX + 4 * MIB)

struct sources {
	bool on[LOG_STREAM_COUNT];
};

static int parse_sources(const char *list, struct sources *ret, struct err *e)
{
	*ret = (struct sources){0};
	if (!list) {
		ret->on[LOG_STDOUT] = ret->on[LOG_STDERR] = ret->on[LOG_OUTPUT] = true;
		return 0;
	}
	while (*list) {
		size_t len = strcspn(list, ",");
		bool all = len == 3 && memcmp(list, "all", 3) == 0, known = all;

		for (unsigned s = 0; s < LOG_STREAM_COUNT; s++) {
			const char *name = log_stream_name((enum log_stream)s);

			if (all || (strlen(name) == len && memcmp(name, list, len) == 0))
				ret->on[s] = known = true;
		}
		if (!known)
			return err_set(e, ERR_USAGE,
				       "invalid value '%s' for '--source <LIST>': expected stdout, "
				       "stderr, output, system or all",
				       list);
		list += len + (list[len] == ',');
	}
	return 0;
}

/* --- reading ------------------------------------------------------------------------------- */

/* Calls `fn` for each line of the rotated files, oldest first. */
static int for_each_line(const char *dir, int (*fn)(char *line, size_t len, void *ctx), void *ctx,
			 struct err *e)
{
	for (int i = LOGFILE_KEEP; i >= 0; i--) {
		_cleanup_free_ char *path =
			i ? xasprintf("%s/exec.log.%d", dir, i) : xasprintf("%s/exec.log", dir);
		_cleanup_free_ char *text = NULL;
		char *line, *nl;
		size_t len;
		int r = read_file(AT_FDCWD, path, FILE_MAX, &text, &len);

		if (r == -ENOENT)
			continue;
		if (r < 0)
			return err_sys(e, -r, "cannot read '%s'", path);
		/* A last line without its end is still being written. */
		for (line = text; (nl = memchr(line, '\n', len - (size_t)(line - text)));
		     line = nl + 1) {
			*nl = '\0';
			if (fn(line, (size_t)(nl - line), ctx) < 0)
				return 0;
		}
	}
	return 0;
}

struct reader {
	const struct logs_args *args;
	struct sources sources;
	uint64_t skip; /* matching entries still to leave out */
	uint64_t seen;
};

static json_t *parse_entry(const struct reader *r, const char *line, size_t len,
			   enum log_stream *ret)
{
	json_t *j = json_loadb(line, len, 0, NULL);
	const char *s = json_string_value(json_object_get(j, "s"));

	for (unsigned i = 0; s && i < LOG_STREAM_COUNT; i++) {
		if (r->sources.on[i] && strcmp(s, log_stream_name((enum log_stream)i)) == 0) {
			*ret = (enum log_stream)i;
			return j;
		}
	}
	json_decref(j);
	return NULL;
}

static int count_line(char *line, size_t len, void *ctx)
{
	struct reader *r = ctx;
	enum log_stream s;
	json_t *j = parse_entry(r, line, len, &s);

	r->seen += j != NULL;
	json_decref(j);
	return 0;
}

static size_t base64_decode(const char *in, uint8_t *out)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	uint32_t bits = 0;
	int have = 0;
	size_t n = 0;

	for (; *in; in++) {
		const char *d = strchr(digits, *in);

		if (!d)
			break; /* padding */
		bits = bits << 6 | (uint32_t)(d - digits);
		have += 6;
		if (have >= 8) {
			have -= 8;
			out[n++] = (uint8_t)(bits >> have);
		}
	}
	return n;
}

static void print_data(json_t *j)
{
	json_t *d = json_object_get(j, "d");
	size_t n = json_string_length(d);

	if (json_object_get(j, "e")) {
		_cleanup_free_ uint8_t *raw = xmalloc(n);

		n = base64_decode(json_string_value(d), raw);
		fwrite(raw, 1, n, stdout);
	} else if (n) {
		fwrite(json_string_value(d), 1, n, stdout);
	}
}

static int print_line(char *line, size_t len, void *ctx)
{
	struct reader *r = ctx;
	enum log_stream s;
	json_t *j = parse_entry(r, line, len, &s);
	json_t *t = json_object_get(j, "t");

	if (!j)
		return 0;
	if (r->skip) {
		r->skip--;
	} else if (r->args->json) {
		puts(line);
	} else {
		if (r->args->timestamps)
			printf("%s ", json_string_value(t));
		print_data(j);
		if (s == LOG_SYSTEM)
			putchar('\n');
	}
	json_decref(j);
	return ferror(stdout) ? -1 : 0;
}

int cmd_logs(struct cli *cli, void *args, struct operands *ops, struct err *e)
{
	const struct logs_args *a = args;
	struct reader r = {.args = a};
	_cleanup_free_ char *dir = NULL;
	struct sandbox_row row;
	uint64_t tail = 0;

	if (parse_sources(a->source, &r.sources, e) < 0)
		return -1;
	if (a->tail && parse_u64(a->tail, UINT32_MAX, &tail) < 0)
		return err_set(e, ERR_USAGE,
			       "invalid value '%s' for '--tail <N>': expected a number", a->tail);
	if (cli_open(cli, e) < 0 ||
	    sandboxes_get(&cli->db, &cli->home, ops->args.v[0], &row, e) < 0)
		return -1;
	dir = home_path(&cli->home, "sandboxes/%s/logs", row.name);
	if (row.status == SANDBOX_FAILED && row.reason && !a->json)
		fprintf(stderr, "error: the last start failed: %s\n", row.reason);
	sandbox_row_release(&row);
	if (a->tail) {
		if (for_each_line(dir, count_line, &r, e) < 0)
			return -1;
		r.skip = r.seen > tail ? r.seen - tail : 0;
	}
	return for_each_line(dir, print_line, &r, e);
}
