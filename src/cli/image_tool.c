/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/image_tool.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/process.h"
#include "image/platform.h"
#include "image/reference.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define RESULT_MAX   (64 * MIB)
#define PROGRESS_MAX (64 * KIB)

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

/* Signals are read, not handled, while the program runs: it is told, and the terminal restored. */
struct signals {
	int fd;
	sigset_t before;
	pid_t child;
	int ending; /* the signal that ends this process afterwards; 0: none */
};

static void signals_take(struct signals *s, const struct progress *p)
{
	static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGWINCH, SIGTSTP, SIGCONT};
	size_t n = progress_has_bars(p) ? ARRAY_SIZE(numbers) : 3;
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < n; i++) {
		struct sigaction sa;

		/* What the caller wants ignored would come all the same when it is blocked. */
		if (sigaction(numbers[i], NULL, &sa) == 0 && sa.sa_handler != SIG_IGN)
			sigaddset(&set, numbers[i]);
	}
	sigprocmask(SIG_BLOCK, &set, &s->before);
	s->fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void end_by_signal(const struct signals *s)
{
	signal(s->ending, SIG_DFL);
	raise(s->ending);
	sigprocmask(SIG_SETMASK, &s->before, NULL);
}

static void signals_give_back(struct signals *s)
{
	close_fd(&s->fd);
	if (s->ending)
		end_by_signal(s);
	sigprocmask(SIG_SETMASK, &s->before, NULL);
}

static void take_signal(struct signals *s, struct progress *p)
{
	struct signalfd_siginfo info;

	if (read(s->fd, &info, sizeof(info)) != sizeof(info))
		return;
	switch (info.ssi_signo) {
	case SIGWINCH:
		progress_resized(p);
		break;
	case SIGTSTP:
		progress_suspend(p);
		raise(SIGSTOP);
		break;
	case SIGCONT:
		progress_resume(p);
		break;
	default:
		kill(s->child, (int)info.ssi_signo);
		if (s->ending) { /* it has been asked before: do not wait for it */
			progress_suspend(p);
			end_by_signal(s);
		}
		s->ending = (int)info.ssi_signo;
	}
}

/* What comes from the program while it runs. */
struct tool_output {
	int result_fd, progress_fd;
	struct buf result, lines;
};

static void take_progress(struct buf *lines, struct progress *p)
{
	const uint8_t *nl;

	while ((nl = memchr(buf_data(lines), '\n', buf_len(lines)))) {
		size_t len = (size_t)(nl - buf_data(lines));

		progress_take(p, (const char *)buf_data(lines), len);
		buf_consume(lines, len + 1);
	}
	if (buf_room(lines) < 4096) /* no line is that long */
		buf_consume(lines, buf_len(lines));
}

static void collect(struct tool_output *o, struct signals *s, struct progress *p)
{
	struct pollfd fds[3] = {{.fd = o->result_fd, .events = POLLIN},
				{.fd = o->progress_fd, .events = POLLIN},
				{.fd = s->fd, .events = POLLIN}};

	while (fds[0].fd >= 0 || fds[1].fd >= 0) {
		if (poll(fds, ARRAY_SIZE(fds), progress_wait_ms(p)) < 0)
			continue;
		if (fds[0].revents && take(o->result_fd, &o->result) <= 0) {
			close_fd(&o->result_fd); /* not the end but too much: EPIPE ends it */
			fds[0].fd = -1;
		}
		if (fds[1].revents) {
			if (take(o->progress_fd, &o->lines) <= 0)
				fds[1].fd = -1;
			take_progress(&o->lines, p);
		}
		if (fds[2].revents)
			take_signal(s, p);
		progress_draw(p);
	}
}

/* The result object of a program that has ended, or NULL with the error set. */
static json_t *tool_result(struct tool_output *o, int status, const struct signals *s,
			   struct err *e)
{
	json_t *j;

	if (s->ending) {
		err_set(e, ERR_CANCELLED, "interrupted");
		return NULL;
	}
	if (status > 128) {
		err_set(e, ERR_INTERNAL, "msb-image was killed by signal %d", status - 128);
		return NULL;
	}
	j = message_parse(buf_data(&o->result), buf_len(&o->result), e);
	if (j && message_check(j, e) < 0) {
		json_decref(j);
		return NULL;
	}
	return j;
}

/*
 * Runs msb-image with the arguments, which it takes over, and returns its result object. It gets
 * the descriptor, unless that is -1, as the value of the option. Of the progress it takes over what
 * shows it. A signal that is to end us does so when all is cleared up.
 */
static json_t *run_tool(struct strv *argv, const char *fd_option, int fd, struct progress *progress,
			struct err *e)
{
	_cleanup_free_ char *program = program_relative_path("../lib/msb-image");
	_cleanup_close_ int out_w = -1, prog_w = -1;
	struct spawn s = {.path = program, .in = STDIN_FILENO, .err = STDERR_FILENO};
	struct signals signals = {.fd = -1};
	struct tool_output o;
	int out[2], prog[2];
	json_t *j = NULL;

	if (pipe2(out, O_CLOEXEC) < 0 || pipe2(prog, O_CLOEXEC) < 0) {
		err_sys(e, errno, "cannot make a pipe");
		strv_release(argv);
		progress_free(progress);
		return NULL;
	}
	o.result_fd = out[0], out_w = out[1];
	o.progress_fd = prog[0], prog_w = prog[1];
	buf_init(&o.result, RESULT_MAX);
	buf_init(&o.lines, PROGRESS_MAX);
	s.out = out_w;
	if (fd >= 0) {
		strv_add(argv, fd_option);
		strv_take(argv, xasprintf("%d", spawn_pass_fd(&s, fd)));
	}
	strv_add(argv, "--progress-fd");
	strv_take(argv, xasprintf("%d", spawn_pass_fd(&s, prog_w)));
	s.argv = argv->v;
	signals_take(&signals, progress);
	signals.child = spawn_run(&s);
	close_fd(&out_w);
	close_fd(&prog_w);
	if (signals.child < 0) {
		err_sys(e, -signals.child, "cannot start '%s'", program);
	} else {
		collect(&o, &signals, progress);
		j = tool_result(&o, spawn_wait(signals.child), &signals, e);
	}
	if (signals.ending)
		progress_interrupted(progress, e);
	progress_free(progress);
	signals_give_back(&signals);
	close_fd(&o.result_fd);
	close_fd(&o.progress_fd);
	buf_release(&o.result);
	buf_release(&o.lines);
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

int check_reference(const char *reference, struct err *e)
{
	struct reference ref;

	if (reference_parse(reference, &ref, e) < 0)
		return -1;
	reference_release(&ref);
	return 0;
}

int lock_cache(const struct cli *cli, bool exclusive, bool quiet, struct err *e)
{
	int fd = home_lock_cache(&cli->home, exclusive, false, e);

	if (fd >= 0 || e->code != ERR_BUSY)
		return fd;
	if (!quiet)
		fprintf(stderr, "   waiting for another msb that %s images\n",
			exclusive ? "brings in or uses" : "removes");
	return home_lock_cache(&cli->home, exclusive, true, e);
}

/* --- operations ---------------------------------------------------------------------------- */

/* The canonical text of a reference, owned; NULL with the error set. */
static char *canonical_reference(const char *reference, struct err *e)
{
	struct reference ref;
	char *text;

	if (reference_parse(reference, &ref, e) < 0)
		return NULL;
	text = reference_format(&ref);
	reference_release(&ref);
	return text;
}

static int record_image(struct cli *cli, const char *reference, json_t *record, struct err *e)
{
	_cleanup_free_ char *canonical = canonical_reference(reference, e);

	if (!canonical)
		return -1;
	return images_put(&cli->db, &cli->home, reference, canonical, record, e);
}

int image_fetch_options(const char *progress, bool json_allowed, const char *platform,
			struct image_fetch *f, struct err *e)
{
	struct platform checked;

	if (progress_mode_parse(progress, f->quiet, json_allowed, &f->progress, e) < 0)
		return -1;
	/* Who reads events wants nothing else. */
	f->quiet = f->quiet || f->progress == PROGRESS_JSON;
	f->platform = platform;
	return platform ? platform_parse(platform, &checked, e) : 0;
}

json_t *image_record_summary(const char *reference, json_t *record)
{
	static const char *const keys[] = {"config_digest", "size_bytes", "architecture", "os",
					   "variant",       "layer_count"};
	json_t *j = json_object();

	json_object_set_new(j, "reference", json_string(reference));
	json_object_set(j, "digest", json_object_get(record, "manifest_digest"));
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		json_object_set(j, keys[i], json_object_get(record, keys[i]));
	json_object_set_new(j, "cached",
			    json_boolean(json_is_true(json_object_get(record, "cached"))));
	return j;
}

static void record_platform(json_t *record, struct platform *ret)
{
	platform_set(ret, json_string_value(json_object_get(record, "os")),
		     json_string_value(json_object_get(record, "architecture")),
		     json_string_value(json_object_get(record, "variant")));
}

static bool platform_runs(const struct platform *p)
{
	struct platform host, any = *p;

	platform_host(&host);
	/* Which levels of its architecture the processor has, the program itself will notice. */
	if (str_eq(any.architecture, host.architecture))
		any.variant[0] = '\0';
	return platform_score(&host, &any) > 0;
}

int platform_check_runnable(const char *text, struct err *e)
{
	char runs[PLATFORM_TEXT_LEN];
	struct platform p;

	if (platform_parse(text, &p, e) < 0)
		return -1;
	if (platform_runs(&p))
		return 0;
	platform_host(&p);
	platform_format(&p, runs);
	return err_set(e, ERR_UNSUPPORTED, "images for %s cannot run here; this machine runs %s",
		       text, runs);
}

int image_check_runnable(const char *reference, json_t *record, struct err *e)
{
	char is[PLATFORM_TEXT_LEN], runs[PLATFORM_TEXT_LEN];
	struct platform p;

	record_platform(record, &p);
	if (platform_runs(&p))
		return 0;
	platform_format(&p, is);
	platform_host(&p);
	platform_format(&p, runs);
	err_set(e, ERR_UNSUPPORTED, "image '%s' is for %s; this machine runs %s", reference, is,
		runs);
	return err_hint(e, "get the one for this machine: msb pull --platform %s %s", runs,
			reference);
}

bool image_is_for(json_t *record, const char *platform)
{
	struct platform image, wanted;

	record_platform(record, &image);
	return platform_parse(platform, &wanted, NULL) == 0 && platform_score(&wanted, &image) > 0;
}

static void fetch_arguments(struct strv *argv, const struct image_fetch *f)
{
	if (f->platform) {
		strv_add(argv, "--platform");
		strv_add(argv, f->platform);
	}
	if (f->max_size) {
		strv_add(argv, "--max-size");
		strv_take(argv, xasprintf("%llu", (unsigned long long)f->max_size));
	}
	if (f->force)
		strv_add(argv, "--force");
}

int image_pull(struct cli *cli, const char *reference, const struct image_fetch *f, json_t **ret,
	       struct err *e)
{
	_cleanup_close_ int registry_fd =
		registry_settings_for_pull(&cli->home, reference, &f->registry, e);
	_cleanup_close_ int lock = registry_fd < 0 ? -1 : lock_cache(cli, false, f->quiet, e);
	uint64_t started = clock_mono_ns();
	struct strv argv = {0};
	json_t *result, *record;
	int r;

	if (lock < 0)
		return -1;
	tool_arguments(&argv, cli, "pull");
	fetch_arguments(&argv, f);
	strv_add(&argv, reference);
	result = run_tool(&argv, "--registry-fd", registry_fd,
			  progress_new(f->progress, PROGRESS_PULL, reference), e);
	if (!result)
		return err_wrap(e, "cannot pull '%s'", reference);
	record = json_array_get(json_object_get(result, "images"), 0);
	r = record ? record_image(cli, reference, record, e)
		   : err_set(e, ERR_INTERNAL, "msb-image returned no image");
	if (r == 0) {
		bool cached = json_is_true(json_object_get(record, "cached"));
		_cleanup_free_ char *text =
			xasprintf("%s%s", reference, cached ? " (already cached)" : "");

		print_success(f->quiet, "Pulled", text, clock_mono_ns() - started);
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
	result = run_tool(&argv, "--registry-fd", registry_fd,
			  progress_new(PROGRESS_NONE, PROGRESS_PULL, host), e);
	json_decref(result);
	return result ? 0 : -1;
}

int image_load(struct cli *cli, const char *file, const struct strv *tags,
	       const struct image_fetch *f, json_t **ret, struct err *e)
{
	_cleanup_close_ int lock = lock_cache(cli, false, f->quiet, e);
	struct strv argv = {0};
	json_t *result, *record;
	size_t i;
	int r = 0;

	if (lock < 0)
		return -1;
	tool_arguments(&argv, cli, "load");
	fetch_arguments(&argv, f);
	for (i = 0; i < tags->n; i++) {
		strv_add(&argv, "--tag");
		strv_add(&argv, tags->v[i]);
	}
	strv_add(&argv, file);
	result = run_tool(&argv, NULL, -1, progress_new(f->progress, PROGRESS_LOAD, file), e);
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

/* Adds "DIGEST=REFERENCE", by which an image and its name are known to `msb-image save`. */
static int save_argument(struct strv *argv, struct cli *cli, const char *reference, struct err *e)
{
	_cleanup_free_ char *canonical = NULL;
	struct image_row row;

	if (image_find(cli, reference, &row, e) < 0)
		return -1;
	canonical = canonical_reference(reference, e);
	if (!canonical) {
		image_row_release(&row);
		return -1;
	}
	strv_add(argv, "--image");
	strv_take(argv, xasprintf("%s=%s", row.manifest_digest, canonical));
	image_row_release(&row);
	return 0;
}

int image_save(struct cli *cli, const struct strv *references, const char *format, const char *file,
	       bool quiet, struct err *e)
{
	_cleanup_close_ int lock = lock_cache(cli, false, quiet, e), out = -1;
	struct progress *progress;
	struct strv argv = {0};
	json_t *result;

	if (lock < 0)
		return -1;
	tool_arguments(&argv, cli, "save");
	strv_add(&argv, "--format");
	strv_add(&argv, format);
	for (size_t i = 0; i < references->n; i++) {
		if (save_argument(&argv, cli, references->v[i], e) < 0) {
			strv_release(&argv);
			return -1;
		}
	}
	if (strcmp(file, "-") == 0) {
		out = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
		if (out < 0) {
			strv_release(&argv);
			return err_sys(e, errno, "cannot write to standard output");
		}
	}
	strv_add(&argv, file);
	progress = progress_new(quiet ? PROGRESS_NONE : PROGRESS_AUTO, PROGRESS_SAVE,
				references->v[0]);
	result = run_tool(&argv, "--archive-fd", out, progress, e);
	json_decref(result);
	return result ? 0 : -1;
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
	result = run_tool(&argv, NULL, -1, progress_new(PROGRESS_NONE, PROGRESS_LOAD, dir), e);
	json_decref(result);
	return result ? 0 : -1;
}

int image_find(struct cli *cli, const char *reference, struct image_row *ret, struct err *e)
{
	_cleanup_free_ char *canonical = NULL;

	if (images_get(&cli->db, reference, ret, e) == 0)
		return 0;
	if (e->code != ERR_NOT_FOUND)
		return -1;
	canonical = canonical_reference(reference, e);
	if (!canonical)
		return -1;
	return images_get_canonical(&cli->db, reference, canonical, ret, e);
}
