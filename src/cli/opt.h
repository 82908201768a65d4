/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Command and option tables: the one description from which parsing, help, completion and the
 * manual page come.
 *
 * An option writes its value into a field of the command's argument struct. Long names are never
 * abbreviated; `--name VALUE`, `--name=VALUE`, `-nVALUE`, `-n VALUE` and clusters of flags (`-qd`)
 * are taken, before and after positional arguments. All that follows `--` is the command to run.
 */
#pragma once

#include "base/err.h"

/* Parses a value into a field. 0, or -1 with a message that need not name the option. */
typedef int opt_parse_fn(const char *value, void *field, struct err *e);

struct opt {
	const char *name;    /* without the dashes; NULL ends a table */
	char letter;         /* 0: none */
	const char *metavar; /* NULL: a flag, whose field is a bool; "FILE": a file of the host */
	opt_parse_fn *parse;
	size_t offset;
	const char *help;   /* NULL: not shown */
	const char *values; /* space-separated, the only ones that are taken; NULL: any */
	const char
		*lacking; /* what this version does not have yet, so that it refuses the option */
};

struct cli;

/* Positional arguments and what stood after `--`. */
struct operands {
	struct strv args;
	struct strv command;
	bool has_command; /* there was a `--` */
};

struct command {
	const char *name;
	const char *aliases;               /* space-separated, each also a name; NULL: none */
	const char *group;                 /* heading in the command list; NULL: not listed */
	const char *usage;                 /* what follows the name, e.g. "[OPTIONS] <IMAGE>" */
	const char *summary;               /* one line */
	const char *details;               /* further help text; NULL: none */
	const struct opt *const *options;  /* NULL-terminated list of tables; NULL: none */
	const struct command *subcommands; /* ends with a NULL name; NULL: none */
	const size_t *args_size; /* of the argument struct; the heap keeps it until exit */
	size_t min_args, max_args;
	bool takes_command; /* `-- CMD...` is allowed */
	/* Returns the exit status, or -1 with the error set. `args` is zeroed before parsing. */
	int (*run)(struct cli *cli, void *args, struct operands *ops, struct err *e);
};

/* What every command can be asked for instead of doing its work. */
enum opt_ask { ASK_NOTHING, ASK_HELP_SHORT, ASK_HELP, ASK_TREE };

/* Which of them an argument asks for: -h, --help, --tree. */
enum opt_ask opt_ask(const char *arg);

/*
 * Parses `argv` (after the command's name) into `args` and `ret`. Returns 0, or an enum opt_ask
 * when one was asked for, and then nothing is left in `ret`; or -1 with ERR_USAGE.
 */
int opt_parse(const struct command *c, int argc, char **argv, void *args, struct operands *ret,
	      struct err *e);
void operands_release(struct operands *ops);

/* Gives a value to an option as if it had been typed. 0, or -1 with ERR_USAGE. */
int opt_set(const struct command *c, const char *name, const char *value, void *args,
	    struct err *e);

/* Finds a command by name or alias. */
const struct command *command_find(const struct command *table, const char *name);
/* The i-th option that is shown of a command, the common ones last; NULL past the end. */
const struct opt *command_option(const struct command *c, size_t i);

/* Takes the first word off a space-separated list (NULL: empty); false when there is none. */
bool next_word(const char **list, const char **ret_word, size_t *ret_len);

/* Value parsers. */
opt_parse_fn opt_string;      /* char *, owned; the last one wins */
opt_parse_fn opt_strings;     /* struct strv */
opt_parse_fn opt_memory;      /* uint64_t bytes: "512", "512M", "1.5G"; a bare number is MiB */
opt_parse_fn opt_duration;    /* uint64_t ms: "30", "30s", "5m", "1h" */
opt_parse_fn opt_duration_ms; /* the same and "500ms" */
opt_parse_fn opt_cpus;        /* unsigned */
opt_parse_fn opt_label;       /* struct strv: K=V or K, a label to be given, checked */
opt_parse_fn opt_condition;   /* struct strv: K=V or K, a condition on labels, checked */
