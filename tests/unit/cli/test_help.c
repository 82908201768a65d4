/* SPDX-License-Identifier: Apache-2.0 */
/* The table of msb's commands, and help, usage, tree and suggestions made from it. */
#include "capture.h"

#include "cli/cli.h"
#include "cli/help.h"
#include "cli/suggest.h"

/* --- the table ----------------------------------------------------------------------------- */

static void check_options(const struct command *c)
{
	const struct opt *o, *other;

	for (size_t i = 0; (o = command_option(c, i)); i++) {
		if (strchr(o->help, '\n') || str_ends_with(o->help, "."))
			fail_msg("%s --%s: '%s'", c->name, o->name, o->help);
		if (o->metavar && !o->parse)
			fail_msg("%s --%s has no parser", c->name, o->name);
		if (o->values && !o->metavar)
			fail_msg("%s --%s takes no value", c->name, o->name);
		for (size_t k = i + 1; (other = command_option(c, k)); k++)
			if (str_eq(o->name, other->name) ||
			    (o->letter && o->letter == other->letter))
				fail_msg("%s --%s and --%s", c->name, o->name, other->name);
	}
}

static void check_names(const struct command *parent, const struct command *c)
{
	const char *list = c->aliases, *alias;
	size_t len;

	assert_ptr_equal(command_find(parent->subcommands, c->name), c);
	while (next_word(&list, &alias, &len)) {
		_cleanup_free_ char *name = xstrndup(alias, len);

		assert_ptr_equal(command_find(parent->subcommands, name), c);
	}
}

static void check_commands(const struct command *parent)
{
	for (const struct command *c = parent->subcommands; c->name; c++) {
		check_names(parent, c);
		assert_non_null(c->summary);
		assert_non_null(c->usage);
		assert_false(str_ends_with(c->summary, "."));
		if (c->details)
			assert_true(str_ends_with(c->details, "."));
		check_options(c);
		if (c->subcommands)
			check_commands(c);
		else
			assert_true(c->run && c->args_size && c->options);
	}
}

static void test_table(void **state)
{
	check_options(&msb_command);
	check_commands(&msb_command);
}

/* --- help ---------------------------------------------------------------------------------- */

struct print {
	const struct command *c;
	const char *path;
	enum opt_ask what;
};

static void print(void *arg)
{
	const struct print *p = arg;

	command_print(p->c, p->path, p->what);
}

static char *printed(const struct command *c, const char *path, enum opt_ask what)
{
	struct print p = {c, path, what};

	return capture(stdout, print, &p);
}

static size_t count(const char *text, const char *part)
{
	size_t n = 0;

	for (const char *p = text; (p = strstr(p, part)); p += strlen(part))
		n++;
	return n;
}

static void check_help(const struct command *c, const char *path)
{
	_cleanup_free_ char *brief = printed(c, path, ASK_HELP_SHORT);
	_cleanup_free_ char *full = printed(c, path, ASK_HELP);
	_cleanup_free_ char *usage = xasprintf("\nUsage: %s %s\n", path, c->usage);
	const struct opt *o;

	assert_int_equal(count(brief, usage), 1);
	assert_int_equal(count(full, usage), 1);
	assert_true(strlen(full) >= strlen(brief));
	if (c->details) {
		assert_null(strstr(brief, c->details));
		assert_non_null(strstr(full, c->details));
	}
	for (size_t i = 0; (o = command_option(c, i)); i++) {
		_cleanup_free_ char *name =
			o->letter ? xasprintf("\n  -%c, --%s ", o->letter, o->name)
				  : xasprintf("\n      --%s ", o->name);

		assert_int_equal(count(brief, name), 1);
		assert_non_null(strstr(brief, o->help));
		if (o->values) {
			_cleanup_free_ char *values = xasprintf(" Values: %s\n", o->values);

			assert_null(strstr(brief, values));
			assert_non_null(strstr(full, values));
		}
	}
	for (const struct command *s = c->subcommands; s && s->name; s++) {
		_cleanup_free_ char *below = xasprintf("%s %s", path, s->name);
		_cleanup_free_ char *line = xasprintf("\n  %s ", s->name);

		assert_int_equal(count(brief, line), command_listed(c, s));
		check_help(s, below);
	}
}

static void test_help(void **state)
{
	check_help(&msb_command, "msb");
}

static void test_help_of_a_command(void **state)
{
	const struct command *rm = command_find(msb_command.subcommands, "remove");
	_cleanup_free_ char *brief = printed(rm, "msb rm", ASK_HELP_SHORT);
	_cleanup_free_ char *full = printed(rm, "msb rm", ASK_HELP);

	assert_true(str_starts_with(brief, rm->summary));
	assert_non_null(strstr(brief, "\n  -f, --force                        Kill it first"));
	assert_non_null(strstr(brief, "\n      --tree                         Print the tree"));
	assert_null(strstr(brief, "remove"));
	assert_non_null(strstr(full, "\nNames: rm, remove\n"));
}

static void test_groups(void **state)
{
	static const struct command all[] = {
		{.name = "a", .group = "One", .summary = "A"},
		{.name = "hidden", .summary = "H"},
		{.name = "b", .group = "Two", .summary = "B"},
		{.name = "c", .group = "One", .summary = "C"},
		{0},
	};
	static const struct command top = {
		.name = "x", .usage = "<COMMAND>", .summary = "X", .subcommands = all};
	_cleanup_free_ char *text = printed(&top, "y x", ASK_HELP);

	assert_string_equal(command_group(&top, 0), "One");
	assert_string_equal(command_group(&top, 1), "Two");
	assert_null(command_group(&top, 2));
	assert_false(command_listed(&top, &all[1]));
	assert_non_null(strstr(text, "\nOne:\n  a  A\n  c  C\n\nTwo:\n  b  B\n\nOptions:"));
	assert_null(strstr(text, "hidden"));
}

/* --- tree ---------------------------------------------------------------------------------- */

static void test_tree(void **state)
{
	static const struct command inner[] = {
		{.name = "ls", .aliases = "list", .summary = "List"},
		{.name = "rm", .summary = "Remove"},
		{0},
	};
	static const struct command all[] = {
		{.name = "run", .group = "One", .summary = "Run"},
		{.name = "image", .group = "One", .summary = "Images", .subcommands = inner},
		{.name = "last", .group = "One", .summary = "Last", .subcommands = inner},
		{.name = "hidden", .summary = "H", .subcommands = inner},
		{0},
	};
	static const struct command top = {.name = "x", .summary = "X", .subcommands = all};
	_cleanup_free_ char *text = printed(&top, "x", ASK_TREE);
	_cleanup_free_ char *leaf = printed(&all[0], "x run", ASK_TREE);

	assert_string_equal(text, "x                 X\n"
				  "├── run           Run\n"
				  "├── image         Images\n"
				  "│   ├── ls, list  List\n"
				  "│   └── rm        Remove\n"
				  "└── last          Last\n"
				  "    ├── ls, list  List\n"
				  "    └── rm        Remove\n");
	assert_string_equal(leaf, "x run  Run\n");
}

/* --- suggestions --------------------------------------------------------------------------- */

static void test_suggestions(void **state)
{
	static const struct {
		const char *word, *suggestion;
	} cases[] = {
		{"pul", "pull"},
		{"plul", "pull"},
		{"rum", "run"},
		{"crate", "create"},
		{"craete", "create"},
		{"remvoe", "remove"},
		{"imgae", "image"},
		{"image", "image"},
		{"lss", "ls"},
		{"login", "registry login"},
		{"logout", "registry logout"},
		{"frobnicate", NULL},
		{"x", NULL},
		{"xy", NULL},
		{"", NULL},
		{"a-word-that-is-longer-than-any-that-is-compared", NULL},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *s = suggest_command(&msb_command, cases[i].word);

		if (!str_eq(s, cases[i].suggestion))
			fail_msg("'%s': '%s'", cases[i].word, s ? s : "nothing");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_help),
		cmocka_unit_test(test_help_of_a_command),
		cmocka_unit_test(test_groups),
		cmocka_unit_test(test_tree),
		cmocka_unit_test(test_suggestions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
