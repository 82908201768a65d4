/* SPDX-License-Identifier: Apache-2.0 */
/* DNS messages: what is taken for a question and an answer, and what is written. */
#include "net/dns_message.h"

#include "base/util.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct msg {
	uint8_t p[4096];
	size_t n;
};

static void put(struct msg *m, const void *data, size_t n)
{
	assert_true(m->n + n <= sizeof(m->p));
	memcpy(m->p + m->n, data, n);
	m->n += n;
}

static void put16(struct msg *m, size_t v)
{
	const uint8_t b[2] = {(uint8_t)(v >> 8), (uint8_t)v};

	put(m, b, 2);
}

static void header(struct msg *m, uint16_t flags, size_t questions, size_t answers, size_t extra)
{
	m->n = 0;
	put16(m, 0x1234);
	put16(m, flags);
	put16(m, questions);
	put16(m, answers);
	put16(m, 0);
	put16(m, extra);
}

/* "a.b" as labels; names that end in a number sign go on with a pointer to the question's. */
static void name(struct msg *m, const char *s)
{
	while (*s && *s != '#') {
		size_t n = strcspn(s, ".#");
		uint8_t len = (uint8_t)n;

		put(m, &len, 1);
		put(m, s, n);
		s += n + (s[n] == '.');
	}
	if (*s)
		put16(m, 0xc00c);
	else
		put(m, "", 1);
}

static void question(struct msg *m, const char *s, uint16_t type)
{
	header(m, 0x0100, 1, 0, 0);
	name(m, s);
	put16(m, type);
	put16(m, 1);
}

static void record(struct msg *m, const char *owner, uint16_t type, uint32_t ttl,
		   const struct msg *data)
{
	name(m, owner);
	put16(m, type);
	put16(m, 1);
	put16(m, ttl >> 16);
	put16(m, ttl & 0xffff);
	put16(m, data->n);
	put(m, data->p, data->n);
}

static struct msg bytes(const void *p, size_t n)
{
	struct msg m = {.n = 0};

	put(&m, p, n);
	return m;
}

static struct msg name_of(const char *s)
{
	struct msg m = {.n = 0};

	name(&m, s);
	return m;
}

static struct dns_question parsed(const char *s, uint16_t type)
{
	struct dns_question q;
	struct msg m;

	question(&m, s, type);
	assert_int_equal(dns_question_parse(m.p, m.n, &q), 0);
	return q;
}

/* --- questions ----------------------------------------------------------------------------- */

static void test_question(void **state)
{
	struct dns_question q = parsed("WwW.Example", DNS_AAAA);

	assert_string_equal(q.name, "www.example");
	assert_int_equal(q.type, DNS_AAAA);
	assert_int_equal(q.id, 0x1234);
	assert_true(q.recursion_desired && !q.edns);
	assert_int_equal(q.udp_size, 512);
	/* Spelled as it was. */
	assert_memory_equal(q.wire, "\3WwW\7Example", 13);
}

static void test_cut_question(void **state)
{
	struct dns_question q;
	struct msg m;

	question(&m, "www.example", DNS_A);
	for (size_t i = 0; i < m.n; i++) {
		uint8_t *copy = malloc(i ? i : 1);

		memcpy(copy, m.p, i);
		assert_int_equal(dns_question_parse(copy, i, &q),
				 i < DNS_HEADER ? -EBADMSG : DNS_FORMERR);
		free(copy);
	}
}

static void test_odd_questions(void **state)
{
	static const struct {
		const char *wire;
		size_t n;
		int expected;
	} names[] = {
		{"\3a.b\0", 5, DNS_REFUSED},  {"\2a \0", 4, DNS_REFUSED},
		{"\2a\0\0", 4, DNS_REFUSED},  {"\2\xc3\xa4\0", 4, DNS_REFUSED},
		{"\xc0\x0c", 2, DNS_FORMERR}, {"\1a\xc0\x0c", 4, DNS_FORMERR},
		{"\x41x\0", 3, DNS_FORMERR},  {"\0", 1, 0},
	};
	struct dns_question q;
	struct msg m;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		header(&m, 0x0100, 1, 0, 0);
		put(&m, names[i].wire, names[i].n);
		put16(&m, DNS_A);
		put16(&m, 1);
		assert_int_equal(dns_question_parse(m.p, m.n, &q), names[i].expected);
	}
	question(&m, "a", DNS_ANY);
	assert_int_equal(dns_question_parse(m.p, m.n, &q), DNS_REFUSED);
	question(&m, "a", DNS_AXFR);
	assert_int_equal(dns_question_parse(m.p, m.n, &q), DNS_REFUSED);
	question(&m, "a", DNS_A);
	m.p[2] = 0x81; /* an answer */
	assert_int_equal(dns_question_parse(m.p, m.n, &q), -EBADMSG);
	m.p[2] = 5 << 3; /* an update */
	assert_int_equal(dns_question_parse(m.p, m.n, &q), DNS_NOTIMP);
	m.p[2] = 1;
	m.p[5] = 2; /* two questions */
	assert_int_equal(dns_question_parse(m.p, m.n, &q), DNS_FORMERR);
	m.p[5] = 1;
	m.p[m.n - 1] = 3; /* another class */
	assert_int_equal(dns_question_parse(m.p, m.n, &q), DNS_REFUSED);
}

static void test_edns(void **state)
{
	struct dns_question q;
	struct msg m;

	question(&m, "a", DNS_A);
	m.p[11] = 1;
	put(&m, "\0\0\x29\x10\0\0\0\x80\0\0\0", 11);
	assert_int_equal(dns_question_parse(m.p, m.n, &q), 0);
	assert_true(q.edns && q.dnssec_ok);
	assert_int_equal(q.udp_size, 4096);
	m.p[m.n - 5] = 1; /* a later version */
	assert_int_equal(dns_question_parse(m.p, m.n, &q), DNS_FORMERR);
}

/* --- answers ------------------------------------------------------------------------------- */

/* Header and question of an answer to `q` with so many records. */
static void answer(struct msg *m, const char *s, uint16_t type, size_t n)
{
	header(m, 0x8180, 1, n, 0);
	name(m, s);
	put16(m, type);
	put16(m, 1);
}

static const uint8_t v4[4] = {93, 184, 216, 34};

static void test_answer(void **state)
{
	struct dns_question q = parsed("www.example", DNS_A);
	struct msg m, data = bytes(v4, 4), alias = name_of("cdn.#");
	static struct dns_answer a;

	answer(&m, "WWW.example", DNS_A, 2);
	record(&m, "#", DNS_CNAME, 300, &alias);
	record(&m, "cdn.#", DNS_A, 60, &data);
	assert_int_equal(dns_answer_parse(m.p, m.n, &q, 0x1234, &a), 0);
	assert_int_equal(a.n_chain, 2);
	assert_string_equal(a.chain[1], "cdn.www.example");
	assert_int_equal(a.n_addrs, 1);
	assert_int_equal(a.addrs[0].ttl, 60);
	assert_int_equal(a.ttl, 60);
	/* Of another question. */
	assert_int_equal(dns_answer_parse(m.p, m.n, &q, 0x1235, &a), -EBADMSG);
	q.type = DNS_AAAA;
	assert_int_equal(dns_answer_parse(m.p, m.n, &q, 0x1234, &a), -EBADMSG);
	q = parsed("www.exampl", DNS_A);
	assert_int_equal(dns_answer_parse(m.p, m.n, &q, 0x1234, &a), -EBADMSG);
}

static void test_cut_answer(void **state)
{
	struct dns_question q = parsed("www.example", DNS_A);
	struct msg m, data = bytes(v4, 4);
	static struct dns_answer a;

	answer(&m, "www.example", DNS_A, 1);
	record(&m, "#", DNS_A, 60, &data);
	for (size_t i = 0; i < m.n; i++) {
		uint8_t *copy = malloc(i ? i : 1);

		memcpy(copy, m.p, i);
		assert_int_equal(dns_answer_parse(copy, i, &q, 0x1234, &a), -EBADMSG);
		free(copy);
	}
}

static void test_what_is_not_of_the_chain(void **state)
{
	struct dns_question q = parsed("www.example", DNS_A);
	struct msg m, data = bytes(v4, 4);
	static struct dns_answer a;
	static uint8_t out[512];
	size_t n;

	answer(&m, "www.example", DNS_A, 2);
	record(&m, "other.example", DNS_A, 60, &data);
	record(&m, "#", DNS_A, 60, &data);
	assert_int_equal(dns_answer_parse(m.p, m.n, &q, 0x1234, &a), 0);
	assert_int_equal(a.n_addrs, 1);
	n = dns_reply_write(out, sizeof(out), &q, &a, m.p, m.n, 0, 512);
	assert_int_equal(out[7], 1);
	assert_null(memmem(out, n, "other", 5));
}

static void test_long_chain(void **state)
{
	struct dns_question q = parsed("n0.example", DNS_A);
	static struct dns_answer a;
	char from[32], to[32];

	for (int length = DNS_CHAIN_MAX - 1; length <= DNS_CHAIN_MAX; length++) {
		struct msg m;

		answer(&m, "n0.example", DNS_A, (size_t)length);
		for (int i = 0; i < length; i++) {
			struct msg data;

			snprintf(from, sizeof(from), "n%d.example", i);
			snprintf(to, sizeof(to), "n%d.example", i + 1);
			data = name_of(to);
			record(&m, from, DNS_CNAME, 60, &data);
		}
		assert_int_equal(dns_answer_parse(m.p, m.n, &q, 0x1234, &a),
				 length < DNS_CHAIN_MAX ? 0 : -EBADMSG);
	}
}

static void test_loops(void **state)
{
	struct dns_question q = parsed("a.example", DNS_A);
	struct msg m, self = name_of("a.example");
	static struct dns_answer a;

	answer(&m, "a.example", DNS_A, 1);
	record(&m, "#", DNS_CNAME, 60, &self);
	assert_int_equal(dns_answer_parse(m.p, m.n, &q, 0x1234, &a), -EBADMSG);
	/* A pointer to itself, and one forward. */
	answer(&m, "a.example", DNS_A, 1);
	put16(&m, 0xc000 | m.n);
	put(&m, "\0\1\0\1\0\0\0\1\0\4abcd", 14);
	assert_int_equal(dns_answer_parse(m.p, m.n, &q, 0x1234, &a), -EBADMSG);
}

static void test_negative(void **state)
{
	struct dns_question q = parsed("a.example", DNS_A);
	struct msg m, soa = name_of("ns"), owner = name_of("root");
	static struct dns_answer a;

	put(&soa, owner.p, owner.n);
	put(&soa, "\0\0\0\1\0\0\0\1\0\0\0\1\0\0\0\1\0\0\0\x3c", 20);
	answer(&m, "a.example", DNS_A, 0);
	m.p[3] |= DNS_NXDOMAIN;
	m.p[9] = 1;
	record(&m, "example", DNS_SOA, 3600, &soa);
	assert_int_equal(dns_answer_parse(m.p, m.n, &q, 0x1234, &a), 0);
	assert_int_equal(a.rcode, DNS_NXDOMAIN);
	assert_int_equal(a.ttl, 60);
}

/* --- writing ------------------------------------------------------------------------------- */

static void test_reply(void **state)
{
	struct dns_question q = parsed("WWW.example", DNS_MX);
	struct msg m, mx = bytes("\0\x0a", 2), host = name_of("mail.#");
	static struct dns_answer a;
	static uint8_t out[512];
	size_t n;

	put(&mx, host.p, host.n);
	answer(&m, "www.example", DNS_MX, 1);
	record(&m, "#", DNS_MX, 60, &mx);
	assert_int_equal(dns_answer_parse(m.p, m.n, &q, 0x1234, &a), 0);
	n = dns_reply_write(out, sizeof(out), &q, &a, m.p, m.n, 59, 512);
	assert_memory_equal(out + DNS_HEADER, "\3WWW\7example", 13);
	/* The name written out, the TTL older but never 0. */
	assert_memory_equal(out + n - 20, "\0\x0a\4mail\3www\7example", 20);
	assert_memory_equal(out + n - 26, "\0\0\0\1\0\x14", 6);
}

static void test_hints_are_left_out(void **state)
{
	struct dns_question q = parsed("a.example", DNS_HTTPS);
	struct msg m, https = bytes("\0\1\0\0\4\0\4\x0a\0\0\1", 11);
	static struct dns_answer a;
	static uint8_t out[512];

	answer(&m, "a.example", DNS_HTTPS, 1);
	record(&m, "#", DNS_HTTPS, 60, &https);
	assert_int_equal(dns_answer_parse(m.p, m.n, &q, 0x1234, &a), 0);
	dns_reply_write(out, sizeof(out), &q, &a, m.p, m.n, 0, 512);
	assert_int_equal(out[7], 0);
	assert_int_equal(out[3] & 15, DNS_NOERROR);
}

static void test_too_long_for_the_asker(void **state)
{
	struct dns_question q = parsed("a.example", DNS_A);
	struct msg m, data = bytes(v4, 4);
	static struct dns_answer a;
	static uint8_t out[4096];
	size_t n;

	answer(&m, "a.example", DNS_A, 40);
	for (int i = 0; i < 40; i++)
		record(&m, "#", DNS_A, 60, &data);
	assert_int_equal(dns_answer_parse(m.p, m.n, &q, 0x1234, &a), 0);
	n = dns_reply_write(out, sizeof(out), &q, &a, m.p, m.n, 0, 512);
	assert_true(n <= 512 && out[2] & 2 && out[7] == 0);
	n = dns_reply_write(out, sizeof(out), &q, &a, m.p, m.n, 0, 4096);
	assert_true(n > 512 && !(out[2] & 2) && out[7] == 40);
}

static void test_too_many_addresses(void **state)
{
	struct dns_question q = parsed("a.example", DNS_A);
	struct msg m, data = bytes(v4, 4);
	static struct dns_answer a;

	answer(&m, "a.example", DNS_A, DNS_ANSWERS_MAX + 1);
	for (int i = 0; i < DNS_ANSWERS_MAX + 1; i++)
		record(&m, "#", DNS_A, 60, &data);
	assert_int_equal(dns_answer_parse(m.p, m.n, &q, 0x1234, &a), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_question),
		cmocka_unit_test(test_cut_question),
		cmocka_unit_test(test_odd_questions),
		cmocka_unit_test(test_edns),
		cmocka_unit_test(test_answer),
		cmocka_unit_test(test_cut_answer),
		cmocka_unit_test(test_what_is_not_of_the_chain),
		cmocka_unit_test(test_long_chain),
		cmocka_unit_test(test_loops),
		cmocka_unit_test(test_negative),
		cmocka_unit_test(test_reply),
		cmocka_unit_test(test_hints_are_left_out),
		cmocka_unit_test(test_too_long_for_the_asker),
		cmocka_unit_test(test_too_many_addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
