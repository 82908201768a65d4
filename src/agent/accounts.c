/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/accounts.h"

#include "base/cleanup.h"
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

/* (uid_t)-1 means "unchanged" to the system calls, so it is nobody's number. */
#define ID_MAX ((uint64_t)UINT32_MAX - 1)

#define FIELDS_MAX 8

/* A piece of a line; not terminated. */
struct field {
	const char *s;
	size_t n;
};

static bool field_is(struct field f, const char *s, size_t n)
{
	return f.n == n && memcmp(f.s, s, n) == 0;
}

static bool field_id(struct field f, uint32_t *ret)
{
	char digits[16];
	uint64_t id;

	if (f.n == 0 || f.n >= sizeof(digits))
		return false;
	memcpy(digits, f.s, f.n);
	digits[f.n] = '\0';
	if (parse_u64(digits, ID_MAX, &id) < 0)
		return false;
	*ret = (uint32_t)id;
	return true;
}

/* Splits the next line at its colons. Returns the number of fields, 0 at the end of the text. */
static size_t next_line(const char **text, struct field fields[FIELDS_MAX])
{
	const char *p = *text;
	size_t n = 0, len;

	if (!p || !*p)
		return 0;
	len = strcspn(p, "\n");
	*text = p[len] ? p + len + 1 : p + len;
	if (len && p[len - 1] == '\r')
		len--;
	while (n < FIELDS_MAX) {
		const char *colon = memchr(p, ':', len);
		size_t part = colon ? (size_t)(colon - p) : len;

		fields[n++] = (struct field){p, part};
		if (!colon)
			break;
		p += part + 1;
		len -= part + 1;
	}
	return n;
}

struct passwd_entry {
	struct field name;
	uint32_t uid;
	uint32_t gid;
	struct field home;
};

/* Finds a user by name, or by number when `by_uid`. The first match counts. */
static bool find_user(const char *text, struct field name, bool by_uid, uint32_t uid,
		      struct passwd_entry *ret)
{
	struct field f[FIELDS_MAX];
	size_t n;

	while ((n = next_line(&text, f))) {
		struct passwd_entry p = {.name = f[0]};

		if (n < 6 || f[0].n == 0 || !field_id(f[2], &p.uid) || !field_id(f[3], &p.gid))
			continue;
		if (by_uid ? p.uid != uid : !field_is(f[0], name.s, name.n))
			continue;
		p.home = f[5];
		*ret = p;
		return true;
	}
	return false;
}

static bool find_group(const char *text, struct field name, uint32_t *ret)
{
	struct field f[FIELDS_MAX];
	size_t n;

	while ((n = next_line(&text, f)))
		if (n >= 3 && f[0].n && field_is(f[0], name.s, name.n) && field_id(f[2], ret))
			return true;
	return false;
}

static bool is_member(struct field list, struct field user)
{
	while (list.n) {
		const char *comma = memchr(list.s, ',', list.n);
		size_t part = comma ? (size_t)(comma - list.s) : list.n;

		if (field_is(user, list.s, part))
			return true;
		if (!comma)
			break;
		list.s += part + 1;
		list.n -= part + 1;
	}
	return false;
}

static void add_group(struct account *a, gid_t gid)
{
	if (gid == a->gid || a->n_groups == ACCOUNT_GROUPS_MAX)
		return;
	for (size_t i = 0; i < a->n_groups; i++)
		if (a->groups[i] == gid)
			return;
	a->groups[a->n_groups++] = gid;
}

static void find_memberships(const char *text, struct field user, struct account *a)
{
	struct field f[FIELDS_MAX];
	uint32_t gid;
	size_t n;

	while ((n = next_line(&text, f)))
		if (n >= 4 && field_id(f[2], &gid) && is_member(f[3], user))
			add_group(a, gid);
}

void account_release(struct account *a)
{
	free(a->home);
	*a = (struct account){0};
}

int account_resolve(const char *spec, const char *passwd, const char *group, struct account *ret,
		    struct err *e)
{
	struct field user, grp = {NULL, 0};
	struct passwd_entry p = {0};
	struct account a = {0};
	bool listed, numeric;
	const char *colon;

	if (!spec || !*spec)
		spec = "0";
	colon = strchr(spec, ':');
	user = (struct field){spec, colon ? (size_t)(colon - spec) : strlen(spec)};
	if (colon)
		grp = (struct field){colon + 1, strlen(colon + 1)};
	if (user.n == 0 || (colon && (grp.n == 0 || memchr(grp.s, ':', grp.n))))
		return err_set(e, ERR_INVALID, "malformed user '%s'", spec);

	/* A name wins over a number, as in every other tool: some users are called "1000". */
	listed = find_user(passwd, user, false, 0, &p);
	numeric = !listed && field_id(user, &a.uid);
	if (numeric)
		listed = find_user(passwd, user, true, a.uid, &p);
	if (listed) {
		a.uid = p.uid;
		a.gid = p.gid;
	} else if (user.n == 4 && memcmp(user.s, "root", 4) == 0) {
		/* An image without accounts still has its superuser. */
		a.uid = 0;
	} else if (!numeric) {
		return err_set(e, ERR_INVALID, "no user '%.*s' in the sandbox", (int)user.n,
			       user.s);
	}
	if (colon) {
		if (!find_group(group, grp, &a.gid) && !field_id(grp, &a.gid))
			return err_set(e, ERR_INVALID, "no group '%s' in the sandbox", grp.s);
	} else if (listed) {
		find_memberships(group, p.name, &a);
	}
	a.home = listed && p.home.n && p.home.s[0] == '/' ? xstrndup(p.home.s, p.home.n)
							  : xstrdup("/");
	*ret = a;
	return 0;
}

/* An absent or unusable file is NULL: images without accounts are normal. */
static char *read_accounts(const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	char *text;
	ssize_t n;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size < 0)
		return NULL;
	text = malloc(MIN((size_t)st.st_size, ACCOUNT_FILE_MAX) + 1);
	if (!text)
		return NULL;
	n = read_full(fd, text, MIN((size_t)st.st_size, ACCOUNT_FILE_MAX));
	/* A NUL ends the text early; what is behind it is no account file. */
	text[MAX(n, 0)] = '\0';
	return text;
}

int account_lookup(const char *spec, struct account *ret, struct err *e)
{
	_cleanup_free_ char *passwd = read_accounts("/etc/passwd");
	_cleanup_free_ char *group = read_accounts("/etc/group");

	return account_resolve(spec, passwd, group, ret, e);
}
