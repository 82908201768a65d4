/* SPDX-License-Identifier: Apache-2.0 */
/* Writing DNS messages: what the guest gets is put together anew. */
#include "dns.h"

static struct message m;      /* upstream's */
static struct message wanted; /* what the guest is to get */
static struct dns_question question;
static struct dns_answer answer;
static uint8_t out[DNS_MESSAGE_MAX];

static void asked(const char *name, uint16_t type)
{
	begin_question(&m, name, type);
	assert_int_equal(dns_question_parse(m.p, m.n, &question), 0);
	begin_answer(&m, name, type);
	begin_answer(&wanted, name, type);
}

static size_t reply(uint32_t age, size_t max)
{
	assert_int_equal(dns_answer_parse(m.p, m.n, &question, ID, &answer), 0);
	return dns_reply_write(out, sizeof(out), &question, &answer, m.p, m.n, age, max);
}

static void assert_wanted(size_t n)
{
	assert_int_equal(n, wanted.n);
	assert_memory_equal(out, wanted.p, n);
}

static void test_query(void **state)
{
	struct dns_question q;
	size_t n;

	begin_question(&m, "WwW.eXample.com", DNS_TXT);
	add_opt(&m, 4096, 0x8000);
	m.p[3] |= 0x10;
	assert_int_equal(dns_question_parse(m.p, m.n, &question), 0);
	n = dns_query_write(out, 300, &question, 0x1234);
	assert_int_equal(dns_question_parse(out, n, &q), 0);
	assert_int_equal(q.id, 0x1234);
	assert_string_equal(q.name, "www.example.com");
	assert_memory_equal(q.wire + 1, "www", 3);
	assert_int_equal(q.type, DNS_TXT);
	assert_true(q.edns && q.dnssec_ok && q.recursion_desired && q.checking_disabled);
	assert_int_equal(q.udp_size, DNS_UDP_MAX);

	/* Whoever does not know EDNS still gets a query with it; what it did not ask for is not
	 * asked. */
	begin_question(&m, "", DNS_NS);
	m.p[2] = 0;
	assert_int_equal(dns_question_parse(m.p, m.n, &question), 0);
	n = dns_query_write(out, 300, &question, 7);
	assert_int_equal(dns_question_parse(out, n, &q), 0);
	assert_string_equal(q.name, "");
	assert_true(q.edns && q.recursion_desired);
	assert_false(q.dnssec_ok || q.checking_disabled);
}

static void test_longest_query(void **state)
{
	struct dns_question q = {.type = DNS_A, .class = 1};

	for (size_t i = 0; i < DOMAIN_MAX; i++)
		q.name[i] = i % 64 == 63 ? '.' : 'a';
	assert_int_equal(dns_query_write(out, 300, &q, 1), DNS_HEADER + 255 + 4 + 11);
}

static void test_errors(void **state)
{
	asked("A.tEst", DNS_A);
	set16(&wanted, 2, 0x8180 | DNS_NXDOMAIN);
	assert_wanted(dns_error_write(out, DNS_ERROR_MAX, &question, DNS_NXDOMAIN));

	begin_question(&m, "A.tEst", DNS_A);
	add_opt(&m, 512, 0x8000);
	m.p[2] = 0;
	m.p[3] = 0x10;
	assert_int_equal(dns_question_parse(m.p, m.n, &question), 0);
	begin(&wanted, 0x8090 | DNS_SERVFAIL, "A.tEst", DNS_A);
	add_opt(&wanted, DNS_UDP_MAX, 0x8000);
	assert_wanted(dns_error_write(out, DNS_ERROR_MAX, &question, DNS_SERVFAIL));

	/* What asked for it could not be read. */
	begin_question(&m, "a.test", DNS_A);
	assert_int_equal(dns_question_parse(m.p, DNS_HEADER + 3, &question), DNS_FORMERR);
	begin(&wanted, 0x8180 | DNS_FORMERR, "", DNS_A);
	set16(&wanted, QUESTIONS, 0);
	wanted.n = DNS_HEADER;
	assert_wanted(dns_error_write(out, DNS_ERROR_MAX, &question, DNS_FORMERR));
}

static void test_own_addresses(void **state)
{
	const struct addr addrs[] = {addr_of("192.0.2.1"), addr_of("2001:db8::1"),
				     addr_of("192.0.2.2")};

	asked("Host.test", DNS_A);
	add_v4(&wanted, NULL, 60, "192.0.2.1");
	add_v4(&wanted, NULL, 60, "192.0.2.2");
	assert_wanted(dns_addrs_write(out, sizeof(out), &question, addrs, 3, 60));
	asked("Host.test", DNS_AAAA);
	add_v6(&wanted, NULL, 60, "2001:db8::1");
	assert_wanted(dns_addrs_write(out, sizeof(out), &question, addrs, 3, 60));
	asked("Host.test", DNS_MX);
	assert_wanted(dns_addrs_write(out, sizeof(out), &question, addrs, 3, 60));
}

/* The guest's spelling comes back, whatever upstream's is (0x20). */
static void test_spelling(void **state)
{
	asked("wWw.TeSt", DNS_A);
	m.p[13] = 'W';
	add_v4(&m, "www.test", 60, "192.0.2.1");
	add_v4(&wanted, NULL, 60, "192.0.2.1");
	assert_wanted(reply(0, 512));
	assert_memory_equal(out + DNS_HEADER, "\3wWw\4TeSt", 10);
}

static void test_aliases(void **state)
{
	asked("a.test", DNS_A);
	add_head(&m, NULL, DNS_CNAME, 60);
	add16(&m, 4);
	add_labels(&m, "b");
	add_pointer(&m, DNS_HEADER + 2);
	add_v4(&m, "B.TEST", 50, "192.0.2.1");
	add_cname(&wanted, NULL, 60, "b.test");
	add_v4(&wanted, "b.test", 50, "192.0.2.1");
	assert_wanted(reply(0, 512));
}

/* Only what leads from the question to its answer, and nothing of what else upstream sent. */
static void test_foreign_records(void **state)
{
	asked("a.test", DNS_A);
	add_v4(&m, "x.test", 60, "192.0.2.66");
	add_cname(&m, NULL, 60, "b.test");
	add_v4(&m, NULL, 60, "192.0.2.66");
	add_record(&m, "b.test", DNS_TXT, 60, "\1x", 2);
	add_v4(&m, "b.test", 60, "192.0.2.1");
	add_v6(&m, "b.test", 60, "2001:db8::66");
	m.section = AUTHORITY;
	add_record(&m, "test", DNS_NS, 60, "\1n\0", 3);
	m.section = ADDITIONAL;
	add_v4(&m, "b.test", 60, "192.0.2.66");
	add_opt(&m, 1232, 0);
	add_cname(&wanted, NULL, 60, "b.test");
	add_v4(&wanted, "b.test", 60, "192.0.2.1");
	assert_wanted(reply(0, 512));
}

/* A name has one alias; a second one was not decided about. */
static void test_second_alias(void **state)
{
	asked("a.test", DNS_A);
	add_cname(&m, NULL, 60, "b.test");
	add_cname(&m, NULL, 60, "evil.test");
	add_v4(&m, "b.test", 60, "192.0.2.1");
	add_v4(&m, "evil.test", 60, "192.0.2.66");
	add_cname(&wanted, NULL, 60, "b.test");
	add_v4(&wanted, "b.test", 60, "192.0.2.1");
	assert_wanted(reply(0, 512));
}

/* Data with `fixed` bytes and a compressed name before `rest`, and how they look written out. */
static void compressed(uint16_t type, size_t fixed, unsigned int names, size_t rest)
{
	const uint8_t bytes[32] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
	size_t at;

	asked("a.test", type);
	add_head(&m, NULL, type, 60);
	add16(&m, fixed + (size_t)names * 7 + rest);
	add(&m, bytes, fixed);
	for (unsigned int i = 0; i < names; i++) {
		add_labels(&m, "Mail");
		add_pointer(&m, DNS_HEADER + 2);
	}
	add(&m, bytes, rest);
	add_head(&wanted, NULL, type, 60);
	at = wanted.n;
	add16(&wanted, 0);
	add(&wanted, bytes, fixed);
	for (unsigned int i = 0; i < names; i++)
		add_name(&wanted, "Mail.test");
	add(&wanted, bytes, rest);
	set16(&wanted, at, wanted.n - at - 2);
	assert_wanted(reply(0, 512));
}

static void test_names_in_data(void **state)
{
	compressed(DNS_CNAME, 0, 1, 0);
	compressed(DNS_NS, 0, 1, 0);
	compressed(DNS_PTR, 0, 1, 0);
	compressed(DNS_DNAME, 0, 1, 0);
	compressed(DNS_MX, 2, 1, 0);
	compressed(DNS_SRV, 6, 1, 0);
	compressed(DNS_SOA, 0, 2, 20);
	/* As it came. */
	asked("a.test", DNS_TXT);
	add_record(&m, NULL, DNS_TXT, 60, "\3\xc0\x0c\0", 4);
	add_record(&m, NULL, DNS_TXT, 60, "", 0);
	add_record(&wanted, NULL, DNS_TXT, 60, "\3\xc0\x0c\0", 4);
	add_record(&wanted, NULL, DNS_TXT, 60, "", 0);
	assert_wanted(reply(0, 512));
}

/* A name that is none, or that goes on behind its data: no such record is passed on. */
static void test_broken_data(void **state)
{
	static const struct {
		uint16_t type;
		const char *data;
		size_t len, counted;
	} table[] = {
		{DNS_MX, "\0\1\4mail\0", 8, 7}, {DNS_MX, "\0", 1, 1},    {DNS_MX, "\0\1", 2, 2},
		{DNS_SRV, "\0\0\0\0\0", 5, 5},  {DNS_NS, "\xc0", 1, 1},  {DNS_NS, "\xc0\xff", 2, 2},
		{DNS_SOA, "\1a\0", 3, 3},       {DNS_PTR, "\x40", 1, 1}, {DNS_CNAME, "", 0, 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		size_t n;

		asked("a.test", table[i].type);
		add_head(&m, NULL, table[i].type, 60);
		add16(&m, table[i].counted);
		add(&m, table[i].data, table[i].len);
		n = reply(0, 512);
		set16(&wanted, 2, 0x8380);
		assert_wanted(n);
	}
}

static void test_address_hints(void **state)
{
	static const uint16_t types[] = {DNS_SVCB, DNS_HTTPS};

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		asked("a.test", types[i]);
		add_record(&m, NULL, types[i], 60, "\0\1\0\0\4\0\4\xc0\0\2\x42", 11);
		assert_wanted(reply(0, 512));
	}
}

static void test_age(void **state)
{
	static const struct {
		uint32_t ttl, age, is;
	} table[] = {
		{100, 0, 100}, {100, 30, 70},  {100, 98, 2}, {100, 99, 1}, {100, 100, 1},
		{100, 101, 1}, {100, 3600, 1}, {0, 0, 1},    {1, 0, 1},
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		asked("a.test", DNS_A);
		add_v4(&m, NULL, table[i].ttl, "192.0.2.1");
		add_v4(&wanted, NULL, table[i].is, "192.0.2.1");
		assert_wanted(reply(table[i].age, 512));
	}
}

static void test_too_long(void **state)
{
	size_t full, one;

	for (int edns = 0; edns < 2; edns++) {
		begin_question(&m, "a.test", DNS_A);
		if (edns)
			add_opt(&m, 1232, 0);
		assert_int_equal(dns_question_parse(m.p, m.n, &question), 0);
		begin_answer(&m, "a.test", DNS_A);
		begin_answer(&wanted, "a.test", DNS_A);
		for (int i = 0; i < 40; i++) {
			add_v4(&m, NULL, 60, "192.0.2.1");
			add_v4(&wanted, NULL, 60, "192.0.2.1");
		}
		if (edns)
			add_opt(&wanted, DNS_UDP_MAX, 0);
		full = wanted.n;
		assert_wanted(reply(0, 4096));
		assert_wanted(reply(0, full));
		one = reply(0, full - 1);
		begin_answer(&wanted, "a.test", DNS_A);
		set16(&wanted, 2, 0x8380);
		if (edns)
			add_opt(&wanted, DNS_UDP_MAX, 0);
		assert_wanted(one);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_query),           cmocka_unit_test(test_longest_query),
		cmocka_unit_test(test_errors),          cmocka_unit_test(test_own_addresses),
		cmocka_unit_test(test_spelling),        cmocka_unit_test(test_aliases),
		cmocka_unit_test(test_foreign_records), cmocka_unit_test(test_second_alias),
		cmocka_unit_test(test_names_in_data),   cmocka_unit_test(test_broken_data),
		cmocka_unit_test(test_address_hints),   cmocka_unit_test(test_age),
		cmocka_unit_test(test_too_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
