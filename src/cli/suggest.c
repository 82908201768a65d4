/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/suggest.h"

#include "base/similar.h"

#include <string.h>

/* The best so far. A third of the letters may be wrong: one of `ls` or `stop`, two of `create`. */
struct nearest {
	const char *word;
	size_t word_len;
	size_t distance;
	const char *name; /* not terminated; NULL: none yet */
	size_t len;
};

static bool take_nearer(struct nearest *n, const char *name, size_t len)
{
	size_t d = edit_distance(n->word, n->word_len, name, len);

	/* One with no letter in common is no suggestion. */
	if (d > MAX(len / 3, (size_t)1) || d >= MIN(len, n->word_len))
		return false;
	if (n->name && d >= n->distance)
		return false;
	n->distance = d;
	n->name = name;
	n->len = len;
	return true;
}

char *suggest_command(const struct command *c, const char *word)
{
	struct nearest n = {.word = word, .word_len = strlen(word)};

	for (const struct command *s = c->subcommands; s->name; s++) {
		const char *list = s->aliases, *alias;
		size_t len;

		take_nearer(&n, s->name, strlen(s->name));
		while (next_word(&list, &alias, &len))
			take_nearer(&n, alias, len);
	}
	if (n.name)
		return xstrndup(n.name, n.len);
	for (const struct command *s = c->subcommands; s->name; s++)
		if (s->subcommands && command_find(s->subcommands, word))
			return xasprintf("%s %s", s->name, word);
	return NULL;
}

const struct opt *suggest_option(const struct command *c, const char *name, size_t len)
{
	struct nearest n = {.word = name, .word_len = len};
	const struct opt *o, *best = NULL;

	for (size_t i = 0; (o = command_option(c, i)); i++)
		if (take_nearer(&n, o->name, strlen(o->name)))
			best = o;
	return best;
}
