/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/environment.h"

#include <stdlib.h>
#include <string.h>

/* Length of the name in a K=V; 0 when there is none. */
static size_t name_len(const char *entry)
{
	const char *eq = strchr(entry, '=');

	return eq ? (size_t)(eq - entry) : 0;
}

const char *env_get(const struct strv *env, const char *name)
{
	size_t n = strlen(name);

	for (size_t i = env->n; i-- > 0;)
		if (strncmp(env->v[i], name, n) == 0 && env->v[i][n] == '=')
			return env->v[i] + n + 1;
	return NULL;
}

static void put(struct strv *env, char *entry)
{
	size_t n = name_len(entry);

	if (n == 0) {
		free(entry);
		return;
	}
	for (size_t i = 0; i < env->n; i++) {
		if (strncmp(env->v[i], entry, n + 1) == 0) {
			free(env->v[i]);
			env->v[i] = entry;
			return;
		}
	}
	strv_take(env, entry);
}

void env_put(struct strv *env, const char *entry)
{
	put(env, xstrdup(entry));
}

/* "NAME=" + a + b, without the formatter: the first use of code is what costs in emulation. */
static char *join(const char *name, const char *a, const char *b)
{
	size_t n = strlen(name), na = strlen(a), nb = strlen(b);
	char *s = xmalloc(n + na + nb + 1);

	memcpy(s, name, n);
	memcpy(s + n, a, na);
	memcpy(s + n + na, b, nb + 1);
	return s;
}

void env_build(struct strv *ret, const struct strv *sandbox, const struct strv *request,
	       const char *home, bool tty)
{
	const char *path = env_get(sandbox, "PATH");

	*ret = (struct strv){0};
	put(ret, join("PATH=", SCRIPTS_DIR ":", path && *path ? path : DEFAULT_PATH));
	for (size_t i = 0; i < sandbox->n; i++)
		if (!str_starts_with(sandbox->v[i], "PATH="))
			env_put(ret, sandbox->v[i]);
	for (size_t i = 0; i < request->n; i++)
		env_put(ret, request->v[i]);
	if (!env_get(ret, "HOME"))
		put(ret, join("HOME=", home, ""));
	if (tty && !env_get(ret, "TERM"))
		env_put(ret, "TERM=xterm");
}

char *command_candidate(const char *command, const char *path, size_t n)
{
	size_t len, command_len = strlen(command);
	char *s;

	if (strchr(command, '/'))
		return n == 0 ? xstrdup(command) : NULL;
	while (n-- > 0) {
		path = strchr(path, ':');
		if (!path)
			return NULL;
		path++;
	}
	len = strcspn(path, ":");
	if (len == 0)
		return xstrdup(command);
	s = xmalloc(len + 1 + command_len + 1);
	memcpy(s, path, len);
	s[len] = '/';
	memcpy(s + len + 1, command, command_len + 1);
	return s;
}
