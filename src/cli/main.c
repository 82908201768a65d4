/* SPDX-License-Identifier: Apache-2.0 */
/*
 * msb: the command line.
 *
 * main() finds the command in the table (table.c), parses its arguments, runs it, and turns an
 * error into one message and an exit status: 2 for a wrong command line, 1 for anything else that
 * went wrong, and for run and exec that of the command.
 */
#include "cli/cli.h"
#include "cli/help.h"
#include "cli/suggest.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Reports a wrong command line in the usual form. */
static int usage_error(const struct err *e, const struct command *c, const char *path)
{
	err_print(e);
	fputc('\n', stderr);
	command_print_usage(c, path, true);
	fputs("\nFor more information, try '--help'.\n", stderr);
	return 2;
}

static int unknown_command(const struct command *c, const char *path, const char *word)
{
	_cleanup_free_ char *near = NULL;
	struct err e = {0};

	if (word[0] == '-') {
		err_set(&e, ERR_USAGE, "unexpected argument '%s' found", word);
	} else {
		err_set(&e, ERR_USAGE, "unrecognized subcommand '%s'", word);
		near = suggest_command(c, word);
	}
	if (near)
		err_hint(&e, "did you mean '%s'?", near);
	return usage_error(&e, c, path);
}

static int run_command(struct cli *cli, const struct command *c, const char *path, int argc,
		       char **argv)
{
	_cleanup_free_ void *args = xcalloc(1, *c->args_size);
	struct operands ops = {0};
	struct err e = {0};
	int r = opt_parse(c, argc, argv, args, &ops, &e);

	cli->command = c;
	cli->argc = argc;
	cli->argv = argv;
	if (r > 0) {
		command_print(c, path, (enum opt_ask)r);
		return 0;
	}
	snprintf(cli->command_path, sizeof(cli->command_path), "%s", path);
	if (r == 0)
		r = c->run(cli, args, &ops, &e);
	operands_release(&ops);
	if (r >= 0)
		return r;
	if (e.code == ERR_USAGE)
		return usage_error(&e, c, path);
	err_print(&e);
	return err_exit_status(&e);
}

/* `msb help image pull` and `msb image help pull` are `msb image pull --help`. */
static int dispatch(struct cli *cli, int argc, char **argv)
{
	const struct command *c = &msb_command, *next;
	char path[64] = "msb";
	bool help = false;

	for (int i = 1; i < argc && c->subcommands; i++) {
		size_t n = strlen(path);

		if (strcmp(argv[i], "help") == 0) {
			help = true;
			continue;
		}
		if (opt_ask(argv[i])) {
			command_print(c, path, opt_ask(argv[i]));
			return 0;
		}
		next = command_find(c->subcommands, argv[i]);
		if (!next)
			return unknown_command(c, path, argv[i]);
		c = next;
		snprintf(path + n, sizeof(path) - n, " %s", c->name);
		if (!c->subcommands && !help)
			return run_command(cli, c, path, argc - i - 1, argv + i + 1);
	}
	command_print(c, path, help ? ASK_HELP : ASK_HELP_SHORT);
	return help ? 0 : 2;
}

/* Nothing that we open may take the place of a standard stream that the caller has closed. */
static void fill_standard_streams(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

int main(int argc, char **argv)
{
	struct cli cli = {.start_ns = clock_mono_ns()};
	int status;

	fill_standard_streams();
	log_setup("msb", LOG_WARN);
	if (argc > 1 && (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0)) {
		puts("msb " MSB_VERSION);
		return 0;
	}
	status = dispatch(&cli, argc, argv);
	if (fflush(stdout) < 0 && status == 0)
		status = 1;
	if (cli.db.conn)
		home_spare_keep(&cli.home);
	db_close(&cli.db);
	home_release(&cli.home);
	return status;
}
