/* SPDX-License-Identifier: Apache-2.0 */
/* msb copy: files and directories between the host and sandboxes, and between sandboxes. */
#include "cli/commands.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "cli/copy_client.h"
#include "cli/copy_endpoint.h"
#include "cli/start.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

struct copy_args {
	bool follow;
	bool quiet;
};

static const struct opt opts[] = {
	{"follow-link", 'L', NULL, NULL, offsetof(struct copy_args, follow),
	 "If the source is a symbolic link, copy what it points to"},
	{"quiet", 'q', NULL, NULL, offsetof(struct copy_args, quiet), "Print no notices"},
	{0},
};

const struct opt *const copy_options[] = {opts, NULL};
const size_t copy_args_size = sizeof(struct copy_args);

/* One end of the copy. One in a sandbox is entered; of two in the same one only the source. */
struct side {
	struct copy_endpoint at;
	bool entered; /* and then there are: */
	struct sandbox_row row;
	struct launch launch;
};

struct copy {
	struct side from, to;
	char *name; /* of the copy in a directory; NULL: contents */
	bool follow;
};

static void side_release(struct side *s)
{
	copy_endpoint_release(&s->at);
	if (s->entered)
		sandbox_row_release(&s->row);
}

/* --- checks before anything is started ----------------------------------------------------- */

static int check_host_source(const struct copy *c, struct err *e)
{
	const char *path = c->from.at.path;
	struct stat st;

	if (c->from.at.sandbox ||
	    fstatat(AT_FDCWD, path, &st, c->follow ? 0 : AT_SYMLINK_NOFOLLOW) == 0)
		return 0;
	if (errno == ENOENT)
		return err_set(e, ERR_NOT_FOUND, "no such file or directory '%s'", path);
	return err_sys(e, errno, "cannot look at '%s'", path);
}

/* It, or at least the directory that it is to be in, has to exist. */
static int check_host_destination(const struct copy *c, struct err *e)
{
	const char *path = c->to.at.path;
	_cleanup_free_ char *dir = xstrdup(path);
	size_t n = strlen(dir);
	struct stat st;

	if (c->to.at.sandbox || stat(path, &st) == 0)
		return 0;
	if (errno != ENOENT)
		return err_sys(e, errno, "cannot look at '%s'", path);
	while (n && dir[n - 1] == '/')
		dir[--n] = '\0';
	while (n && dir[n - 1] != '/')
		dir[--n] = '\0';
	if (n == 0 || (stat(dir, &st) == 0 && S_ISDIR(st.st_mode)))
		return 0;
	return err_set(e, ERR_NOT_FOUND, "no such directory '%s'", dir);
}

static int parse(const struct operands *ops, struct copy *c, struct err *e)
{
	if (copy_endpoint_parse(ops->args.v[0], &c->from.at, e) < 0 ||
	    copy_endpoint_parse(ops->args.v[1], &c->to.at, e) < 0)
		return -1;
	if (!c->from.at.sandbox && !c->to.at.sandbox)
		return err_set(e, ERR_USAGE,
			       "msb copy requires at least one sandbox endpoint (SANDBOX:/path)");
	c->name = copy_source_name(c->from.at.path);
	return check_host_source(c, e) < 0 ? -1 : check_host_destination(c, e);
}

/* --- sandboxes ----------------------------------------------------------------------------- */

/* Nothing is started for a copy whose other end does not exist. */
static int check_exists(struct cli *cli, const struct side *s, struct err *e)
{
	struct sandbox_row row;

	if (!s->at.sandbox)
		return 0;
	if (sandboxes_get(&cli->db, &cli->home, s->at.sandbox, &row, e) < 0)
		return -1;
	sandbox_row_release(&row);
	return 0;
}

static int enter(struct cli *cli, struct side *s, bool quiet, struct err *e)
{
	struct name_lock turn = {0};
	int r = sandbox_find(cli, s->at.sandbox, quiet, &turn, &s->row, e);

	if (r < 0)
		return -1;
	r = sandbox_enter(cli, &s->row, &turn, &s->launch, e);
	name_lock_release(&turn);
	s->entered = r == 0;
	if (r < 0)
		sandbox_row_release(&s->row);
	return r;
}

static int leave(struct cli *cli, struct side *s, int r, struct err *e)
{
	return s->entered ? sandbox_leave(cli, &s->row, &s->launch, NULL, r, e) : r;
}

/* A connection to a sandbox that was entered, which the copy closes. */
static int open_peer(struct cli *cli, const struct side *s, struct copy_peer *ret, struct err *e)
{
	ret->sandbox = s->at.sandbox;
	ret->fd = control_connect(&cli->home, &s->row, e);
	return ret->fd < 0 ? -1 : 0;
}

/* --- the copy ------------------------------------------------------------------------------ */

static int transfer(struct cli *cli, const struct copy *c, bool same, struct err *e)
{
	const struct fs_read_request what = {.path = c->from.at.path, .follow = c->follow};
	const struct fs_write_request where = {
		.path = c->to.at.path,
		.name = c->name,
		.source = same ? c->from.at.path : NULL,
		.owners = c->from.at.sandbox,
	};
	const struct tree_place place = {.path = c->to.at.path, .name = c->name};
	struct copy_peer from = {.fd = -1}, to = {.fd = -1};

	if (c->from.at.sandbox && open_peer(cli, &c->from, &from, e) < 0)
		return -1;
	if (c->to.at.sandbox && open_peer(cli, same ? &c->from : &c->to, &to, e) < 0) {
		close_fd(&from.fd);
		return -1;
	}
	if (!c->from.at.sandbox)
		return copy_from_host(c->from.at.path, c->follow, &to, &where, e);
	if (!c->to.at.sandbox)
		return copy_to_host(&from, &what, &place, e);
	return copy_between(&from, &what, &to, &where, e);
}

static int run(struct cli *cli, struct copy *c, bool quiet, struct err *e)
{
	bool same = str_eq(c->from.at.sandbox, c->to.at.sandbox);
	int r;

	if (check_exists(cli, &c->from, e) < 0 || check_exists(cli, &c->to, e) < 0)
		return -1;
	r = c->from.at.sandbox ? enter(cli, &c->from, quiet, e) : 0;
	if (r == 0 && c->to.at.sandbox && !same)
		r = enter(cli, &c->to, quiet, e);
	if (r == 0)
		r = transfer(cli, c, same, e);
	r = leave(cli, &c->from, r, e);
	return leave(cli, &c->to, r, e);
}

int cmd_copy(struct cli *cli, void *args, struct operands *ops, struct err *e)
{
	const struct copy_args *a = args;
	struct copy c = {.follow = a->follow};
	uint64_t started = clock_mono_ns();
	int r = parse(ops, &c, e);

	if (r == 0)
		r = cli_open(cli, e);
	if (r == 0)
		r = run(cli, &c, a->quiet, e);
	if (r == 0) {
		_cleanup_free_ char *text = xasprintf("%s to %s", ops->args.v[0], ops->args.v[1]);
		_cleanup_free_ char *shown = str_printable(text);

		print_success(a->quiet, "Copied", shown, clock_mono_ns() - started);
	}
	free(c.name);
	side_release(&c.from);
	side_release(&c.to);
	return r;
}
