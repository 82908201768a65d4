/* SPDX-License-Identifier: Apache-2.0 */
/*
 * msb: the command line.
 *
 * main() finds the command in the table (table.c), parses its arguments, runs it, and turns an
 * error into one message and an exit status: 2 for a wrong command line, 1 for anything else that
 * went wrong, and for run and exec that of the command.
 */
#include "cli/commands.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void print_group(const char *group)
{
	printf("\n%s:\n", group);
	for (const struct command *c = commands; c->name; c++)
		if (str_eq(c->group, group))
			printf("  %-10s %s\n", c->name, c->summary);
}

static void print_overview(void)
{
	puts("Microsandbox CLI v" MSB_VERSION
	     "\n\nRuns untrusted code in microVMs.\n\nUsage: msb <COMMAND>");
	print_group("Sandboxes");
	print_group("Images");
	puts("\nOptions:\n"
	     "  -V, --version  Print the version\n"
	     "  -h, --help     Print help\n\n"
	     "`msb <COMMAND> --help` tells more about a command.");
}

/* Reports a wrong command line in the usual form. */
static int usage_error(const struct err *e, const struct command *c, const char *path)
{
	err_print(e);
	fputc('\n', stderr);
	if (c)
		command_print_usage(c, path, true);
	else
		fputs("Usage: msb <COMMAND>\n", stderr);
	fputs("\nFor more information, try '--help'.\n", stderr);
	return 2;
}

static int run_command(struct cli *cli, const struct command *c, const char *path, int argc,
		       char **argv)
{
	_cleanup_free_ void *args = xcalloc(1, *c->args_size);
	struct operands ops = {0};
	struct err e = {0};
	int r = opt_parse(c, path, argc, argv, args, &ops, &e);

	if (r > 0)
		return 0;
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

static bool is_help(const char *arg)
{
	return strcmp(arg, "-h") == 0 || strcmp(arg, "--help") == 0 || strcmp(arg, "help") == 0;
}

static int dispatch(struct cli *cli, int argc, char **argv)
{
	const struct command *table = commands, *c = NULL;
	char path[64] = "msb";
	struct err e;

	for (int i = 1; i < argc; i++) {
		size_t n = strlen(path);

		c = command_find(table, argv[i]);
		if (!c && is_help(argv[i]) && table != commands)
			break;
		if (!c) {
			err_set(&e, ERR_USAGE,
				argv[i][0] == '-' ? "unexpected argument '%s' found"
						  : "unrecognized subcommand '%s'",
				argv[i]);
			return usage_error(&e, NULL, path);
		}
		snprintf(path + n, sizeof(path) - n, " %s", c->name);
		if (!c->subcommands)
			return run_command(cli, c, path, argc - i - 1, argv + i + 1);
		table = c->subcommands;
		if (i + 1 == argc || is_help(argv[i + 1])) {
			command_print_help(c, path);
			return i + 1 == argc ? 2 : 0;
		}
	}
	return 2;
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
	if (argc < 2 || is_help(argv[1])) {
		print_overview();
		return argc < 2 ? 2 : 0;
	}
	if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
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
