/* SPDX-License-Identifier: Apache-2.0 */
/* Completion scripts hold everything of the table, in its place, once. */
#include "capture.h"

#include "cli/cli.h"
#include "cli/completion.h"
#include "cli/help.h"

static char *text; /* the script under test */

static void print(void *arg)
{
	void (*const *fn)(const struct command *) = arg;

	(*fn)(&msb_command);
}

static char *script(void (*fn)(const struct command *top))
{
	return capture(stdout, print, &fn);
}

static size_t count(const char *where, const char *part)
{
	size_t n = 0;

	for (const char *p = where; (p = strstr(p, part)); p += strlen(part))
		n++;
	return n;
}

static void check_count(const char *where, const char *part, size_t n)
{
	if (count(where, part) != n)
		fail_msg("'%s' occurs %zu times, not %zu, in:\n%s", part, count(where, part), n,
			 where);
}

/* What stands between `start`, which occurs once, and the next `end`; owned. */
static char *section(const char *where, const char *start, const char *end)
{
	const char *p;

	check_count(where, start, 1);
	p = strstr(where, start) + strlen(start);
	assert_non_null(strstr(p, end));
	return xstrndup(p, (size_t)(strstr(p, end) - p));
}

/* --- bash ---------------------------------------------------------------------------------- */

/* The words of an assignment, each with a blank on both sides; owned. */
static char *words_of(const char *block, const char *variable)
{
	_cleanup_free_ char *start = xasprintf("\t%s='", variable);
	_cleanup_free_ char *words = section(block, start, "'\n");
	char *padded = xcalloc(1, 2 * strlen(words) + 3);
	size_t n = 0;

	padded[n++] = ' ';
	for (const char *p = words; *p; p++) {
		if (*p == ' ')
			padded[n++] = ' ';
		padded[n++] = *p;
	}
	padded[n] = ' ';
	return padded;
}

static void check_bash(const struct command *c, const char *path)
{
	_cleanup_free_ char *start = xasprintf("\n\t'%s')\n", path);
	_cleanup_free_ char *block = section(text, start, "\t\t;;\n");
	_cleanup_free_ char *options = words_of(block, "options");
	_cleanup_free_ char *valued = words_of(block, "valued");
	_cleanup_free_ char *names = c->subcommands ? words_of(block, "names") : NULL;
	size_t words = 0;
	const struct opt *o;

	for (size_t i = 0; (o = command_option(c, i)); i++) {
		_cleanup_free_ char *name = xasprintf(" --%s ", o->name);
		_cleanup_free_ char *letter = xasprintf(" -%c ", o->letter);
		_cleanup_free_ char *value = xasprintf("\n\t'%s --%s'", path, o->name);

		check_count(options, name, 1);
		check_count(valued, name, o->metavar != NULL);
		if (o->letter) {
			check_count(options, letter, 1);
			check_count(valued, letter, o->metavar != NULL);
		}
		check_count(text, value, o->values || str_eq(o->metavar, "FILE"));
		words += o->letter ? 2 : 1;
	}
	check_count(options, " -", words);
	for (const struct command *s = c->subcommands; s && s->name; s++) {
		_cleanup_free_ char *word = xasprintf(" %s ", s->name);
		_cleanup_free_ char *enter = xasprintf(") path='%s %s' ;;\n", path, s->name);

		check_count(names, word, command_listed(c, s));
		check_count(text, enter, 1);
	}
}

static void test_bash(void **state)
{
	text = script(completion_bash);
	each_command(&msb_command, "msb", check_bash);
	check_count(text, "\tmore='cp remove list ", 1);
	check_count(text, "\t'msb rm' | 'msb remove') path='msb rm' ;;\n", 1);
	check_count(text, "\t'msb save --format') _msb_offer docker oci ;;\n", 1);
	check_count(text, "\t'msb load --input' | 'msb load -i') _msb_offer_files ;;\n", 1);
	free(text);
}

/* --- zsh ----------------------------------------------------------------------------------- */

static void check_zsh(const struct command *c, const char *path)
{
	_cleanup_free_ char *name = xasprintf("\n_%s() {\n", path);
	_cleanup_free_ char *body = NULL;
	const struct opt *o;
	size_t specs = 0;

	for (char *p = name; (p = strchr(p, ' ')) && p[1] != '{';)
		*p = '_';
	body = section(text, name, "\n}\n");
	for (size_t i = 0; (o = command_option(c, i)); i++) {
		_cleanup_free_ char *spec = xasprintf("--%s%s[", o->name, o->metavar ? "=" : "");
		_cleanup_free_ char *letter = xasprintf("-%c%s[", o->letter, o->metavar ? "+" : "");

		check_count(body, spec, 1);
		if (o->letter)
			check_count(body, letter, 1);
		specs += o->letter ? 2 : 1;
	}
	assert_int_equal(count(body, "\n\t\t'-") + count(body, "\n\t\t'*-") +
				 count(body, "\n\t\t'(-"),
			 specs);
	for (const struct command *s = c->subcommands; s && s->name; s++) {
		_cleanup_free_ char *item = xasprintf("\n\t\t'%s:", s->name);

		check_count(body, item, 1);
	}
}

static void test_zsh(void **state)
{
	text = script(completion_zsh);
	each_command(&msb_command, "msb", check_zsh);
	check_count(text, "'(-q --quiet)--quiet[Print only names]'", 4); /* of ls, ps, volumes */
	check_count(text,
		    "'*--pull=[Pull the image\\: always, if-missing, never "
		    "\\[default\\: if-missing\\]]:WHEN:(always if-missing never)'",
		    2);
	check_count(text, "'inspect:Show an image'\\''s configuration and layers'\n", 1);
	check_count(text, " \\\n\t\t'*:image:__msb_images'\n", 4); /* save and rm in both places */
	free(text);
}

/* --- fish ---------------------------------------------------------------------------------- */

static void check_fish(const struct command *c, const char *path)
{
	_cleanup_free_ char *all = xasprintf("\ncomplete -c msb -n '__msb_at %s' -l ", path);
	const struct opt *o;
	size_t i;

	for (i = 0; (o = command_option(c, i)); i++) {
		_cleanup_free_ char *line = xasprintf("%s%s -", all, o->name);

		check_count(text, line, 1);
	}
	check_count(text, all, i);
	for (const struct command *s = c->subcommands; s && s->name; s++) {
		const char *when = command_listed(c, s) ? "" : "; and __msb_typing";
		_cleanup_free_ char *line = xasprintf(
			"\ncomplete -c msb -n '__msb_at %s%s' -a %s -d ", path, when, s->name);

		check_count(text, line, 1);
	}
}

static void test_fish(void **state)
{
	text = script(completion_fish);
	each_command(&msb_command, "msb", check_fish);
	check_count(text, " -a inspect -d 'Show an image\\'s configuration and layers'\n", 1);
	check_count(text, "'__msb_at msb load' -l input -s i -r -F -d ", 1);
	free(text);
}

/* --- parts --------------------------------------------------------------------------------- */

static void test_quotes(void **state)
{
	static const struct {
		const char *plain, *posix, *fish;
	} cases[] = {
		{"", "''", "''"},
		{"plain", "'plain'", "'plain'"},
		{"it's", "'it'\\''s'", "'it\\'s'"},
		{"'", "''\\'''", "'\\''"},
		{"a\\b", "'a\\b'", "'a\\\\b'"},
		{"$(id) `id` \"x\"", "'$(id) `id` \"x\"'", "'$(id) `id` \"x\"'"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *posix = shell_quote(cases[i].plain, false);
		_cleanup_free_ char *fish = shell_quote(cases[i].plain, true);

		assert_string_equal(posix, cases[i].posix);
		assert_string_equal(fish, cases[i].fish);
	}
}

static void test_operands(void **state)
{
	static const struct {
		const char *usage;
		enum operand_kind kind;
		const char *choice;
	} cases[] = {
		{"[OPTIONS]", OPERAND_NONE, NULL},
		{"[OPTIONS] <NAME>", OPERAND_SANDBOX, NULL},
		{"[OPTIONS] [NAME]...", OPERAND_SANDBOX, NULL},
		{"[OPTIONS] <NAME> [-- <COMMAND>...]", OPERAND_SANDBOX, NULL},
		{"[OPTIONS] <IMAGE> [-- <COMMAND>...]", OPERAND_IMAGE_OR_FOLDER, NULL},
		{"[OPTIONS] <REFERENCE>...", OPERAND_IMAGE, NULL},
		{"[OPTIONS] --username <USER> <HOST>", OPERAND_NONE, NULL},
		{"[OPTIONS] <SOURCE> <DESTINATION>", OPERAND_PLACE, NULL},
		{"<bash|zsh>", OPERAND_CHOICE, "bash zsh"},
		{"<COMMAND>", OPERAND_NONE, NULL},
		{"[NAMES] <", OPERAND_NONE, NULL},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct command c = {.name = "x", .usage = cases[i].usage};
		_cleanup_free_ char *choice = NULL;

		assert_int_equal(operand_kind(&c, &choice), cases[i].kind);
		assert_true(str_eq(choice, cases[i].choice));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bash),     cmocka_unit_test(test_zsh),
		cmocka_unit_test(test_fish),     cmocka_unit_test(test_quotes),
		cmocka_unit_test(test_operands),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
