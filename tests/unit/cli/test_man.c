/* SPDX-License-Identifier: Apache-2.0 */
/* msb(1) has every command and option of the table, and nothing that roff misunderstands. */
#include "capture.h"

#include "cli/man.c"

static void print(void *arg)
{
	cmd_man(NULL, NULL, NULL, NULL);
}

static void print_text(void *arg)
{
	put_text(arg);
}

static size_t count(const char *where, const char *part)
{
	size_t n = 0;

	for (const char *p = where; (p = strstr(p, part)); p += strlen(part))
		n++;
	return n;
}

static size_t commands_seen, options_seen;

static void check_commands(const char *page, const struct command *c, const char *path)
{
	_cleanup_free_ char *tag = xasprintf("\n.TP\n\\fB%s ", path);
	const struct opt *o;

	if (!c->subcommands && count(page, tag) != 1)
		fail_msg("'%s' occurs %zu times", tag, count(page, tag));
	commands_seen += !c->subcommands;
	for (size_t i = 0;
	     !c->subcommands && !find_same(&msb_command, c) && (o = command_option(c, i)); i++)
		options_seen += !str_eq(o->name, "help") && !str_eq(o->name, "tree");
	for (const struct command *s = c->subcommands; s && s->name; s++) {
		_cleanup_free_ char *below = xasprintf("%s %s", path, s->name);

		if (command_listed(c, s))
			check_commands(page, s, below);
	}
}

static void test_page(void **state)
{
	_cleanup_free_ char *page = capture(stdout, print, NULL);
	static const char *const sections[] = {
		"NAME",  "SYNOPSIS",    "DESCRIPTION", "OPTIONS",  "COMMANDS",
		"FILES", "ENVIRONMENT", "EXIT STATUS", "EXAMPLES", "SEE ALSO",
	};
	const char *at = page;

	for (size_t i = 0; i < ARRAY_SIZE(sections); i++) {
		_cleanup_free_ char *head = xasprintf("\n.SH %s\n", sections[i]);

		at = strstr(at, head);
		assert_non_null(at);
	}
	check_commands(page, &msb_command, "msb");
	assert_int_equal(count(page, "\n.TP\n\\fBmsb "), commands_seen);
	/* And the three of msb itself. */
	assert_int_equal(count(page, "\\fB\\-\\-"), options_seen + 3);
	assert_int_equal(count(page, "msb man"), 0);
	assert_int_equal(count(page, "\n.RS\n"), count(page, "\n.RE\n"));
}

static void test_escapes(void **state)
{
	static const struct {
		const char *text, *roff;
	} cases[] = {
		{"plain", "plain\n"},
		{"a-b 'c' `d` ~ ^ \\n", "a\\-b \\(aqc\\(aq \\(gad\\(ga \\(ti \\(ha \\en\n"},
		{".TH x\n.SH y", "\\&.TH x\n\\&.SH y\n"},
		{"a.b", "a.b\n"},
		{"'quoted'", "\\(aqquoted\\(aq\n"},
		{"sixty-one letters have to be in front of the blank that ends xx ./it",
		 "sixty\\-one letters have to be in front of the blank that ends xx\n\\&./it\n"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *roff = capture(stdout, print_text, (void *)cases[i].text);

		assert_string_equal(roff, cases[i].roff);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_page),
		cmocka_unit_test(test_escapes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
