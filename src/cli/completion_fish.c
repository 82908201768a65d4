/* SPDX-License-Identifier: Apache-2.0 */
/* One `complete` for each command and option, which holds where __msb_path finds itself. */
#include "cli/completion.h"

#include "base/cleanup.h"
#include "cli/help.h"

#include <stdio.h>
#include <string.h>

static void print_enter(const struct command *c, const char *path)
{
	for (const struct command *s = c->subcommands; s && s->name; s++) {
		const char *list = s->aliases, *alias;
		size_t len;

		printf("            case '%s %s'", path, s->name);
		while (next_word(&list, &alias, &len))
			printf(" '%s %.*s'", path, (int)len, alias);
		printf("\n                set path '%s %s'\n", path, s->name);
	}
}

static void print_group(const struct command *c, const char *path)
{
	if (c->subcommands)
		printf(" '%s'", path);
}

static void print_subcommand(const struct command *parent, const char *path,
			     const struct command *c)
{
	static const char typing[] = "; and __msb_typing";
	_cleanup_free_ char *summary = shell_quote(c->summary, true);
	const char *list = c->aliases, *alias;
	size_t len;

	printf("complete -c msb -n '__msb_at %s%s' -a %s -d %s\n", path,
	       command_listed(parent, c) ? "" : typing, c->name, summary);
	while (next_word(&list, &alias, &len))
		printf("complete -c msb -n '__msb_at %s%s' -a %.*s -d %s\n", path, typing, (int)len,
		       alias, summary);
}

static void print_option(const char *path, const struct opt *o)
{
	_cleanup_free_ char *help = shell_quote(o->help, true);

	printf("complete -c msb -n '__msb_at %s' -l %s", path, o->name);
	if (o->letter)
		printf(" -s %c", o->letter);
	if (o->values)
		printf(" -x -a '%s'", o->values);
	else if (o->metavar)
		fputs(str_eq(o->metavar, "FILE") ? " -r -F" : " -x", stdout);
	printf(" -d %s\n", help);
}

static void print_operand(const struct command *c, const char *path)
{
	static const char *const actions[] = {
		[OPERAND_SANDBOX] = "(msb ls -q 2>/dev/null </dev/null)",
		[OPERAND_IMAGE] = "(msb images -q 2>/dev/null </dev/null)",
		[OPERAND_VOLUME] = "(msb volumes -q 2>/dev/null </dev/null)",
		[OPERAND_IMAGE_OR_FOLDER] = "(__msb_images_or_folders)",
		[OPERAND_PLACE] = "(__msb_places)",
	};
	_cleanup_free_ char *words = NULL;
	enum operand_kind kind = operand_kind(c, &words);

	if (kind != OPERAND_NONE)
		printf("complete -c msb -n '__msb_at %s' %s-a '%s'\n", path,
		       kind == OPERAND_PLACE ? "-F " : "", words ? words : actions[kind]);
}

static void print_command(const struct command *c, const char *path)
{
	const struct opt *o;

	for (const struct command *s = c->subcommands; s && s->name; s++)
		print_subcommand(c, path, s);
	for (size_t i = 0; (o = command_option(c, i)); i++)
		print_option(path, o);
	if (!c->subcommands)
		print_operand(c, path);
}

void completion_fish(const struct command *top)
{
	puts("# Completion of msb's command line in fish, made by `msb completion fish`.\n"
	     "# Without installing it: msb completion fish | source\n\n"
	     "function __msb_path # prints the command that the line has come to\n"
	     "    set -l path msb\n"
	     "    set -l words (commandline -opc)\n"
	     "    set -e words[1]\n"
	     "    for word in $words\n"
	     "        switch \"$path $word\"\n"
	     "            case '* --' # what follows is run in the sandbox\n"
	     "                return");
	each_command(top, top->name, print_enter);
	fputs("            case '* -*' '* help'\n"
	      "            case '*' # no such command, or an operand\n"
	      "                contains -- $path",
	      stdout);
	each_command(top, top->name, print_group);
	puts("; and return\n"
	     "        end\n"
	     "    end\n"
	     "    echo $path\n"
	     "end\n\n"
	     "function __msb_at # PATH\n"
	     "    test \"$argv\" = (__msb_path | string collect -a)\n"
	     "end\n\n"
	     "function __msb_typing # a word is begun\n"
	     "    string length -q -- (commandline -ct)\n"
	     "end\n\n"
	     "function __msb_images_or_folders\n"
	     "    if string match -qr '^[./]' -- (commandline -ct)\n"
	     "        __fish_complete_directories (commandline -ct) ''\n"
	     "    else\n"
	     "        msb images -q 2>/dev/null </dev/null\n"
	     "    end\n"
	     "end\n\n"
	     "function __msb_places # beside files\n"
	     "    msb ls -q 2>/dev/null </dev/null | string replace -r '$' ':/'\n"
	     "end\n\n"
	     "complete -c msb -f");
	each_command(top, top->name, print_command);
}
