/* SPDX-License-Identifier: Apache-2.0 */
/* A shell function for each command, called by that of the command above; _arguments does the rest.
 */
#include "cli/completion.h"

#include "base/cleanup.h"
#include "cli/help.h"

#include <stdio.h>
#include <string.h>

/* "_msb_image_ls"; owned. */
static char *function_name(const char *path)
{
	char *s = xasprintf("_%s", path);

	for (char *p = s; (p = strchr(p, ' '));)
		*p = '_';
	return s;
}

/* With a backslash before everything that means something to _arguments or _describe; owned. */
static char *escape(const char *text)
{
	char *s = xcalloc(1, 2 * strlen(text) + 1);
	size_t n = 0;

	for (const char *p = text; *p; p++) {
		if (strchr("[]:\\", *p))
			s[n++] = '\\';
		s[n++] = *p;
	}
	return s;
}

static void print_item(const char *name, size_t len, const char *summary)
{
	_cleanup_free_ char *text = escape(summary);
	_cleanup_free_ char *item = xasprintf("%.*s:%s", (int)len, name, text);
	_cleanup_free_ char *quoted = shell_quote(item, false);

	printf("\t\t%s\n", quoted);
}

static void print_lists(const struct command *c)
{
	puts("\tlocal -a commands=(");
	for (const struct command *s = c->subcommands; s->name; s++)
		if (command_listed(c, s))
			print_item(s->name, strlen(s->name), s->summary);
	puts("\t)\n\tlocal -a others=(");
	for (const struct command *s = c->subcommands; s->name; s++) {
		const char *list = s->aliases, *alias;
		size_t len;

		if (!command_listed(c, s))
			print_item(s->name, strlen(s->name), s->summary);
		while (next_word(&list, &alias, &len))
			print_item(alias, len, s->summary);
	}
	puts("\t)");
}

/* What completes the value of an option; owned. */
static char *value_action(const struct opt *o)
{
	if (o->values)
		return xasprintf("(%s)", o->values);
	return xstrdup(str_eq(o->metavar, "FILE") ? "_files" : "");
}

/* `left` is the name in the form that _arguments wants, after what excludes what. */
static void print_spec(const char *left, const struct opt *o)
{
	_cleanup_free_ char *help = escape(o->help);
	_cleanup_free_ char *metavar = o->metavar ? escape(o->metavar) : NULL;
	_cleanup_free_ char *action = o->metavar ? value_action(o) : NULL;
	_cleanup_free_ char *spec = o->metavar
					    ? xasprintf("%s[%s]:%s:%s", left, help, metavar, action)
					    : xasprintf("%s[%s]", left, help);
	_cleanup_free_ char *quoted = shell_quote(spec, false);

	printf(" \\\n\t\t%s", quoted);
}

/* An option with a value can be given more than once; a flag is offered once. */
static void print_option(const struct opt *o)
{
	_cleanup_free_ char *once =
		o->letter ? xasprintf("(-%c --%s)", o->letter, o->name) : xstrdup("");
	const char *before = o->metavar ? "*" : once;
	_cleanup_free_ char *name = xasprintf("%s--%s%s", before, o->name, o->metavar ? "=" : "");
	_cleanup_free_ char *letter =
		o->letter ? xasprintf("%s-%c%s", before, o->letter, o->metavar ? "+" : "") : NULL;

	print_spec(name, o);
	if (letter)
		print_spec(letter, o);
}

static void print_operand(const struct command *c)
{
	static const char *const actions[] = {
		[OPERAND_SANDBOX] = "sandbox:__msb_sandboxes",
		[OPERAND_IMAGE] = "image:__msb_images",
		[OPERAND_VOLUME] = "volume:__msb_volumes",
		[OPERAND_IMAGE_OR_FOLDER] = "image:__msb_images_or_folders",
		[OPERAND_PLACE] = "file:__msb_places",
	};
	_cleanup_free_ char *words = NULL;
	enum operand_kind kind = operand_kind(c, &words);
	const char *which = c->max_args == 1 ? "1" : "*";

	if (kind == OPERAND_CHOICE)
		printf(" \\\n\t\t'%s:choice:(%s)'", which, words);
	else if (kind != OPERAND_NONE)
		printf(" \\\n\t\t'%s:%s'", which, actions[kind]);
	putchar('\n');
}

static void print_dispatch(const struct command *c, const char *path)
{
	puts(" \\\n\t\t'1: :->command' \\\n\t\t'*:: :->rest' && return\n\n"
	     "\tcase $state in\n"
	     "\tcommand) _describe -t commands command commands ||\n"
	     "\t\t_describe -t aliases alias others ;;\n"
	     "\trest)\n\t\tcase $words[1] in");
	for (const struct command *s = c->subcommands; s->name; s++) {
		_cleanup_free_ char *below = xasprintf("%s %s", path, s->name);
		_cleanup_free_ char *function = function_name(below);
		const char *list = s->aliases, *alias;
		size_t len;

		printf("\t\t%s", s->name);
		while (next_word(&list, &alias, &len))
			printf("|%.*s", (int)len, alias);
		printf(") %s ;;\n", function);
	}
	puts("\t\tesac ;;\n\tesac");
}

static void print_function(const struct command *c, const char *path)
{
	_cleanup_free_ char *function = function_name(path);
	const struct opt *o;

	printf("%s() {\n", function);
	if (c->subcommands) {
		puts("\tlocal context state state_descr line\n\tlocal -A opt_args");
		print_lists(c);
		fputs("\t_arguments -C -s :", stdout);
	} else {
		fputs("\t_arguments -s -S :", stdout);
	}
	for (size_t i = 0; (o = command_option(c, i)); i++)
		print_option(o);
	if (c->subcommands)
		print_dispatch(c, path);
	else
		print_operand(c);
	puts("}\n");
}

void completion_zsh(const struct command *top)
{
	puts("#compdef msb\n"
	     "# Completion of msb's command line in zsh, made by `msb completion zsh`.\n"
	     "# Without installing it: source <(msb completion zsh)\n\n"
	     "__msb_sandboxes() {\n"
	     "\tlocal -a names=(${(f)\"$(msb ls -q 2>/dev/null </dev/null)\"})\n"
	     "\tcompadd \"$@\" -a names\n}\n\n"
	     "__msb_images() {\n"
	     "\tlocal -a names=(${(f)\"$(msb images -q 2>/dev/null </dev/null)\"})\n"
	     "\tcompadd \"$@\" -a names\n}\n\n"
	     "__msb_volumes() {\n"
	     "\tlocal -a names=(${(f)\"$(msb volumes -q 2>/dev/null </dev/null)\"})\n"
	     "\tcompadd \"$@\" -a names\n}\n\n"
	     "__msb_images_or_folders() {\n"
	     "\tif [[ $PREFIX == [./]* ]]; then\n\t\t_files -/\n"
	     "\telse\n\t\t__msb_images \"$@\"\n\tfi\n}\n\n"
	     "__msb_places() {\n"
	     "\tlocal -a names=(${(f)\"$(msb ls -q 2>/dev/null </dev/null)\"})\n"
	     "\tcompadd -S ':/' -a names\n\t_files\n}\n");
	each_command(top, top->name, print_function);
	puts("if [[ ${funcstack[1]-} == _msb ]]; then # loaded by compinit\n"
	     "\t_msb \"$@\"\nelse\n\tcompdef _msb msb\nfi");
}
