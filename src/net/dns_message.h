/* SPDX-License-Identifier: Apache-2.0 */
/* DNS messages (RFC 1035, 6891): strict and bounded reading of questions and answers, and writing.
 */
#pragma once

#include "net/addr.h"
#include "net/domain.h"

#define DNS_HEADER      12
#define DNS_UDP_PLAIN   512  /* what a client without EDNS takes */
#define DNS_UDP_MAX     1232 /* what we say that we take */
#define DNS_MESSAGE_MAX 65535
#define DNS_TTL_MAX     3600 /* seconds; longer ones are cut: a guest asks before its pins end */
#define DNS_ANSWERS_MAX 128  /* addresses that are looked at; more of them is a malformed answer */

enum dns_type {
	DNS_A = 1,
	DNS_NS = 2,
	DNS_CNAME = 5,
	DNS_SOA = 6,
	DNS_PTR = 12,
	DNS_MX = 15,
	DNS_TXT = 16,
	DNS_AAAA = 28,
	DNS_SRV = 33,
	DNS_DNAME = 39,
	DNS_OPT = 41,
	DNS_SVCB = 64,
	DNS_HTTPS = 65,
	DNS_AXFR = 252,
	DNS_ANY = 255,
};
enum dns_rcode { DNS_NOERROR, DNS_FORMERR, DNS_SERVFAIL, DNS_NXDOMAIN, DNS_NOTIMP, DNS_REFUSED };

struct dns_question {
	uint16_t id;
	bool recursion_desired, checking_disabled;
	char name[DOMAIN_LEN];        /* normalized; "" is the root */
	uint8_t wire[DOMAIN_MAX + 2]; /* as the guest spelled it (0x20), to be given back so */
	size_t wire_len;
	uint16_t type, class;
	bool edns, dnssec_ok;
	uint16_t udp_size; /* what the asker takes */
};

/* 0; -EBADMSG: not even a header, no answer possible; or an enum dns_rcode to answer with. */
int dns_question_parse(const uint8_t *msg, size_t len, struct dns_question *ret);

/* An answer from upstream, checked against what was asked. */
#define DNS_CHAIN_MAX 16

struct dns_address {
	struct addr addr;
	uint32_t ttl;
};

struct dns_answer {
	enum dns_rcode rcode;
	bool truncated;
	uint32_t ttl; /* the least of what counts; of a negative one, what its SOA allows */
	/* Names that CNAME records lead through, the asked one first. */
	char chain[DNS_CHAIN_MAX][DOMAIN_LEN];
	unsigned int n_chain;
	struct dns_address addrs[DNS_ANSWERS_MAX]; /* of the chain's last name */
	unsigned int n_addrs;
};

/*
 * 0; -EBADMSG when it is malformed or not the answer to `q` with the id `id` (name, type, class,
 * exactly one question). Only records of the answer section that belong to the chain count.
 */
int dns_answer_parse(const uint8_t *msg, size_t len, const struct dns_question *q, uint16_t id,
		     struct dns_answer *ret);

/* Is it the answer to `q`, be it malformed or not? */
bool dns_answer_fits(const uint8_t *msg, size_t len, const struct dns_question *q, uint16_t id);

/* Writes a query for the question with a new id; returns its length. `size` >= 300. */
size_t dns_query_write(uint8_t *msg, size_t size, const struct dns_question *q, uint16_t id);
/*
 * The answer for the guest, made anew and never passed through: the question as it was spelled, and
 * the records of upstream's answer section that belong to the chain, their names written out and
 * their TTLs lowered by `age` seconds (at least 1). Records that could carry addresses of their own
 * (SVCB, HTTPS) are left out. `msg` is one that dns_answer_parse took, giving `a`. `max`: what the
 * asker takes; a longer one comes with TC and without records. Returns its length; `size` >=
 * DNS_ERROR_MAX.
 */
#define DNS_ERROR_MAX 512
size_t dns_reply_write(uint8_t *out, size_t size, const struct dns_question *q,
		       const struct dns_answer *a, const uint8_t *msg, size_t len, uint32_t age,
		       size_t max);
/* One without records. */
size_t dns_error_write(uint8_t *out, size_t size, const struct dns_question *q,
		       enum dns_rcode rcode);
/* One with addresses that we know ourselves (host.microsandbox.internal). */
size_t dns_addrs_write(uint8_t *out, size_t size, const struct dns_question *q,
		       const struct addr *addrs, unsigned int n, uint32_t ttl);
