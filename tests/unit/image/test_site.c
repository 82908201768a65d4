/* SPDX-License-Identifier: Apache-2.0 */
/* How the parts of a blob are put together, waiting times, and what is said about limits. */
#include "../testing.h"

#include "image/site.c"

#define CONTENT "0123456789"

/* What came in, and the transfer that it came by. */
struct sink {
	char text[64];
	size_t n;
};

static bool keep(void *ctx, const void *data, size_t n)
{
	struct sink *s = ctx;

	assert_true(n <= sizeof(s->text) - s->n);
	memcpy(s->text + s->n, data, n);
	s->n += n;
	return true;
}

/* One try: an answer with a head, whose body begins at `from` and comes in small pieces. */
static bool answer(struct blob_transfer *t, const struct http_response *rs, const char *body)
{
	struct http_request rq = {0};

	blob_try(t, NULL, rs, &rq);
	for (; *body; body += 3) {
		if (!rq.body(rq.ctx, body, MIN(strlen(body), (size_t)3)))
			return false;
		if (strlen(body) <= 3)
			break;
	}
	return true;
}

static void test_parts(void **state)
{
	static const struct {
		const char *first; /* of a transfer that broke */
		struct http_response head;
		const char *second;
		bool good, wrong_range, wrong_size;
	} cases[] = {
		{"", {.status = 200}, CONTENT, true, false, false},
		{"",
		 {.status = 200, .has_length = true, .length = 10},
		 CONTENT,
		 true,
		 false,
		 false},
		{"", {.status = 200, .has_length = true, .length = 9}, "", true, false, false},
		{"",
		 {.status = 200, .has_length = true, .length = 9},
		 "012345678",
		 false,
		 false,
		 true},
		{"", {.status = 200, .has_length = true, .length = 11}, "x", false, false, true},
		{"", {.status = 200}, CONTENT "x", false, false, true},
		{"", {.status = 206, .has_range = true}, CONTENT, true, false, false},
		{"", {.status = 206}, CONTENT, false, true, false},
		{"", {.status = 206, .has_range = true, .range_start = 1}, "1", false, true, false},
		{"01234",
		 {.status = 206, .has_range = true, .range_start = 5},
		 "56789",
		 true,
		 false,
		 false},
		{"01234",
		 {.status = 206, .has_range = true, .range_start = 2},
		 "23456789",
		 true,
		 false,
		 false},
		{"01234",
		 {.status = 206, .has_range = true, .range_start = 6},
		 "6789",
		 false,
		 true,
		 false},
		{"01234", {.status = 206}, "56789", false, true, false},
		{"01234", {.status = 200}, CONTENT, true, false, false},
		{"01234",
		 {.status = 206, .has_range = true, .range_start = 5},
		 "56789x",
		 false,
		 false,
		 true},
		{CONTENT, {.status = 200}, CONTENT, true, false, false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct sink s = {0};
		struct blob_transfer t = {.size = strlen(CONTENT), .body = keep, .ctx = &s};
		struct http_response begin = {.status = 200};
		bool good;

		assert_true(answer(&t, &begin, cases[i].first));
		good = answer(&t, &cases[i].head, cases[i].second);
		if (good != cases[i].good || t.wrong_range != cases[i].wrong_range ||
		    t.wrong_size != cases[i].wrong_size)
			fail_msg("case %zu", i);
		/* Whatever happened, nothing wrong came through. */
		assert_int_equal(s.n, t.received);
		assert_memory_equal(s.text, CONTENT, s.n);
	}
}

static void test_wait_time(void **state)
{
	struct http_response rs = {0};

	for (unsigned failures = 0; failures < 40; failures++) {
		uint64_t most = MIN(BACKOFF_MS << MIN(failures, 16U), WAIT_MAX_MS);

		for (int i = 0; i < 20; i++)
			assert_in_range(wait_time(failures, &rs), most / 2, most);
	}
	rs.retry_after = 10;
	assert_int_equal(wait_time(0, &rs), 10000);
	rs.retry_after = 30;
	assert_int_equal(wait_time(0, &rs), 30000);
	rs.retry_after = 31;
	assert_true(wait_time(0, &rs) == UINT64_MAX);
}

static void test_limit(void **state)
{
	static const struct {
		const char *limit, *left, *source, *text;
	} cases[] = {
		{NULL, "1", "x", ""},
		{"100", NULL, NULL, " (limit: 100)"},
		{"100;w=21600", "0;w=21600", "192.0.2.1",
		 " (limit: 100 in 6 h, left: 0 in 6 h, counted for 192.0.2.1)"},
		{"5;w=90", "3", NULL, " (limit: 5 in 90 s, left: 3)"},
		{"5;w=x", NULL, "a\033b", " (limit: 5, counted for a b)"},
		{"100;w=3600, 200;w=60", NULL, NULL, " (limit: 100)"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct http_response rs = {.rate_limit = (char *)cases[i].limit,
					   .rate_remaining = (char *)cases[i].left,
					   .rate_source = (char *)cases[i].source};
		_cleanup_free_ char *text = format_limit(&rs);

		assert_string_equal(text, cases[i].text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parts),
		cmocka_unit_test(test_wait_time),
		cmocka_unit_test(test_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
