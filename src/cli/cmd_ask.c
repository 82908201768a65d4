/* SPDX-License-Identifier: Apache-2.0 */
/* msb ping, touch, pause, resume: short questions to running sandboxes. */
#include "cli/commands.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "cli/choice.h"
#include "sandbox/launch.h"

struct ask_args {
	struct strv labels;
	bool quiet;
	bool touch;
	const char *op, *done; /* what is asked for, and what to call it when it is done */
};

#define FIELD(name) offsetof(struct ask_args, name)

static const struct opt common_opts[] = {
	LABEL_OPT(struct ask_args),
	{"quiet", 'q', NULL, NULL, FIELD(quiet), "Print nothing"},
	{0},
};

static const struct opt ping_opts[] = {
	{"touch", 0, NULL, NULL, FIELD(touch), "Start the idle time of each that answers anew"},
	{0},
};

const struct opt *const ping_options[] = {ping_opts, common_opts, NULL};
const struct opt *const touch_options[] = {common_opts, NULL};
const struct opt *const pause_options[] = {common_opts, NULL};
const struct opt *const resume_options[] = {common_opts, NULL};
const size_t ping_args_size = sizeof(struct ask_args);
const size_t touch_args_size = sizeof(struct ask_args);
const size_t pause_args_size = sizeof(struct ask_args);
const size_t resume_args_size = sizeof(struct ask_args);

/* Has a running sandbox do one thing, and waits until it is done. 0 or -1. */
static int ask(struct cli *cli, const struct sandbox_row *row, const char *op, struct err *e)
{
	_cleanup_close_ int fd = -1;
	json_t *request, *answer;

	if (!sandbox_is_up(row))
		return err_set(e, ERR_STATE, "sandbox is not running: %s", row->name);
	fd = control_connect(&cli->home, row, e);
	if (fd < 0)
		return -1;
	request = json_pack("{s:s}", "op", op);
	answer = control_call(fd, request, e);
	json_decref(request);
	if (!answer)
		return -1;
	json_decref(answer);
	return 0;
}

static int do_one(struct cli *cli, const struct sandbox_row *row, void *args, struct err *e)
{
	const struct ask_args *a = args;

	if (ask(cli, row, a->op, e) < 0)
		return -1;
	print_success(a->quiet, a->done, row->name, 0);
	return 0;
}

/* To the agent in the guest and back. */
static int ping_one(struct cli *cli, const struct sandbox_row *row, void *args, struct err *e)
{
	const struct ask_args *a = args;
	uint64_t started = clock_mono_ns();
	_cleanup_free_ char *text = NULL;

	if (sandbox_check_not_paused(row, e) < 0 || ask(cli, row, "ping", e) < 0)
		return -1;
	text = xasprintf("%s (%.1f ms)", row->name,
			 (double)(clock_mono_ns() - started) / NSEC_PER_MSEC);
	print_success(a->quiet, "Reachable", text, 0);
	return a->touch ? do_one(cli, row, args, e) : 0;
}

static int ask_each(struct cli *cli, const struct operands *ops, struct ask_args *a, choice_fn *fn,
		    struct err *e)
{
	const struct choice c = {
		.names = &ops->args, .labels = &a->labels, .quiet = a->quiet, .looks = true};

	return choice_for_each(cli, &c, a, fn, e);
}

static int do_each(struct cli *cli, const struct operands *ops, struct ask_args *a, const char *op,
		   const char *done, struct err *e)
{
	a->op = op;
	a->done = done;
	return ask_each(cli, ops, a, do_one, e);
}

int cmd_ping(struct cli *cli, void *args, struct operands *ops, struct err *e)
{
	struct ask_args *a = args;

	a->op = "touch"; /* if that is wanted, too */
	a->done = "Touched";
	return ask_each(cli, ops, a, ping_one, e);
}

int cmd_touch(struct cli *cli, void *args, struct operands *ops, struct err *e)
{
	return do_each(cli, ops, args, "touch", "Touched", e);
}

int cmd_pause(struct cli *cli, void *args, struct operands *ops, struct err *e)
{
	return do_each(cli, ops, args, "pause", "Paused", e);
}

int cmd_resume(struct cli *cli, void *args, struct operands *ops, struct err *e)
{
	return do_each(cli, ops, args, "resume", "Resumed", e);
}
