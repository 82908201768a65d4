/* SPDX-License-Identifier: Apache-2.0 */
/* DNS messages: questions of a guest, answers of a server, and what is written of them. */
#include "fuzz.h"

#include "net/dns_message.h"

#include <errno.h>

/* What we write is a message that we could read, and no longer than it may be. */
static void check_reply(const uint8_t *msg, size_t len, size_t max, const struct dns_question *q)
{
	CHECK(len >= DNS_HEADER && len <= max);
	CHECK(msg[0] == q->id >> 8 && msg[1] == (q->id & 0xff) && msg[2] & 0x80);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct dns_answer a;
	static uint8_t out[DNS_MESSAGE_MAX], query[512];
	static const size_t limits[] = {512, 1232, DNS_MESSAGE_MAX};
	struct dns_question q;
	size_t cut, len;
	int r;

	if (n < 2)
		return 0;
	/* The first bytes say how much of the input is the question; the rest is the answer. */
	cut = MIN((size_t)(data[0] << 8 | data[1]), n - 2);
	r = dns_question_parse(data + 2, cut, &q);
	if (r < 0)
		return 0;
	if (r > 0) {
		len = dns_error_write(out, sizeof(out), &q, (enum dns_rcode)r);
		check_reply(out, len, DNS_ERROR_MAX, &q);
		return 0;
	}
	CHECK(strlen(q.name) <= DOMAIN_MAX && !strpbrk(q.name, " \t/\\"));
	len = dns_query_write(query, sizeof(query), &q, 7);
	CHECK(len > DNS_HEADER && len < sizeof(query));
	if (dns_answer_parse(data + 2 + cut, n - 2 - cut, &q, q.id, &a) < 0 || a.truncated)
		return 0;
	CHECK(a.n_chain >= 1 && a.n_chain <= DNS_CHAIN_MAX && a.n_addrs <= DNS_ANSWERS_MAX);
	for (size_t i = 0; i < 3; i++) {
		len = dns_reply_write(out, sizeof(out), &q, &a, data + 2 + cut, n - 2 - cut, 5,
				      limits[i]);
		check_reply(out, len, limits[i], &q);
		/* No more addresses than were looked at. */
		if (!(out[2] & 2)) {
			static struct dns_answer again;

			if (dns_answer_parse(out, len, &q, q.id, &again) == 0)
				CHECK(again.n_addrs <= a.n_addrs);
		}
	}
	return 0;
}
