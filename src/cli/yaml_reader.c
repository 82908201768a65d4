/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/yaml_reader.h"

#include "base/cleanup.h"
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>
#include <yaml.h>

/* Unsigned in libyaml, and never beyond the size of the text. */
#define LINE(mark) ((unsigned long)(mark).line + 1)

struct reader {
	yaml_parser_t parser;
	yaml_event_t event;
	struct err *err;
};

static int syntax_error(struct reader *r)
{
	const yaml_parser_t *p = &r->parser;

	if (p->error == YAML_MEMORY_ERROR)
		return err_set(r->err, ERR_SYSTEM, "out of memory");
	return err_set(r->err, ERR_INVALID, "line %lu: %s", LINE(p->problem_mark),
		       p->problem ? p->problem : "it is not valid YAML");
}

static int refuse(struct reader *r, const char *text)
{
	return err_set(r->err, ERR_INVALID, "line %lu: %s", LINE(r->event.start_mark), text);
}

/* Takes the next event into r->event. */
static int next(struct reader *r)
{
	yaml_event_delete(&r->event);
	return yaml_parser_parse(&r->parser, &r->event) ? 0 : syntax_error(r);
}

/* The second event from here. */
static int next_but_one(struct reader *r)
{
	return next(r) < 0 ? -1 : next(r);
}

static bool is_word(const char *s, const char *const *words)
{
	for (; *words; words++)
		if (strcasecmp(s, *words) == 0)
			return true;
	return false;
}

static json_t *read_scalar(struct reader *r)
{
	static const char *const doubtful[] = {"yes", "no", "on", "off", NULL};
	const char *s = (const char *)r->event.data.scalar.value;
	size_t len = r->event.data.scalar.length;
	json_t *j;

	if (strlen(s) != len) {
		refuse(r, "a value contains a NUL character");
		return NULL;
	}
	if (r->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE) {
		if (is_word(s, doubtful)) {
			err_set(r->err, ERR_INVALID,
				"line %lu: '%s' means different things in versions of YAML: write "
				"true, false, or put it in quotes",
				LINE(r->event.start_mark), s);
			return NULL;
		}
		if (!*s || strcmp(s, "~") == 0 || strcmp(s, "null") == 0)
			return json_null();
		if (strcmp(s, "true") == 0 || strcmp(s, "false") == 0)
			return json_boolean(*s == 't');
	}
	j = json_stringn(s, len);
	if (!j)
		refuse(r, "a value is not valid UTF-8");
	return j;
}

static json_t *read_value(struct reader *r, unsigned depth);

static json_t *read_list(struct reader *r, unsigned depth)
{
	json_t *list = json_array();

	while (next(r) == 0) {
		json_t *item;

		if (r->event.type == YAML_SEQUENCE_END_EVENT)
			return list;
		item = read_value(r, depth + 1);
		if (!item || json_array_append_new(list, item) < 0)
			break;
	}
	json_decref(list);
	return NULL;
}

/* The text of a key, owned. Keys are plain text whatever they look like. */
static char *read_key(struct reader *r, json_t *map)
{
	const char *s;

	if (r->event.type != YAML_SCALAR_EVENT) {
		refuse(r, "a key must be a simple text");
		return NULL;
	}
	s = (const char *)r->event.data.scalar.value;
	if (r->event.data.scalar.tag || r->event.data.scalar.anchor)
		refuse(r, "anchors and tags are not supported");
	else if (strlen(s) != r->event.data.scalar.length || !*s)
		refuse(r, "a key is empty or contains a NUL character");
	else if (strcmp(s, "<<") == 0)
		refuse(r, "merge keys are not supported");
	else if (json_object_get(map, s))
		err_set(r->err, ERR_INVALID, "line %lu: '%s' appears twice",
			LINE(r->event.start_mark), s);
	else
		return xstrdup(s);
	return NULL;
}

static json_t *read_map(struct reader *r, unsigned depth)
{
	json_t *map = json_object();

	while (next(r) == 0) {
		_cleanup_free_ char *key = NULL;
		json_t *value;

		if (r->event.type == YAML_MAPPING_END_EVENT)
			return map;
		key = read_key(r, map);
		if (!key || next(r) < 0)
			break;
		value = read_value(r, depth + 1);
		if (!value)
			break;
		if (json_object_set_new(map, key, value) < 0) {
			refuse(r, "a key is not valid UTF-8");
			break;
		}
	}
	json_decref(map);
	return NULL;
}

/* The value that r->event begins. */
static json_t *read_value(struct reader *r, unsigned depth)
{
	const yaml_event_t *ev = &r->event;

	if (depth > YAML_DEPTH_MAX) {
		refuse(r, "it is nested too deeply");
		return NULL;
	}
	switch (ev->type) {
	case YAML_SCALAR_EVENT:
		if (!ev->data.scalar.tag && !ev->data.scalar.anchor)
			return read_scalar(r);
		break;
	case YAML_SEQUENCE_START_EVENT:
		if (!ev->data.sequence_start.tag && !ev->data.sequence_start.anchor)
			return read_list(r, depth);
		break;
	case YAML_MAPPING_START_EVENT:
		if (!ev->data.mapping_start.tag && !ev->data.mapping_start.anchor)
			return read_map(r, depth);
		break;
	default:
		break;
	}
	refuse(r, "anchors, aliases and tags are not supported");
	return NULL;
}

static json_t *read_document(struct reader *r)
{
	json_t *j;

	/* The stream begins, the document begins, its value. */
	if (next_but_one(r) < 0)
		return NULL;
	if (r->event.type == YAML_STREAM_END_EVENT) {
		err_set(r->err, ERR_INVALID, "it is empty");
		return NULL;
	}
	if (next(r) < 0)
		return NULL;
	j = read_value(r, 0);
	if (!j)
		return NULL;
	if (next_but_one(r) < 0) {
		json_decref(j);
		return NULL;
	}
	if (r->event.type != YAML_STREAM_END_EVENT) {
		refuse(r, "there must be only one document");
		json_decref(j);
		return NULL;
	}
	return j;
}

json_t *yaml_parse(const char *text, size_t len, struct err *e)
{
	struct reader r = {.err = e};
	json_t *j;

	if (!yaml_parser_initialize(&r.parser)) {
		err_set(e, ERR_SYSTEM, "out of memory");
		return NULL;
	}
	yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, len);
	yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
	j = read_document(&r);
	yaml_event_delete(&r.event);
	yaml_parser_delete(&r.parser);
	return j;
}

static bool is_json_name(const char *path)
{
	size_t n = strlen(path);

	return n > 5 && strcasecmp(path + n - 5, ".json") == 0;
}

json_t *yaml_read_file(const char *path, struct err *e)
{
	_cleanup_free_ char *text = NULL;
	json_error_t je;
	size_t len = 0;
	json_t *j;
	int r = read_file(AT_FDCWD, path, YAML_SIZE_MAX, &text, &len);

	if (r < 0) {
		err_sys(e, -r, "cannot read '%s'", path);
		return NULL;
	}
	if (is_json_name(path)) {
		j = json_loadb(text, len, JSON_REJECT_DUPLICATES, &je);
		if (!j)
			err_set(e, ERR_INVALID, "%s: line %d: %s", path, je.line, je.text);
		return j;
	}
	j = yaml_parse(text, len, e);
	if (!j)
		err_wrap(e, "%s", path);
	return j;
}
