/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/init.h"

#include "agent/environment.h"
#include "agent/session.h"
#include "base/cleanup.h"
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#define STATUS_MAX ((size_t)16 << 10) /* of /proc/PID/status */

/* Nothing of the guest has run yet, so the agent itself may look. */
static int choose(struct exec_request *init, struct err *e)
{
	static const char *const known[] = {
		"/sbin/init",
		"/lib/systemd/systemd",
		"/usr/lib/systemd/systemd",
	};

	if (strcmp(init->argv.v[0], "auto") != 0)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		if (access(known[i], X_OK) == 0) {
			free(init->argv.v[0]);
			init->argv.v[0] = xstrdup(known[i]);
			return 0;
		}
	}
	return err_set(e, ERR_NOT_FOUND, "the image has neither '%s' nor systemd", known[0]);
}

/*
 * A login on the serial port, which leads nowhere but to the log, is nothing to wait for: without
 * udev, as most images are, systemd would do so for a minute and a half.
 */
static void suit_systemd(struct exec_request *init)
{
	_cleanup_free_ char *path = realpath(init->argv.v[0], NULL);

	if (path && str_ends_with(path, "/systemd") && !env_get(&init->env, "SYSTEMD_GETTY_AUTO"))
		env_put(&init->env, "SYSTEMD_GETTY_AUTO=0");
}

/* In the child, since it shows the namespace of whoever mounts it. */
static int mount_proc(struct err *e)
{
	if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
		return err_sys(e, errno, "cannot mount '/proc'");
	return 0;
}

int init_start(struct server *server, struct setup *setup, struct boot_config *c, struct err *e)
{
	if (choose(&c->init, e) < 0)
		return err_wrap(e, "cannot start the init");
	suit_systemd(&c->init);
	/* Ours stays open, but nobody is to find it below the new one. */
	setup->proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (setup->proc < 0 || umount2("/proc", MNT_DETACH) < 0)
		return err_sys(e, errno, "cannot make room for the init's /proc");
	/* The agent itself stays where it is; its next child is the first one in there. */
	if (unshare(CLONE_NEWPID) < 0)
		return err_sys(e, errno, "cannot make the init's PID namespace");
	if (session_start_init(server, &c->init, mount_proc, e) < 0)
		return err_wrap(e, "cannot start the init");
	return 0;
}

/* A line "KEY:\tHEX" of the kernel's text; 0 when it is not there. */
static uint64_t hex_field(const char *text, const char *key)
{
	const char *p = strstr(text, key);

	return p ? strtoull(p + strlen(key), NULL, 16) : 0;
}

bool init_heeds(int proc, pid_t pid, int sig)
{
	_cleanup_free_ char *text = NULL;
	char path[32];
	size_t len;

	snprintf(path, sizeof(path), "%d/status", pid);
	if (proc < 0 || read_file(proc, path, STATUS_MAX, &text, &len) < 0)
		return false;
	return (hex_field(text, "\nSigCgt:") | hex_field(text, "\nSigBlk:")) >> (sig - 1) & 1;
}
