/* SPDX-License-Identifier: Apache-2.0 */
#include "../testing.h"

#include "base/clock.h"
#include "net/dns_cache.h"

#define START (1000 * NSEC_PER_SEC)

static const uint8_t secret[16] = "0123456789abcdef";
static struct dns_cache *cache;

static int setup(void **state)
{
	cache = dns_cache_new(secret);
	return cache ? 0 : -1;
}

static int teardown(void **state)
{
	cache = dns_cache_free(cache);
	return 0;
}

static struct dns_question about(const char *name, uint16_t type)
{
	struct dns_question q = {.type = type, .class = 1};

	snprintf(q.name, sizeof(q.name), "%s", name);
	return q;
}

static void put(const struct dns_question *q, const char *text, uint64_t now, uint32_t ttl)
{
	dns_cache_put(cache, q, (const uint8_t *)text, strlen(text), now, ttl);
}

/* NULL: it has to have none. */
static void assert_has(const struct dns_question *q, uint64_t now, const char *text, uint32_t age)
{
	size_t len = 0;
	uint32_t is = 0;
	const uint8_t *msg = dns_cache_get(cache, q, now, &len, &is);

	if (!text) {
		assert_null(msg);
		return;
	}
	assert_non_null(msg);
	assert_int_equal(len, strlen(text));
	assert_memory_equal(msg, text, len);
	assert_int_equal(is, age);
}

static void test_time(void **state)
{
	struct dns_question q = about("a.test", DNS_A);

	assert_has(&q, START, NULL, 0);
	put(&q, "message", START, 10);
	assert_has(&q, START, "message", 0);
	assert_has(&q, START + NSEC_PER_SEC - 1, "message", 0);
	assert_has(&q, START + NSEC_PER_SEC, "message", 1);
	assert_has(&q, START + 10 * NSEC_PER_SEC - 1, "message", 9);
	assert_has(&q, START + 10 * NSEC_PER_SEC, NULL, 0);
	/* What was over is gone for good. */
	assert_has(&q, START, NULL, 0);
	/* The longest there can be does not run over. */
	put(&q, "long", START, UINT32_MAX);
	assert_has(&q, START + 3600 * NSEC_PER_SEC, "long", 3600);
}

static void test_questions_differ(void **state)
{
	struct dns_question a = about("a.test", DNS_A), b = about("b.test", DNS_A),
			    six = about("a.test", DNS_AAAA), checked = a, unchecked = a;

	checked.dnssec_ok = true;
	unchecked.checking_disabled = true;
	put(&a, "a", START, 10);
	assert_has(&b, START, NULL, 0);
	assert_has(&six, START, NULL, 0);
	assert_has(&checked, START, NULL, 0);
	assert_has(&unchecked, START, NULL, 0);
	put(&six, "six", START, 10);
	put(&checked, "checked", START, 10);
	put(&unchecked, "unchecked", START, 10);
	assert_has(&a, START, "a", 0);
	assert_has(&six, START, "six", 0);
	assert_has(&checked, START, "checked", 0);
	assert_has(&unchecked, START, "unchecked", 0);
}

static void test_replacement(void **state)
{
	struct dns_question q = about("a.test", DNS_A);
	static uint8_t longest[DNS_CACHE_MESSAGE + 1];
	uint32_t age;
	size_t len;

	put(&q, "old", START, 100);
	put(&q, "newer", START + NSEC_PER_SEC, 5);
	assert_has(&q, START + 2 * NSEC_PER_SEC, "newer", 1);
	assert_has(&q, START + 7 * NSEC_PER_SEC, NULL, 0);
	/* One that is too long is not kept, and the old one is not true any more. */
	put(&q, "old", START, 100);
	dns_cache_put(cache, &q, longest, sizeof(longest), START, 100);
	assert_has(&q, START, NULL, 0);
	dns_cache_put(cache, &q, longest, sizeof(longest) - 1, START, 100);
	assert_non_null(dns_cache_get(cache, &q, START, &len, &age));
	assert_int_equal(len, DNS_CACHE_MESSAGE);
}

static void test_bound(void **state)
{
	struct dns_question first = about("n0.test", DNS_A), second = about("n1.test", DNS_A), q;
	char name[32];

	for (unsigned int i = 0; i < DNS_CACHE_ENTRIES; i++) {
		snprintf(name, sizeof(name), "n%u.test", i);
		q = about(name, DNS_A);
		put(&q, name, START, 100);
	}
	/* One that is used stays, the one that was used longest ago makes room. */
	assert_has(&first, START, "n0.test", 0);
	q = about("more.test", DNS_A);
	put(&q, "more", START, 100);
	assert_has(&first, START, "n0.test", 0);
	assert_has(&second, START, NULL, 0);
	for (unsigned int i = 2; i < DNS_CACHE_ENTRIES; i++) {
		snprintf(name, sizeof(name), "n%u.test", i);
		q = about(name, DNS_A);
		assert_has(&q, START, name, 0);
	}
}

#define cache_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cache_test(test_time),
		cache_test(test_questions_differ),
		cache_test(test_replacement),
		cache_test(test_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
