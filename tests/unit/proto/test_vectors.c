/* SPDX-License-Identifier: Apache-2.0 */
/* The C code against tests/vectors, whose README.md says what the lists mean. */
#include "../testing.h"

#include "proto/message.h"

static json_t *load(const char *name)
{
	_cleanup_free_ char *path = xasprintf(VECTORS_DIR "/%s", name);
	json_error_t je;
	json_t *j = json_load_file(path, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &je);

	if (!j)
		fail_msg("%s:%d: %s", path, je.line, je.text);
	assert_int_equal(json_integer_value(json_object_get(j, "version")), 1);
	return j;
}

static const char *text_of(json_t *vector, const char *key)
{
	const char *s = json_string_value(json_object_get(vector, key));

	if (!s)
		fail_msg("vector without '%s'", key);
	return s;
}

static json_int_t number_of(json_t *vector, const char *key)
{
	json_t *v = json_object_get(vector, key);

	assert_true(json_is_integer(v));
	return json_integer_value(v);
}

static json_t *list_of(json_t *j, const char *kind, const char *name)
{
	json_t *a = json_object_get(kind ? json_object_get(j, kind) : j, name);

	assert_true(json_array_size(a) > 0);
	return a;
}

/* Decodes hex into `b`. */
static void bytes_of(json_t *vector, const char *key, struct buf *b)
{
	const char *s = text_of(vector, key);

	buf_init(b, FRAME_PAYLOAD_MAX);
	for (; *s; s += 2) {
		const char pair[3] = {s[0], s[1], '\0'};
		char *end;
		uint8_t byte = (uint8_t)strtoul(pair, &end, 16);

		assert_true(end == pair + 2);
		assert_int_equal(buf_append(b, &byte, 1), 0);
	}
}

static void assert_same_bytes(const struct buf *a, const struct buf *b)
{
	assert_int_equal(buf_len(a), buf_len(b));
	if (buf_len(a))
		assert_memory_equal(buf_data(a), buf_data(b), buf_len(a));
}

static void test_frames(void **state)
{
	json_t *vectors = load("frames.json"), *v;
	bool seen[FRAME_TYPE_COUNT] = {0};
	size_t i;

	json_array_foreach (list_of(vectors, NULL, "frames"), i, v) {
		struct buf bytes, payload, encoded;
		uint8_t type = (uint8_t)number_of(v, "number");
		uint8_t flags = (uint8_t)number_of(v, "flags");
		struct frame f;

		bytes_of(v, "bytes", &bytes);
		bytes_of(v, "payload", &payload);
		buf_init(&encoded, FRAME_PAYLOAD_MAX);
		assert_int_equal(
			frame_append(&encoded, type, flags, buf_data(&payload), buf_len(&payload)),
			0);
		assert_same_bytes(&encoded, &bytes);
		assert_int_equal(frame_peek(&bytes, &f), 1);
		assert_int_equal(f.type, type);
		assert_int_equal(f.flags, flags);
		assert_int_equal(f.len, buf_len(&payload));
		assert_string_equal(frame_type_name(f.type), text_of(v, "type"));
		frame_consume(&bytes, &f);
		assert_int_equal(buf_len(&bytes), 0);
		seen[type] = true;
		buf_release(&bytes);
		buf_release(&payload);
		buf_release(&encoded);
	}
	for (size_t t = 1; t < FRAME_TYPE_COUNT; t++)
		assert_true(seen[t]);
	json_decref(vectors);
}

static void test_headers(void **state)
{
	json_t *vectors = load("frames.json"), *v;
	uint8_t h[FRAME_HEADER_LEN];
	struct frame f;
	struct buf bytes;
	size_t i;

	json_array_foreach (list_of(vectors, NULL, "headers"), i, v) {
		bytes_of(v, "bytes", &bytes);
		frame_header_encode(h, (uint8_t)number_of(v, "number"),
				    (uint8_t)number_of(v, "flags"),
				    (uint32_t)number_of(v, "length"));
		assert_int_equal(buf_len(&bytes), FRAME_HEADER_LEN);
		assert_memory_equal(buf_data(&bytes), h, FRAME_HEADER_LEN);
		assert_int_equal(frame_header_decode(h, &f), 0);
		assert_int_equal(f.len, number_of(v, "length"));
		buf_release(&bytes);
	}
	json_array_foreach (list_of(vectors, NULL, "malformed"), i, v) {
		bytes_of(v, "bytes", &bytes);
		assert_int_equal(buf_len(&bytes), FRAME_HEADER_LEN);
		assert_int_equal(frame_peek(&bytes, &f), -EBADMSG);
		buf_release(&bytes);
	}
	json_array_foreach (list_of(vectors, NULL, "incomplete"), i, v) {
		bytes_of(v, "bytes", &bytes);
		assert_int_equal(frame_peek(&bytes, &f), 0);
		buf_release(&bytes);
	}
	json_decref(vectors);
}

/* --- messages ------------------------------------------------------------------------------ */

/* Decodes a message and encodes it again; NULL with the error set when it is refused. */
typedef json_t *again_fn(json_t *j, struct err *e);

static json_t *exec_request_again(json_t *j, struct err *e)
{
	struct exec_request r;
	json_t *out;

	if (exec_request_from_json(j, &r, e) < 0)
		return NULL;
	out = exec_request_to_json(&r);
	exec_request_release(&r);
	return out;
}

static json_t *exec_result_again(json_t *j, struct err *e)
{
	struct exec_result r;

	return exec_result_from_json(j, &r, e) < 0 ? NULL : exec_result_to_json(&r);
}

static json_t *boot_config_again(json_t *j, struct err *e)
{
	struct boot_config c;
	json_t *out;

	if (boot_config_from_json(j, &c, e) < 0)
		return NULL;
	out = boot_config_to_json(&c);
	boot_config_release(&c);
	return out;
}

static json_t *again(const char *text, again_fn *fn, struct err *e)
{
	json_t *j = message_parse(text, strlen(text), e), *out;

	if (!j)
		return NULL;
	out = fn(j, e);
	json_decref(j);
	return out;
}

static void check_again(json_t *v, const char *want, again_fn *fn)
{
	struct err e = {0};
	json_t *j = again(text_of(v, "text"), fn, &e);
	_cleanup_free_ char *text = j ? json_dumps(j, JSON_COMPACT) : NULL;

	if (!text)
		fail_msg("'%s' is refused: %s", text_of(v, "name"), e.msg);
	assert_string_equal(text, want);
	json_decref(j);
}

static void check_refused(json_t *v, again_fn *fn)
{
	const char *field = json_string_value(json_object_get(v, "field"));
	struct err e = {0};
	json_t *j = again(text_of(v, "text"), fn, &e);

	if (j)
		fail_msg("'%s' is accepted", text_of(v, "name"));
	assert_true(e.code == ERR_INVALID || e.code == ERR_INTERNAL);
	if (field) {
		_cleanup_free_ char *quoted = xasprintf("'%s'", field);

		if (!strstr(e.msg, quoted))
			fail_msg("'%s' is refused for '%s', not for %s", text_of(v, "name"), e.msg,
				 quoted);
	}
}

static void check_kind(const char *kind, again_fn *fn)
{
	json_t *vectors = load("messages.json"), *v;
	size_t i;

	json_array_foreach (list_of(vectors, kind, "exact"), i, v)
		check_again(v, text_of(v, "text"), fn);
	json_array_foreach (list_of(vectors, kind, "accepted"), i, v)
		check_again(v, text_of(v, "same_as"), fn);
	json_array_foreach (list_of(vectors, kind, "refused"), i, v)
		check_refused(v, fn);
	json_decref(vectors);
}

static void test_exec_request(void **state)
{
	check_kind("exec_request", exec_request_again);
}

static void test_exec_result(void **state)
{
	check_kind("exec_result", exec_result_again);
}

static void test_boot_config(void **state)
{
	check_kind("boot_config", boot_config_again);
}

static void test_errors(void **state)
{
	json_t *vectors = load("messages.json"), *v;
	size_t i;

	json_array_foreach (list_of(vectors, "error", "exact"), i, v) {
		const char *text = text_of(v, "text");
		const char *hint = json_string_value(json_object_get(v, "hint"));
		struct err e = {0};
		json_t *j = message_parse(text, strlen(text), &e), *out;
		_cleanup_free_ char *dumped = NULL;

		assert_int_equal(message_check(j, &e), -1);
		assert_string_equal(err_code_name(e.code), text_of(v, "code"));
		assert_string_equal(e.msg, text_of(v, "message"));
		assert_string_equal(e.hint, hint ? hint : "");
		out = message_error(&e);
		dumped = json_dumps(out, JSON_COMPACT);
		assert_string_equal(dumped, text);
		json_decref(out);
		json_decref(j);
	}
	json_decref(vectors);
}

static void test_parse(void **state)
{
	json_t *vectors = load("messages.json"), *v;
	size_t i;

	json_array_foreach (list_of(vectors, "parse", "refused"), i, v) {
		const char *text = text_of(v, "text");
		struct err e = {0};
		json_t *j = message_parse(text, strlen(text), &e);

		if (j)
			fail_msg("'%s' is accepted", text_of(v, "name"));
		assert_int_equal(e.code, ERR_INVALID);
	}
	json_decref(vectors);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frames),       cmocka_unit_test(test_headers),
		cmocka_unit_test(test_exec_request), cmocka_unit_test(test_exec_result),
		cmocka_unit_test(test_boot_config),  cmocka_unit_test(test_errors),
		cmocka_unit_test(test_parse),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
