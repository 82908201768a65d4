/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/opt.h"

#include "cli/suggest.h"
#include "sandbox/spec.h"
#include "state/labels.h"

#include <errno.h>
#include <string.h>

/* --- values -------------------------------------------------------------------------------- */

int opt_string(const char *value, void *field, struct err *e)
{
	char **s = field;

	free(*s);
	*s = xstrdup(value);
	return 0;
}

int opt_strings(const char *value, void *field, struct err *e)
{
	strv_add(field, value);
	return 0;
}

static int bad_size(const char *value, struct err *e)
{
	return err_set(e, ERR_INVALID, "invalid size (expected e.g. 512M, 1G): %s", value);
}

int opt_memory(const char *value, void *field, struct err *e)
{
	size_t digits = strspn(value, "0123456789");
	uint64_t whole, fraction = 0, scale = 1, bytes;
	char number[24];
	const char *p = value + digits;

	if (digits == 0 || digits >= sizeof(number))
		return bad_size(value, e);
	memcpy(number, value, digits);
	number[digits] = '\0';
	if (parse_u64(number, (uint64_t)1 << 40, &whole) < 0)
		return bad_size(value, e);
	if (*p == '.') {
		for (p++; *p >= '0' && *p <= '9' && scale < 1000000; p++, scale *= 10)
			fraction = fraction * 10 + (uint64_t)(*p - '0');
		if (scale == 1 || (*p != 'g' && *p != 'G'))
			return bad_size(value, e);
	}
	if (*p && p[1])
		return bad_size(value, e);
	switch (*p) {
	case '\0':
	case 'm':
	case 'M':
		bytes = whole * MIB;
		break;
	case 'g':
	case 'G':
		if (whole > (uint64_t)1 << 30)
			return bad_size(value, e);
		bytes = whole * GIB + fraction * GIB / scale;
		break;
	default:
		return bad_size(value, e);
	}
	if (bytes == 0) /* would mean the default */
		return err_set(e, ERR_INVALID, "size must be greater than 0");
	*(uint64_t *)field = bytes;
	return 0;
}

/* A hundred years: everything that computes with it stays far from overflow. */
#define DURATION_MAX_MS (UINT64_C(100) * 365 * 86400 * 1000)

/* Units of durations in ms; "ms" itself only where so small ones make sense. 0: none. */
static uint64_t duration_unit(const char *unit, bool small)
{
	if (!*unit || strcmp(unit, "s") == 0)
		return 1000;
	if (strcmp(unit, "m") == 0)
		return UINT64_C(60) * 1000;
	if (strcmp(unit, "h") == 0)
		return UINT64_C(3600) * 1000;
	return small && strcmp(unit, "ms") == 0 ? 1 : 0;
}

static int parse_duration(const char *value, bool small, uint64_t *ret)
{
	size_t digits = strspn(value, "0123456789");
	uint64_t n, unit = duration_unit(value + digits, small);
	char number[24];

	if (digits == 0 || digits >= sizeof(number) || !unit)
		return -EINVAL;
	memcpy(number, value, digits);
	number[digits] = '\0';
	if (parse_u64(number, UINT32_MAX, &n) < 0 || n > DURATION_MAX_MS / unit)
		return -EINVAL;
	*ret = n * unit;
	return 0;
}

int opt_duration(const char *value, void *field, struct err *e)
{
	if (parse_duration(value, false, field) == 0)
		return 0;
	return err_set(e, ERR_INVALID, "invalid duration (expected e.g. 30, 30s, 5m, 1h): %s",
		       value);
}

int opt_duration_ms(const char *value, void *field, struct err *e)
{
	if (parse_duration(value, true, field) == 0)
		return 0;
	return err_set(e, ERR_INVALID, "invalid duration (expected e.g. 0, 500ms, 5s, 2m): %s",
		       value);
}

int opt_cpus(const char *value, void *field, struct err *e)
{
	uint64_t n;

	if (parse_u64(value, SPEC_CPUS_MAX, &n) < 0 || n == 0)
		return err_set(e, ERR_INVALID, "number of CPUs must be 1 to %d: %s", SPEC_CPUS_MAX,
			       value);
	*(unsigned *)field = (unsigned)n;
	return 0;
}

static int add_label(const char *value, struct strv *labels, struct err *e)
{
	if (labels->n == LABELS_MAX)
		return err_set(e, ERR_INVALID, "there can be at most %d labels", LABELS_MAX);
	strv_add(labels, value);
	return 0;
}

int opt_label(const char *value, void *field, struct err *e)
{
	return label_check_new(value, e) < 0 ? -1 : add_label(value, field, e);
}

int opt_condition(const char *value, void *field, struct err *e)
{
	return label_check(value, e) < 0 ? -1 : add_label(value, field, e);
}

/* --- the tables ---------------------------------------------------------------------------- */

/* opt_ask finds them; they are never stored. */
static const struct opt common_opts[] = {
	{"tree", 0, NULL, NULL, 0, "Print the tree of commands from here on"},
	{"help", 'h', NULL, NULL, 0, "Print help; with -h the essentials"},
	{0},
};

bool next_word(const char **list, const char **ret_word, size_t *ret_len)
{
	if (!*list)
		return false;
	*ret_word = *list + strspn(*list, " ");
	*ret_len = strcspn(*ret_word, " ");
	*list = *ret_word + *ret_len;
	return *ret_len > 0;
}

const struct command *command_find(const struct command *table, const char *name)
{
	for (const struct command *c = table; c->name; c++) {
		const char *list = c->aliases, *alias;
		size_t len;

		if (strcmp(c->name, name) == 0)
			return c;
		while (next_word(&list, &alias, &len))
			if (len == strlen(name) && memcmp(alias, name, len) == 0)
				return c;
	}
	return NULL;
}

const struct opt *command_option(const struct command *c, size_t i)
{
	for (const struct opt *const *t = c->options; t && *t; t++)
		for (const struct opt *o = *t; o->name; o++)
			if (o->help && i-- == 0)
				return o;
	return i + 1 < ARRAY_SIZE(common_opts) ? &common_opts[i] : NULL;
}

/* --- parsing ------------------------------------------------------------------------------- */

static const struct opt *find_long(const struct command *c, const char *name, size_t len)
{
	for (const struct opt *const *t = c->options; t && *t; t++)
		for (const struct opt *o = *t; o->name; o++)
			if (strlen(o->name) == len && memcmp(o->name, name, len) == 0)
				return o;
	return NULL;
}

static const struct opt *find_short(const struct command *c, char letter)
{
	for (const struct opt *const *t = c->options; t && *t; t++)
		for (const struct opt *o = *t; o->name; o++)
			if (o->letter == letter)
				return o;
	return NULL;
}

static int unexpected(struct err *e, const char *arg)
{
	return err_set(e, ERR_USAGE, "unexpected argument '%s' found", arg);
}

static bool is_one_of(const char *value, const char *list)
{
	const char *word;
	size_t len;

	while (next_word(&list, &word, &len))
		if (strlen(value) == len && memcmp(value, word, len) == 0)
			return true;
	return false;
}

/* "auto, bars or none" for "auto bars none"; owned. */
static char *enumerate(const char *list)
{
	char *s = NULL;
	const char *word;
	size_t len;

	while (next_word(&list, &word, &len)) {
		const char *between = !s ? "" : *list ? ", " : " or ";
		char *longer = xasprintf("%s%s%.*s", s ? s : "", between, (int)len, word);

		free(s);
		s = longer;
	}
	return s;
}

static int bad_value(const struct opt *o, const char *value, struct err *e)
{
	char *expected = enumerate(o->values);

	err_set(e, ERR_USAGE, "invalid value '%s' for '--%s <%s>': expected %s", value, o->name,
		o->metavar, expected);
	free(expected);
	return -1;
}

static int apply(const struct opt *o, const char *value, void *args, struct err *e)
{
	void *field = (char *)args + o->offset;

	if (o->lacking)
		return err_set(e, ERR_USAGE, "'--%s' cannot be used: this version of msb has no %s",
			       o->name, o->lacking);
	if (!o->metavar) {
		*(bool *)field = true;
		return 0;
	}
	if (o->values && !is_one_of(value, o->values))
		return bad_value(o, value, e);
	if (o->parse(value, field, e) < 0) {
		err_wrap(e, "invalid value '%.200s' for '--%s <%s>'", value, o->name, o->metavar);
		e->code = ERR_USAGE;
		return -1;
	}
	return 0;
}

static int missing_value(const struct opt *o, struct err *e)
{
	return err_set(e, ERR_USAGE, "a value is required for '--%s <%s>' but none was supplied",
		       o->name, o->metavar);
}

/* Whatever comes next is the value, also if it starts with a dash; only `--` is none. */
static const char *next_value(const struct opt *o, int argc, char **argv, int *i, struct err *e)
{
	if (*i + 1 >= argc || strcmp(argv[*i + 1], "--") == 0) {
		missing_value(o, e);
		return NULL;
	}
	return argv[++*i];
}

/* The message leaves out a value, which may be a secret. */
static int unknown_long(const struct command *c, const char *name, size_t len, struct err *e)
{
	const struct opt *near = suggest_option(c, name, len);

	err_set(e, ERR_USAGE, "unexpected argument '--%.*s' found", (int)len, name);
	if (near)
		err_hint(e, "did you mean '--%s'?", near->name);
	return -1;
}

static int parse_long(const struct command *c, int argc, char **argv, int *i, void *args,
		      struct err *e)
{
	const char *name = argv[*i] + 2, *eq = strchr(name, '='), *value = eq ? eq + 1 : NULL;
	const struct opt *o = find_long(c, name, eq ? (size_t)(eq - name) : strlen(name));

	if (!o)
		return unknown_long(c, name, eq ? (size_t)(eq - name) : strlen(name), e);
	if (!o->metavar && value)
		return err_set(e, ERR_USAGE, "unexpected value '%s' for '--%s' found", value,
			       o->name);
	if (o->metavar && !value) {
		value = next_value(o, argc, argv, i, e);
		if (!value)
			return -1;
	}
	return apply(o, value, args, e);
}

static int parse_short(const struct command *c, int argc, char **argv, int *i, void *args,
		       struct err *e)
{
	for (const char *p = argv[*i] + 1; *p; p++) {
		const struct opt *o = find_short(c, *p);
		const char *value;

		if (!o) {
			char shown[3] = {'-', *p, '\0'};

			return unexpected(e, shown);
		}
		if (!o->metavar) {
			if (apply(o, NULL, args, e) < 0)
				return -1;
			continue;
		}
		if (p[1])
			value = p[1] == '=' ? p + 2 : p + 1;
		else
			value = next_value(o, argc, argv, i, e);
		return value ? apply(o, value, args, e) : -1;
	}
	return 0;
}

static int check_operands(const struct command *c, const struct operands *ops, struct err *e)
{
	if (ops->args.n > c->max_args) {
		unexpected(e, ops->args.v[c->max_args]);
		if (c->takes_command)
			err_hint(e, "to pass a command to run, put it after '--'");
		return -1;
	}
	if (ops->args.n < c->min_args)
		return err_set(e, ERR_USAGE,
			       "the following required arguments were not provided: %s",
			       strchr(c->usage, '<'));
	if (ops->has_command && !c->takes_command)
		return unexpected(e, ops->command.n ? ops->command.v[0] : "--");
	return 0;
}

enum opt_ask opt_ask(const char *arg)
{
	if (strcmp(arg, "-h") == 0)
		return ASK_HELP_SHORT;
	if (strcmp(arg, "--help") == 0)
		return ASK_HELP;
	return strcmp(arg, "--tree") == 0 ? ASK_TREE : ASK_NOTHING;
}

int opt_parse(const struct command *c, int argc, char **argv, void *args, struct operands *ret,
	      struct err *e)
{
	struct operands ops = {0};
	int r = 0;

	for (int i = 0; i < argc && r == 0; i++) {
		const char *a = argv[i];

		if (strcmp(a, "--") == 0) {
			ops.has_command = true;
			for (i++; i < argc; i++)
				strv_add(&ops.command, argv[i]);
		} else if (opt_ask(a)) {
			r = (int)opt_ask(a);
		} else if (str_starts_with(a, "--")) {
			r = parse_long(c, argc, argv, &i, args, e);
		} else if (a[0] == '-' && a[1]) {
			r = parse_short(c, argc, argv, &i, args, e);
		} else {
			strv_add(&ops.args, a);
		}
	}
	if (r == 0)
		r = check_operands(c, &ops, e);
	if (r != 0) {
		operands_release(&ops);
		return r;
	}
	*ret = ops;
	return 0;
}

void operands_release(struct operands *ops)
{
	strv_release(&ops->args);
	strv_release(&ops->command);
}

int opt_set(const struct command *c, const char *name, const char *value, void *args, struct err *e)
{
	const struct opt *o = find_long(c, name, strlen(name));

	return o ? apply(o, value, args, e) : unknown_long(c, name, strlen(name), e);
}
