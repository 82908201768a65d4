/* SPDX-License-Identifier: Apache-2.0 */
/* Small macros and allocation helpers for programs that may stop when memory runs out. */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
/* Their arguments are evaluated once. NOLINTBEGIN(bugprone-macro-parentheses): names, operator */
#define MIN(a, b) CHOOSE_(<, a, b, UNIQUE_(a_, __COUNTER__), UNIQUE_(b_, __COUNTER__))
#define MAX(a, b) CHOOSE_(>, a, b, UNIQUE_(a_, __COUNTER__), UNIQUE_(b_, __COUNTER__))
#define CHOOSE_(op, a, b, x, y)              \
	({                                   \
		const __typeof__(a) x = (a); \
		const __typeof__(b) y = (b); \
		x op y ? x : y;              \
	})
/* NOLINTEND(bugprone-macro-parentheses) */
#define UNIQUE_(name, n)     UNIQUE__(name, n)
#define UNIQUE__(name, n)    name##n
#define ALIGN_UP(x, a)       (((x) + (a)-1) & ~((__typeof__(x))(a)-1))
#define PRINTF_FORMAT(f, va) __attribute__((format(printf, f, va)))

#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

#define KIB 1024ULL
#define MIB (1024ULL * KIB)
#define GIB (1024ULL * MIB)

/*
 * Allocation that does not fail: prints a message and aborts when memory runs out. Only for the
 * short-lived programs and for sizes that no guest, image or registry controls.
 */
void *xmalloc(size_t size);
void *xcalloc(size_t n, size_t size);
void *xreallocarray(void *p, size_t n, size_t size);
char *xstrdup(const char *s);
char *xstrndup(const char *s, size_t n);
char *xasprintf(const char *fmt, ...) PRINTF_FORMAT(1, 2);
char *xvasprintf(const char *fmt, va_list ap) PRINTF_FORMAT(1, 0);

/* Overwrites a secret and frees it; NULL is fine. */
void secret_free(char *s);

/* A NULL-terminated vector of owned strings. A zeroed one is empty. */
struct strv {
	char **v;
	size_t n;
};

/* Appends a copy of `s`. */
void strv_add(struct strv *sv, const char *s);
/* Appends `s`, which the vector then owns. */
void strv_take(struct strv *sv, char *s);
void strv_release(struct strv *sv);

bool str_starts_with(const char *s, const char *prefix);
bool str_ends_with(const char *s, const char *suffix);
/* Compares two strings of which either may be NULL. */
bool str_eq(const char *a, const char *b);
/*
 * A copy that can do nothing to a terminal, owned: control characters and what is no UTF-8 appear
 * as "\xHH", well-formed text as it is.
 */
char *str_printable(const char *s);

/*
 * Parses the whole of `s` as a decimal number without sign or white space.
 * Returns 0, -EINVAL when it is no such number or -ERANGE when it is above `max`.
 */
int parse_u64(const char *s, uint64_t max, uint64_t *ret);

/* Room for base64 of `n` bytes, without a NUL. */
#define BASE64_LEN(n) (((n) + 2) / 3 * 4)
/* Writes base64 with padding, but no NUL, to `out`; returns its end. */
char *base64_encode(char *out, const void *data, size_t n);
/*
 * Decodes base64 as far as the text is that; padding is none of it. `out` has room for 3/4 of `n`;
 * *ret_used is how much of the text was taken. Returns the number of bytes.
 */
size_t base64_decode(const char *in, size_t n, uint8_t *out, size_t *ret_used);
/* Writes n bytes as 2n lower-case hex digits and a NUL to `out`. */
void hex_encode(const void *data, size_t n, char *out);
