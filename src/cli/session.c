/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/session.h"

#include "base/cleanup.h"
#include "sandbox/launch.h"

#include <signal.h>
#include <stdio.h>

struct detachable {
	struct cli *cli;
	const struct sandbox_row *row;
	bool owner;
};

static int detach(void *ctx, uint64_t session, struct err *e)
{
	const struct detachable *d = ctx;
	_cleanup_close_ int fd = control_connect(&d->cli->home, d->row, e);
	json_t *request, *answer;

	if (fd < 0)
		return -1;
	request = json_pack("{s:s, s:I, s:b}", "op", "detach", "session", (json_int_t)session,
			    "owner", d->owner);
	answer = control_call(fd, request, e);
	json_decref(request);
	json_decref(answer);
	return answer ? 0 : -1;
}

static int exit_status(const struct exec_outcome *outcome, const struct session_options *o)
{
	const struct exec_result *r = &outcome->result;

	if (r->timed_out) {
		uint64_t ms = o->request ? o->request->timeout_ms : 0;

		if (ms)
			fprintf(stderr, "error: command timed out after %g s\n", (double)ms / 1000);
		else
			fputs("error: the command timed out\n", stderr);
		return 1;
	}
	return r->exit_code;
}

int session_run(struct cli *cli, const struct sandbox_row *row, const struct session_options *o,
		struct exec_outcome *ret, struct err *e)
{
	struct detachable d = {cli, row, o->owner};
	struct exec_client x = {
		.fd = control_connect(&cli->home, row, e),
		.request = o->request,
		.session = o->attach,
		.keys = o->keys,
		.detach = detach,
		.ctx = &d,
	};

	*ret = (struct exec_outcome){0};
	if (x.fd < 0 || exec_client_run(&x, ret, e) < 0)
		return -1;
	if (ret->detached) {
		fprintf(stderr,
			"\ninfo: session %llu of sandbox '%s' goes on; msb attach comes back to "
			"it\n",
			(unsigned long long)ret->detached, row->name);
		return 0;
	}
	return exit_status(ret, o);
}

int session_status(const struct exec_outcome *outcome, int status)
{
	if (status == 128 + SIGPIPE && outcome->result.signal == SIGPIPE)
		raise(SIGPIPE);
	return status;
}
