/* SPDX-License-Identifier: Apache-2.0 */
/* Reading DNS messages: questions of the guest and answers of anybody. */
#include "dns.h"

static struct message m;
static struct dns_question question;
static struct dns_answer answer;

static int parse_question(void)
{
	_cleanup_free_ uint8_t *p = cut_off(&m, m.n);

	return dns_question_parse(p, m.n, &question);
}

static int parse_answer(void)
{
	_cleanup_free_ uint8_t *p = cut_off(&m, m.n);

	return dns_answer_parse(p, m.n, &question, ID, &answer);
}

/* What is asked, and an answer to it that has no records yet. */
static void ask(const char *name, uint16_t type)
{
	begin_question(&m, name, type);
	assert_int_equal(parse_question(), 0);
	begin_answer(&m, name, type);
}

/* --- questions ----------------------------------------------------------------------------- */

static void test_questions(void **state)
{
	static const struct {
		const char *name, *normal;
		uint16_t type;
	} table[] = {
		{"example.com", "example.com", DNS_A},
		{"eXaMpLe.COM", "example.com", DNS_AAAA},
		{"_dmarc.a-b.test", "_dmarc.a-b.test", DNS_TXT},
		{"", "", DNS_NS},
		{"xn--bcher-kva.test", "xn--bcher-kva.test", DNS_HTTPS},
		{"a", "a", DNS_MX},
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		begin_question(&m, table[i].name, table[i].type);
		assert_int_equal(parse_question(), 0);
		assert_int_equal(question.id, ID);
		assert_string_equal(question.name, table[i].normal);
		assert_int_equal(question.type, table[i].type);
		assert_int_equal(question.class, 1);
		assert_true(question.recursion_desired);
		assert_false(question.checking_disabled);
		assert_false(question.edns);
		assert_int_equal(question.udp_size, DNS_UDP_PLAIN);
		assert_int_equal(question.wire_len, m.n - DNS_HEADER - 4);
		assert_memory_equal(question.wire, m.p + DNS_HEADER, question.wire_len);
	}
}

static void test_question_edns(void **state)
{
	begin_question(&m, "a.test", DNS_A);
	add_opt(&m, 4096, 0x8000);
	m.p[2] = 0;
	m.p[3] = 0x10;
	assert_int_equal(parse_question(), 0);
	assert_true(question.edns && question.dnssec_ok && question.checking_disabled);
	assert_false(question.recursion_desired);
	assert_int_equal(question.udp_size, 4096);

	begin_question(&m, "a.test", DNS_A);
	add_opt(&m, 0, 0x7fff);
	assert_int_equal(parse_question(), 0);
	assert_true(question.edns);
	assert_false(question.dnssec_ok);
	assert_int_equal(question.udp_size, 0);

	/* With options, which are nobody's business. */
	begin_question(&m, "a.test", DNS_A);
	add_opt(&m, 1232, 0);
	set16(&m, m.n - 2, 5);
	add(&m, "\0\x0a\0\1x", 5);
	assert_int_equal(parse_question(), 0);
	set16(&m, m.n - 7, 6);
	assert_int_equal(parse_question(), DNS_FORMERR);

	/* A version that there is not, an owner, something else. */
	begin_question(&m, "a.test", DNS_A);
	add_opt(&m, 1232, 0x10000);
	assert_int_equal(parse_question(), DNS_FORMERR);
	begin_question(&m, "a.test", DNS_A);
	m.section = ADDITIONAL;
	add_record(&m, NULL, DNS_OPT, 0, "", 0);
	assert_int_equal(parse_question(), DNS_FORMERR);
	begin_question(&m, "a.test", DNS_A);
	m.section = ADDITIONAL;
	add_record(&m, "key.test", 250, 0, "signature", 9);
	assert_int_equal(parse_question(), DNS_NOTIMP);
}

static void test_questions_cut_off(void **state)
{
	begin_question(&m, "www.example.com", DNS_A);
	add_opt(&m, 1232, 0x8000);
	for (size_t n = 0; n <= m.n; n++) {
		_cleanup_free_ uint8_t *p = cut_off(&m, n);
		int r = dns_question_parse(p, n, &question);

		assert_int_equal(r, n < DNS_HEADER ? -EBADMSG : n < m.n ? DNS_FORMERR : 0);
		/* The error's answer has the question if there was one. */
		assert_int_equal(question.wire_len, n >= DNS_HEADER + 17 + 4 ? 17 : 0);
	}
}

static void test_questions_refused(void **state)
{
	static const struct {
		size_t at;
		uint8_t byte;
		int result;
	} table[] = {
		{2, 0x81, -EBADMSG},    {2, 0x08, DNS_NOTIMP},  {2, 0x28, DNS_NOTIMP},
		{2, 0x78, DNS_NOTIMP},  {5, 0, DNS_FORMERR},    {5, 2, DNS_FORMERR},
		{4, 1, DNS_FORMERR},    {7, 1, DNS_FORMERR},    {9, 1, DNS_FORMERR},
		{11, 1, DNS_FORMERR},   {11, 2, DNS_FORMERR},   {10, 1, DNS_FORMERR},
		{21, 255, DNS_REFUSED}, {21, 252, DNS_REFUSED}, {21, 251, DNS_REFUSED},
		{21, 250, DNS_REFUSED}, {21, 249, DNS_REFUSED}, {21, 41, DNS_REFUSED},
		{21, 0, DNS_REFUSED},   {21, 248, 0},           {21, 253, 0},
		{23, 3, DNS_REFUSED},   {23, 0, DNS_REFUSED},   {23, 255, DNS_REFUSED},
		{22, 1, DNS_REFUSED},   {2, 0x07, 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		begin_question(&m, "a.test", DNS_A);
		assert_int_equal(m.n, 24);
		m.p[table[i].at] = table[i].byte;
		assert_int_equal(parse_question(), table[i].result);
	}
}

/* Names that are none of a host's are well-formed in DNS; they are not asked for. */
static void test_odd_labels(void **state)
{
	static const struct {
		const char *label;
		size_t len;
	} table[] = {
		{"a\0b", 3}, {"a.b", 3}, {".", 1},    {"a b", 3}, {"\xc3\xa4", 2}, {"a/b", 3},
		{"*", 1},    {"a:b", 3}, {"\x7f", 1}, {"a@b", 3}, {"\\", 1},       {"%41", 3},
	};
	uint8_t len;

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		begin_question(&m, "", DNS_A);
		m.n = DNS_HEADER;
		len = (uint8_t)table[i].len;
		add(&m, &len, 1);
		add(&m, table[i].label, len);
		add_name(&m, "test");
		add16(&m, DNS_A);
		add16(&m, 1);
		assert_int_equal(parse_question(), DNS_REFUSED);
		assert_int_equal(question.wire_len, len + 7);
	}
	/* What programs may take for an address. */
	begin_question(&m, "127.0.0.1", DNS_A);
	assert_int_equal(parse_question(), DNS_REFUSED);
	begin_question(&m, "a.0x7f", DNS_A);
	assert_int_equal(parse_question(), DNS_REFUSED);
}

/* A name of `n` bytes on the wire, of labels of at most 63. */
static void long_name(size_t n)
{
	begin_question(&m, "", DNS_A);
	m.n = DNS_HEADER;
	while (n > 1) {
		uint8_t len = (uint8_t)MIN(n - 2, (size_t)63);

		if (n - 2 == 64)
			len = 62;
		add(&m, &len, 1);
		memset(m.p + m.n, 'a', len);
		m.n += len;
		n -= 1 + (size_t)len;
	}
	add(&m, "", 1);
	add16(&m, DNS_A);
	add16(&m, 1);
}

static void test_long_names(void **state)
{
	long_name(255);
	assert_int_equal(parse_question(), 0);
	assert_int_equal(strlen(question.name), DOMAIN_MAX);
	assert_int_equal(question.wire_len, 255);
	long_name(256);
	assert_int_equal(parse_question(), DNS_FORMERR);
	long_name(300);
	assert_int_equal(parse_question(), DNS_FORMERR);
	/* The two other kinds of label that the high bits could mean. */
	for (unsigned int bits = 0x40; bits <= 0x80; bits += 0x40) {
		begin_question(&m, "a.test", DNS_A);
		m.p[DNS_HEADER] = (uint8_t)(bits | 1);
		assert_int_equal(parse_question(), DNS_FORMERR);
	}
}

static void test_pointers_in_questions(void **state)
{
	/* To itself, behind it, into the header, to its end. */
	static const uint8_t to[] = {12, 14, 16, 0, 5, 6, 10, 11, 255};

	for (size_t i = 0; i < ARRAY_SIZE(to); i++) {
		begin_question(&m, "", DNS_A);
		m.n = DNS_HEADER;
		add_pointer(&m, to[i]);
		add16(&m, DNS_A);
		add16(&m, 1);
		assert_int_equal(parse_question(), DNS_FORMERR);
		assert_int_equal(question.wire_len, 0);

		m.n = DNS_HEADER;
		add_labels(&m, "a");
		add_pointer(&m, to[i]);
		add16(&m, DNS_A);
		add16(&m, 1);
		assert_int_equal(parse_question(), DNS_FORMERR);
	}
}

static void test_pointer_chain(void **state)
{
	uint8_t p[128] = {0}, wire[DNS_NAME_MAX];
	size_t n;

	/* Each leads to the one before it, the first to the root. */
	for (size_t i = 0; i < 40; i++) {
		p[1 + 2 * i] = 0xc0;
		p[2 + 2 * i] = (uint8_t)(i ? 2 * i - 1 : 0);
	}
	assert_int_equal(dns_name_expand(p, sizeof(p), 1, wire, &n), 3);
	assert_int_equal(n, 1);
	assert_int_equal(dns_name_expand(p, sizeof(p), 1 + 2 * 31, wire, &n), 3 + 2 * 31);
	assert_int_equal(dns_name_expand(p, sizeof(p), 1 + 2 * 32, wire, &n), 0);
	/* Half a pointer, and none at all. */
	assert_int_equal(dns_name_expand(p, 2, 1, wire, &n), 0);
	assert_int_equal(dns_name_expand(p, 1, 1, wire, &n), 0);
	assert_int_equal(dns_name_expand(p, 0, 0, wire, &n), 0);
}

/* --- answers ------------------------------------------------------------------------------- */

static void test_addresses(void **state)
{
	ask("Www.Example.com", DNS_A);
	add_v4(&m, NULL, 300, "192.0.2.1");
	add_v4(&m, "wWW.example.COM", 200, "192.0.2.2");
	assert_int_equal(parse_answer(), 0);
	assert_int_equal(answer.rcode, DNS_NOERROR);
	assert_false(answer.truncated);
	assert_int_equal(answer.n_chain, 1);
	assert_string_equal(answer.chain[0], "www.example.com");
	assert_int_equal(answer.n_addrs, 2);
	assert_addr(&answer.addrs[0].addr, "192.0.2.1");
	assert_int_equal(answer.addrs[0].ttl, 300);
	assert_addr(&answer.addrs[1].addr, "192.0.2.2");
	assert_int_equal(answer.addrs[1].ttl, 200);
	assert_int_equal(answer.ttl, 200);

	ask("a.test", DNS_AAAA);
	add_v6(&m, NULL, 60, "2001:db8::1");
	/* Not asked for, and yet it could be used. */
	add_v4(&m, NULL, 10, "192.0.2.3");
	assert_int_equal(parse_answer(), 0);
	assert_int_equal(answer.n_addrs, 2);
	assert_addr(&answer.addrs[0].addr, "2001:db8::1");
	assert_addr(&answer.addrs[1].addr, "192.0.2.3");
	assert_int_equal(answer.ttl, 60);
}

static void test_not_the_answer(void **state)
{
	static const struct {
		size_t at;
		uint8_t byte;
	} table[] = {
		{0, 0},    {1, 0},  {2, 0x01},      {2, 0x89}, {5, 0},  {5, 2},
		{13, 'b'}, {12, 2}, {21, DNS_AAAA}, {23, 3},   {12, 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		ask("a.test", DNS_A);
		add_v4(&m, NULL, 300, "192.0.2.1");
		assert_int_equal(parse_answer(), 0);
		m.p[table[i].at] = table[i].byte;
		assert_int_equal(parse_answer(), -EBADMSG);
		assert_int_equal(answer.n_addrs, 0);
	}
	/* Another spelling is the same name. */
	ask("a.test", DNS_A);
	m.p[13] = 'A';
	assert_int_equal(parse_answer(), 0);
}

static void test_answers_cut_off(void **state)
{
	ask("www.example.com", DNS_A);
	add_cname(&m, NULL, 100, "a.cdn.test");
	add_v4(&m, "a.cdn.test", 100, "192.0.2.1");
	add_v4(&m, "a.cdn.test", 100, "192.0.2.2");
	for (size_t n = 0; n <= m.n; n++) {
		_cleanup_free_ uint8_t *p = cut_off(&m, n);

		assert_int_equal(dns_answer_parse(p, n, &question, ID, &answer),
				 n < m.n ? -EBADMSG : 0);
	}
	assert_int_equal(answer.n_addrs, 2);
}

static void test_truncated(void **state)
{
	ask("www.example.com", DNS_A);
	m.p[2] |= 2;
	/* What is counted is not there. */
	set16(&m, ANSWERS, 9);
	assert_int_equal(parse_answer(), 0);
	assert_true(answer.truncated);
	assert_int_equal(answer.n_addrs, 0);
}

static void test_pointer_loops(void **state)
{
	size_t at;

	ask("a.test", DNS_A);
	at = m.n;
	/* To itself, to what follows, and back and forth. */
	for (size_t to = at; to < at + 6; to += 2) {
		m.n = at;
		set16(&m, ANSWERS, 1);
		add_pointer(&m, to);
		add_pointer(&m, at);
		add(&m, (uint8_t[16]){0}, 16);
		assert_int_equal(parse_answer(), -EBADMSG);
	}
	/* In the data, where an alias is read. */
	ask("a.test", DNS_A);
	add_head(&m, NULL, DNS_CNAME, 60);
	add16(&m, 4);
	add_labels(&m, "b");
	add_pointer(&m, m.n - 2);
	assert_int_equal(parse_answer(), -EBADMSG);
}

static void test_aliases(void **state)
{
	/* In any order, and with what belongs to nobody in between. */
	ask("a.test", DNS_A);
	add_v4(&m, "c.test", 70, "192.0.2.1");
	add_v4(&m, "x.test", 1, "192.0.2.99");
	add_cname(&m, "b.test", 50, "C.test");
	add_cname(&m, "x.test", 1, "y.test");
	add_cname(&m, NULL, 60, "b.test");
	/* A name with an alias has no addresses. */
	add_v4(&m, "a.test", 1, "192.0.2.98");
	assert_int_equal(parse_answer(), 0);
	assert_int_equal(answer.n_chain, 3);
	assert_string_equal(answer.chain[1], "b.test");
	assert_string_equal(answer.chain[2], "c.test");
	assert_int_equal(answer.n_addrs, 1);
	assert_addr(&answer.addrs[0].addr, "192.0.2.1");
	assert_int_equal(answer.ttl, 50);

	/* Who asks for an alias wants no more. */
	ask("a.test", DNS_CNAME);
	add_cname(&m, NULL, 60, "b.test");
	add_v4(&m, "b.test", 70, "192.0.2.1");
	assert_int_equal(parse_answer(), 0);
	assert_int_equal(answer.n_chain, 1);
	assert_int_equal(answer.n_addrs, 0);
	assert_int_equal(answer.ttl, 60);
}

static void chain_of(unsigned int aliases)
{
	char name[32], next[32];

	ask("n0.test", DNS_A);
	for (unsigned int i = 0; i < aliases; i++) {
		snprintf(name, sizeof(name), "n%u.test", i);
		snprintf(next, sizeof(next), "n%u.test", i + 1);
		add_cname(&m, name, 60, next);
	}
	snprintf(name, sizeof(name), "n%u.test", aliases);
	add_v4(&m, name, 60, "192.0.2.1");
}

static void test_long_chains(void **state)
{
	chain_of(DNS_CHAIN_MAX - 1);
	assert_int_equal(parse_answer(), 0);
	assert_int_equal(answer.n_chain, DNS_CHAIN_MAX);
	assert_int_equal(answer.n_addrs, 1);
	chain_of(DNS_CHAIN_MAX);
	assert_int_equal(parse_answer(), -EBADMSG);
	chain_of(DNS_CHAIN_MAX + 1);
	assert_int_equal(parse_answer(), -EBADMSG);

	ask("a.test", DNS_A);
	add_cname(&m, "a.test", 60, "a.test");
	assert_int_equal(parse_answer(), -EBADMSG);
	ask("a.test", DNS_A);
	add_cname(&m, "a.test", 60, "b.test");
	add_cname(&m, "b.test", 60, "a.test");
	assert_int_equal(parse_answer(), -EBADMSG);
	/* To what is no name of a host. */
	ask("a.test", DNS_A);
	add_cname(&m, "a.test", 60, "b c.test");
	assert_int_equal(parse_answer(), -EBADMSG);
}

static void test_many_addresses(void **state)
{
	ask("a.test", DNS_A);
	for (unsigned int i = 0; i < DNS_ANSWERS_MAX; i++)
		add_v4(&m, NULL, 60, "192.0.2.1");
	assert_int_equal(parse_answer(), 0);
	assert_int_equal(answer.n_addrs, DNS_ANSWERS_MAX);
	/* Other names' do not count. */
	add_v4(&m, "b.test", 60, "192.0.2.1");
	assert_int_equal(parse_answer(), 0);
	add_v4(&m, NULL, 60, "192.0.2.1");
	assert_int_equal(parse_answer(), -EBADMSG);
}

static void test_wrong_lengths(void **state)
{
	static const struct {
		uint16_t type;
		size_t len;
	} table[] = {{DNS_A, 0},    {DNS_A, 3},     {DNS_A, 5},    {DNS_A, 16},
		     {DNS_AAAA, 4}, {DNS_AAAA, 15}, {DNS_AAAA, 17}};
	const uint8_t zero[32] = {0};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		ask("a.test", DNS_A);
		add_record(&m, NULL, table[i].type, 60, zero, table[i].len);
		assert_int_equal(parse_answer(), -EBADMSG);
	}
	/* Of another class or section they are somebody else's. */
	ask("a.test", DNS_A);
	add_record(&m, NULL, DNS_A, 60, zero, 4);
	m.p[m.n - 11] = 3;
	m.section = ADDITIONAL;
	add_record(&m, NULL, DNS_A, 60, zero, 3);
	assert_int_equal(parse_answer(), 0);
	assert_int_equal(answer.n_addrs, 0);
}

static void test_ttls(void **state)
{
	static const struct {
		uint32_t said, is;
	} table[] = {
		{0, 0},
		{1, 1},
		{DNS_TTL_MAX, DNS_TTL_MAX},
		{DNS_TTL_MAX + 1, DNS_TTL_MAX},
		{INT32_MAX, DNS_TTL_MAX},
		{0x80000000, 0},
		{UINT32_MAX, 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		ask("a.test", DNS_A);
		add_v4(&m, NULL, table[i].said, "192.0.2.1");
		assert_int_equal(parse_answer(), 0);
		assert_int_equal(answer.addrs[0].ttl, table[i].is);
		assert_int_equal(answer.ttl, table[i].is);
	}
}

static void add_soa(uint32_t ttl, uint32_t minimum)
{
	size_t at;

	m.section = AUTHORITY;
	add_head(&m, "test", DNS_SOA, ttl);
	at = m.n;
	add16(&m, 0);
	add_name(&m, "ns.test");
	add_name(&m, "root.test");
	add(&m, (uint8_t[16]){0}, 16);
	add32(&m, minimum);
	set16(&m, at, m.n - at - 2);
}

static void test_negative(void **state)
{
	static const struct {
		uint32_t ttl, minimum, is;
	} table[] = {{100, 50, 50}, {50, 100, 50},      {86400, 86400, 300}, {0, 50, 0},
		     {300, 0, 0},   {UINT32_MAX, 9, 0}, {9, UINT32_MAX, 9}};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		ask("a.test", DNS_A);
		m.p[3] |= DNS_NXDOMAIN;
		add_soa(table[i].ttl, table[i].minimum);
		assert_int_equal(parse_answer(), 0);
		assert_int_equal(answer.rcode, DNS_NXDOMAIN);
		assert_int_equal(answer.n_addrs, 0);
		assert_int_equal(answer.ttl, table[i].is);
	}
	/* No word about it, or one that is too short to be understood or not all there. */
	ask("a.test", DNS_A);
	assert_int_equal(parse_answer(), 0);
	assert_int_equal(answer.ttl, 30);
	m.section = AUTHORITY;
	add_record(&m, "test", DNS_SOA, 1, "0123456789abcdef01234", 21);
	assert_int_equal(parse_answer(), 0);
	assert_int_equal(answer.ttl, 30);
	ask("a.test", DNS_A);
	add_soa(1, 1);
	m.n--;
	assert_int_equal(parse_answer(), 0);
	assert_int_equal(answer.ttl, 30);
	/* An alias that leads to nothing is kept no longer than it says. */
	ask("a.test", DNS_A);
	add_cname(&m, NULL, 5, "b.test");
	add_soa(100, 100);
	assert_int_equal(parse_answer(), 0);
	assert_int_equal(answer.ttl, 5);
}

static void test_rcodes(void **state)
{
	for (unsigned int rcode = 0; rcode < 16; rcode++) {
		ask("a.test", DNS_A);
		m.p[3] = (uint8_t)(0x80 | rcode);
		assert_int_equal(parse_answer(), 0);
		assert_int_equal(answer.rcode, rcode);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_questions),
		cmocka_unit_test(test_question_edns),
		cmocka_unit_test(test_questions_cut_off),
		cmocka_unit_test(test_questions_refused),
		cmocka_unit_test(test_odd_labels),
		cmocka_unit_test(test_long_names),
		cmocka_unit_test(test_pointers_in_questions),
		cmocka_unit_test(test_pointer_chain),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_not_the_answer),
		cmocka_unit_test(test_answers_cut_off),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_pointer_loops),
		cmocka_unit_test(test_aliases),
		cmocka_unit_test(test_long_chains),
		cmocka_unit_test(test_many_addresses),
		cmocka_unit_test(test_wrong_lengths),
		cmocka_unit_test(test_ttls),
		cmocka_unit_test(test_negative),
		cmocka_unit_test(test_rcodes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
