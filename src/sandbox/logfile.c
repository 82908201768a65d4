/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/logfile.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/io.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* Short entries are for people, who like to read escapes. */
#define ESCAPED_FREE 1024
#define CLOSER_STACK ((size_t)64 << 10)

static const char *const stream_names[] = {"stdout", "stderr", "output", "system"};
static_assert(ARRAY_SIZE(stream_names) == LOG_STREAM_COUNT, "every stream has a name");

const char *log_stream_name(enum log_stream s)
{
	return stream_names[s];
}

int logfile_open(struct logfile *l, int dirfd, const char *name)
{
	struct stat st;
	char last = '\n';

	*l = (struct logfile){.dirfd = dirfd};
	snprintf(l->name, sizeof(l->name), "%s", name);
	l->fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (l->fd < 0)
		return -errno;
	if (fstat(l->fd, &st) == 0)
		l->size = (uint64_t)st.st_size;
	if (l->size) {
		/* Of its own, since a process that gets l->fd has no business to read. */
		_cleanup_close_ int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC);

		if (fd >= 0 && pread_full(fd, &last, 1, l->size - 1) == 1)
			l->torn = last != '\n';
	}
	return 0;
}

void logfile_close(struct logfile *l)
{
	close_fd(&l->fd);
}

static void *close_it(void *fd)
{
	close((int)(intptr_t)fd);
	return NULL;
}

/*
 * Closes what may be the last descriptor of a deleted file. To free a whole log takes a file system
 * several milliseconds, in which every session would wait: so that is done by a thread of its own.
 */
static void close_beside(int fd)
{
	pthread_attr_t attr;
	pthread_t thread;
	int r = pthread_attr_init(&attr);

	if (r == 0) {
		pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
		pthread_attr_setstacksize(&attr, CLOSER_STACK);
		r = pthread_create(&thread, &attr, close_it, (void *)(intptr_t)fd);
		pthread_attr_destroy(&attr);
	}
	if (r != 0)
		close(fd);
}

static void rotate(struct logfile *l)
{
	char from[48], to[48];
	int oldest;

	snprintf(to, sizeof(to), "%s.%d", l->name, LOGFILE_KEEP);
	oldest = openat(l->dirfd, to, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
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
	l->torn = false;
	if (oldest >= 0)
		close_beside(oldest);
}

void logfile_write(struct logfile *l, const void *data, size_t n)
{
	if (l->size + n > LOGFILE_SIZE_MAX && l->size > 0)
		rotate(l);
	if (l->fd < 0)
		return;
	if (l->torn && write_full(l->fd, "\n", 1) == 0) {
		l->torn = false;
		l->size++;
	}
	if (write_full(l->fd, data, n) == 0)
		l->size += n;
	else
		l->torn = true; /* a part of it may be there */
}

void logfile_console(struct logfile *l, const char *data, size_t n)
{
	char out[4096], when[RFC3339_LEN];
	size_t used = 0;

	rfc3339_format(clock_real_ns(), when);
	while (n) {
		const char *nl = memchr(data, '\n', n);
		size_t part = MIN(nl ? (size_t)(nl + 1 - data) : n, sizeof(out) - RFC3339_LEN - 1);

		if (used + RFC3339_LEN + 1 + part > sizeof(out)) {
			logfile_write(l, out, used);
			used = 0;
		}
		if (!l->in_line)
			used += (size_t)snprintf(out + used, sizeof(out) - used, "%s ", when);
		memcpy(out + used, data, part);
		used += part;
		l->in_line = data[part - 1] != '\n';
		data += part;
		n -= part;
	}
	logfile_write(l, out, used);
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

/* Whether it is UTF-8, and not so full of control characters that base64 would be shorter. */
static bool is_text(const uint8_t *p, size_t n)
{
	size_t room = BASE64_LEN(n) + ESCAPED_FREE, escaped = 0;

	while (n) {
		size_t len = utf8_sequence(p, n);

		if (!len)
			return false;
		escaped += *p < 0x20 && *p != '\n' ? 6 : len;
		p += len;
		n -= len;
	}
	return escaped <= room;
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

size_t logfile_format(char *line, uint64_t real_ns, enum log_stream s, const char *from,
		      uint64_t session, const void *data, size_t n)
{
	char when[RFC3339_LEN], id[32] = "", origin[32] = "", *p = line;
	bool text = is_text(data, n);

	rfc3339_format(real_ns, when);
	if (from)
		snprintf(origin, sizeof(origin), ",\"from\":\"%s\"", from);
	if (session)
		snprintf(id, sizeof(id), ",\"id\":%llu", (unsigned long long)session);
	p += snprintf(line, LOGFILE_LINE_MAX(0), "{\"t\":\"%s\",\"s\":\"%s\"%s%s%s,\"d\":\"", when,
		      log_stream_name(s), origin, id, text ? "" : ",\"e\":\"b64\"");
	p = text ? put_escaped(p, data, n) : base64_encode(p, data, n);
	memcpy(p, "\"}\n", 3);
	return (size_t)(p + 3 - line);
}

void logfile_entry(struct logfile *l, enum log_stream s, uint64_t session, const void *data,
		   size_t n)
{
	_cleanup_free_ char *line = malloc(LOGFILE_LINE_MAX(MIN(n, LOGFILE_ENTRY_MAX)));
	const uint8_t *p = data;

	while (line && n) {
		size_t chunk = MIN(n, LOGFILE_ENTRY_MAX);

		logfile_write(l, line,
			      logfile_format(line, clock_real_ns(), s, NULL, session, p, chunk));
		p += chunk;
		n -= chunk;
	}
}
