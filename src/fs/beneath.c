/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int self_fd = -1;

bool beneath_name_ok(const char *name)
{
	return *name && !strchr(name, '/') && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

/* #syscalls:fs openat2 */
int beneath_create(int dir, const char *name, int flags, unsigned int mode)
{
	struct open_how how = {
		.flags = (uint64_t)(flags | O_NOFOLLOW | O_CLOEXEC),
		.mode = mode,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	long fd;

	/*
	 * With O_PATH other flags are an error, and a link itself can be had (O_NOFOLLOW), but only
	 * where links are not refused.
	 */
	if (flags & O_PATH)
		how.resolve &= ~(uint64_t)RESOLVE_NO_SYMLINKS;
	else
		how.flags |= O_NOCTTY | O_NONBLOCK;
	fd = syscall(SYS_openat2, dir, name, &how, sizeof(how));
	return fd < 0 ? -errno : (int)fd;
}

int beneath_open(int dir, const char *name, int flags)
{
	return beneath_create(dir, name, flags, 0);
}

int beneath_setup(void)
{
	if (self_fd < 0)
		self_fd = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
	return self_fd < 0 ? -errno : 0;
}

int beneath_self(void)
{
	return self_fd;
}

void beneath_number(int fd, char *ret, size_t size)
{
	snprintf(ret, size, "%d", fd);
}

void beneath_path(int fd, const char *name, char *ret, size_t size)
{
	snprintf(ret, size, name ? "/proc/self/fd/%d/%s" : "/proc/self/fd/%d", fd, name);
}

/* #syscalls:fs openat */
int beneath_reopen(int fd, int flags)
{
	char number[16];
	int r;

	beneath_number(fd, number, sizeof(number));
	r = openat(self_fd, number, (flags & ~O_NOFOLLOW) | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	return r < 0 ? -errno : r;
}
