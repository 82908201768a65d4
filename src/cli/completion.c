/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/completion.h"

#include "cli/commands.h"

#include <string.h>

static bool word_is(const char *word, size_t len, const char *s)
{
	return strlen(s) == len && memcmp(word, s, len) == 0;
}

static char *choice(const char *word, size_t len)
{
	char *s = xstrndup(word, len);

	for (char *p = s; (p = strchr(p, '|'));)
		*p = ' ';
	return s;
}

enum operand_kind operand_kind(const struct command *c, char **ret_choice)
{
	*ret_choice = NULL;
	for (const char *p = c->usage; (p = strpbrk(p, "<["));) {
		size_t len = strcspn(++p, ">] ");

		if (word_is(p, len, "NAME"))
			return OPERAND_SANDBOX;
		if (word_is(p, len, "REFERENCE"))
			return OPERAND_IMAGE;
		if (word_is(p, len, "VOLUME"))
			return OPERAND_VOLUME;
		if (word_is(p, len, "IMAGE"))
			return OPERAND_IMAGE_OR_FOLDER;
		if (word_is(p, len, "SOURCE"))
			return OPERAND_PLACE;
		if (memchr(p, '|', len)) {
			*ret_choice = choice(p, len);
			return OPERAND_CHOICE;
		}
	}
	return OPERAND_NONE;
}

void each_command(const struct command *c, const char *path,
		  void (*fn)(const struct command *c, const char *path))
{
	fn(c, path);
	for (const struct command *s = c->subcommands; s && s->name; s++) {
		char *below = xasprintf("%s %s", path, s->name);

		each_command(s, below, fn);
		free(below);
	}
}

char *shell_quote(const char *text, bool fish)
{
	size_t n = 0;
	char *s = xcalloc(1, 4 * strlen(text) + 3);

	s[n++] = '\'';
	for (const char *p = text; *p; p++) {
		if (*p == '\'' && !fish) { /* ends the quotes, and takes them up again */
			memcpy(s + n, "'\\''", 4);
			n += 4;
			continue;
		}
		if (fish && (*p == '\'' || *p == '\\'))
			s[n++] = '\\';
		s[n++] = *p;
	}
	s[n] = '\'';
	return s;
}

/* --- msb completion ------------------------------------------------------------------------ */

const struct opt *const completion_options[] = {NULL};
const size_t completion_args_size = 1; /* there are no options */

int cmd_completion(struct cli *cli, void *args, struct operands *ops, struct err *e)
{
	static const struct {
		const char *shell;
		void (*print)(const struct command *top);
	} shells[] = {
		{"bash", completion_bash},
		{"zsh", completion_zsh},
		{"fish", completion_fish},
	};

	for (size_t i = 0; i < ARRAY_SIZE(shells); i++) {
		if (str_eq(ops->args.v[0], shells[i].shell)) {
			shells[i].print(&msb_command);
			return 0;
		}
	}
	return err_set(e, ERR_USAGE, "no completion for '%s': expected bash, zsh or fish",
		       ops->args.v[0]);
}
