/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Is `word` one of the words of a "flags" line? */
static bool has_word(const char *line, const char *word)
{
	size_t n = strlen(word);

	for (const char *p = line; (p = strstr(p, word)); p += n)
		if ((p == line || p[-1] == ' ' || p[-1] == '\t') && strchr(" \n", p[n]))
			return true;
	return false;
}

/* 1 yes, 0 no, -errno when the file cannot be read. */
static int cpu_has_extensions(const char *path)
{
	FILE *f = fopen(path, "re");
	char line[8192];
	int found = 0;

	if (!f)
		return -errno;
	/* All CPUs are alike: the first "flags" line decides. */
	while (fgets(line, sizeof(line), f)) {
		if (strncmp(line, "flags", 5) != 0)
			continue;
		found = has_word(line, "vmx") || has_word(line, "svm");
		break;
	}
	fclose(f);
	return found;
}

bool probe_kvm(const struct probe_paths *paths, char reason[PROBE_REASON_MAX])
{
	static const struct probe_paths real = {"/dev/kvm", "/proc/cpuinfo"};
	int fd, r;

	if (!paths)
		paths = &real;
	fd = open(paths->kvm, O_RDWR | O_CLOEXEC);
	if (fd < 0 && (errno == ENOENT || errno == ENODEV || errno == ENXIO)) {
		snprintf(reason, PROBE_REASON_MAX, "this host has no /dev/kvm");
		return false;
	}
	if (fd < 0 && (errno == EACCES || errno == EPERM)) {
		snprintf(reason, PROBE_REASON_MAX,
			 "/dev/kvm may not be opened by this user (group 'kvm')");
		return false;
	}
	if (fd < 0) {
		snprintf(reason, PROBE_REASON_MAX, "/dev/kvm cannot be opened: %s",
			 strerror(errno));
		return false;
	}
	close(fd);
	r = cpu_has_extensions(paths->cpuinfo);
	if (r < 0) {
		snprintf(reason, PROBE_REASON_MAX, "/proc/cpuinfo cannot be read: %s",
			 strerror(-r));
		return false;
	}
	/*
	 * KVM without either is a para-virtualised kind, offered inside some cloud machines. It
	 * runs only kernels made for it; an ordinary one dies after seconds with an internal error.
	 */
	if (r == 0) {
		snprintf(reason, PROBE_REASON_MAX,
			 "/dev/kvm is there but the CPU shows neither vmx nor svm, so it cannot "
			 "run an ordinary kernel");
		return false;
	}
	reason[0] = '\0';
	return true;
}
