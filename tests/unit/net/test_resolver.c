/* SPDX-License-Identifier: Apache-2.0 */
/* The resolver on a loop of its own, with a name server that the test plays on the loopback
 * interface. */
#include "net/dns_message.h"
#include "net/resolver.h"

#include "base/clock.h"
#include "base/cleanup.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#define LIMIT_NS (60 * NSEC_PER_SEC) /* a safety net, which no outcome depends on */

struct fixture {
	struct loop *loop;
	struct policy policy;
	struct pins *pins;
	struct resolver *r;
	struct resolver_config c;
	int server; /* UDP */
	uint8_t query[1024];
	size_t query_len;
	struct sockaddr_in asker;
	/* Answers that came. */
	unsigned int n;
	uint8_t msg[DNS_MESSAGE_MAX];
	size_t len;
	unsigned int n_denied;
	char why[512];
	struct timer end;
	struct ev ev;
};

static bool is_host(void *ctx, const struct addr *a)
{
	char text[ADDR_LEN];

	addr_format(a, text);
	return strcmp(text, "93.184.216.99") == 0;
}

static void denied(void *ctx, const char *name, const char *why)
{
	struct fixture *f = ctx;

	f->n_denied++;
	snprintf(f->why, sizeof(f->why), "%s: %s", name, why);
}

static void rule(struct fixture *f, const char *text)
{
	struct policy_rule r;
	struct err e;

	assert_int_equal(policy_rule_parse(text, &r, &e), 0);
	assert_int_equal(policy_add(&f->policy, &r, &e), 0);
}

static int setup(void **state)
{
	static const uint8_t secret[16] = "sixteen bytes...";
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t len = sizeof(sa);
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->loop = loop_new();
	f->policy.egress = POLICY_ALLOW;
	f->pins = pins_new(secret);
	f->server = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(f->server, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(getsockname(f->server, (struct sockaddr *)&sa, &len), 0);
	f->c = (struct resolver_config){
		.policy = &f->policy,
		.n_servers = 1,
		.rebind_protection = true,
		.n_gateway = 1,
		.pins = f->pins,
		.is_host = is_host,
		.denied = denied,
		.ctx = f,
	};
	f->c.servers[0].addr = addr_from_v4(sa.sin_addr);
	f->c.servers[0].port = ntohs(sa.sin_port);
	addr_parse("172.16.0.5", &f->c.gateway[0]);
	f->r = resolver_new(f->loop, &f->c);
	assert_non_null(f->r);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	resolver_free(f->r);
	pins_free(f->pins);
	policy_release(&f->policy);
	loop_free(f->loop);
	close_fd(&f->server);
	free(f);
	return 0;
}

static void on_reply(void *ctx, const void *token, const uint8_t *msg, size_t len)
{
	struct fixture *f = ctx;

	assert_memory_equal(token, "token", 5);
	memcpy(f->msg, msg, len);
	f->len = len;
	f->n++;
	loop_stop(f->loop);
}

/* Asks for the address of a name. */
static void ask(struct fixture *f, const char *name)
{
	uint8_t msg[300] = {0x12, 0x34, 1, 0, 0, 1};
	size_t n = DNS_HEADER;

	while (*name) {
		size_t len = strcspn(name, ".");

		msg[n++] = (uint8_t)len;
		memcpy(msg + n, name, len);
		n += len;
		name += len + (name[len] == '.');
	}
	memcpy(msg + n, "\0\0\1\0\1", 5);
	resolver_ask(f->r, msg, n + 5, false, "token", 5, on_reply, f);
}

static void on_end(struct timer *t)
{
	fail_msg("nothing happens");
}

static void run(struct fixture *f)
{
	f->end.fn = on_end;
	timer_set(f->loop, &f->end, clock_mono_ns() + LIMIT_NS);
	assert_int_equal(loop_run(f->loop), 0);
	timer_cancel(f->loop, &f->end);
}

/* Takes the question that has come to the server. */
static void receive(struct fixture *f)
{
	socklen_t len = sizeof(f->asker);
	ssize_t n = recvfrom(f->server, f->query, sizeof(f->query), 0, (struct sockaddr *)&f->asker,
			     &len);

	assert_true(n > DNS_HEADER);
	f->query_len = (size_t)n;
}

static void nothing_asked(const struct fixture *f)
{
	struct pollfd p = {.fd = f->server, .events = POLLIN};

	assert_int_equal(poll(&p, 1, 0), 0);
}

/* Answers it with an address. */
static void respond(struct fixture *f, const char *address, uint8_t rcode)
{
	size_t end = DNS_HEADER;
	uint8_t msg[600];
	struct in_addr a;

	while (f->query[end])
		end += 1u + f->query[end];
	end += 5;
	memcpy(msg, f->query, end);
	msg[2] = 0x81;
	msg[3] = (uint8_t)(0x80 | rcode);
	msg[7] = address != NULL;
	msg[11] = 0;
	if (address) {
		assert_int_equal(inet_pton(AF_INET, address, &a), 1);
		memcpy(msg + end, "\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4", 12);
		memcpy(msg + end + 12, &a, 4);
		end += 16;
	}
	assert_int_equal(
		sendto(f->server, msg, end, 0, (struct sockaddr *)&f->asker, sizeof(f->asker)),
		end);
}

static unsigned int rcode(const struct fixture *f)
{
	return f->msg[3] & 15;
}

static unsigned int answers(const struct fixture *f)
{
	return f->msg[7];
}

static void test_answer_and_cache(void **state)
{
	struct fixture *f = *state;
	const char *names[PINS_PER_ADDR_MAX];
	struct addr a;

	ask(f, "Www.Example");
	assert_int_equal(f->n, 0);
	receive(f);
	respond(f, "93.184.216.34", 0);
	run(f);
	assert_int_equal(f->n, 1);
	assert_int_equal(answers(f), 1);
	assert_memory_equal(f->msg + DNS_HEADER, "\3Www\7Example", 12);
	assert_memory_equal(f->msg, "\x12\x34", 2);
	addr_parse("93.184.216.34", &a);
	assert_int_equal(pins_find(f->pins, &a, clock_mono_ns(), names), 1);
	assert_string_equal(names[0], "www.example");
	/* Known by now. */
	ask(f, "www.example.");
	assert_int_equal(f->n, 2);
	assert_int_equal(answers(f), 1);
	nothing_asked(f);
}

static void test_same_question_at_once(void **state)
{
	struct fixture *f = *state;

	ask(f, "a.example");
	ask(f, "A.example");
	receive(f);
	nothing_asked(f);
	respond(f, "93.184.216.34", 0);
	run(f);
	assert_int_equal(f->n, 2);
}

static void test_denied_names(void **state)
{
	struct fixture *f = *state;

	rule(f, "deny@suffix=bad.example");
	ask(f, "x.BAD.example");
	assert_int_equal(f->n, 1);
	assert_int_equal(rcode(f), DNS_NXDOMAIN);
	assert_int_equal(f->n_denied, 1);
	assert_non_null(strstr(f->why, "x.bad.example: rule 1"));
	nothing_asked(f);
	ask(f, "good.example");
	receive(f);
}

static void test_rebinding(void **state)
{
	static const char *const bad[] = {"10.0.0.1", "127.0.0.1", "192.0.2.1", "0.0.0.0",
					  "93.184.216.99"};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		char name[32];

		snprintf(name, sizeof(name), "n%zu.example", i);
		ask(f, name);
		receive(f);
		respond(f, bad[i], 0);
		run(f);
		assert_int_equal(rcode(f), DNS_NXDOMAIN);
		assert_int_equal(answers(f), 0);
		assert_int_equal(f->n_denied, i + 1);
	}
	/* A rule for the address is what it takes. */
	rule(f, "allow@10.0.0.0/8");
	ask(f, "lan.example");
	receive(f);
	respond(f, "10.0.0.1", 0);
	run(f);
	assert_int_equal(answers(f), 1);
}

static void test_own_names(void **state)
{
	struct fixture *f = *state;

	ask(f, "host.microsandbox.internal");
	assert_int_equal(answers(f), 1);
	assert_memory_equal(f->msg + f->len - 4, "\xac\x10\0\5", 4);
	ask(f, "x.localhost");
	assert_memory_equal(f->msg + f->len - 4, "\x7f\0\0\1", 4);
	ask(f, "1.0.0.10.in-addr.arpa");
	assert_int_equal(rcode(f), DNS_NXDOMAIN);
	ask(f, "1.0.31.172.in-addr.arpa");
	assert_int_equal(rcode(f), DNS_NXDOMAIN);
	assert_int_equal(f->n, 4);
	nothing_asked(f);
	ask(f, "1.0.32.172.in-addr.arpa");
	receive(f);
}

static void test_guessed_answers(void **state)
{
	struct fixture *f = *state;

	ask(f, "a.example");
	receive(f);
	f->query[0] ^= 1; /* another number */
	respond(f, "93.184.216.1", 0);
	f->query[0] ^= 1;
	respond(f, "93.184.216.34", 0);
	run(f);
	assert_memory_equal(f->msg + f->len - 4, "\x5d\xb8\xd8\x22", 4);
}

static void test_server_that_fails(void **state)
{
	struct fixture *f = *state;

	ask(f, "a.example");
	receive(f);
	respond(f, NULL, DNS_REFUSED);
	run(f);
	assert_int_equal(rcode(f), DNS_SERVFAIL);
	/* That is not remembered. */
	ask(f, "a.example");
	receive(f);
}

static void test_no_servers(void **state)
{
	struct fixture *f = *state;

	resolver_free(f->r);
	f->c.n_servers = 0;
	f->r = resolver_new(f->loop, &f->c);
	ask(f, "a.example");
	run(f);
	assert_int_equal(rcode(f), DNS_SERVFAIL);
}

static void test_what_is_no_question(void **state)
{
	static const char answer[] = "\x12\x34\x81\0\0\1\0\0\0\0\0\0\0\0\1\0\1";
	static const char update[] = "\x12\x34\x29\0\0\1\0\0\0\0\0\0\0\0\1\0\1";
	struct fixture *f = *state;
	int r = resolver_ask(f->r, (const uint8_t *)"short", 5, false, "token", 5, on_reply, f);

	assert_int_equal(r, -EBADMSG);
	r = resolver_ask(f->r, (const uint8_t *)answer, 17, false, "token", 5, on_reply, f);
	assert_int_equal(r, -EBADMSG);
	assert_int_equal(f->n, 0);
	r = resolver_ask(f->r, (const uint8_t *)update, 17, false, "token", 5, on_reply, f);
	assert_int_equal(r, 0);
	assert_int_equal(f->n, 1);
	assert_int_equal(rcode(f), DNS_NOTIMP);
	nothing_asked(f);
}

static int stream_error;

static void stream_opened(void *ctx, int error)
{
	stream_error = error;
}

static void stream_event(void *ctx)
{
}

static void test_garbage_by_tcp(void **state)
{
	static const struct stream_user_ops user = {stream_opened, stream_event, stream_event,
						    NULL};
	struct fixture *f = *state;
	struct stream *s = resolver_stream(f->r);
	struct iovec iov = {(void *)"\0\5short", 7};

	assert_non_null(s);
	s->user = &user;
	assert_int_equal(stream_write(s, &iov, 1), -EPROTO);
	stream_close(s, true);
}

static void test_resolv_conf(void **state)
{
	static const char text[] =
		"# nameserver 1.1.1.1\nsearch x\nnameserver\t9.9.9.9 \n nameserver 8.8.8.8\r\n"
		"nameserver fe80::1%eth0\nnameserver 2001:db8::1\nnameserver nonsense";
	struct net_server servers[NET_NAMESERVERS_MAX];
	char s[ADDR_LEN];

	assert_int_equal(resolv_conf_parse(text, servers), 2);
	addr_format(&servers[0].addr, s);
	assert_string_equal(s, "9.9.9.9");
	assert_int_equal(servers[0].port, 53);
	addr_format(&servers[1].addr, s);
	assert_string_equal(s, "2001:db8::1");
	assert_int_equal(resolv_conf_parse("", servers), 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_answer_and_cache),
		CASE(test_same_question_at_once),
		CASE(test_denied_names),
		CASE(test_rebinding),
		CASE(test_own_names),
		CASE(test_guessed_answers),
		CASE(test_server_that_fails),
		CASE(test_no_servers),
		CASE(test_what_is_no_question),
		CASE(test_garbage_by_tcp),
		cmocka_unit_test(test_resolv_conf),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
