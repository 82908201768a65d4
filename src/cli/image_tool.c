/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/image_tool.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/process.h"
#include "image/reference.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define RESULT_MAX   (64 * MIB)
#define PROGRESS_MAX (64 * KIB)

/* --- progress ------------------------------------------------------------------------------ */

/* What is known of each layer, shown as one line of sums on a terminal. */
struct progress {
	bool shown;
	struct strv layers; /* digests */
	uint64_t *done, *total;
	struct buf lines;
	bool on_screen;
};

static size_t layer_slot(struct progress *p, const char *digest)
{
	for (size_t i = 0; i < p->layers.n; i++)
		if (strcmp(p->layers.v[i], digest) == 0)
			return i;
	strv_add(&p->layers, digest);
	p->done = xreallocarray(p->done, p->layers.n, sizeof(*p->done));
	p->total = xreallocarray(p->total, p->layers.n, sizeof(*p->total));
	p->done[p->layers.n - 1] = p->total[p->layers.n - 1] = 0;
	return p->layers.n - 1;
}

static void show_progress(struct progress *p)
{
	uint64_t done = 0, total = 0;
	size_t complete = 0;

	for (size_t i = 0; i < p->layers.n; i++) {
		done += p->done[i];
		total += p->total[i];
		complete += p->total[i] && p->done[i] >= p->total[i];
	}
	{
		_cleanup_free_ char *a = format_bytes(done), *b = format_bytes(total);

		fprintf(stderr, "\r\033[K   layers %zu/%zu   %s of %s", complete, p->layers.n, a,
			b);
		p->on_screen = true;
	}
}

static void handle_progress(struct progress *p, const char *line, size_t len)
{
	json_t *j = json_loadb(line, len, 0, NULL);
	const char *event = NULL, *digest = NULL;
	json_int_t done = 0, total = 0;

	if (json_unpack(j, "{s:s, s?s, s?I, s?I}", "event", &event, "digest", &digest, "done",
			&done, "total", &total) == 0 &&
	    strcmp(event, "layer") == 0 && digest && p->shown) {
		size_t slot = layer_slot(p, digest);

		p->done[slot] = (uint64_t)done;
		p->total[slot] = MAX((uint64_t)total, p->total[slot]);
		show_progress(p);
	}
	json_decref(j);
}

static void progress_feed(struct progress *p)
{
	const uint8_t *nl;

	while ((nl = memchr(buf_data(&p->lines), '\n', buf_len(&p->lines)))) {
		size_t len = (size_t)(nl - buf_data(&p->lines));

		handle_progress(p, (const char *)buf_data(&p->lines), len);
		buf_consume(&p->lines, len + 1);
	}
	if (buf_room(&p->lines) < 4096) /* no line is that long */
		buf_consume(&p->lines, buf_len(&p->lines));
}

static void progress_release(struct progress *p)
{
	if (p->on_screen)
		fputs("\r\033[K", stderr);
	strv_release(&p->layers);
	free(p->done);
	free(p->total);
	buf_release(&p->lines);
}

/* --- running the program ------------------------------------------------------------------- */

/* Reads what there is; 0 at end of file. */
static ssize_t take(int fd, struct buf *b)
{
	uint8_t *p = buf_reserve(b, 4096);
	ssize_t n = p ? read(fd, p, 4096) : 0;

	if (n > 0)
		buf_commit(b, (size_t)n);
	return n < 0 && errno == EINTR ? 1 : n;
}

static void collect(int *result_fd, int progress_fd, struct buf *result, struct progress *p)
{
	struct pollfd fds[2] = {{.fd = *result_fd, .events = POLLIN},
				{.fd = progress_fd, .events = POLLIN}};

	while (fds[0].fd >= 0 || fds[1].fd >= 0) {
		if (poll(fds, 2, -1) < 0)
			continue;
		if (fds[0].revents && take(*result_fd, result) <= 0) {
			close_fd(result_fd); /* if it is not the end but too much: EPIPE ends it */
			fds[0].fd = -1;
		}
		if (fds[1].revents) {
			if (take(progress_fd, &p->lines) <= 0)
				fds[1].fd = -1;
			progress_feed(p);
		}
	}
}

/*
 * Runs msb-image with the arguments (which it takes over) and returns its result object. It gets
 * the settings of registry_settings.h on a descriptor; -1: it needs none.
 */
static json_t *run_tool(struct strv *argv, int registry_fd, bool quiet, struct err *e)
{
	_cleanup_free_ char *program = program_relative_path("../lib/msb-image");
	struct progress progress = {.shown = !quiet && isatty(STDERR_FILENO)};
	_cleanup_close_ int out_r = -1, out_w = -1, prog_r = -1, prog_w = -1;
	struct spawn s = {.path = program, .in = STDIN_FILENO, .err = STDERR_FILENO};
	struct buf result;
	int out[2], prog[2], status;
	json_t *j = NULL;
	pid_t pid;

	if (pipe2(out, O_CLOEXEC) < 0 || pipe2(prog, O_CLOEXEC) < 0) {
		err_sys(e, errno, "cannot make a pipe");
		strv_release(argv);
		return NULL;
	}
	out_r = out[0], out_w = out[1], prog_r = prog[0], prog_w = prog[1];
	buf_init(&result, RESULT_MAX);
	buf_init(&progress.lines, PROGRESS_MAX);
	s.out = out_w;
	if (registry_fd >= 0) {
		strv_add(argv, "--registry-fd");
		strv_take(argv, xasprintf("%d", spawn_pass_fd(&s, registry_fd)));
	}
	strv_add(argv, "--progress-fd");
	strv_take(argv, xasprintf("%d", spawn_pass_fd(&s, prog_w)));
	s.argv = argv->v;
	pid = spawn_run(&s);
	close_fd(&out_w);
	close_fd(&prog_w);
	if (pid < 0) {
		err_sys(e, -pid, "cannot start '%s'", program);
	} else {
		collect(&out_r, prog_r, &result, &progress);
		status = spawn_wait(pid);
		if (status > 128)
			err_set(e, ERR_INTERNAL, "msb-image was killed by signal %d", status - 128);
		else
			j = message_parse(buf_data(&result), buf_len(&result), e);
		if (j && message_check(j, e) < 0) {
			json_decref(j);
			j = NULL;
		}
	}
	progress_release(&progress);
	buf_release(&result);
	strv_release(argv);
	return j;
}

static void tool_arguments(struct strv *argv, const struct cli *cli, const char *verb)
{
	strv_add(argv, "msb-image");
	strv_add(argv, verb);
	strv_add(argv, "--home");
	strv_add(argv, cli->home.path);
}

/* --- operations ---------------------------------------------------------------------------- */

static int record_image(struct cli *cli, const char *reference, json_t *record, struct err *e)
{
	struct reference ref;
	_cleanup_free_ char *canonical = NULL;

	if (reference_parse(reference, &ref, e) < 0)
		return -1;
	canonical = reference_format(&ref);
	reference_release(&ref);
	return images_put(&cli->db, reference, canonical, record, e);
}

int image_pull(struct cli *cli, const char *reference, const struct registry_overrides *o,
	       bool force, bool quiet, json_t **ret, struct err *e)
{
	_cleanup_close_ int registry_fd = registry_settings_for_pull(&cli->home, reference, o, e);
	_cleanup_close_ int lock = registry_fd < 0 ? -1 : home_lock_cache(&cli->home, false, e);
	uint64_t started = clock_mono_ns();
	struct strv argv = {0};
	json_t *result, *record;
	int r;

	if (lock < 0)
		return -1;
	tool_arguments(&argv, cli, "pull");
	if (force)
		strv_add(&argv, "--force");
	strv_add(&argv, reference);
	result = run_tool(&argv, registry_fd, quiet, e);
	if (!result)
		return err_wrap(e, "cannot pull '%s'", reference);
	record = json_array_get(json_object_get(result, "images"), 0);
	r = record ? record_image(cli, reference, record, e)
		   : err_set(e, ERR_INTERNAL, "msb-image returned no image");
	if (r == 0) {
		bool cached = json_is_true(json_object_get(record, "cached"));
		_cleanup_free_ char *text =
			xasprintf("%s%s", reference, cached ? " (already cached)" : "");

		print_success(quiet, "Pulled", text, clock_mono_ns() - started);
		*ret = json_incref(record);
	}
	json_decref(result);
	return r;
}

int image_check_login(struct cli *cli, const char *host, const struct registry_overrides *o,
		      struct err *e)
{
	_cleanup_close_ int registry_fd = registry_settings_for_login(&cli->home, host, o, e);
	struct strv argv = {0};
	json_t *result;

	if (registry_fd < 0)
		return -1;
	tool_arguments(&argv, cli, "check-login");
	strv_add(&argv, host);
	result = run_tool(&argv, registry_fd, true, e);
	json_decref(result);
	return result ? 0 : -1;
}

int image_load(struct cli *cli, const char *file, const struct strv *tags, bool quiet, json_t **ret,
	       struct err *e)
{
	_cleanup_close_ int lock = home_lock_cache(&cli->home, false, e);
	struct strv argv = {0};
	json_t *result, *record;
	size_t i;
	int r = 0;

	if (lock < 0)
		return -1;
	tool_arguments(&argv, cli, "load");
	for (i = 0; i < tags->n; i++) {
		strv_add(&argv, "--tag");
		strv_add(&argv, tags->v[i]);
	}
	strv_add(&argv, file);
	result = run_tool(&argv, -1, quiet, e);
	if (!result)
		return -1;
	*ret = json_incref(json_object_get(result, "images"));
	json_decref(result);
	json_array_foreach (*ret, i, record) {
		const char *reference = json_string_value(json_object_get(record, "reference"));

		if (r == 0 && reference)
			r = record_image(cli, reference, record, e);
	}
	if (r < 0)
		json_decref(*ret);
	return r;
}

int image_from_dir(struct cli *cli, const char *dir, const char *out, struct err *e)
{
	struct strv argv = {0};
	json_t *result;

	tool_arguments(&argv, cli, "from-dir");
	strv_add(&argv, "--owner");
	strv_add(&argv, "root");
	strv_add(&argv, "--out");
	strv_add(&argv, out);
	strv_add(&argv, dir);
	result = run_tool(&argv, -1, true, e);
	json_decref(result);
	return result ? 0 : -1;
}

int image_find(struct cli *cli, const char *reference, struct image_row *ret, struct err *e)
{
	_cleanup_free_ char *canonical = NULL;
	struct reference ref;

	if (images_get(&cli->db, reference, ret, e) == 0)
		return 0;
	if (e->code != ERR_NOT_FOUND || reference_parse(reference, &ref, e) < 0)
		return -1;
	canonical = reference_format(&ref);
	reference_release(&ref);
	return images_get_canonical(&cli->db, reference, canonical, ret, e);
}
