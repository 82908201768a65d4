/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/logfile.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/io.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static const char *const stream_names[] = {"stdout", "stderr", "output", "system"};
static_assert(ARRAY_SIZE(stream_names) == LOG_STREAM_COUNT, "every stream has a name");

/* Worst case of an escaped byte is \u00xx. */
#define ENTRY_DATA_MAX  ((size_t)64 << 10)
#define ENTRY_FRAME_MAX ((size_t)256) /* what stands around the data: less than 150 bytes */

const char *log_stream_name(enum log_stream s)
{
	return stream_names[s];
}

int logfile_open(struct logfile *l, int dirfd, const char *name)
{
	struct stat st;

	*l = (struct logfile){.dirfd = dirfd};
	snprintf(l->name, sizeof(l->name), "%s", name);
	l->fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (l->fd < 0)
		return -errno;
	if (fstat(l->fd, &st) == 0)
		l->size = (uint64_t)st.st_size;
	return 0;
}

void logfile_close(struct logfile *l)
{
	close_fd(&l->fd);
}

static void rotate(struct logfile *l)
{
	char from[48], to[48];

	for (int i = LOGFILE_KEEP; i > 0; i--) {
		if (i == 1)
			snprintf(from, sizeof(from), "%s", l->name);
		else
			snprintf(from, sizeof(from), "%s.%d", l->name, i - 1);
		snprintf(to, sizeof(to), "%s.%d", l->name, i);
		renameat(l->dirfd, from, l->dirfd, to);
	}
	close_fd(&l->fd);
	l->fd = openat(l->dirfd, l->name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	l->size = 0;
}

void logfile_write(struct logfile *l, const void *data, size_t n)
{
	if (l->size + n > LOGFILE_SIZE_MAX && l->size > 0)
		rotate(l);
	if (l->fd >= 0 && write_full(l->fd, data, n) == 0)
		l->size += n;
}

/* --- exec.log entries ---------------------------------------------------------------------- */

/* Length of the UTF-8 sequence at p, or 0 when it is none (RFC 3629). */
static size_t utf8_sequence(const uint8_t *p, size_t n)
{
	static const struct {
		uint8_t mask, lead, len;
		uint32_t min;
	} forms[] = {
		{0x80, 0x00, 1, 0},
		{0xe0, 0xc0, 2, 0x80},
		{0xf0, 0xe0, 3, 0x800},
		{0xf8, 0xf0, 4, 0x10000},
	};

	for (size_t f = 0; f < ARRAY_SIZE(forms); f++) {
		uint32_t c;

		if ((p[0] & forms[f].mask) != forms[f].lead)
			continue;
		if (n < forms[f].len)
			return 0;
		c = p[0] & (uint8_t)~forms[f].mask;
		for (size_t i = 1; i < forms[f].len; i++) {
			if ((p[i] & 0xc0) != 0x80)
				return 0;
			c = c << 6 | (p[i] & 0x3f);
		}
		if (c < forms[f].min || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
			return 0;
		return forms[f].len;
	}
	return 0;
}

static bool is_utf8(const uint8_t *p, size_t n)
{
	while (n) {
		size_t len = utf8_sequence(p, n);

		if (!len)
			return false;
		p += len;
		n -= len;
	}
	return true;
}

static char *put_escaped(char *out, const uint8_t *p, size_t n)
{
	static const char hex[] = "0123456789abcdef";

	for (; n; p++, n--) {
		switch (*p) {
		case '"':
		case '\\':
			*out++ = '\\';
			*out++ = (char)*p;
			break;
		case '\n':
			*out++ = '\\';
			*out++ = 'n';
			break;
		default:
			if (*p >= 0x20) {
				*out++ = (char)*p;
				break;
			}
			memcpy(out, "\\u00", 4);
			out[4] = hex[*p >> 4];
			out[5] = hex[*p & 15];
			out += 6;
		}
	}
	return out;
}

static char *put_base64(char *out, const uint8_t *p, size_t n)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (; n; p += MIN(n, (size_t)3), n -= MIN(n, (size_t)3)) {
		uint32_t v = (uint32_t)p[0] << 16 | (n > 1 ? (uint32_t)p[1] << 8 : 0) |
			     (n > 2 ? p[2] : 0);

		*out++ = digits[v >> 18];
		*out++ = digits[v >> 12 & 63];
		*out++ = n > 1 ? digits[v >> 6 & 63] : '=';
		*out++ = n > 2 ? digits[v & 63] : '=';
	}
	return out;
}

static void put_entry(struct logfile *l, char *line, enum log_stream s, uint64_t session,
		      const uint8_t *data, size_t n)
{
	char when[RFC3339_LEN], id[32] = "", *p = line;
	bool text = is_utf8(data, n);

	rfc3339_format(clock_real_ns(), when);
	if (session)
		snprintf(id, sizeof(id), ",\"id\":%llu", (unsigned long long)session);
	p += snprintf(line, ENTRY_FRAME_MAX, "{\"t\":\"%s\",\"s\":\"%s\"%s%s,\"d\":\"", when,
		      log_stream_name(s), id, text ? "" : ",\"e\":\"b64\"");
	p = text ? put_escaped(p, data, n) : put_base64(p, data, n);
	memcpy(p, "\"}\n", 3);
	logfile_write(l, line, (size_t)(p + 3 - line));
}

void logfile_entry(struct logfile *l, enum log_stream s, uint64_t session, const void *data,
		   size_t n)
{
	_cleanup_free_ char *line = malloc(6 * MIN(n, ENTRY_DATA_MAX) + ENTRY_FRAME_MAX);
	const uint8_t *p = data;

	while (line && n) {
		size_t chunk = MIN(n, ENTRY_DATA_MAX);

		put_entry(l, line, s, session, p, chunk);
		p += chunk;
		n -= chunk;
	}
}
