/* SPDX-License-Identifier: Apache-2.0 */
#include "net/sniff.h"

#include "base/util.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* --- TLS ----------------------------------------------------------------------------------- */

struct hello {
	uint8_t data[2048];
	size_t n;
};

static void add(struct hello *h, const void *data, size_t n)
{
	assert_true(h->n + n <= sizeof(h->data));
	memcpy(h->data + h->n, data, n);
	h->n += n;
}

static void add16(struct hello *h, size_t v)
{
	const uint8_t b[2] = {(uint8_t)(v >> 8), (uint8_t)v};

	add(h, b, 2);
}

static void extension(struct hello *h, uint16_t kind, const void *data, size_t n)
{
	add16(h, kind);
	add16(h, n);
	add(h, data, n);
}

static void name_extension(struct hello *h, uint8_t kind, const char *name, size_t n)
{
	struct hello e = {.n = 0};

	add16(&e, n + 3);
	add(&e, &kind, 1);
	add16(&e, n);
	add(&e, name, n);
	extension(h, 0, e.data, e.n);
}

/* A ClientHello with these extensions, in records of `cut` bytes. */
static struct hello client_hello(const struct hello *extensions, size_t cut)
{
	struct hello message = {.n = 0}, body = {.n = 0}, out = {.n = 0};
	static const uint8_t zeroes[32], type = 1;
	const uint8_t top = 0;

	add16(&body, 0x0303);
	add(&body, zeroes, 32);
	add(&body, "\0", 1);
	add16(&body, 2);
	add16(&body, 0x1301);
	add(&body, "\1\0", 2);
	add16(&body, extensions->n);
	add(&body, extensions->data, extensions->n);
	add(&message, &type, 1);
	add(&message, &top, 1);
	add16(&message, body.n);
	add(&message, body.data, body.n);
	for (size_t i = 0; i < message.n; i += cut) {
		size_t n = MIN(cut, message.n - i);

		add(&out, "\x16\3\1", 3);
		add16(&out, n);
		add(&out, message.data + i, n);
	}
	return out;
}

/* The whole says so, and no beginning of it anything else. */
static void expect(const uint8_t *data, size_t n, enum sniff_result result, const char *name)
{
	struct sniff s;

	for (size_t i = 0; i <= n; i++) {
		uint8_t *copy = malloc(i ? i : 1);

		memcpy(copy, data, i);
		sniff(copy, i, false, &s);
		if (s.result != SNIFF_MORE) {
			assert_int_equal(s.result, result);
			if (name)
				assert_string_equal(s.name, name);
		}
		/* Cut off there, it is never the name. */
		if (s.result == SNIFF_MORE) {
			sniff(copy, i, true, &s);
			assert_true(s.result == SNIFF_HIDDEN || s.result == SNIFF_OTHER);
		}
		free(copy);
	}
	sniff(data, n, false, &s);
	assert_int_equal(s.result, result);
}

static void test_tls_name(void **state)
{
	static const size_t cuts[] = {2000, 1, 7, 40};
	struct hello e = {.n = 0}, h;

	extension(&e, 10, "\0\2\0\x17", 4);
	name_extension(&e, 0, "WWW.Example.COM.", 16);
	extension(&e, 0xfe0d, "anything", 8);
	for (size_t i = 0; i < ARRAY_SIZE(cuts); i++) {
		h = client_hello(&e, cuts[i]);
		expect(h.data, h.n, SNIFF_NAME, "www.example.com");
	}
}

static void test_tls_hidden(void **state)
{
	static const struct {
		const char *name;
		size_t n;
	} bad[] = {{"", 0},       {"a\0.b", 4},       {"1.2.3.4", 7}, {"a b", 3},
		   {"[::1]", 5},  {"..", 2},          {"a..b", 4},    {"\xc3\xa4.example", 10},
		   {"0x7f.1", 6}, {"a.example..", 11}};
	struct hello e = {.n = 0}, h;

	h = client_hello(&e, 2000);
	expect(h.data, h.n, SNIFF_HIDDEN, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		e.n = 0;
		name_extension(&e, 0, bad[i].name, bad[i].n);
		h = client_hello(&e, 2000);
		expect(h.data, h.n, SNIFF_HIDDEN, NULL);
	}
	/* Two of them, in two extensions or in one, or of another kind. */
	e.n = 0;
	name_extension(&e, 0, "a.example", 9);
	name_extension(&e, 0, "b.example", 9);
	h = client_hello(&e, 2000);
	expect(h.data, h.n, SNIFF_HIDDEN, NULL);
	e.n = 0;
	extension(&e, 0,
		  "\0\x18\0\0\x09"
		  "a.example\0\0\x09"
		  "b.example",
		  26);
	h = client_hello(&e, 2000);
	expect(h.data, h.n, SNIFF_HIDDEN, NULL);
	e.n = 0;
	name_extension(&e, 1, "a.example", 9);
	h = client_hello(&e, 2000);
	expect(h.data, h.n, SNIFF_HIDDEN, NULL);
}

static void test_tls_broken(void **state)
{
	struct hello e = {.n = 0}, h;
	struct sniff s;

	name_extension(&e, 0, "a.example", 9);
	h = client_hello(&e, 2000);
	h.data[5] = 2; /* no ClientHello */
	expect(h.data, h.n, SNIFF_HIDDEN, NULL);
	h = client_hello(&e, 20);
	h.data[25] = 23; /* another record in between */
	sniff(h.data, h.n, false, &s);
	assert_int_equal(s.result, SNIFF_HIDDEN);
	/* Empty records could go on for ever. */
	expect((const uint8_t *)"\x16\3\1\0\0", 5, SNIFF_HIDDEN, NULL);
	expect((const uint8_t *)"\x80\x2e\1\3\1", 5, SNIFF_HIDDEN, NULL);
}

/* --- HTTP ---------------------------------------------------------------------------------- */

static void test_http(void **state)
{
	static const struct {
		const char *text;
		enum sniff_result result;
		const char *name;
	} cases[] = {
		{"GET / HTTP/1.1\r\nHost: A.example\r\n\r\n", SNIFF_NAME, "a.example"},
		{"GET / HTTP/1.1\r\nAccept: *\r\nhost:\ta.example:8080 \r\n\r\nbody", SNIFF_NAME,
		 "a.example"},
		{"POST http://a.example/x?y HTTP/1.0\r\nHost: a.example\r\n\r\n", SNIFF_NAME,
		 "a.example"},
		{"OPTIONS * HTTP/1.1\r\nHost: a.example\r\n\r\n", SNIFF_NAME, "a.example"},
		{"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example\r\n\r\n", SNIFF_NAME,
		 "a.example"},
		{"PROPFIND / HTTP/1.1\r\nHost: a.example\r\n\r\n", SNIFF_NAME, "a.example"},
		{"GET / HTTP/1.1\r\n\r\n", SNIFF_HIDDEN, NULL},
		{"GET / HTTP/1.1\r\nHost: a.example\r\nHost: a.example\r\n\r\n", SNIFF_HIDDEN,
		 NULL},
		{"GET / HTTP/1.1\r\nHost: a.example\r\n b.example\r\n\r\n", SNIFF_HIDDEN, NULL},
		{"GET / HTTP/1.1\r\nHost : a.example\r\n\r\n", SNIFF_HIDDEN, NULL},
		{"GET / HTTP/1.1\r\nX: y\nHost: a.example\r\n\r\n", SNIFF_HIDDEN, NULL},
		{"GET / HTTP/1.1\r\nX: y\rHost: b\r\nHost: a.example\r\n\r\n", SNIFF_HIDDEN, NULL},
		{"GET / HTTP/1.1\nHost: a.example\n\n", SNIFF_HIDDEN, NULL},
		{"GET http://b.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n", SNIFF_HIDDEN, NULL},
		{"GET http://u@a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n", SNIFF_HIDDEN, NULL},
		{"GET ftp://a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n", SNIFF_HIDDEN, NULL},
		{"GET / x HTTP/1.1\r\nHost: a.example\r\n\r\n", SNIFF_HIDDEN, NULL},
		{"GET / HTTP/1.1\r\nHost: 10.0.0.1\r\n\r\n", SNIFF_HIDDEN, NULL},
		{"GET / HTTP/1.1\r\nHost: a.example:x\r\n\r\n", SNIFF_HIDDEN, NULL},
		{"CONNECT b.example:443 HTTP/1.1\r\nHost: a.example\r\n\r\n", SNIFF_HIDDEN, NULL},
		{"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", SNIFF_HIDDEN, NULL},
		{"GET /\r\n", SNIFF_HIDDEN, NULL},
		{"\r\nGET / HTTP/1.1\r\nHost: a.example\r\n\r\n", SNIFF_HIDDEN, NULL},
		{"EHLO a.example\r\n", SNIFF_OTHER, NULL},
		{"SSH-2.0-client\r\n", SNIFF_OTHER, NULL},
		{"\1\2\3\4", SNIFF_OTHER, NULL},
		{"{\"a\": 1}", SNIFF_OTHER, NULL},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		expect((const uint8_t *)cases[i].text, strlen(cases[i].text), cases[i].result,
		       cases[i].name);
}

static void test_too_much(void **state)
{
	static char text[SNIFF_MAX];
	struct sniff s;

	memset(text, 'x', sizeof(text));
	memcpy(text, "GET / HTTP/1.1\r\nX: ", 19);
	sniff((uint8_t *)text, sizeof(text) - 1, false, &s);
	assert_int_equal(s.result, SNIFF_MORE);
	sniff((uint8_t *)text, sizeof(text), false, &s);
	assert_int_equal(s.result, SNIFF_HIDDEN);
	sniff(NULL, 0, true, &s);
	assert_int_equal(s.result, SNIFF_OTHER);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tls_name),   cmocka_unit_test(test_tls_hidden),
		cmocka_unit_test(test_tls_broken), cmocka_unit_test(test_http),
		cmocka_unit_test(test_too_much),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
