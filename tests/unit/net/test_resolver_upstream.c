/* SPDX-License-Identifier: Apache-2.0 */
/* What upstream says, who is asked next, and what of it reaches the guest. */
#include "net/resolver_upstream.c"

#include "resolver_world.h"

static void say_alias(struct message *m, const struct dns_question *q)
{
	answer_to(m, q);
	add_cname(m, q->name, 60, "alias.example");
	add_address(m, "alias.example", 60);
}

static void say_odd_alias(struct message *m, const struct dns_question *q)
{
	answer_to(m, q);
	add_cname(m, q->name, 60, "0/25.example");
}

static void say_refused(struct message *m, const struct dns_question *q)
{
	answer_to(m, q);
	m->p[3] |= DNS_REFUSED;
}

static void say_no_such_name(struct message *m, const struct dns_question *q)
{
	answer_to(m, q);
	m->p[3] |= DNS_NXDOMAIN;
	m->section = AUTHORITY;
	add_record(m, "example", DNS_SOA, 60, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\74", 22);
}

static void say_truncated(struct message *m, const struct dns_question *q)
{
	answer_to(m, q);
	m->p[2] |= 2;
}

static void say_much(struct message *m, const struct dns_question *q)
{
	answer_to(m, q);
	for (int i = 0; i < 100; i++)
		add_address(m, q->name, 60);
}

/* --- names and answers */

static void test_no_answer_to_garbage(void **state)
{
	struct message m;

	begin_answer(&m, "a.example", DNS_A);
	assert_int_equal(resolver_ask(w.r, m.p, m.n, false, "token", 6, on_reply, NULL), -EBADMSG);
	assert_int_equal(resolver_ask(w.r, m.p, 11, false, "token", 6, on_reply, NULL), -EBADMSG);
	assert_int_equal(w.replies, 0);
	begin_question(&m, "a.example", DNS_A);
	set16(&m, QUESTIONS, 0);
	assert_int_equal(resolver_ask(w.r, m.p, m.n, false, "token", 6, on_reply, NULL), 0);
	assert_int_equal(w.replies, 1);
	assert_int_equal(w.reply[3] & 15, DNS_FORMERR);
}

static void test_alias(void **state)
{
	w.servers[0].respond = say_alias;
	assert_int_equal(ask("a.example", DNS_A), DNS_NOERROR);
	assert_int_equal(answers(), 2);
	assert_true(is_pinned(address, "a.example"));
	assert_false(is_pinned(address, "alias.example"));
}

static void test_denied_alias(void **state)
{
	add_rule("deny@alias.example");
	w.servers[0].respond = say_alias;
	assert_int_equal(ask("a.example", DNS_A), DNS_NXDOMAIN);
	assert_int_equal(answers(), 0);
	assert_int_equal(w.denied, 1);
	assert_false(is_pinned(address, "a.example"));
}

/* An allowed name may lead to a name that nobody lists. */
static void test_unlisted_alias(void **state)
{
	add_rule("allow@a.example");
	w.policy.egress = POLICY_DENY;
	w.servers[0].respond = say_alias;
	assert_int_equal(ask("a.example", DNS_A), DNS_NOERROR);
	assert_int_equal(answers(), 2);
	assert_int_equal(ask("alias.example", DNS_A), DNS_NXDOMAIN);
}

static void test_rebinding(void **state)
{
	static const char *const special[] = {
		"10.0.0.1",   "172.16.0.5",      "192.168.1.1",    "127.0.0.1",    "0.0.0.0",
		"100.64.0.1", "169.254.169.254", "224.0.0.1",      "::1",          "::",
		"fd00::1",    "fe80::1",         "64:ff9b::a00:1", "2002:a00:1::", "198.18.0.1",
	};
	char name[32];

	for (size_t i = 0; i < ARRAY_SIZE(special); i++) {
		struct addr a;

		address = special[i];
		assert_int_equal(addr_parse(address, &a), 0);
		snprintf(name, sizeof(name), "n%zu.example", i);
		assert_int_equal(ask(name, addr_is_v4(&a) ? DNS_A : DNS_AAAA), DNS_NXDOMAIN);
		assert_int_equal(answers(), 0);
		assert_int_equal(w.denied, i + 1);
		assert_string_equal(w.denied_name, name);
		assert_true(str_starts_with(w.denied_why, "rebinding protection: "));
		assert_false(is_pinned(address, name));
		/* Nor is it remembered as something that was in order. */
		assert_int_equal(ask(name, addr_is_v4(&a) ? DNS_A : DNS_AAAA), DNS_NXDOMAIN);
		w.denied--;
	}
}

static void test_rebinding_host(void **state)
{
	assert_int_equal(addr_parse(address, &w.host_addr), 0);
	assert_int_equal(ask("a.example", DNS_A), DNS_NXDOMAIN);
	assert_int_equal(w.denied, 1);
}

/* The host gets an address while an answer with it is in the cache. */
static void test_rebinding_from_cache(void **state)
{
	assert_int_equal(ask("a.example", DNS_A), DNS_NOERROR);
	assert_int_equal(addr_parse(address, &w.host_addr), 0);
	assert_int_equal(ask("a.example", DNS_A), DNS_NXDOMAIN);
	assert_int_equal(w.servers[0].asked, 1);
}

static void test_rebinding_allowed(void **state)
{
	add_rule("allow@10.0.0.0/8");
	address = "10.0.0.1";
	assert_int_equal(ask("a.example", DNS_A), DNS_NOERROR);
	assert_true(is_pinned(address, "a.example"));
	address = "192.168.0.1";
	assert_int_equal(ask("b.example", DNS_A), DNS_NXDOMAIN);
	w.config.rebind_protection = false;
	make_resolver();
	assert_int_equal(ask("b.example", DNS_A), DNS_NOERROR);
}

static void test_cache(void **state)
{
	for (int i = 0; i < 3; i++)
		assert_int_equal(ask(i == 1 ? "A.Example" : "a.example", DNS_A), DNS_NOERROR);
	assert_int_equal(w.servers[0].asked, 1);
	assert_int_equal(w.reply[1], 3);
	assert_int_equal(ask("a.example", DNS_TXT), DNS_NOERROR);
	assert_int_equal(w.servers[0].asked, 2);
	w.servers[0].respond = say_no_such_name;
	for (int i = 0; i < 2; i++)
		assert_int_equal(ask("none.example", DNS_A), DNS_NXDOMAIN);
	assert_int_equal(w.servers[0].asked, 3);
	/* That it was no denial shows here. */
	assert_int_equal(w.denied, 0);
}

static void test_too_many_questions(void **state)
{
	char name[32];

	w.servers[0].respond = say_nothing;
	for (int i = 0; i < RESOLVER_QUERIES_MAX; i++) {
		snprintf(name, sizeof(name), "n%d.example", i);
		send_question(name, DNS_A, false);
	}
	assert_int_equal(w.replies, 0);
	send_question("more.example", DNS_A, false);
	assert_int_equal(w.replies, 1);
	assert_int_equal(w.reply[3] & 15, DNS_SERVFAIL);
	for (int i = RESOLVER_QUERIES_MAX; i < RESOLVER_WAITERS_MAX; i++)
		send_question("n1.example", DNS_A, false);
	assert_int_equal(w.replies, 1);
	send_question("n1.example", DNS_A, false);
	assert_int_equal(w.replies, 2);
	assert_int_equal(w.reply[3] & 15, DNS_SERVFAIL);
}

static void test_longer_than_the_asker_takes(void **state)
{
	struct message m;

	w.servers[0].respond = say_much;
	assert_int_equal(ask("a.example", DNS_A), DNS_NOERROR);
	assert_true(w.reply[2] & 2);
	assert_int_equal(answers(), 0);
	/* Over TCP, or with EDNS, it is there. */
	send_question("a.example", DNS_A, true);
	assert_int_equal(await(), DNS_NOERROR);
	assert_int_equal(answers(), 100);
	begin_question(&m, "a.example", DNS_A);
	set16(&m, 0, 9);
	add_opt(&m, 65535, 0);
	w.wanted++;
	assert_int_equal(resolver_ask(w.r, m.p, m.n, false, "token", 6, on_reply, NULL), 0);
	assert_int_equal(await(), DNS_NOERROR);
	assert_int_equal(answers(), 100);
	assert_int_equal(w.servers[0].asked, 1);
}

/* --- upstream */

static void test_over_tcp(void **state)
{
	w.servers[0].respond = say_truncated;
	w.servers[0].respond_by_tcp = say_much;
	send_question("a.example", DNS_A, true);
	assert_int_equal(await(), DNS_NOERROR);
	assert_int_equal(answers(), 100);
	assert_int_equal(w.servers[0].asked, 1);
	assert_int_equal(w.servers[0].asked_by_tcp, 1);
}

static void test_refused_by_tcp(void **state)
{
	static respond_fn *const bad[] = {say_truncated, say_refused, say_odd_alias};
	char name[32];

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		w.servers[0].respond = say_truncated;
		w.servers[0].respond_by_tcp = bad[i];
		snprintf(name, sizeof(name), "n%zu.example", i);
		assert_int_equal(ask(name, DNS_A), DNS_NOERROR);
		assert_int_equal(w.servers[1].asked, i + 1);
		run();
	}
}

static void test_next_server(void **state)
{
	static respond_fn *const bad[] = {say_refused, say_odd_alias};
	char name[32];

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		w.servers[0].respond = bad[i];
		snprintf(name, sizeof(name), "n%zu.example", i);
		assert_int_equal(ask(name, DNS_A), DNS_NOERROR);
		assert_int_equal(w.servers[0].asked, i + 1);
		assert_int_equal(w.servers[1].asked, i + 1);
	}
	/* Nobody there. */
	loop_del(w.loop, &w.servers[0].udp);
	close_fd(&w.servers[0].udp.fd);
	assert_int_equal(ask("a.example", DNS_A), DNS_NOERROR);
	assert_int_equal(w.servers[1].asked, 3);
}

/* When none has an answer, that is told at once. */
static void test_no_server_knows(void **state)
{
	w.servers[0].respond = say_refused;
	w.servers[1].respond = say_odd_alias;
	assert_int_equal(ask("a.example", DNS_A), DNS_SERVFAIL);
	assert_int_equal(w.servers[0].asked, 1);
	assert_int_equal(w.servers[1].asked, 1);
	/* That is not remembered. */
	w.servers[0].respond = say_address;
	assert_int_equal(ask("a.example", DNS_A), DNS_NOERROR);
}

static void test_silent_server(void **state)
{
	w.servers[0].respond = say_nothing;
	send_question("a.example", DNS_A, false);
	fire(LIST_FIRST(&w.r->queries));
	assert_int_equal(await(), DNS_NOERROR);
	assert_int_equal(w.servers[1].asked, 1);
}

static void test_out_of_time(void **state)
{
	w.servers[0].respond = w.servers[1].respond = say_nothing;
	send_question("a.example", DNS_A, false);
	for (int i = 0; i < 3; i++) {
		fire(LIST_FIRST(&w.r->queries));
		assert_int_equal(w.replies, 0);
	}
	run();
	/* After the last one the first again. */
	assert_int_equal(w.servers[0].asked, 2);
	assert_int_equal(w.servers[1].asked, 2);
	LIST_FIRST(&w.r->queries)->give_up_at = 0;
	fire(LIST_FIRST(&w.r->queries));
	assert_int_equal(w.replies, 1);
	assert_int_equal(w.reply[3] & 15, DNS_SERVFAIL);
	assert_int_equal(w.r->n_queries, 0);
}

/* A failure and a time-out that come together count once. */
static void test_failure_at_the_last_moment(void **state)
{
	struct query *q;

	w.servers[0].respond = say_nothing;
	send_question("a.example", DNS_A, false);
	q = LIST_FIRST(&w.r->queries);
	server_failed(q);
	fire(q);
	assert_int_equal(await(), DNS_NOERROR);
	assert_int_equal(w.servers[1].asked, 1);
}

/* Answers that somebody else might send, before the real one. */
static void say_forged(struct message *m, const struct dns_question *q)
{
	struct query *asking = LIST_FIRST(&w.r->queries);
	struct dns_question other = *q;
	struct sockaddr_storage to;
	socklen_t len = sizeof(to);

	assert_int_equal(getsockname(asking->ev.fd, (struct sockaddr *)&to, &len), 0);
	address = "10.0.0.1";
	for (int i = 0; i < 3; i++) {
		other = *q;
		if (i == 0)
			other.id ^= 1;
		if (i == 1)
			snprintf(other.name, sizeof(other.name), "b.example");
		if (i == 2)
			other.type = DNS_AAAA;
		say_address(m, &other);
		assert_int_equal(
			sendto(w.servers[0].udp.fd, m->p, m->n, 0, (struct sockaddr *)&to, len),
			m->n);
	}
	/* The right one, from somewhere else. */
	say_address(m, q);
	assert_int_equal(sendto(w.servers[1].udp.fd, m->p, m->n, 0, (struct sockaddr *)&to, len),
			 m->n);
	address = "93.184.216.34";
	m->n = 0;
	say_address(m, q);
}

static void test_forged(void **state)
{
	w.servers[0].respond = say_forged;
	assert_int_equal(ask("a.example", DNS_A), DNS_NOERROR);
	assert_int_equal(answers(), 1);
	assert_true(is_pinned("93.184.216.34", "a.example"));
	assert_int_equal(w.denied, 0);
	assert_int_equal(w.servers[0].asked, 1);
}

static void test_end_while_asking(void **state)
{
	w.servers[0].respond = say_nothing;
	send_question("a.example", DNS_A, false);
	run();
	w.servers[0].respond = say_truncated;
	w.servers[0].respond_by_tcp = say_nothing;
	send_question("b.example", DNS_A, false);
	run();
	assert_int_equal(w.r->n_queries, 2);
	w.r = resolver_free(w.r);
	run();
	assert_int_equal(w.replies, 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_no_answer_to_garbage),
		T(test_alias),
		T(test_denied_alias),
		T(test_unlisted_alias),
		T(test_rebinding),
		T(test_rebinding_host),
		T(test_rebinding_from_cache),
		T(test_rebinding_allowed),
		T(test_cache),
		T(test_too_many_questions),
		T(test_longer_than_the_asker_takes),
		T(test_over_tcp),
		T(test_refused_by_tcp),
		T(test_next_server),
		T(test_no_server_knows),
		T(test_silent_server),
		T(test_out_of_time),
		T(test_failure_at_the_last_moment),
		T(test_forged),
		T(test_end_while_asking),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
