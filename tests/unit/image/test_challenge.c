/* SPDX-License-Identifier: Apache-2.0 */
#include "../testing.h"

#include "image/challenge.h"

#define NONE   CHALLENGE_NONE
#define BASIC  CHALLENGE_BASIC
#define BEARER CHALLENGE_BEARER

static void assert_text(const char *header, const char *got, const char *want)
{
	if (!str_eq(got, want))
		fail_msg("%s: '%s' instead of '%s'", header, got ? got : "nothing",
			 want ? want : "nothing");
}

static void test_parse(void **state)
{
	static const struct {
		const char *header;
		enum challenge_kind kind;
		const char *realm, *service, *scope;
	} cases[] = {
		{"", NONE, NULL, NULL, NULL},
		{"Basic", BASIC, NULL, NULL, NULL},
		{"basic realm=\"x\"", BASIC, NULL, NULL, NULL},
		{"Negotiate", NONE, NULL, NULL, NULL},
		{"Bearer realm=\"https://a/t\",service=\"s\",scope=\"repository:x:pull\"", BEARER,
		 "https://a/t", "s", "repository:x:pull"},
		{"bearer  REALM = \"https://a/t\" , Scope=a", BEARER, "https://a/t", NULL, "a"},
		{"Bearer realm=https://a/t", BEARER, "https://a/t", NULL, NULL},
		{"Bearer realm=\"a\\\"b\\\\c\"", BEARER, "a\"b\\c", NULL, NULL},
		{"Bearer realm=\"a,b=c d\",error=\"invalid_token\"", BEARER, "a,b=c d", NULL, NULL},
		/* Several, in whatever order. */
		{"Basic realm=\"x\", Bearer realm=\"y\"", BEARER, "y", NULL, NULL},
		{"Bearer realm=\"y\", Basic realm=\"x\"", BEARER, "y", NULL, NULL},
		{"Bearer realm=\"y\",service=\"s\", Bearer realm=\"z\"", BEARER, "y", "s", NULL},
		{"Negotiate abc==, Basic realm=\"x\"", BASIC, NULL, NULL, NULL},
		/* Nothing to ask for a token at. */
		{"Bearer", NONE, NULL, NULL, NULL},
		{"Bearer service=\"s\", Basic realm=\"x\"", BASIC, NULL, NULL, NULL},
		/* Damage. */
		{"Bearer realm=\"x", BEARER, "x", NULL, NULL},
		{"Bearer realm=\"x\\", BEARER, "x\\", NULL, NULL},
		{"Bearer realm=", BEARER, "", NULL, NULL},
		{"=,=\"\",;;\"(Basic", BASIC, NULL, NULL, NULL},
		{"Bearer realm=\"x\",realm=\"y\"", BEARER, "x", NULL, NULL},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct challenge c;

		challenge_parse(cases[i].header, &c);
		if (c.kind != cases[i].kind)
			fail_msg("%s: kind %d", cases[i].header, c.kind);
		assert_text(cases[i].header, c.realm, cases[i].realm);
		assert_text(cases[i].header, c.service, cases[i].service);
		assert_text(cases[i].header, c.scope, cases[i].scope);
		challenge_release(&c);
	}
}

static void test_query(void **state)
{
	struct challenge full = {.service = (char *)"a b&c", .scope = (char *)"repository:x:pull"};
	struct challenge service = {.service = (char *)"s"}, nothing = {0};
	const struct {
		const struct challenge *c;
		const char *scope, *query;
	} cases[] = {
		{&full, "other", "service=a%20b%26c&scope=repository:x:pull"},
		{&service, "x", "service=s&scope=x"},
		{&service, NULL, "service=s"},
		{&nothing, "\xc3\xa4=", "scope=%C3%A4%3D"},
		{&nothing, NULL, ""},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *query = challenge_query(cases[i].c, cases[i].scope);

		assert_string_equal(query, cases[i].query);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_query),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
