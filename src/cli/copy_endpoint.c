/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/copy_endpoint.h"

#include "base/cleanup.h"
#include "proto/fs_message.h"
#include "state/sandboxes.h"

#include <string.h>

void copy_endpoint_release(struct copy_endpoint *ep)
{
	free(ep->sandbox);
	free(ep->path);
	*ep = (struct copy_endpoint){0};
}

int copy_endpoint_parse(const char *arg, struct copy_endpoint *ret, struct err *e)
{
	size_t n = strcspn(arg, ":/");
	_cleanup_free_ char *name = xstrndup(arg, n);
	const char *path = arg;

	*ret = (struct copy_endpoint){0};
	if (arg[n] == ':' && sandbox_name_check(name, NULL) == 0) {
		path = arg + n + 1;
		if (*path != '/') {
			err_set(e, ERR_USAGE, "the path in a sandbox must be absolute: '%s'", arg);
			return err_hint(e, "a file of the host is written './%s'", arg);
		}
		ret->sandbox = steal_ptr(&name);
	}
	if (!*path || strlen(path) > TREE_PATH_MAX) {
		copy_endpoint_release(ret);
		return err_set(e, ERR_USAGE, *path ? "the path is too long" : "the path is empty");
	}
	ret->path = xstrdup(path);
	return 0;
}

char *copy_source_name(const char *path)
{
	size_t end = strlen(path), start;
	char *name;

	while (end && path[end - 1] == '/')
		end--;
	for (start = end; start && path[start - 1] != '/';)
		start--;
	name = xstrndup(path + start, end - start);
	if (tree_name_ok(name))
		return name;
	free(name);
	return NULL;
}
