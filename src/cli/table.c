/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The list of commands, from which the command line is parsed and help, completion and the manual
 * page are made. Each command's options are a table beside its code (cmd_*.c).
 */
#include "cli/commands.h"

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

static const struct command volume_commands[] = {
	{
		.name = "create",
		.usage = "[OPTIONS] <NAME>",
		.summary = "Make an empty volume",
		COMMAND(volume_create),
		.max_args = 1, /* or an option */
	},
	{
		.name = "ls",
		.aliases = "list",
		.usage = "[OPTIONS]",
		.summary = "List volumes",
		COMMAND(volume_ls),
	},
	{
		.name = "inspect",
		.usage = "[OPTIONS] <VOLUME>",
		.summary = "Show what a volume is and who has it",
		COMMAND(volume_inspect),
		.min_args = 1,
		.max_args = 1,
	},
	{
		.name = "rm",
		.aliases = "remove",
		.usage = "[OPTIONS] <VOLUME>...",
		.summary = "Remove volumes with all that is in them",
		COMMAND(volume_rm),
		.min_args = 1,
		.max_args = SIZE_MAX,
	},
	{
		.name = "prune",
		.usage = "[OPTIONS]",
		.summary = "Remove all volumes that no sandbox has",
		COMMAND(volume_prune),
	},
	{0},
};

static const struct command net_commands[] = {
	{
		.name = "explain",
		.usage = "[OPTIONS] <NAME> <TARGET>[:PORT]",
		.summary = "Say what would become of a connection, and why",
		.details = "TARGET is an address or a domain name. Nothing is sent. Of a name, the "
			   "question for it is explained,\n"
			   "and a connection to a public address of it. The port is 443 unless it "
			   "is given.",
		COMMAND(net_explain),
		.min_args = 2,
		.max_args = 2,
	},
	{0},
};

static const struct command commands[] = {
	{
		.name = "run",
		.group = "Sandboxes",
		.usage = "[OPTIONS] <IMAGE> [-- <COMMAND>...]",
		.summary = "Run a command in a sandbox",
		.details = "IMAGE is an image reference (pulled if missing), or a directory that "
			   "starts with / or ./ and\n"
			   "serves as root. Without --name the sandbox is deleted when the command "
			   "ends. With the name of one\n"
			   "that exists, that is used, and no IMAGE needed. Without a command\n"
			   "the image's own is run, or a shell on a terminal.",
		COMMAND(run),
		.max_args = 1, /* a configuration file can name the image */
		.takes_command = true,
	},
	{
		.name = "create",
		.group = "Sandboxes",
		.usage = "[OPTIONS] <IMAGE>",
		.summary = "Create a sandbox and start it without a command",
		COMMAND(create),
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
		.name = "attach",
		.group = "Sandboxes",
		.usage = "[OPTIONS] <NAME> [SESSION]",
		.summary = "Come back to a command that was detached from",
		.details = "That is what run -d started, or what was left by its detach keys. With "
			   "several, SESSION\n"
			   "chooses one by its number in --list.",
		COMMAND(attach),
		.min_args = 1,
		.max_args = 2,
	},
	{
		.name = "copy",
		.aliases = "cp",
		.group = "Sandboxes",
		.usage = "[OPTIONS] <SOURCE> <DESTINATION>",
		.summary = "Copy files between the host and sandboxes",
		.details = "At least one of the two is in a sandbox: NAME:/PATH. A directory is "
			   "copied with all that is in it. If\n"
			   "the destination is a directory the copy goes into it; a source that "
			   "ends in /. stands for what is in\n"
			   "the directory. A stopped sandbox is started for the copy and stopped "
			   "again. A path of the host with a\n"
			   "colon is written ./a:b.",
		COMMAND(copy),
		.min_args = 2,
		.max_args = 2,
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
		.name = "ping",
		.group = "Sandboxes",
		.usage = "[OPTIONS] [NAME]...",
		.summary = "Ask the agents in running sandboxes for an answer",
		COMMAND(ping),
		.max_args = SIZE_MAX,
	},
	{
		.name = "pause",
		.group = "Sandboxes",
		.usage = "[OPTIONS] [NAME]...",
		.summary = "Let running sandboxes stand still",
		COMMAND(pause),
		.max_args = SIZE_MAX,
	},
	{
		.name = "resume",
		.group = "Sandboxes",
		.usage = "[OPTIONS] [NAME]...",
		.summary = "Let paused sandboxes go on",
		COMMAND(resume),
		.max_args = SIZE_MAX,
	},
	{
		.name = "touch",
		.group = "Sandboxes",
		.usage = "[OPTIONS] [NAME]...",
		.summary = "Start the idle time of running sandboxes anew",
		COMMAND(touch),
		.max_args = SIZE_MAX,
	},
	{
		.name = "net",
		.group = "Sandboxes",
		.usage = "<COMMAND>",
		.summary = "Look at the networks of sandboxes",
		.subcommands = net_commands,
	},
	{
		.name = "metrics",
		.group = "Sandboxes",
		.usage = "[OPTIONS] [NAME]...",
		.summary = "Show what running sandboxes use",
		COMMAND(metrics),
		.max_args = SIZE_MAX,
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
		.name = "volume",
		.aliases = "vol",
		.group = "Storage",
		.usage = "<COMMAND>",
		.summary = "Work with volumes",
		.subcommands = volume_commands,
	},
	{
		.name = "df",
		.group = "Storage",
		.usage = "[OPTIONS]",
		.summary = "Show what sandboxes, images and volumes occupy",
		COMMAND(df),
	},
	{
		.name = "prune",
		.group = "Storage",
		.usage = "[OPTIONS]",
		.summary = "Remove what no sandbox needs",
		COMMAND(prune),
	},
	{
		.name = "volumes",
		.usage = "[OPTIONS]",
		.summary = "List volumes",
		COMMAND(volume_ls),
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
	{
		.name = "completion",
		.group = "Installation",
		.usage = "<bash|zsh|fish>",
		.summary = "Print a script that completes msb's command line",
		.details = "What to put into the shell's start-up file:\n"
			   "source <(msb completion bash), source <(msb completion zsh) after "
			   "compinit, or\n"
			   "msb completion fish | source.",
		COMMAND(completion),
		.min_args = 1,
		.max_args = 1,
	},
	{
		.name = "man",
		.usage = "[OPTIONS]",
		.summary = "Print the manual page msb(1)",
		COMMAND(man),
	},
	{0},
};

/* main() looks after it before there is a command. */
static const struct opt msb_opts[] = {
	{"version", 'V', NULL, NULL, 0, "Print the version"},
	{0},
};

static const struct opt *const msb_options[] = {msb_opts, NULL};

const struct command msb_command = {
	.name = "msb",
	.usage = "<COMMAND>",
	.summary = "Run untrusted code in microVMs",
	.options = msb_options,
	.subcommands = commands,
};
