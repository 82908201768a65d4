/* SPDX-License-Identifier: Apache-2.0 */
/* DNS messages as tests need them: put together byte by byte, right or wrong. */
#pragma once

#include "../testing.h"

#include "net/dns_message.h"
#include "net/dns_wire.h"

#define ID 0x4d53

/* Offsets of the counts of the sections. */
enum section { QUESTIONS = 4, ANSWERS = 6, AUTHORITY = 8, ADDITIONAL = 10 };

struct message {
	uint8_t p[8192];
	size_t n;
	enum section section; /* that records are added to */
};

static inline void add(struct message *m, const void *data, size_t n)
{
	assert_true(n <= sizeof(m->p) - m->n);
	if (n)
		memcpy(m->p + m->n, data, n);
	m->n += n;
}

static inline void add16(struct message *m, size_t v)
{
	add(m, (uint8_t[]){(uint8_t)(v >> 8), (uint8_t)v}, 2);
}

static inline void add32(struct message *m, uint32_t v)
{
	add16(m, v >> 16);
	add16(m, v & 0xffff);
}

static inline void set16(struct message *m, size_t at, size_t v)
{
	m->p[at] = (uint8_t)(v >> 8);
	m->p[at + 1] = (uint8_t)v;
}

/* Labels without the root's: what a pointer may follow. */
static inline void add_labels(struct message *m, const char *name)
{
	while (*name) {
		size_t n = strcspn(name, ".");

		add(m, (uint8_t[]){(uint8_t)n}, 1);
		add(m, name, n);
		name += n + (name[n] == '.');
	}
}

static inline void add_name(struct message *m, const char *name)
{
	add_labels(m, name);
	add(m, "", 1);
}

static inline void add_pointer(struct message *m, size_t to)
{
	add16(m, 0xc000 | to);
}

static inline void begin(struct message *m, size_t flags, const char *name, uint16_t type)
{
	m->n = 0;
	m->section = ANSWERS;
	add16(m, ID);
	add16(m, flags);
	add16(m, 1);
	add(m, (uint8_t[6]){0}, 6);
	add_name(m, name);
	add16(m, type);
	add16(m, 1);
}

static inline void begin_question(struct message *m, const char *name, uint16_t type)
{
	begin(m, 0x0100, name, type);
}

static inline void begin_answer(struct message *m, const char *name, uint16_t type)
{
	begin(m, 0x8180, name, type);
}

static inline void count(struct message *m)
{
	set16(m, m->section, (size_t)load16(m->p + m->section) + 1);
}

/* Owner (NULL: a pointer to the question's), type, class and TTL; the data's length is to follow.
 */
static inline void add_head(struct message *m, const char *owner, uint16_t type, uint32_t ttl)
{
	if (owner)
		add_name(m, owner);
	else
		add_pointer(m, DNS_HEADER);
	add16(m, type);
	add16(m, 1);
	add32(m, ttl);
	count(m);
}

static inline void add_record(struct message *m, const char *owner, uint16_t type, uint32_t ttl,
			      const void *data, size_t n)
{
	add_head(m, owner, type, ttl);
	add16(m, n);
	add(m, data, n);
}

static inline void add_v4(struct message *m, const char *owner, uint32_t ttl, const char *text)
{
	struct addr a;

	assert_int_equal(addr_parse(text, &a), 0);
	add_record(m, owner, DNS_A, ttl, a.b + 12, 4);
}

static inline void add_v6(struct message *m, const char *owner, uint32_t ttl, const char *text)
{
	struct addr a;

	assert_int_equal(addr_parse(text, &a), 0);
	add_record(m, owner, DNS_AAAA, ttl, a.b, 16);
}

static inline void add_cname(struct message *m, const char *owner, uint32_t ttl, const char *target)
{
	size_t at;

	add_head(m, owner, DNS_CNAME, ttl);
	at = m->n;
	add16(m, 0);
	add_name(m, target);
	set16(m, at, m->n - at - 2);
}

static inline void add_opt(struct message *m, uint16_t size, uint32_t flags)
{
	m->section = ADDITIONAL;
	add(m, "", 1);
	add16(m, DNS_OPT);
	add16(m, size);
	add32(m, flags);
	add16(m, 0);
	count(m);
}

static inline struct addr addr_of(const char *text)
{
	struct addr a;

	assert_int_equal(addr_parse(text, &a), 0);
	return a;
}

static inline void assert_addr(const struct addr *a, const char *text)
{
	char is[ADDR_LEN];

	addr_format(a, is);
	assert_string_equal(is, text);
}

/* The first `n` bytes, in memory that ends with them. */
static inline uint8_t *cut_off(const struct message *m, size_t n)
{
	uint8_t *p = xmalloc(n ? n : 1);

	memcpy(p, m->p, n);
	return p;
}
