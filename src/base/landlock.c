/* SPDX-License-Identifier: Apache-2.0 */
#include "base/landlock.h"

#include "base/util.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The headers of the distribution know versions up to 2. */
struct ruleset {
	uint64_t fs;
	uint64_t net;
	uint64_t scoped;
};

#define NET_TCP        3ULL /* bind, connect */
#define SCOPE_UNIX     (1ULL << 0)
#define SCOPE_SIGNAL   (1ULL << 1)
#define ABI_REFER      2
#define ABI_NET        4
#define ABI_SCOPED     6
#define FS_BITS(n)     ((1ULL << (n)) - 1)
#define FILE_READ      ((uint64_t)LANDLOCK_ACCESS_FS_READ_FILE)
#define DIRECTORY_READ (FILE_READ | LANDLOCK_ACCESS_FS_READ_DIR)
#define FS_TRUNCATE    (1ULL << 14)
#define FS_REFER       (1ULL << 13)
#define FILE_WRITE                                                     \
	(LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG | \
	 LANDLOCK_ACCESS_FS_REMOVE_FILE | FS_TRUNCATE)

#define TREE_WRITE                                                                           \
	(FILE_WRITE | FS_REFER | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_SYM | \
	 LANDLOCK_ACCESS_FS_REMOVE_DIR)

/* All rights on files by version: refer came with 2, truncate with 3, ioctl on devices with 5. */
static const uint64_t fs_rights[] = {0,           FS_BITS(13), FS_BITS(14),
				     FS_BITS(15), FS_BITS(15), FS_BITS(16)};

static uint64_t all_file_rights(int abi)
{
	return fs_rights[MIN((size_t)abi, ARRAY_SIZE(fs_rights) - 1)];
}

int landlock_abi(void)
{
	long r = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

	return r < 0 ? -errno : (int)r;
}

/*
 * Every ruleset forbids moving and linking files between directories, also one that is not about
 * files at all, unless it says that they may be.
 */
static int allow_refer(int ruleset)
{
	struct landlock_path_beneath_attr rule = {.allowed_access = FS_REFER};
	int r = 0;

	rule.parent_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (rule.parent_fd < 0)
		return -errno;
	if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
		r = -errno;
	close(rule.parent_fd);
	return r;
}

int landlock_new(unsigned int what)
{
	int abi = landlock_abi();
	struct ruleset set = {};
	long fd;
	int r;

	if (abi < 0)
		return abi;
	if (what & LANDLOCK_DENY_FILES)
		set.fs = all_file_rights(abi);
	if ((what & LANDLOCK_DENY_TCP) && abi >= ABI_NET)
		set.net = NET_TCP;
	if (abi >= ABI_SCOPED)
		set.scoped = (what & LANDLOCK_DENY_UNIX ? SCOPE_UNIX : 0) |
			     (what & LANDLOCK_DENY_SIGNALS ? SCOPE_SIGNAL : 0);
	/* Of what was asked for, this version knows nothing; and an empty ruleset is an error. */
	if (!set.fs && !set.net && !set.scoped)
		return -EOPNOTSUPP;
	if (!set.fs && abi >= ABI_REFER)
		set.fs = FS_REFER;
	/* Older kernels take the longer structure as long as what they do not know is zero. */
	fd = syscall(SYS_landlock_create_ruleset, &set, sizeof(set), 0);
	if (fd < 0)
		return -errno;
	r = set.fs == FS_REFER ? allow_refer((int)fd) : 0;
	if (r < 0)
		close((int)fd);
	return r < 0 ? r : (int)fd;
}

int landlock_allow_read(int ruleset, int fd, bool execute)
{
	struct landlock_path_beneath_attr rule = {
		.allowed_access = execute ? LANDLOCK_ACCESS_FS_EXECUTE : 0,
		.parent_fd = fd,
	};
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	rule.allowed_access |= S_ISDIR(st.st_mode) ? DIRECTORY_READ : FILE_READ;
	return syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0
		       ? -errno
		       : 0;
}

/* A rule for what lies below; a right that the version does not know cannot be given. */
static int allow_below(int ruleset, int fd, int abi, uint64_t rights)
{
	struct landlock_path_beneath_attr rule = {
		.allowed_access = rights & all_file_rights(abi),
		.parent_fd = fd,
	};

	return syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0
		       ? -errno
		       : 0;
}

int landlock_allow_write(int ruleset, int fd)
{
	int abi = landlock_abi();

	return abi < 0 ? abi : allow_below(ruleset, fd, abi, DIRECTORY_READ | FILE_WRITE);
}

int landlock_allow_tree(int ruleset, int fd, bool write)
{
	int abi = landlock_abi();

	if (abi < 0)
		return abi;
	if (write && abi < ABI_REFER)
		return -EOPNOTSUPP;
	return allow_below(ruleset, fd, abi, DIRECTORY_READ | (write ? TREE_WRITE : 0));
}

int landlock_enforce(int ruleset)
{
	int r = syscall(SYS_landlock_restrict_self, ruleset, 0) < 0 ? -errno : 0;

	close(ruleset);
	return r;
}
