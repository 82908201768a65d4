/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/help.h"

#include "base/cleanup.h"

#include <stdio.h>
#include <string.h>

#define OPTION_COLUMN 34

/* --- lists of commands --------------------------------------------------------------------- */

static bool has_groups(const struct command *parent)
{
	for (const struct command *c = parent->subcommands; c->name; c++)
		if (c->group)
			return true;
	return false;
}

bool command_listed(const struct command *parent, const struct command *c)
{
	return c->group || !has_groups(parent);
}

static bool is_first_of_group(const struct command *parent, const struct command *c)
{
	for (const struct command *b = parent->subcommands; b != c; b++)
		if (str_eq(b->group, c->group))
			return false;
	return true;
}

const char *command_group(const struct command *parent, size_t i)
{
	if (!has_groups(parent))
		return i == 0 ? "" : NULL;
	for (const struct command *c = parent->subcommands; c->name; c++)
		if (c->group && is_first_of_group(parent, c) && i-- == 0)
			return c->group;
	return NULL;
}

char *command_names(const struct command *c)
{
	const char *list = c->aliases, *alias;
	char *s = xstrdup(c->name);
	size_t len;

	while (next_word(&list, &alias, &len)) {
		char *longer = xasprintf("%s, %.*s", s, (int)len, alias);

		free(s);
		s = longer;
	}
	return s;
}

/* --- help ---------------------------------------------------------------------------------- */

void command_print_usage(const struct command *c, const char *path, bool to_stderr)
{
	fprintf(to_stderr ? stderr : stdout, "Usage: %s %s\n", path, c->usage);
}

static void print_commands(const struct command *parent)
{
	size_t width = 0;
	const char *group;

	for (const struct command *c = parent->subcommands; c->name; c++)
		if (command_listed(parent, c))
			width = MAX(width, strlen(c->name));
	for (size_t i = 0; (group = command_group(parent, i)); i++) {
		printf("\n%s:\n", *group ? group : "Commands");
		for (const struct command *c = parent->subcommands; c->name; c++)
			if (!*group || str_eq(c->group, group))
				printf("  %-*s  %s\n", (int)width, c->name, c->summary);
	}
}

static void print_option(const struct opt *o, bool in_full)
{
	char left[64];

	snprintf(left, sizeof(left), "%c%c%s --%s%s%s%s", o->letter ? '-' : ' ',
		 o->letter ? o->letter : ' ', o->letter ? "," : " ", o->name,
		 o->metavar ? " <" : "", o->metavar ? o->metavar : "", o->metavar ? ">" : "");
	printf("  %-*s %s\n", OPTION_COLUMN, left, o->help);
	if (in_full && o->values)
		printf("  %-*s Values: %s\n", OPTION_COLUMN, "", o->values);
}

static void print_help(const struct command *c, const char *path, bool in_full)
{
	bool top = !strchr(path, ' ');
	const struct opt *o;

	if (top)
		puts("Microsandbox CLI v" MSB_VERSION "\n");
	printf("%s\n\n", c->summary);
	command_print_usage(c, path, false);
	if (in_full && c->aliases) {
		_cleanup_free_ char *names = command_names(c);

		printf("Names: %s\n", names);
	}
	if (in_full && c->details)
		printf("\n%s\n", c->details);
	if (c->subcommands)
		print_commands(c);
	puts("\nOptions:");
	for (size_t i = 0; (o = command_option(c, i)); i++)
		print_option(o, in_full);
	if (c->subcommands)
		printf("\n`%s <COMMAND> --help` tells more about a command.\n", path);
}

/* --- the tree ------------------------------------------------------------------------------ */

#define BRANCH_COLUMNS 4 /* of what stands before a name, for each level */

/* The widest name with what stands before it. */
static size_t tree_width(const struct command *parent, size_t depth)
{
	size_t width = 0;

	for (const struct command *c = parent->subcommands; c && c->name; c++) {
		_cleanup_free_ char *names = command_names(c);

		if (!command_listed(parent, c))
			continue;
		width = MAX(width, depth * BRANCH_COLUMNS + strlen(names));
		width = MAX(width, tree_width(c, depth + 1));
	}
	return width;
}

static bool is_last_listed(const struct command *parent, const struct command *c)
{
	for (c++; c->name; c++)
		if (command_listed(parent, c))
			return false;
	return true;
}

static void print_below(const struct command *parent, const char *before, size_t depth,
			size_t width)
{
	for (const struct command *c = parent->subcommands; c && c->name; c++) {
		bool last = is_last_listed(parent, c);
		_cleanup_free_ char *names = command_names(c);
		_cleanup_free_ char *below = xasprintf("%s%s", before, last ? "    " : "│   ");

		if (!command_listed(parent, c))
			continue;
		printf("%s%s%-*s  %s\n", before, last ? "└── " : "├── ",
		       (int)(width - depth * BRANCH_COLUMNS), names, c->summary);
		print_below(c, below, depth + 1, width);
	}
}

static void print_tree(const struct command *c, const char *path)
{
	size_t width = MAX(strlen(path), tree_width(c, 1));

	printf("%-*s  %s\n", (int)width, path, c->summary);
	print_below(c, "", 1, width);
}

void command_print(const struct command *c, const char *path, enum opt_ask what)
{
	if (what == ASK_TREE)
		print_tree(c, path);
	else
		print_help(c, path, what == ASK_HELP);
}
