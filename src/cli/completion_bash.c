/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two shell functions hold the table: _msb_enter goes from a command to one below it, and
 * _msb_describe tells what the command at hand takes. The rest is the same for any table.
 */
#include "cli/completion.h"

#include "base/cleanup.h"
#include "cli/help.h"

#include <stdio.h>
#include <string.h>

static void print_case(const char *path, const struct command *c)
{
	const char *list = c->aliases, *alias;
	size_t len;

	printf("\t'%s %s'", path, c->name);
	while (next_word(&list, &alias, &len))
		printf(" | '%s %.*s'", path, (int)len, alias);
	printf(") path='%s %s' ;;\n", path, c->name);
}

static void print_enter(const struct command *c, const char *path)
{
	for (const struct command *s = c->subcommands; s && s->name; s++)
		print_case(path, s);
}

/* Words that are in the table, which no shell takes for anything else. */
static void print_names(const struct command *c)
{
	const char *between = "";

	printf("\t\tnames='");
	for (const struct command *s = c->subcommands; s->name; s++) {
		if (command_listed(c, s)) {
			printf("%s%s", between, s->name);
			between = " ";
		}
	}
	between = "";
	printf("'\n\t\tmore='");
	for (const struct command *s = c->subcommands; s->name; s++) {
		if (!command_listed(c, s)) {
			printf("%s%s", between, s->name);
			between = " ";
		}
		if (s->aliases) {
			printf("%s%s", between, s->aliases);
			between = " ";
		}
	}
	puts("'");
}

static void print_options(const struct command *c, const char *variable, bool valued)
{
	const char *between = "";
	const struct opt *o;

	printf("\t\t%s='", variable);
	for (size_t i = 0; (o = command_option(c, i)); i++) {
		if (valued && !o->metavar)
			continue;
		printf("%s--%s", between, o->name);
		between = " ";
		if (o->letter)
			printf(" -%c", o->letter);
	}
	puts("'");
}

static void print_operand(const struct command *c)
{
	static const char *const names[] = {
		[OPERAND_SANDBOX] = "sandbox", [OPERAND_IMAGE] = "image",
		[OPERAND_VOLUME] = "volume",   [OPERAND_IMAGE_OR_FOLDER] = "image_or_folder",
		[OPERAND_PLACE] = "place",     [OPERAND_CHOICE] = "choice",
	};
	_cleanup_free_ char *words = NULL;
	enum operand_kind kind = operand_kind(c, &words);

	if (kind == OPERAND_NONE)
		return;
	printf("\t\toperand=%s most=%d\n", names[kind], c->max_args == 1);
	if (words)
		printf("\t\tchoice='%s'\n", words);
}

static void print_description(const struct command *c, const char *path)
{
	printf("\t'%s')\n", path);
	if (c->subcommands)
		print_names(c);
	print_options(c, "options", false);
	print_options(c, "valued", true);
	if (!c->subcommands)
		print_operand(c);
	puts("\t\t;;");
}

static void print_values(const struct command *c, const char *path)
{
	const struct opt *o;

	for (size_t i = 0; (o = command_option(c, i)); i++) {
		bool file = str_eq(o->metavar, "FILE");

		if (!o->values && !file)
			continue;
		printf("\t'%s --%s'", path, o->name);
		if (o->letter)
			printf(" | '%s -%c'", path, o->letter);
		if (file)
			puts(") _msb_offer_files ;;");
		else
			printf(") _msb_offer %s ;;\n", o->values);
	}
}

static const char offers[] = "_msb_offer() { # WORDS\n"
			     "\tlocal word\n"
			     "\tfor word; do\n"
			     "\t\t[[ $word == \"$cur\"* ]] && COMPREPLY+=(\"$lead$word\")\n"
			     "\tdone\n"
			     "}\n\n"
			     "_msb_offer_lines() { # from standard input\n"
			     "\tlocal word\n"
			     "\twhile IFS= read -r word; do\n"
			     "\t\t_msb_offer \"$word\"\n"
			     "\tdone\n"
			     "}\n\n"
			     "_msb_offer_files() { # [-d: only folders]\n"
			     "\tcompopt -o filenames 2>/dev/null\n"
			     "\t_msb_offer_lines < <(compgen \"${1:--f}\" -- \"$cur\")\n"
			     "}\n\n"
			     "_msb_offer_names() { # ARGUMENTS of msb\n"
			     "\t_msb_offer_lines < <(msb \"$@\" 2>/dev/null </dev/null)\n"
			     "}\n\n"
			     "_msb_offer_operand() {\n"
			     "\tcase $operand in\n"
			     "\tsandbox) _msb_offer_names ls -q ;;\n"
			     "\timage) _msb_offer_names images -q ;;\n"
			     "\tvolume) _msb_offer_names volumes -q ;;\n"
			     "\timage_or_folder)\n"
			     "\t\tif [[ $cur == [./]* ]]; then\n"
			     "\t\t\t_msb_offer_files -d\n"
			     "\t\telse\n"
			     "\t\t\t_msb_offer_names images -q\n"
			     "\t\tfi\n"
			     "\t\t;;\n"
			     "\tplace)\n"
			     "\t\t_msb_offer_lines < <(msb ls -q 2>/dev/null </dev/null |\n"
			     "\t\t\twhile IFS= read -r name; do echo \"$name:/\"; done)\n"
			     "\t\t((${#COMPREPLY[@]})) && compopt -o nospace 2>/dev/null\n"
			     "\t\t_msb_offer_files\n"
			     "\t\t;;\n"
			     "\tchoice) _msb_offer $choice ;;\n"
			     "\tesac\n"
			     "}\n\n";

static const char engine[] =
	"# Bash splits words at = and :, too; words gets them in one piece.\n"
	"_msb_words() {\n"
	"\tlocal i word glue=\n"
	"\tfor ((i = 0; i <= COMP_CWORD; i++)); do\n"
	"\t\tword=${COMP_WORDS[i]}\n"
	"\t\tif ((i > 1)) && [[ $glue || $word =~ ^[=:]+$ ]]; then\n"
	"\t\t\twords[${#words[@]} - 1]+=$word\n"
	"\t\telse\n"
	"\t\t\twords+=(\"$word\")\n"
	"\t\tfi\n"
	"\t\tglue=\n"
	"\t\t[[ $word =~ ^[=:]+$ ]] && glue=1\n"
	"\tdone\n"
	"}\n\n"
	"# Bash replaces only what follows the last = or :.\n"
	"_msb_trim() { # WORD that is completed\n"
	"\tlocal breaks=${COMP_WORDBREAKS//[^=:]/} rest\n"
	"\t[[ $breaks ]] || return 0\n"
	"\trest=${1##*[$breaks]}\n"
	"\tCOMPREPLY=(\"${COMPREPLY[@]#\"${1%\"$rest\"}\"}\")\n"
	"}\n\n"
	"_msb() {\n"
	"\tlocal IFS=$' \\t\\n' path=msb cur lead= option= word i count=0\n"
	"\tlocal names= more= options= valued= operand= choice= most=0\n"
	"\tlocal -a words=()\n\n"
	"\tCOMPREPLY=()\n"
	"\t_msb_words\n"
	"\t_msb_describe\n"
	"\tfor ((i = 1; i < ${#words[@]} - 1; i++)); do\n"
	"\t\tword=${words[i]}\n"
	"\t\tif [[ $option ]]; then # this is its value\n"
	"\t\t\toption=\n"
	"\t\telif [[ $word == -- ]]; then # the command to run in the sandbox\n"
	"\t\t\treturn 0\n"
	"\t\telif [[ $word == -* ]]; then\n"
	"\t\t\t[[ \" $valued \" == *\" $word \"* ]] && option=$word\n"
	"\t\telif [[ ! $names ]]; then\n"
	"\t\t\t((count += 1))\n"
	"\t\telif [[ $word != help ]]; then\n"
	"\t\t\t_msb_enter \"$word\" || return 0\n"
	"\t\t\t_msb_describe\n"
	"\t\tfi\n"
	"\tdone\n"
	"\tcur=${words[i]}\n"
	"\tif [[ ! $option && $cur == --*=* ]]; then\n"
	"\t\toption=${cur%%=*} lead=${cur%%=*}= cur=${cur#*=}\n"
	"\tfi\n"
	"\tif [[ $option ]]; then\n"
	"\t\t_msb_offer_values \"$option\"\n"
	"\telif [[ $cur == -* ]]; then\n"
	"\t\t_msb_offer $options\n"
	"\telif [[ $names ]]; then\n"
	"\t\t_msb_offer $names\n"
	"\t\t[[ $cur && ${#COMPREPLY[@]} == 0 ]] && _msb_offer $more\n"
	"\telif ((most == 0 || count < most)); then\n"
	"\t\t_msb_offer_operand\n"
	"\tfi\n"
	"\t_msb_trim \"${words[i]}\"\n"
	"}\n\n"
	"complete -F _msb msb\n";

void completion_bash(const struct command *top)
{
	puts("# Completion of msb's command line in bash, made by `msb completion bash`.\n"
	     "# Without installing it: source <(msb completion bash)\n");
	puts("_msb_enter() { # WORD: a command below $path\n\tcase \"$path $1\" in");
	each_command(top, top->name, print_enter);
	puts("\t*) return 1 ;;\n\tesac\n}\n");
	puts("_msb_describe() { # what $path takes\n"
	     "\tnames= more= operand= choice= most=0\n\tcase $path in");
	each_command(top, top->name, print_description);
	puts("\tesac\n}\n");
	puts("_msb_offer_values() { # OPTION\n\tcase \"$path $1\" in");
	each_command(top, top->name, print_values);
	puts("\tesac\n}\n");
	fputs(offers, stdout);
	fputs(engine, stdout);
}
