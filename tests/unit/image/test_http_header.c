/* SPDX-License-Identifier: Apache-2.0 */
#include "../testing.h"

#include "image/http_header.h"

#define NOW 1767225600 /* 2026-01-01 00:00:00 UTC */

static void test_retry_after(void **state)
{
	static const struct {
		const char *value;
		uint64_t seconds;
	} cases[] = {
		{"0", 0},
		{"120", 120},
		{"99999999999999999999999", UINT64_C(365) * 86400},
		{"Thu, 01 Jan 2026 00:00:30 GMT", 30},
		{"Thursday, 01-Jan-26 00:01:00 GMT", 60},
		{"Thu Jan  1 00:00:05 2026", 5},
		{"Wed, 31 Dec 2025 23:59:59 GMT", 0},
		{"Thu, 01 Jan 2099 00:00:00 GMT", UINT64_C(365) * 86400},
		{"", 0},
		{"-1", 0},
		{"soon", 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (http_retry_after(cases[i].value, NOW) != cases[i].seconds)
			fail_msg("'%s' gives %llu", cases[i].value,
				 (unsigned long long)http_retry_after(cases[i].value, NOW));
}

static void take(struct http_response *r, const char *line)
{
	http_header_line(r, line, strlen(line));
}

static void test_lines(void **state)
{
	struct http_response r = {0};

	take(&r, "HTTP/1.1 200 OK\r\n");
	take(&r, "docker-content-digest:  sha256:x \r\n");
	take(&r, "ETag: \"abc\"\r\n");
	take(&r, "RateLimit-Limit: 100;w=21600\n");
	take(&r, "ratelimit-remaining:7\r\n");
	take(&r, "Docker-RateLimit-Source: 192.0.2.1\r\n");
	take(&r, "Retry-After: 5\r\n");
	take(&r, "WWW-Authenticate: Basic realm=\"x\"\r\n");
	take(&r, "WWW-Authenticate: Bearer realm=\"y\"\r\n");
	take(&r, "X-Docker-Content-Digest: z\r\n");
	take(&r, "\r\n");
	assert_string_equal(r.digest, "sha256:x");
	assert_string_equal(r.etag, "\"abc\"");
	assert_string_equal(r.rate_limit, "100;w=21600");
	assert_string_equal(r.rate_remaining, "7");
	assert_string_equal(r.rate_source, "192.0.2.1");
	assert_int_equal(r.retry_after, 5);
	assert_string_equal(r.challenge, "Basic realm=\"x\", Bearer realm=\"y\"");
	assert_false(r.has_length || r.has_range);
	free(r.digest);
	free(r.etag);
	free(r.rate_limit);
	free(r.rate_remaining);
	free(r.rate_source);
	free(r.challenge);
}

static void test_numbers(void **state)
{
	static const struct {
		const char *line;
		bool length, range;
		uint64_t value;
	} cases[] = {
		{"Content-Length: 0", true, false, 0},
		{"Content-Length: 123", true, false, 123},
		{"Content-Length: -1", false, false, 0},
		{"Content-Length: 1, 1", false, false, 0},
		{"Content-Length: 99999999999999999999", false, false, 0},
		{"Content-Range: bytes 100-199/200", false, true, 100},
		{"Content-Range: bytes 0-0/*", false, true, 0},
		{"Content-Range: bytes */200", false, false, 0},
		{"Content-Range: bytes -5-9/200", false, false, 0},
		{"Content-Range: lines 1-2/3", false, false, 0},
		{"Content-Range: ", false, false, 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct http_response r = {0};

		take(&r, cases[i].line);
		if (r.has_length != cases[i].length || r.has_range != cases[i].range ||
		    (r.has_length && r.length != cases[i].value) ||
		    (r.has_range && r.range_start != cases[i].value))
			fail_msg("%s", cases[i].line);
	}
}

static void test_clean(void **state)
{
	char text[] = "a\033[31mb\nc\x7f\xc3\xa4";

	assert_string_equal(http_clean_text(text), "a [31mb c \xc3\xa4");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_retry_after),
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_clean),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
