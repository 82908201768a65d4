/* SPDX-License-Identifier: Apache-2.0 */
/*
 * msb man: the manual page msb(1) in the man macros, for the build. The commands with their options
 * come from the command table; what surrounds them is text.
 */
#include "cli/commands.h"

#include "base/cleanup.h"
#include "cli/help.h"

#include <stdio.h>
#include <string.h>

const struct opt *const man_options[] = {NULL};
const size_t man_args_size = 1; /* there are no options */

#define FILL_COLUMN 60 /* the next blank after it ends a line */

static void put_char(char c)
{
	static const char special[] = "\\-'`~^";
	static const char *const escapes[] = {"\\e", "\\-", "\\(aq", "\\(ga", "\\(ti", "\\(ha"};
	const char *p = strchr(special, c);

	if (p)
		fputs(escapes[p - special], stdout);
	else
		putchar(c);
}

/* Prints text so that roff takes no character of it for its own; if it may, in short lines. */
static void put_lines(const char *text, bool fill)
{
	size_t column = 0;

	for (const char *p = text; *p; p++, column++) {
		bool ends = *p == '\n' || (fill && *p == ' ' && column > FILL_COLUMN);

		if (column == 0 && *p == '.')
			fputs("\\&", stdout);
		if (ends) {
			putchar('\n');
			column = SIZE_MAX; /* 0 for the next one */
		} else {
			put_char(*p);
		}
	}
}

static void put(const char *text)
{
	put_lines(text, false);
}

static void put_text(const char *text)
{
	put_lines(text, true);
	putchar('\n');
}

/* A paragraph with a tag in bold, which its text follows. */
static void put_item(const char *tag, const char *body)
{
	fputs(".TP\n\\fB", stdout);
	put(tag);
	fputs("\\fR\n", stdout);
	put_text(body);
}

static void put_option(const struct opt *o)
{
	fputs(".TP\n", stdout);
	if (o->letter)
		printf("\\fB\\-%c\\fR, ", o->letter);
	fputs("\\fB\\-\\-", stdout);
	put(o->name);
	fputs("\\fR", stdout);
	if (o->metavar) {
		fputs(" \\fI", stdout);
		put(o->metavar);
		fputs("\\fR", stdout);
	}
	putchar('\n');
	put_text(o->help);
}

/* The options of a command; the common ones, which are those of no command at all, only once. */
static void put_options(const struct command *c)
{
	static const struct command none = {0};
	const struct opt *o;
	size_t common = 0, n = 0;

	while (command_option(&none, common))
		common++;
	while (command_option(c, n))
		n++;
	if (n == common)
		return;
	puts(".RS");
	for (size_t i = 0; i < n - common && (o = command_option(c, i)); i++)
		put_option(o);
	puts(".RE");
}

/* The listed command at the top that does the same; NULL: none. */
static const struct command *find_same(const struct command *top, const struct command *c)
{
	for (const struct command *t = top->subcommands; t->name; t++)
		if (c != t && c->run && c->run == t->run && command_listed(top, t))
			return t;
	return NULL;
}

static void put_command(const struct command *top, const struct command *c, const char *path)
{
	const struct command *same = find_same(top, c);

	if (!c->subcommands) {
		_cleanup_free_ char *tag = xasprintf("%s %s", path, c->usage);

		put_item(tag, c->summary);
		if (c->aliases) {
			_cleanup_free_ char *names = command_names(c);

			printf(".br\nNames: ");
			put_text(names);
		}
		if (same)
			printf(".br\nThe same as \\fBmsb %s\\fR.\n", same->name);
		if (c->details) {
			puts(".br");
			put_text(c->details);
		}
		if (!same)
			put_options(c);
	}
	for (const struct command *s = c->subcommands; s && s->name; s++) {
		_cleanup_free_ char *below = xasprintf("%s %s", path, s->name);

		put_command(top, s, below);
	}
}

static void put_commands(const struct command *top)
{
	const char *group;

	puts(".SH COMMANDS");
	for (size_t i = 0; (group = command_group(top, i)); i++) {
		printf(".SS %s\n", group);
		for (const struct command *c = top->subcommands; c->name; c++) {
			_cleanup_free_ char *path = xasprintf("msb %s", c->name);

			if (str_eq(c->group, group))
				put_command(top, c, path);
		}
	}
}

struct item {
	const char *tag, *body;
};

static void put_section(const char *title, const struct item *items, size_t n)
{
	printf(".SH %s\n", title);
	for (size_t i = 0; i < n; i++)
		put_item(items[i].tag, items[i].body);
}

static const struct item files[] = {
	{"~/.microsandbox", "Everything that msb keeps, unless MSB_HOME names another folder."},
	{"~/.microsandbox/config.json", "The configuration: registries, their mirrors and logins."},
	{"~/.microsandbox/credentials.json", "The logins that `msb registry login` stores."},
	{"~/.microsandbox/db/msb.db", "The database of sandboxes and images."},
	{"~/.microsandbox/sandboxes/NAME", "A sandbox's writable disk and its logs."},
};

static const struct item environment[] = {
	{"MSB_HOME", "Where everything is kept."},
	{"MSB_CONFIG_PATH", "The configuration file, if it is not config.json there."},
	{"MSB_QEMU", "The emulator, if it is not the qemu-system-x86_64 in PATH."},
	{"NO_COLOR", "No colours, if it is set."},
	{"SSL_CERT_FILE, SSL_CERT_DIR, https_proxy, http_proxy, no_proxy",
	 "Certificates and proxies for registries, as usual."},
	{"DOCKER_CONFIG", "The folder of Docker's config.json, where logins may be."},
	{"MSB_DEBUG", "A pull tells what it tries, if it is set."},
};

static const struct item statuses[] = {
	{"0", "Success."},
	{"1", "Something went wrong, or --timeout ended the command."},
	{"2", "The command line is wrong."},
	{"126, 127", "The command cannot be executed, or was not found."},
	{"130", "Interrupted."},
	{"others",
	 "Of run and exec, that of the command; 128 and the signal's number when a signal "
	 "ended it."},
};

static const struct item examples[] = {
	{"A command in a sandbox that is gone afterwards:", "msb run alpine -- uname -a"},
	{"A shell with more memory:", "msb run -m 2G -c 2 debian"},
	{"A sandbox that stays, and a command in it:",
	 "msb create -n box alpine\nmsb exec box -- apk add curl\nmsb stop box"},
	{"An image from an archive:",
	 "docker save mine:1 | msb load\nmsb run mine:1 -- make check"},
};

static void put_examples(void)
{
	puts(".SH EXAMPLES");
	for (size_t i = 0; i < ARRAY_SIZE(examples); i++) {
		if (i > 0)
			puts(".PP");
		put_text(examples[i].tag);
		puts(".PP\n.nf\n.RS");
		put(examples[i].body);
		puts("\n.RE\n.fi");
	}
}

static void put_introduction(const struct command *top)
{
	const struct opt *o;

	puts(".TH MSB 1 \"\" \"msb " MSB_VERSION "\" \"User Commands\"\n"
	     ".SH NAME\n"
	     "msb \\- run untrusted code in microVMs\n"
	     ".SH SYNOPSIS\n"
	     ".B msb\n.I COMMAND\n.RI [ OPTIONS ]\n.RI [ ARGUMENTS ]\n.br\n"
	     ".B msb\n.RB { \\-\\-version | \\-\\-help | \\-\\-tree }\n"
	     ".SH DESCRIPTION");
	put_text("msb runs commands in sandboxes. Each is a virtual machine of its own, with its "
		 "own "
		 "kernel, on KVM or in an emulator, whose root file system comes from an OCI or "
		 "Docker image or from a folder.");
	puts(".PP");
	put_text("Options may stand before and after other arguments; what follows -- is the "
		 "command "
		 "to run in the sandbox. Sizes are written 512M or 1.5G, a bare number is MiB; "
		 "durations 30, 30s, 5m or 1h.");
	puts(".SH OPTIONS");
	put_text("Every command takes --help, -h and --tree.");
	for (size_t i = 0; (o = command_option(top, i)); i++)
		put_option(o);
}

int cmd_man(struct cli *cli, void *args, struct operands *ops, struct err *e)
{
	put_introduction(&msb_command);
	put_commands(&msb_command);
	put_section("FILES", files, ARRAY_SIZE(files));
	put_section("ENVIRONMENT", environment, ARRAY_SIZE(environment));
	put_section("EXIT STATUS", statuses, ARRAY_SIZE(statuses));
	put_examples();
	puts(".SH SEE ALSO\n.BR qemu\\-system\\-x86_64 (1),\n.BR docker (1),\n.BR skopeo (1)");
	return 0;
}
