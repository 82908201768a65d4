/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the resolver share: resolver.c, resolver_upstream.c, resolver_stream.c. */
#pragma once

#include "net/dns_cache.h"
#include "net/dns_message.h"
#include "net/resolver.h"

#include <sys/queue.h>

#define RESOLVER_QUERIES_MAX 256  /* to upstream at once */
#define RESOLVER_WAITERS_MAX 1024 /* questions that wait for them */

/* Who asked. */
struct waiter {
	STAILQ_ENTRY(waiter) link;
	struct dns_question question; /* as it was spelled, with the asker's id */
	size_t max;                   /* what it takes */
	resolver_reply_fn *reply;
	void *ctx;
	uint8_t token[RESOLVER_TOKEN_MAX];
};

/* One question to upstream, for all who ask it meanwhile; see resolver_upstream.c. */
struct query {
	struct resolver *r;
	LIST_ENTRY(query) link;
	struct dns_question question;
	STAILQ_HEAD(, waiter) waiters;
	uint16_t id;
	unsigned int server; /* that is asked now */
	uint64_t give_up_at;
	struct ev ev;         /* UDP; fd -1: there is none */
	struct stream *tcp;   /* NULL: there is none */
	uint8_t *tcp_message; /* what has come of it, after its length */
	size_t tcp_have, tcp_sent;
	struct timer timer;
	struct deferred failing; /* the server could not be asked at all */
};

struct resolver {
	struct loop *loop;
	struct resolver_config config;
	struct dns_cache *cache;
	LIST_HEAD(, query) queries;
	unsigned int n_queries, n_waiters;
	LIST_HEAD(, resolver_tcp) streams;
	uint64_t next_stream;
	struct dns_answer answer;         /* the one that is looked at; large */
	uint8_t reply[DNS_MESSAGE_MAX];   /* the one that is written */
	uint8_t message[DNS_MESSAGE_MAX]; /* the one that is read */
};

/* --- resolver_upstream.c */
/* Starts to ask; query_answered or query_failed follow, not before this has returned. */
void query_start(struct query *q);
/* Ends it, without an answer to anybody. */
void query_stop(struct query *q);

/* --- resolver.c */
/* Upstream's message, of which r->answer is what it says. Frees the query. */
void query_answered(struct query *q, const uint8_t *msg, size_t len);
/* No server had an answer. Frees the query. */
void query_failed(struct query *q);
