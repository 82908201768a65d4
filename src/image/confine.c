/* SPDX-License-Identifier: Apache-2.0 */
#include "image/confine.h"

#include "base/cleanup.h"
#include "base/landlock.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

/*
 * Libraries that are loaded on demand (for names and character sets), the resolver's and OpenSSL's
 * configuration, certificates, and how many processors there are.
 */
static const char *const readable[] = {"/usr", "/lib", "/lib64",
				       "/etc", "/run", "/sys/devices/system/cpu"};

/* What a system does not have is passed over. */
static int allow(int ruleset, const char *path)
{
	_cleanup_close_ int fd = *path ? open(path, O_PATH | O_CLOEXEC) : -1;

	return fd < 0 ? 0 : landlock_allow_read(ruleset, fd, false);
}

/* A variable may name several directories. */
static int allow_variable(int ruleset, const char *name)
{
	const char *p = secure_getenv(name);
	int r = 0;

	while (r == 0 && p && *p) {
		size_t n = strcspn(p, ":");
		_cleanup_free_ char *path = xstrndup(p, n);

		r = allow(ruleset, path);
		p += n + (p[n] == ':');
	}
	return r;
}

static int make_ruleset(int cache, bool network)
{
	int ruleset = landlock_new(LANDLOCK_DENY_FILES | (network ? 0 : LANDLOCK_DENY_TCP) |
				   LANDLOCK_DENY_UNIX | LANDLOCK_DENY_SIGNALS);
	int r = ruleset;

	if (ruleset < 0)
		return ruleset;
	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(readable); i++)
		r = allow(ruleset, readable[i]);
	if (r >= 0 && network)
		r = allow_variable(ruleset, "SSL_CERT_FILE");
	if (r >= 0 && network)
		r = allow_variable(ruleset, "SSL_CERT_DIR");
	if (r >= 0 && cache >= 0)
		r = landlock_allow_write(ruleset, cache);
	if (r < 0)
		close(ruleset);
	return r < 0 ? r : ruleset;
}

int image_confine(int cache, bool network, struct err *e)
{
	int r;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_sys(e, errno, "cannot give up further privileges");
	r = make_ruleset(cache, network);
	if (r == -ENOSYS || r == -EOPNOTSUPP) {
		log_debug("this kernel has no Landlock, or an old one");
		return 0;
	}
	if (r >= 0)
		r = landlock_enforce(r);
	return r < 0 ? err_sys(e, -r, "cannot confine the process by Landlock") : 0;
}
