/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks a file system from inside of a guest. Static, and made for being put into a shared
 * directory or an image:
 *
 *	fscheck table DIR		what programs rely on, call by call
 *	fscheck file DIR SEED COUNT	random operations on one file, against a copy in memory
 *	fscheck tree DIR SEED COUNT	random operations on names, against a list in memory
 *
 * Prints what went wrong, and exits with 1 if anything did.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

static int failures;
static const char *current;

static void complain(int line, const char *what)
{
	printf("not ok %s: line %d: %s (%s)\n", current, line, what, strerror(errno));
	failures++;
}

#define CHECK(cond)                                \
	do {                                       \
		errno = 0;                         \
		if (!(cond))                       \
			complain(__LINE__, #cond); \
	} while (0)
/* The call fails, and for this reason. */
#define FAILS(call, reason) CHECK((call) < 0 && errno == (reason))

static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	size_t n = strlen(text);

	CHECK(fd >= 0);
	CHECK(write(fd, text, n) == (ssize_t)n);
	CHECK(close(fd) == 0);
}

static bool holds(const char *path, const char *text)
{
	char data[256];
	int fd = open(path, O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, data, sizeof(data));

	if (fd >= 0)
		close(fd);
	return n == (ssize_t)strlen(text) && memcmp(data, text, (size_t)n) == 0;
}

static struct stat look(const char *path)
{
	struct stat st = {};

	CHECK(lstat(path, &st) == 0);
	return st;
}

/* Runs a function as another user; what it returns is its exit status. */
static int as_user(uid_t uid, gid_t gid, int (*fn)(void))
{
	pid_t pid = fork();
	int status = -1;

	if (pid == 0) {
		if (setgroups(0, NULL) < 0 || setgid(gid) < 0 || setuid(uid) < 0)
			_exit(100);
		_exit(fn());
	}
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* --- The table. Each starts in an empty directory of its own. */

static void t_create(void)
{
	int fd;

	FAILS(open("a", O_RDONLY), ENOENT);
	put("a", "text");
	CHECK(holds("a", "text"));
	FAILS(open("a", O_WRONLY | O_CREAT | O_EXCL, 0644), EEXIST);
	FAILS(open("a/b", O_RDONLY), ENOTDIR);
	FAILS(open("a", O_RDONLY | O_DIRECTORY), ENOTDIR);
	FAILS(open("missing/b", O_WRONLY | O_CREAT, 0644), ENOENT);
	fd = open("a", O_WRONLY | O_TRUNC);
	CHECK(fd >= 0 && look("a").st_size == 0);
	close(fd);
	/* Without any right for the owner it still can be written by who made it. */
	fd = open("locked", O_RDWR | O_CREAT | O_EXCL, 0);
	CHECK(fd >= 0 && write(fd, "x", 1) == 1);
	close(fd);
	CHECK((look("locked").st_mode & 07777) == 0);
}

static void t_names(void)
{
	char name[NAME_MAX + 2];

	memset(name, 'n', sizeof(name));
	name[NAME_MAX] = '\0';
	put(name, "x");
	CHECK(look(name).st_size == 1);
	name[NAME_MAX] = 'n';
	name[NAME_MAX + 1] = '\0';
	FAILS(open(name, O_RDONLY), ENAMETOOLONG);
	FAILS(mkdir(name, 0755), ENAMETOOLONG);
	put("\xff\xfe bytes \n", "x");
	CHECK(look("\xff\xfe bytes \n").st_size == 1);
	put("...", "x");
	CHECK(holds("...", "x"));
}

static void t_mode_and_umask(void)
{
	umask(027);
	CHECK(mkdir("d", 0777) == 0);
	put("f", "");
	umask(0);
	CHECK((look("d").st_mode & 07777) == 0750);
	CHECK((look("f").st_mode & 07777) == 0640);
	CHECK(chmod("f", 06755) == 0 && (look("f").st_mode & 07777) == 06755);
	CHECK(chmod("f", 0) == 0 && (look("f").st_mode & 07777) == 0);
	CHECK(chmod("d", 01777) == 0 && (look("d").st_mode & 07777) == 01777);
	CHECK(chmod("f", 0644) == 0);
	CHECK(holds("f", ""));
}

static void t_chown(void)
{
	put("f", "x");
	CHECK(chmod("f", 04755) == 0);
	CHECK(chown("f", 1000, 2000) == 0);
	CHECK(look("f").st_uid == 1000 && look("f").st_gid == 2000);
	CHECK((look("f").st_mode & S_ISUID) == 0);
	CHECK(chown("f", 3000, (gid_t)-1) == 0);
	CHECK(look("f").st_uid == 3000 && look("f").st_gid == 2000);
	CHECK(mkdir("d", 0755) == 0 && chown("d", 5, 6) == 0);
	CHECK(look("d").st_uid == 5 && look("d").st_gid == 6);
}

static int user_opens(void)
{
	int bad = 0;

	bad |= open("secret", O_RDONLY) < 0 && errno == EACCES ? 0 : 1;
	bad |= open("public", O_RDONLY) >= 0 ? 0 : 2;
	bad |= open("public", O_WRONLY) < 0 && errno == EACCES ? 0 : 4;
	bad |= open("new", O_WRONLY | O_CREAT, 0644) < 0 && errno == EACCES ? 0 : 8;
	bad |= open("open/new", O_WRONLY | O_CREAT, 0644) >= 0 ? 0 : 16;
	bad |= unlink("sticky/root") < 0 && errno == EPERM ? 0 : 32;
	return bad;
}

static void t_permissions(void)
{
	put("secret", "x");
	CHECK(chmod("secret", 0600) == 0);
	put("public", "x");
	CHECK(mkdir("open", 0777) == 0);
	CHECK(mkdir("sticky", 0777) == 0 && chmod("sticky", 01777) == 0);
	put("sticky/root", "x");
	CHECK(as_user(1000, 1000, user_opens) == 0);
	CHECK(look("open/new").st_uid == 1000 && look("open/new").st_gid == 1000);
}

static void t_setgid_directory(void)
{
	CHECK(mkdir("d", 0755) == 0 && chown("d", 0, 77) == 0 && chmod("d", 02755) == 0);
	put("d/f", "x");
	CHECK(mkdir("d/sub", 0755) == 0);
	CHECK(look("d/f").st_gid == 77);
	CHECK(look("d/sub").st_gid == 77 && (look("d/sub").st_mode & S_ISGID));
}

static int user_writes(void)
{
	int fd = open("f", O_WRONLY);

	return fd >= 0 && write(fd, "y", 1) == 1 && close(fd) == 0 ? 0 : 1;
}

static void t_s_bits_on_write(void)
{
	put("f", "x");
	CHECK(chmod("f", 06777) == 0);
	CHECK(as_user(1000, 1000, user_writes) == 0);
	CHECK((look("f").st_mode & 07777) == 0777);
}

static void t_unlink(void)
{
	struct stat st;
	char data[8];
	int fd;

	FAILS(unlink("none"), ENOENT);
	put("f", "still");
	fd = open("f", O_RDWR);
	CHECK(unlink("f") == 0);
	FAILS(lstat("f", &st), ENOENT);
	CHECK(fstat(fd, &st) == 0 && st.st_nlink == 0 && st.st_size == 5);
	CHECK(pread(fd, data, sizeof(data), 0) == 5 && memcmp(data, "still", 5) == 0);
	CHECK(ftruncate(fd, 2) == 0 && fstat(fd, &st) == 0 && st.st_size == 2);
	CHECK(fchmod(fd, 0600) == 0 && fchown(fd, 9, 9) == 0);
	/* Its name is free for another one. */
	put("f", "other");
	CHECK(holds("f", "other"));
	CHECK(pread(fd, data, sizeof(data), 0) == 2);
	close(fd);
	CHECK(mkdir("d", 0755) == 0);
	FAILS(unlink("d"), EISDIR);
}

static void t_directories(void)
{
	CHECK(mkdir("d", 0755) == 0);
	FAILS(mkdir("d", 0755), EEXIST);
	CHECK(look("d").st_nlink == 2 || look("d").st_nlink == 1);
	put("d/f", "x");
	FAILS(rmdir("d"), ENOTEMPTY);
	FAILS(rmdir("d/f"), ENOTDIR);
	CHECK(unlink("d/f") == 0);
	/* One that is somebody's working directory can go, and nothing can be made in it then. */
	CHECK(chdir("d") == 0 && rmdir("../d") == 0);
	FAILS(open("new", O_WRONLY | O_CREAT, 0644), ENOENT);
}

static void t_rename(void)
{
	int fd;
	char c = 0;

	FAILS(rename("none", "b"), ENOENT);
	put("a", "1");
	put("b", "2");
	fd = open("b", O_RDONLY);
	CHECK(rename("a", "b") == 0);
	CHECK(holds("b", "1"));
	/* Who had the old one open still has it. */
	CHECK(read(fd, &c, 1) == 1 && c == '2');
	close(fd);
	CHECK(mkdir("d", 0755) == 0 && mkdir("e", 0755) == 0);
	FAILS(rename("b", "d"), EISDIR);
	FAILS(rename("d", "b"), ENOTDIR);
	CHECK(rename("b", "d/b") == 0);
	FAILS(rename("e", "d"), ENOTEMPTY);
	CHECK(rename("d", "e") == 0 && holds("e/b", "1"));
	FAILS(rename("e", "e/inside"), EINVAL);
	put("x", "x");
	put("y", "y");
	FAILS(renameat2(AT_FDCWD, "x", AT_FDCWD, "y", RENAME_NOREPLACE), EEXIST);
	CHECK(renameat2(AT_FDCWD, "x", AT_FDCWD, "y", RENAME_EXCHANGE) == 0);
	CHECK(holds("x", "y") && holds("y", "x"));
	/* An open file goes on under its new name. */
	fd = open("x", O_WRONLY | O_APPEND);
	CHECK(rename("x", "z") == 0 && write(fd, "!", 1) == 1);
	close(fd);
	CHECK(holds("z", "y!"));
	CHECK(rename("z", "z") == 0 && holds("z", "y!"));
}

static void t_deep_rename(void)
{
	char path[64];
	int fd;

	CHECK(mkdir("a", 0755) == 0 && mkdir("a/b", 0755) == 0 && mkdir("a/b/c", 0755) == 0);
	put("a/b/c/f", "deep");
	fd = open("a/b/c", O_RDONLY | O_DIRECTORY);
	CHECK(rename("a/b", "moved") == 0);
	CHECK(holds("moved/c/f", "deep"));
	CHECK(faccessat(fd, "f", F_OK, 0) == 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	CHECK(rename("moved", "a/again") == 0 && faccessat(fd, "f", F_OK, 0) == 0);
	close(fd);
}

static void t_hard_links(void)
{
	struct stat a, b;

	put("a", "x");
	CHECK(link("a", "b") == 0);
	a = look("a");
	b = look("b");
	CHECK(a.st_ino == b.st_ino && a.st_nlink == 2 && b.st_nlink == 2);
	put("b", "changed");
	CHECK(holds("a", "changed"));
	FAILS(link("a", "b"), EEXIST);
	CHECK(unlink("a") == 0 && holds("b", "changed") && look("b").st_nlink == 1);
	CHECK(link("b", "c") == 0 && rename("b", "c") == 0);
	/* Two names of one file: nothing happens. */
	CHECK(access("b", F_OK) == 0 && access("c", F_OK) == 0);
	CHECK(mkdir("d", 0755) == 0);
	FAILS(link("d", "e"), EPERM);
}

static void t_symbolic_links(void)
{
	char text[PATH_MAX + 1], target[1024];
	struct stat st;
	ssize_t n;

	CHECK(symlink("nowhere", "l") == 0);
	n = readlink("l", text, sizeof(text));
	CHECK(n == 7 && memcmp(text, "nowhere", 7) == 0);
	CHECK(S_ISLNK(look("l").st_mode) && look("l").st_size == 7);
	FAILS(open("l", O_RDONLY), ENOENT);
	FAILS(open("l", O_RDONLY | O_NOFOLLOW), ELOOP);
	put("nowhere", "found");
	CHECK(holds("l", "found"));
	CHECK(stat("l", &st) == 0 && S_ISREG(st.st_mode));
	FAILS(symlink("x", "l"), EEXIST);
	memset(target, 't', sizeof(target));
	target[sizeof(target) - 1] = '\0';
	CHECK(symlink(target, "long") == 0 && readlink("long", text, sizeof(text)) == 1023);
	CHECK(symlink("loop", "loop") == 0);
	FAILS(open("loop", O_RDONLY), ELOOP);
	/* A path from the root is one of the guest's root. */
	CHECK(symlink("/proc/self/exe", "self") == 0 && access("self", R_OK) == 0);
	/* One with an owner keeps it or not, but it is no error. */
	CHECK(lchown("l", 1, 1) == 0);
	CHECK(unlink("l") == 0 && access("nowhere", F_OK) == 0);
}

static void t_special_files(void)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX, .sun_path = "socket"};
	int fd;
	char c = 0;

	CHECK(mkfifo("pipe", 0600) == 0 && S_ISFIFO(look("pipe").st_mode));
	fd = open("pipe", O_RDWR);
	CHECK(write(fd, "p", 1) == 1 && read(fd, &c, 1) == 1 && c == 'p');
	close(fd);
	CHECK(mknod("null", S_IFCHR | 0666, makedev(1, 3)) == 0);
	CHECK(S_ISCHR(look("null").st_mode) && look("null").st_rdev == makedev(1, 3));
	fd = open("null", O_RDWR);
	CHECK(fd >= 0 && write(fd, "gone", 4) == 4 && read(fd, &c, 1) == 0);
	close(fd);
	CHECK(mknod("disk", S_IFBLK | 0600, makedev(300, 70000)) == 0);
	CHECK(look("disk").st_rdev == makedev(300, 70000) && look("disk").st_size == 0);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	CHECK(bind(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0 && listen(fd, 1) == 0);
	CHECK(S_ISSOCK(look("socket").st_mode));
	close(fd);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	FAILS(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), ECONNREFUSED);
	close(fd);
	CHECK(mknod("plain", S_IFREG | 0600, 0) == 0 && S_ISREG(look("plain").st_mode));
	CHECK(unlink("pipe") == 0 && unlink("null") == 0 && unlink("socket") == 0);
}

static void t_sizes(void)
{
	char data[4096], zero[4096] = {};
	int fd = open("f", O_RDWR | O_CREAT, 0644);

	memset(data, 'd', sizeof(data));
	CHECK(pwrite(fd, data, sizeof(data), 1 << 20) == sizeof(data));
	CHECK(look("f").st_size == (1 << 20) + 4096 && look("f").st_blocks < 2048);
	CHECK(pread(fd, data, sizeof(data), 4096) == 4096 && memcmp(data, zero, 4096) == 0);
	CHECK(lseek(fd, 0, SEEK_DATA) == 1 << 20 && lseek(fd, 0, SEEK_HOLE) == 0);
	CHECK(ftruncate(fd, 10) == 0 && ftruncate(fd, 5000) == 0);
	CHECK(pread(fd, data, sizeof(data), 0) == 4096 && memcmp(data, zero, 4096) == 0);
	CHECK(truncate("f", 0) == 0 && look("f").st_size == 0);
	FAILS(ftruncate(fd, -1), EINVAL);
	CHECK(ftruncate(fd, 1LL << 31) == 0 && look("f").st_size == 1LL << 31);
	CHECK(pread(fd, data, 1, 1LL << 31) == 0);
	close(fd);
	FAILS(truncate("none", 0), ENOENT);
	CHECK(mkdir("d", 0755) == 0);
	FAILS(truncate("d", 0), EISDIR);
}

static void t_append(void)
{
	int a = open("log", O_WRONLY | O_CREAT | O_APPEND, 0644);
	int b = open("log", O_WRONLY | O_APPEND);

	for (int i = 0; i < 3; i++)
		CHECK(write(a, "a", 1) == 1 && write(b, "b", 1) == 1);
	close(a);
	close(b);
	CHECK(holds("log", "ababab"));
}

static void t_fallocate(void)
{
	char data[8192], zero[4096] = {};
	int fd = open("f", O_RDWR | O_CREAT, 0644);

	CHECK(fallocate(fd, 0, 0, 8192) == 0 && look("f").st_size == 8192);
	memset(data, 'x', sizeof(data));
	CHECK(pwrite(fd, data, sizeof(data), 0) == sizeof(data));
	CHECK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4096, 4096) == 0);
	CHECK(pread(fd, data, 8192, 0) == 8192 && data[0] == 'x' &&
	      memcmp(data + 4096, zero, 4096) == 0);
	CHECK(posix_fallocate(fd, 0, 20000) == 0 && look("f").st_size == 20000);
	close(fd);
}

static void t_times(void)
{
	struct timespec t[2] = {{.tv_sec = 1000000, .tv_nsec = 123456789},
				{.tv_sec = 2000000, .tv_nsec = 987654321}};
	struct stat st, before;

	put("f", "x");
	CHECK(utimensat(AT_FDCWD, "f", t, 0) == 0);
	st = look("f");
	CHECK(st.st_atim.tv_sec == 1000000 && st.st_atim.tv_nsec == 123456789);
	CHECK(st.st_mtim.tv_sec == 2000000 && st.st_mtim.tv_nsec == 987654321);
	t[0].tv_nsec = UTIME_OMIT;
	t[1].tv_nsec = UTIME_NOW;
	CHECK(utimensat(AT_FDCWD, "f", t, 0) == 0);
	CHECK(look("f").st_atim.tv_sec == 1000000 && look("f").st_mtim.tv_sec > 1600000000);
	before = look("f");
	put("f", "changed");
	st = look("f");
	CHECK(st.st_mtim.tv_sec >= before.st_mtim.tv_sec && st.st_size == 7);
	CHECK(symlink("f", "l") == 0);
	t[0] = t[1] = (struct timespec){.tv_sec = 5};
	CHECK(utimensat(AT_FDCWD, "l", t, AT_SYMLINK_NOFOLLOW) == 0);
	CHECK(look("l").st_mtim.tv_sec == 5 && look("f").st_mtim.tv_sec != 5);
	t[1].tv_sec = -1000;
	CHECK(utimensat(AT_FDCWD, "f", t, 0) == 0 && look("f").st_mtim.tv_sec == -1000);
}

static void t_xattrs(void)
{
	/* Version 2 (linux/capability.h): CAP_NET_BIND_SERVICE. */
	static const uint8_t capability[20] = {1, 0, 0, 2, 0, 4};
	char value[65536], big[8192];
	ssize_t n;

	put("f", "x");
	FAILS(getxattr("f", "user.none", value, sizeof(value)), ENODATA);
	CHECK(setxattr("f", "user.one", "1", 1, 0) == 0);
	FAILS(setxattr("f", "user.one", "1", 1, XATTR_CREATE), EEXIST);
	FAILS(setxattr("f", "user.two", "2", 1, XATTR_REPLACE), ENODATA);
	CHECK(getxattr("f", "user.one", NULL, 0) == 1);
	CHECK(getxattr("f", "user.one", value, 1) == 1 && value[0] == '1');
	memset(big, 'b', sizeof(big));
	CHECK(setxattr("f", "user.big", big, 1000, 0) == 0);
	FAILS(getxattr("f", "user.big", value, 10), ERANGE);
	CHECK(getxattr("f", "user.big", value, sizeof(value)) == 1000);
	n = listxattr("f", value, sizeof(value));
	CHECK(n == 18 && memmem(value, (size_t)n, "user.one", 9) &&
	      memmem(value, (size_t)n, "user.big", 9));
	CHECK(removexattr("f", "user.big") == 0);
	FAILS(removexattr("f", "user.big"), ENODATA);
	CHECK(setxattr("f", "security.capability", capability, sizeof(capability), 0) == 0);
	CHECK(setxattr("f", "trusted.overlay.opaque", "y", 1, 0) == 0);
	CHECK(getxattr("f", "trusted.overlay.opaque", value, sizeof(value)) == 1);
	CHECK(mkdir("d", 0755) == 0 && setxattr("d", "user.dir", "", 0, 0) == 0);
	CHECK(getxattr("d", "user.dir", value, sizeof(value)) == 0);
}

static void t_tmpfile(void)
{
	char path[64];
	int fd = open(".", O_TMPFILE | O_RDWR, 0600);

	CHECK(fd >= 0 && write(fd, "late", 4) == 4);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	CHECK(linkat(AT_FDCWD, path, AT_FDCWD, "named", AT_SYMLINK_FOLLOW) == 0);
	close(fd);
	CHECK(holds("named", "late") && look("named").st_nlink == 1);
	fd = open(".", O_TMPFILE | O_RDWR | O_EXCL, 0600);
	CHECK(fd >= 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	FAILS(linkat(AT_FDCWD, path, AT_FDCWD, "never", AT_SYMLINK_FOLLOW), ENOENT);
	close(fd);
}

static void t_locks(void)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 10};
	int fd, other, status = 1;
	pid_t pid;

	put("f", "0123456789");
	fd = open("f", O_RDWR);
	other = open("f", O_RDWR);
	CHECK(flock(fd, LOCK_EX) == 0);
	FAILS(flock(other, LOCK_EX | LOCK_NB), EWOULDBLOCK);
	CHECK(flock(fd, LOCK_UN) == 0 && flock(other, LOCK_EX | LOCK_NB) == 0);
	CHECK(fcntl(fd, F_SETLK, &lock) == 0);
	pid = fork();
	if (pid == 0)
		_exit(fcntl(other, F_SETLK, &lock) < 0 && errno == EAGAIN ? 0 : 1);
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
	close(fd);
	close(other);
}

static void t_mmap(void)
{
	int fd = open("f", O_RDWR | O_CREAT, 0644);
	char *a, *b;

	CHECK(ftruncate(fd, 8192) == 0);
	a = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	b = mmap(NULL, 8192, PROT_READ, MAP_SHARED, fd, 0);
	CHECK(a != MAP_FAILED && b != MAP_FAILED);
	if (a == MAP_FAILED || b == MAP_FAILED)
		return;
	memcpy(a + 4090, "mapped text", 11);
	CHECK(memcmp(b + 4090, "mapped text", 11) == 0);
	CHECK(msync(a, 8192, MS_SYNC) == 0);
	munmap(a, 8192);
	munmap(b, 8192);
	close(fd);
	fd = open("f", O_RDONLY);
	a = mmap(NULL, 8192, PROT_READ, MAP_PRIVATE, fd, 0);
	CHECK(a != MAP_FAILED && memcmp(a + 4090, "mapped text", 11) == 0);
	munmap(a, 8192);
	close(fd);
}

static void t_execute(void)
{
	pid_t pid;
	int status = 1;

	put("script", "#!/bin/sh\nexit 7\n");
	CHECK(chmod("script", 0755) == 0);
	pid = fork();
	if (pid == 0) {
		execl("./script", "script", (char *)NULL);
		_exit(1);
	}
	CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 7);
	CHECK(chmod("script", 0644) == 0);
	pid = fork();
	if (pid == 0) {
		execl("./script", "script", (char *)NULL);
		_exit(errno == EACCES ? 3 : 1);
	}
	CHECK(waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 3);
}

/* Many entries, of which some go while they are listed. */
static void t_huge_directory(void)
{
	enum { COUNT = 3000 };
	static bool seen[COUNT];
	struct dirent *d;
	char name[32];
	unsigned n = 0, k;
	DIR *dir;

	CHECK(mkdir("d", 0755) == 0 && chdir("d") == 0);
	for (unsigned i = 0; i < COUNT; i++) {
		snprintf(name, sizeof(name), "file-%u", i);
		CHECK(close(open(name, O_WRONLY | O_CREAT, 0644)) == 0);
	}
	dir = opendir(".");
	CHECK(dir != NULL);
	while (dir && (d = readdir(dir))) {
		if (d->d_name[0] == '.')
			continue;
		CHECK(strncmp(d->d_name, "file-", 5) == 0);
		k = (unsigned)strtoul(d->d_name + 5, NULL, 10);
		CHECK(k < COUNT && !seen[k]);
		if (k >= COUNT)
			break;
		seen[k] = true;
		n++;
		if (k % 3 == 0)
			CHECK(unlink(d->d_name) == 0);
	}
	CHECK(n == COUNT);
	rewinddir(dir);
	for (n = 0; readdir(dir);)
		n++;
	CHECK(n == COUNT - COUNT / 3 + 2);
	closedir(dir);
	for (unsigned i = 0; i < COUNT; i++) {
		snprintf(name, sizeof(name), "file-%u", i);
		CHECK((unlink(name) == 0) == (i % 3 != 0));
	}
	CHECK(chdir("..") == 0 && rmdir("d") == 0);
}

static void t_copy_range(void)
{
	loff_t from = 1, to = 2;
	int a, b;

	put("a", "0123456789");
	a = open("a", O_RDONLY);
	b = open("b", O_RDWR | O_CREAT, 0644);
	CHECK(write(b, "xx", 2) == 2);
	CHECK(copy_file_range(a, &from, b, &to, 5, 0) == 5);
	close(a);
	close(b);
	CHECK(holds("b", "xx12345"));
}

static void t_sync(void)
{
	int fd, dir = open(".", O_RDONLY | O_DIRECTORY);

	put("f", "x");
	fd = open("f", O_RDWR);
	CHECK(fsync(fd) == 0 && fdatasync(fd) == 0 && fsync(dir) == 0 && syncfs(fd) == 0);
	close(fd);
	close(dir);
}

static void t_statfs(void)
{
	struct statvfs st;

	CHECK(statvfs(".", &st) == 0 && st.f_blocks > 0 && st.f_namemax == 255);
}

static void t_inotify(void)
{
	char data[4096];
	int fd = inotify_init1(IN_NONBLOCK);

	CHECK(inotify_add_watch(fd, ".", IN_CREATE | IN_DELETE) >= 0);
	put("f", "x");
	CHECK(unlink("f") == 0);
	CHECK(read(fd, data, sizeof(data)) >= (ssize_t)sizeof(struct inotify_event));
	close(fd);
}

static const struct {
	const char *name;
	void (*fn)(void);
} table[] = {
	{"create", t_create},
	{"names", t_names},
	{"mode and umask", t_mode_and_umask},
	{"chown", t_chown},
	{"permissions", t_permissions},
	{"set-group-id directory", t_setgid_directory},
	{"s bits on write", t_s_bits_on_write},
	{"unlink", t_unlink},
	{"directories", t_directories},
	{"rename", t_rename},
	{"deep rename", t_deep_rename},
	{"hard links", t_hard_links},
	{"symbolic links", t_symbolic_links},
	{"special files", t_special_files},
	{"sizes", t_sizes},
	{"append", t_append},
	{"fallocate", t_fallocate},
	{"times", t_times},
	{"attributes", t_xattrs},
	{"files without a name", t_tmpfile},
	{"locks", t_locks},
	{"mmap", t_mmap},
	{"execute", t_execute},
	{"huge directory", t_huge_directory},
	{"copy range", t_copy_range},
	{"sync", t_sync},
	{"statfs", t_statfs},
	{"inotify", t_inotify},
};

static int run_table(const char *dir)
{
	char path[PATH_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		int before = failures;

		current = table[i].name;
		snprintf(path, sizeof(path), "%s/t%zu", dir, i);
		CHECK(mkdir(path, 0755) == 0 && chdir(path) == 0);
		umask(0);
		table[i].fn();
		if (failures == before)
			printf("ok %s\n", current);
		CHECK(chdir("/") == 0);
	}
	return failures ? 1 : 0;
}

/* --- Random operations. */

static uint64_t state;

/* xorshift: the same on every machine. */
static uint32_t random_below(uint32_t n)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t)(state >> 16) % n;
}

#define FILE_MOST 262144u

struct model {
	int fd;
	uint32_t size;
	uint8_t data[FILE_MOST];
	uint8_t scratch[FILE_MOST];
};

static void range(uint32_t limit, uint32_t *at, uint32_t *len)
{
	*at = random_below(limit);
	*len = 1 + random_below(limit - *at < 20000 ? limit - *at : 20000);
}

static void grown(struct model *m, uint32_t end)
{
	if (end > m->size)
		m->size = end;
}

static void file_write(struct model *m)
{
	uint32_t at, len;

	range(FILE_MOST, &at, &len);
	for (uint32_t i = 0; i < len; i++)
		m->data[at + i] = (uint8_t)random_below(256);
	CHECK(pwrite(m->fd, m->data + at, len, at) == (ssize_t)len);
	grown(m, at + len);
}

static void file_read(struct model *m)
{
	uint32_t at, len, want;

	range(FILE_MOST, &at, &len);
	want = at >= m->size ? 0 : m->size - at < len ? m->size - at : len;
	CHECK(pread(m->fd, m->scratch, len, at) == (ssize_t)want);
	CHECK(memcmp(m->scratch, m->data + at, want) == 0);
}

static void file_truncate(struct model *m)
{
	uint32_t size = random_below(FILE_MOST);

	CHECK(ftruncate(m->fd, size) == 0);
	if (size < m->size)
		memset(m->data + size, 0, m->size - size);
	m->size = size;
}

static void file_map(struct model *m, bool write)
{
	uint32_t at, len;
	uint8_t *p;

	if (m->size == 0)
		return;
	range(m->size, &at, &len);
	p = mmap(NULL, m->size, PROT_READ | (write ? PROT_WRITE : 0), MAP_SHARED, m->fd, 0);
	CHECK(p != MAP_FAILED);
	if (p == MAP_FAILED)
		return;
	if (write) {
		for (uint32_t i = 0; i < len; i++)
			m->data[at + i] = (uint8_t)random_below(256);
		memcpy(p + at, m->data + at, len);
	} else {
		CHECK(memcmp(p + at, m->data + at, len) == 0);
	}
	munmap(p, m->size);
}

static void file_punch(struct model *m)
{
	uint32_t at, len;

	if (m->size == 0)
		return;
	range(m->size, &at, &len);
	if (fallocate(m->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, len) < 0)
		CHECK(errno == EOPNOTSUPP);
	else
		memset(m->data + at, 0, len);
}

static void file_grow(struct model *m)
{
	uint32_t at, len;

	range(FILE_MOST, &at, &len);
	CHECK(fallocate(m->fd, 0, at, len) == 0);
	grown(m, at + len);
}

static void file_copy(struct model *m)
{
	uint32_t at, len, to = FILE_MOST / 2;
	loff_t from_at, to_at = to;

	if (m->size < 2)
		return;
	range(m->size < to ? m->size : to, &at, &len);
	if (at + len > to)
		len = to - at;
	from_at = at;
	CHECK(copy_file_range(m->fd, &from_at, m->fd, &to_at, len, 0) == (ssize_t)len);
	memcpy(m->data + to, m->data + at, len);
	grown(m, to + len);
}

static void file_reopen(struct model *m)
{
	struct stat st;

	CHECK(close(m->fd) == 0);
	m->fd = open("file", O_RDWR);
	CHECK(m->fd >= 0);
	CHECK(fstat(m->fd, &st) == 0 && st.st_size == (off_t)m->size);
}

static int run_file(uint64_t seed, unsigned count)
{
	static struct model m;

	current = "file";
	state = seed * 2654435761u + 1;
	m.fd = open("file", O_RDWR | O_CREAT | O_EXCL, 0644);
	CHECK(m.fd >= 0);
	for (unsigned i = 0; i < count && !failures; i++) {
		switch (random_below(10)) {
		case 0:
		case 1:
			file_write(&m);
			break;
		case 2:
		case 3:
			file_read(&m);
			break;
		case 4:
			file_truncate(&m);
			break;
		case 5:
			file_map(&m, false);
			break;
		case 6:
			file_map(&m, true);
			break;
		case 7:
			file_punch(&m);
			break;
		case 8:
			random_below(2) ? file_grow(&m) : file_copy(&m);
			break;
		default:
			file_reopen(&m);
		}
		if (failures)
			printf("at operation %u of seed %llu\n", i, (unsigned long long)seed);
	}
	CHECK(pread(m.fd, m.scratch, FILE_MOST, 0) == (ssize_t)m.size);
	CHECK(memcmp(m.scratch, m.data, m.size) == 0);
	return failures ? 1 : 0;
}

/*
 * Names: SLOTS places of two levels, "a".."p" and "d0/a".. and so on, each with what should be
 * there: nothing, a file with a number as text, or a link.
 */
#define NAMES 16u
#define DIRS  4u
#define SLOTS (NAMES * DIRS)
static int expected[SLOTS]; /* 0: nothing; > 0: a file with this number; -1: a link */

static const char *slot(unsigned i, char *path)
{
	snprintf(path, 32, "d%u/%c", i / NAMES, 'a' + i % NAMES);
	return path;
}

static void tree_step(unsigned i)
{
	char a[32], b[32], text[16];
	unsigned x = random_below(SLOTS), y = random_below(SLOTS);

	slot(x, a);
	slot(y, b);
	snprintf(text, sizeof(text), "%u", i + 1);
	switch (random_below(6)) {
	case 0:
		if (expected[x] < 0)
			CHECK(unlink(a) == 0);
		unlink(a);
		put(a, text);
		expected[x] = (int)i + 1;
		break;
	case 1:
		if (expected[x])
			CHECK(unlink(a) == 0);
		else
			FAILS(unlink(a), ENOENT);
		expected[x] = 0;
		break;
	case 2:
		if (!expected[x]) {
			FAILS(rename(a, b), ENOENT);
		} else {
			CHECK(rename(a, b) == 0);
			/* Two names of one file both stay. */
			if (x != y && (expected[x] < 0 || expected[x] != expected[y])) {
				expected[y] = expected[x];
				expected[x] = 0;
			}
		}
		break;
	case 3:
		if (x == y || !expected[x] || !expected[y])
			break;
		CHECK(renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE) == 0);
		i = (unsigned)expected[x];
		expected[x] = expected[y];
		expected[y] = (int)i;
		break;
	case 4:
		if (expected[x])
			FAILS(symlink("nowhere", a), EEXIST);
		else
			CHECK(symlink("nowhere", a) == 0);
		expected[x] = expected[x] ? expected[x] : -1;
		break;
	default:
		/* A copy that is a file of its own when one of the two is replaced. */
		if (expected[x] <= 0 || expected[y])
			break;
		CHECK(link(a, b) == 0);
		expected[y] = expected[x];
	}
}

static void tree_compare(void)
{
	char path[32], text[16];
	struct stat st;

	for (unsigned i = 0; i < SLOTS; i++) {
		slot(i, path);
		snprintf(text, sizeof(text), "%d", expected[i]);
		if (expected[i] == 0)
			CHECK(lstat(path, &st) < 0 && errno == ENOENT);
		else if (expected[i] < 0)
			CHECK(lstat(path, &st) == 0 && S_ISLNK(st.st_mode));
		else
			CHECK(holds(path, text));
	}
}

static int run_tree(uint64_t seed, unsigned count)
{
	char path[32];

	current = "tree";
	state = seed * 2654435761u + 1;
	for (unsigned i = 0; i < DIRS; i++) {
		snprintf(path, sizeof(path), "d%u", i);
		CHECK(mkdir(path, 0755) == 0);
	}
	for (unsigned i = 0; i < count && !failures; i++) {
		tree_step(i);
		if (i % 100 == 99)
			tree_compare();
		if (failures)
			printf("at operation %u of seed %llu\n", i, (unsigned long long)seed);
	}
	tree_compare();
	return failures ? 1 : 0;
}

int main(int argc, char **argv)
{
	uint64_t seed = argc > 3 ? strtoull(argv[3], NULL, 10) : 1;
	unsigned count = argc > 4 ? (unsigned)strtoul(argv[4], NULL, 10) : 1000;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc == 3 && strcmp(argv[1], "table") == 0)
		return run_table(argv[2]);
	if (argc == 5 && chdir(argv[2]) == 0) {
		if (strcmp(argv[1], "file") == 0)
			return run_file(seed, count);
		if (strcmp(argv[1], "tree") == 0)
			return run_tree(seed, count);
	}
	fprintf(stderr, "usage: fscheck table DIR | fscheck file|tree DIR SEED COUNT\n");
	return 2;
}
