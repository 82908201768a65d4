/* SPDX-License-Identifier: Apache-2.0 */
/*
 * msb: the command line.
 *
 * The table below is the list of commands; each one's options are a table beside its code
 * (cmd_*.c). main() finds the command, parses its arguments, runs it, and turns an error into one
 * message and an exit status: 2 for a wrong command line, 1 for anything else that went wrong,
 * and for run and exec that of the command.
 */
#include "cli/commands.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define COMMAND(ident) \
	.run = cmd_##ident, .options = ident##_options, .args_size = &ident##_args_size

static const struct command image_commands[] = {
	{
		.name = "ls",
		.aliases = "list",
		.usage = "[OPTIONS]",
		.summary = "List images",
		COMMAND(image_ls),
	},
	{
		.name = "inspect",
		.usage = "[OPTIONS] <REFERENCE>",
		.summary = "Show an image's configuration and layers",
		COMMAND(image_inspect),
		.min_args = 1,
		.max_args = 1,
	},
	{
		.name = "rm",
		.aliases = "remove",
		.usage = "[OPTIONS] <REFERENCE>...",
		.summary = "Remove images",
		COMMAND(image_rm),
		.min_args = 1,
		.max_args = SIZE_MAX,
	},
	{
		.name = "prune",
		.usage = "[OPTIONS]",
		.summary = "Remove all images that no sandbox was made from",
		COMMAND(image_prune),
	},
	{
		.name = "pull",
		.usage = "[OPTIONS] <REFERENCE>",
		.summary = "Pull an image from a registry",
		COMMAND(pull),
		.min_args = 1,
		.max_args = 1,
	},
	{
		.name = "load",
		.usage = "[OPTIONS]",
		.summary = "Load images from an OCI or Docker archive",
		COMMAND(load),
	},
	{
		.name = "save",
		.usage = "[OPTIONS] <REFERENCE>...",
		.summary = "Write images to an OCI or Docker archive",
		COMMAND(image_save),
		.min_args = 1,
		.max_args = SIZE_MAX,
	},
	{0},
};

static const struct command registry_commands[] = {
	{
		.name = "login",
		.usage = "[OPTIONS] --username <USER> <HOST>",
		.summary = "Store a login for a registry",
		.details = "The password or token is asked for on the terminal, or read from "
			   "standard input, and shown to the\n"
			   "registry before it is stored. Docker Hub is docker.io.",
		COMMAND(registry_login),
		.min_args = 1,
		.max_args = 1,
	},
	{
		.name = "logout",
		.usage = "[OPTIONS] <HOST>",
		.summary = "Forget the login for a registry",
		COMMAND(registry_logout),
		.min_args = 1,
		.max_args = 1,
	},
	{
		.name = "ls",
		.aliases = "list",
		.usage = "[OPTIONS]",
		.summary = "List the logins that msb keeps",
		COMMAND(registry_ls),
	},
	{0},
};

const struct command commands[] = {
	{
		.name = "run",
		.group = "Sandboxes",
		.usage = "[OPTIONS] <IMAGE> [-- <COMMAND>...]",
		.summary = "Run a command in a sandbox",
		.details = "IMAGE is an image reference (pulled if missing), or a directory that "
			   "starts with / or ./ and\n"
			   "serves as root. Without --name the sandbox is deleted when the command "
			   "ends. Without a command\n"
			   "the image's own is run, or a shell on a terminal.",
		COMMAND(run),
		.min_args = 1,
		.max_args = 1,
		.takes_command = true,
	},
	{
		.name = "create",
		.group = "Sandboxes",
		.usage = "[OPTIONS] <IMAGE>",
		.summary = "Create a sandbox and start it without a command",
		COMMAND(create),
		.min_args = 1,
		.max_args = 1,
	},
	{
		.name = "exec",
		.group = "Sandboxes",
		.usage = "[OPTIONS] <NAME> [-- <COMMAND>...]",
		.summary = "Run a command in an existing sandbox",
		.details = "A stopped sandbox is started for the command and stopped again.",
		COMMAND(exec),
		.min_args = 1,
		.max_args = 1,
		.takes_command = true,
	},
	{
		.name = "start",
		.group = "Sandboxes",
		.usage = "[OPTIONS] [NAME]...",
		.summary = "Start stopped sandboxes",
		COMMAND(start),
		.max_args = SIZE_MAX,
	},
	{
		.name = "stop",
		.group = "Sandboxes",
		.usage = "[OPTIONS] [NAME]...",
		.summary = "Stop running sandboxes",
		COMMAND(stop),
		.max_args = SIZE_MAX,
	},
	{
		.name = "restart",
		.group = "Sandboxes",
		.usage = "[OPTIONS] [NAME]...",
		.summary = "Stop sandboxes if they run, and start them",
		COMMAND(restart),
		.max_args = SIZE_MAX,
	},
	{
		.name = "rm",
		.aliases = "remove",
		.group = "Sandboxes",
		.usage = "[OPTIONS] [NAME]...",
		.summary = "Remove sandboxes with their files and logs",
		COMMAND(rm),
		.max_args = SIZE_MAX,
	},
	{
		.name = "ls",
		.aliases = "list",
		.group = "Sandboxes",
		.usage = "[OPTIONS]",
		.summary = "List sandboxes",
		COMMAND(ls),
	},
	{
		.name = "ps",
		.aliases = "status",
		.group = "Sandboxes",
		.usage = "[OPTIONS] [NAME]",
		.summary = "Show what runs, with what resources",
		COMMAND(ps),
		.max_args = 1,
	},
	{
		.name = "inspect",
		.group = "Sandboxes",
		.usage = "[OPTIONS] <NAME>",
		.summary = "Show a sandbox's configuration and state",
		COMMAND(inspect),
		.min_args = 1,
		.max_args = 1,
	},
	{
		.name = "logs",
		.group = "Sandboxes",
		.usage = "[OPTIONS] <NAME>",
		.summary = "Show what a sandbox's commands printed",
		COMMAND(logs),
		.min_args = 1,
		.max_args = 1,
	},
	{
		.name = "pull",
		.group = "Images",
		.usage = "[OPTIONS] <REFERENCE>",
		.summary = "Pull an image from a registry",
		COMMAND(pull),
		.min_args = 1,
		.max_args = 1,
	},
	{
		.name = "load",
		.group = "Images",
		.usage = "[OPTIONS]",
		.summary = "Load images from an OCI or Docker archive",
		COMMAND(load),
	},
	{
		.name = "save",
		.group = "Images",
		.usage = "[OPTIONS] <REFERENCE>...",
		.summary = "Write images to an OCI or Docker archive",
		COMMAND(image_save),
		.min_args = 1,
		.max_args = SIZE_MAX,
	},
	{
		.name = "images",
		.usage = "[OPTIONS]",
		.summary = "List images",
		COMMAND(image_ls),
	},
	{
		.name = "rmi",
		.usage = "[OPTIONS] <REFERENCE>...",
		.summary = "Remove images",
		COMMAND(image_rm),
		.min_args = 1,
		.max_args = SIZE_MAX,
	},
	{
		.name = "image",
		.group = "Images",
		.usage = "<COMMAND>",
		.summary = "Work with images",
		.subcommands = image_commands,
	},
	{
		.name = "doctor",
		.group = "Installation",
		.usage = "[OPTIONS]",
		.summary = "Check whether sandboxes can run here",
		COMMAND(doctor),
	},
	{
		.name = "registries",
		.aliases = "regs",
		.usage = "[OPTIONS]",
		.summary = "List the logins that msb keeps",
		COMMAND(registry_ls),
	},
	{
		.name = "registry",
		.group = "Images",
		.usage = "<COMMAND>",
		.summary = "Log in to registries",
		.subcommands = registry_commands,
	},
	{0},
};

int cli_open(struct cli *cli, struct err *e)
{
	if (cli->db.conn)
		return 0;
	if (!cli->home.path && home_init(&cli->home, e) < 0)
		return -1;
	if (db_open(&cli->db, &cli->home, e) == 0)
		return 0;
	if (e->code != ERR_NO_SPACE)
		return -1;
	home_spare_release(&cli->home);
	return db_open(&cli->db, &cli->home, e);
}

int cli_open_to_remove(struct cli *cli, struct err *e)
{
	if (home_init(&cli->home, e) < 0)
		return -1;
	home_spare_release_if_full(&cli->home);
	return cli_open(cli, e);
}

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
	print_group("Installation");
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
