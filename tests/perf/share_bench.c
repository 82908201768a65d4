/* SPDX-License-Identifier: Apache-2.0 */
/*
 * share_bench DIR MIB FILES: times work in a directory, in a guest. Prints a line for each kind of
 * work: its name and seconds. What is called cold is done after the guest's kernel has forgotten
 * everything.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define CHUNK   ((size_t)1 << 20)
#define PER_DIR 500u

static unsigned mib, files;

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void forget(void)
{
	int fd = open("/proc/sys/vm/drop_caches", O_WRONLY);

	sync();
	if (fd < 0 || write(fd, "3", 1) != 1)
		fail("drop_caches");
	close(fd);
}

static void file_io(int flags, ssize_t (*io)(int, char *))
{
	static char data[CHUNK];
	int fd = open("large", flags, 0644);

	if (fd < 0)
		fail("large");
	for (unsigned i = 0; i < mib; i++)
		if (io(fd, data) != (ssize_t)CHUNK)
			fail("large");
	if ((flags & O_ACCMODE) != O_RDONLY && fsync(fd) < 0)
		fail("fsync");
	close(fd);
}

static ssize_t write_chunk(int fd, char *data)
{
	return write(fd, data, CHUNK);
}

static ssize_t read_chunk(int fd, char *data)
{
	return read(fd, data, CHUNK);
}

static void write_large(void)
{
	file_io(O_WRONLY | O_CREAT | O_TRUNC, write_chunk);
}

static void read_large(void)
{
	file_io(O_RDONLY, read_chunk);
}

static void each(void (*fn)(const char *path))
{
	char path[64];

	for (unsigned i = 0; i < files; i++) {
		snprintf(path, sizeof(path), "d%u/file-%u", i / PER_DIR, i);
		fn(path);
	}
}

static void each_dir(void (*fn)(const char *path))
{
	char path[64];

	for (unsigned i = 0; i < files; i += PER_DIR) {
		snprintf(path, sizeof(path), "d%u", i / PER_DIR);
		fn(path);
	}
}

static void make_dir(const char *path)
{
	if (mkdir(path, 0755) < 0)
		fail(path);
}

static void create_one(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0644);

	if (fd < 0 || write(fd, path, strlen(path)) < 0)
		fail(path);
	close(fd);
}

static void create(void)
{
	each_dir(make_dir);
	each(create_one);
}

static void stat_one(const char *path)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		fail(path);
}

static void stat_all(void)
{
	each(stat_one);
}

static void read_one(const char *path)
{
	char data[256];
	int fd = open(path, O_RDONLY);

	if (fd < 0 || read(fd, data, sizeof(data)) <= 0)
		fail(path);
	close(fd);
}

static void read_all(void)
{
	each(read_one);
}

/* As git status does: the entries, and a look at each. */
static void list_one(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *e;
	struct stat st;

	if (!d)
		fail(path);
	while ((e = readdir(d)))
		if (fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			fail(e->d_name);
	closedir(d);
}

static void list(void)
{
	each_dir(list_one);
}

static void unlink_one(const char *path)
{
	if (unlink(path) < 0)
		fail(path);
}

static void remove_dir(const char *path)
{
	if (rmdir(path) < 0)
		fail(path);
}

static void remove_all(void)
{
	each(unlink_one);
	each_dir(remove_dir);
	unlink_one("large");
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*fn)(void);
		int cold;
	} work[] = {
		{"write", write_large, 0}, {"read", read_large, 1},   {"create", create, 0},
		{"stat", stat_all, 1},     {"list", list, 1},         {"open", read_all, 1},
		{"again", read_all, 0},    {"unlink", remove_all, 1},
	};

	if (argc != 4 || chdir(argv[1]) < 0)
		fail("usage: share_bench DIR MIB FILES");
	mib = (unsigned)strtoul(argv[2], NULL, 10);
	files = (unsigned)strtoul(argv[3], NULL, 10);
	for (size_t i = 0; i < sizeof(work) / sizeof(work[0]); i++) {
		double start;

		if (work[i].cold)
			forget();
		start = now();
		work[i].fn();
		printf("%s %.6f\n", work[i].name, now() - start);
		fflush(stdout);
	}
	return 0;
}
