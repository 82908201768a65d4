/* SPDX-License-Identifier: Apache-2.0 */
/* What is mounted: how it is written, checked against the host and each other, and stored. */
#include "../testing.h"

#include "cli/mount_options.h"
#include "cli/sandbox_options.h"

#include <sys/stat.h>

/* --- the grammar --------------------------------------------------------------------------- */

/* Parses and shows what came of it, or the message. Owned. */
static char *shown(enum mount_kind kind, const char *text)
{
	struct err e = {0};
	struct mount m;
	char *result;

	if (mount_parse(kind, text, &m, &e) < 0)
		return xasprintf("error: %s", e.msg);
	/* Of a path nobody has looked yet whether it is a folder. */
	if (m.kind == MOUNT_PATH)
		m.kind = MOUNT_DIR;
	result = mount_text(&m);
	mount_release(&m);
	return result;
}

static void assert_shown(enum mount_kind kind, const char *text, const char *want)
{
	_cleanup_free_ char *got = shown(kind, text);

	if (!strstr(got, want))
		fail_msg("'%s' gives '%s', not '%s'", text, got, want);
}

static void test_volume_forms(void **state)
{
	assert_shown(MOUNT_PATH, "./a:/b", "/b → ./a (rw)");
	assert_shown(MOUNT_PATH, "../a:/b:ro", "/b → ../a (ro)");
	assert_shown(MOUNT_PATH, "/a b/c:/b:rw,noexec", "/b → /a b/c (rw, noexec)");
	assert_shown(MOUNT_PATH, ".:/b", "/b → . (rw)");
	assert_shown(MOUNT_PATH, "..:/b:nosuid,nodev,ro", "/b → .. (ro, nosuid, nodev)");
	assert_shown(MOUNT_PATH, "data:/b", "/b → volume:data (rw)");
	assert_shown(MOUNT_PATH, "data-1.2_x:/b:ro", "/b → volume:data-1.2_x (ro)");
	assert_shown(MOUNT_DIR, "a:/b", "/b → a (rw)");
	assert_shown(MOUNT_FILE, "a:/b/c:ro", "/b/c → a (ro)");
	assert_shown(MOUNT_NAMED, "a:/b:kind=disk,size=1G", "/b → volume:a (rw)");
	assert_shown(MOUNT_DISK, "a.img:/b", "/b → disk:a.img (raw) (rw)");
	assert_shown(MOUNT_DISK, "a.img:/b:ro,format=raw,fstype=ext4",
		     "/b → disk:a.img (raw) [ext4] (ro)");
	assert_shown(MOUNT_TMPFS, "/t", "/t → tmpfs");
	assert_shown(MOUNT_TMPFS, "/t:64M", "/t → tmpfs (64 MiB)");
	assert_shown(MOUNT_TMPFS, "/t:1G:noexec", "/t → tmpfs (1024 MiB, rw, noexec)");
	assert_shown(MOUNT_TMPFS, "/t:ro", "/t → tmpfs (ro)");
	assert_shown(MOUNT_TMPFS, "/t:size=2M,nodev", "/t → tmpfs (2 MiB, rw, nodev)");
	/* Targets get their shortest form. */
	assert_shown(MOUNT_PATH, "./a://b///c/./d/", "/b/c/d → ./a");
	assert_shown(MOUNT_PATH, "./a:/dev/shm", "/dev/shm → ./a");
	assert_shown(MOUNT_PATH, "./a:/process", "/process → ./a");
}

static void test_refused_forms(void **state)
{
	static const char format[] = "must be in format source:/guest[:options]";

	assert_shown(MOUNT_PATH, "", format);
	assert_shown(MOUNT_PATH, "./a", format);
	assert_shown(MOUNT_PATH, "./a:", format);
	assert_shown(MOUNT_PATH, ":/b", format);
	assert_shown(MOUNT_DIR, "/b", format);
	assert_shown(MOUNT_PATH, "./a:b", "guest mount path must be absolute: 'b'");
	assert_shown(MOUNT_TMPFS, "t", "guest mount path must be absolute");
	assert_shown(MOUNT_TMPFS, "", "guest mount path must be absolute");
	assert_shown(MOUNT_PATH, "./a:/", "cannot mount a volume at guest root /");
	assert_shown(MOUNT_PATH, "./a://.//", "cannot mount a volume at guest root /");
	assert_shown(MOUNT_PATH, "./a:/b/../c", "must not contain '..'");
	assert_shown(MOUNT_PATH, "./a:/proc", "the sandbox's own");
	assert_shown(MOUNT_PATH, "./a:/.msb/scripts", "the sandbox's own");
	assert_shown(MOUNT_PATH, "./a:/dev/", "the sandbox's own");
	assert_shown(MOUNT_PATH, "src/app:/b", "volume name must start with");
	assert_shown(MOUNT_NAMED, "./a:/b", "volume name must start with");
	assert_shown(MOUNT_FILE, "./a:/b/", "that is a directory");
	assert_shown(MOUNT_TMPFS, "/t:", "invalid size");
	assert_shown(MOUNT_TMPFS, "/t:big", "invalid size");
	assert_shown(MOUNT_TMPFS, "/t:0", "size must be greater than 0");
	assert_shown(MOUNT_TMPFS, "/t:1M:size=2M", "`size` specified more than once");
}

static void test_refused_options(void **state)
{
	assert_shown(MOUNT_PATH, "./a:/b:", "\"\" must be a flag or key=value");
	assert_shown(MOUNT_PATH, "./a:/b:bad", "mount option \"bad\" must be a flag or key=value");
	assert_shown(MOUNT_PATH, "./a:/b:ro,", "\"\" must be a flag or key=value");
	assert_shown(MOUNT_PATH, "./a:/b:bad=1", "mount option `bad` is not valid here");
	assert_shown(MOUNT_PATH, "./a:/b:size=1G", "mount option `size` is not valid here");
	assert_shown(MOUNT_DISK, "./a:/b:quota=1G", "mount option `quota` is not valid here");
	assert_shown(MOUNT_TMPFS, "/b:1M:stat-virt=off", "`stat-virt` is not valid here");
	assert_shown(MOUNT_NAMED, "a:/b:follow-root-symlinks", "is not valid here");
	assert_shown(MOUNT_PATH, "a:/b:follow-root-symlinks", "is not valid here");
	assert_shown(MOUNT_PATH, "./a:/b:ro,ro", "`ro`/`rw` specified more than once");
	assert_shown(MOUNT_PATH, "./a:/b:ro,rw", "`ro`/`rw` specified more than once");
	assert_shown(MOUNT_PATH, "./a:/b:quota=1G,quota=1G", "`quota` specified more than once");
	assert_shown(MOUNT_PATH, "./a:/b:ro=1", "`ro` takes no value");
	assert_shown(MOUNT_PATH, "./a:/b:quota", "`quota` needs a value");
	assert_shown(MOUNT_PATH, "./a:/b:quota=x", "mount option `quota`: invalid size");
	assert_shown(MOUNT_PATH, "./a:/b:quota=17000G", "less than 16 TiB");
	assert_shown(MOUNT_PATH, "./a:/b:stat-virt=on", "must be strict, relaxed or off");
	assert_shown(MOUNT_PATH, "./a:/b:host-perms=all", "must be private or mirror");
	assert_shown(MOUNT_PATH, "./a:/b:uid=1", "`uid` and `gid` go together");
	assert_shown(MOUNT_PATH, "./a:/b:uid=1,gid=x", "`gid` must be a number");
	assert_shown(MOUNT_PATH, "./a:/b:uid=4294967295,gid=1", "`uid` must be a number");
	assert_shown(MOUNT_NAMED, "a:/b:kind=tape", "must be dir or disk");
	assert_shown(MOUNT_NAMED, "a:/b:kind=disk,size=64M", "too small for ext4");
	assert_shown(MOUNT_DISK, "./a:/b:format=qcow2", "in the format qcow2 cannot be mounted");
	assert_shown(MOUNT_DISK, "./a:/b:format=iso", "`format` must be raw");
	assert_shown(MOUNT_DISK, "./a:/b:fstype=ntfs", "`fstype` must be ext4 or erofs");
}

static void test_values(void **state)
{
	struct err e = {0};
	struct mount m;

	assert_int_equal(mount_parse(MOUNT_PATH,
				     "./a:/b:quota=2G,uid=7,gid=8,stat-virt=off,host-perms=mirror,"
				     "follow-root-symlinks",
				     &m, &e),
			 0);
	assert_true(m.has_quota && m.quota == 2 * GIB);
	assert_true(m.has_owner && m.uid == 7 && m.gid == 8);
	assert_int_equal(m.stat_virt, STAT_VIRT_OFF);
	assert_int_equal(m.host_perms, HOST_PERMS_MIRROR);
	assert_true(m.follow_root_symlinks);
	mount_release(&m);
	assert_int_equal(mount_parse(MOUNT_PATH, "./a:/b", &m, &e), 0);
	assert_int_equal(m.stat_virt, STAT_VIRT_RELAXED);
	assert_int_equal(m.host_perms, HOST_PERMS_PRIVATE);
	assert_false(m.has_quota || m.has_owner);
	mount_release(&m);
	assert_int_equal(mount_parse(MOUNT_PATH, "./a:/b:quota=0", &m, &e), 0);
	assert_true(m.has_quota && m.quota == 0);
	mount_release(&m);
}

/* --- the stored form ----------------------------------------------------------------------- */

static void test_round_trip(void **state)
{
	static const struct {
		enum mount_kind kind;
		const char *text;
	} cases[] = {
		{MOUNT_DIR, "/a:/b:ro,noexec,nosuid,nodev,quota=0,uid=1,gid=2,stat-virt=strict"},
		{MOUNT_FILE, "/a:/b:host-perms=mirror,quota=1G,follow-root-symlinks"},
		{MOUNT_NAMED, "vol:/b"},
		{MOUNT_DISK, "/a:/b:ro,fstype=erofs"},
		{MOUNT_TMPFS, "/b:5M:noexec"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *text = NULL, *again = NULL;
		struct mount m, back;
		json_t *j, *k;

		assert_int_equal(mount_parse(cases[i].kind, cases[i].text, &m, NULL), 0);
		j = mount_to_json(&m);
		assert_int_equal(mount_from_json(j, &back), 0);
		k = mount_to_json(&back);
		text = json_dumps(j, JSON_COMPACT);
		again = json_dumps(k, JSON_COMPACT);
		assert_string_equal(text, again);
		assert_true(back.has_quota == m.has_quota && back.has_owner == m.has_owner);
		json_decref(j);
		json_decref(k);
		mount_release(&m);
		mount_release(&back);
	}
}

static void test_damaged_form(void **state)
{
	static const char *const cases[] = {
		"{}",
		"[]",
		"{\"kind\": \"nfs\", \"source\": \"/a\", \"target\": \"/b\"}",
		"{\"kind\": \"dir\", \"target\": \"/b\"}",
		"{\"kind\": \"dir\", \"source\": \"/a\"}",
		"{\"kind\": \"dir\", \"source\": \"/a\", \"target\": \"b\"}",
		"{\"kind\": \"named\", \"source\": \"../a\", \"target\": \"/b\"}",
		"{\"kind\": \"dir\", \"source\": \"/a\", \"target\": \"/b\", \"stat_virt\": \"?\"}",
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		json_t *j = json_loads(cases[i], 0, NULL);
		struct mount m;

		assert_non_null(j);
		if (mount_from_json(j, &m) == 0)
			fail_msg("%s is accepted", cases[i]);
		json_decref(j);
	}
	{
		struct mount m = {.target = (char[]){"/\xff"}, .kind = MOUNT_TMPFS};

		assert_null(mount_to_json(&m));
	}
}

/* --- the host ------------------------------------------------------------------------------ */

/* Checks "DIR/SOURCE" with the text after it; "" or the message. Owned. */
static char *host_message(const char *dir, enum mount_kind kind, const char *rest,
			  enum mount_kind want)
{
	_cleanup_free_ char *text = xasprintf("%s/%s", dir, rest);
	struct err e = {0};
	struct mount m;

	assert_int_equal(mount_parse(kind, text, &m, &e), 0);
	if (mount_check_host(&m, &e) == 0) {
		assert_int_equal(m.kind, want);
		assert_true(m.source[0] == '/');
	}
	mount_release(&m);
	return xstrdup(e.msg);
}

static void assert_host(const char *dir, enum mount_kind kind, const char *rest, const char *want)
{
	_cleanup_free_ char *got = host_message(dir, kind, rest, kind);

	if (!*want ? *got : !strstr(got, want))
		fail_msg("'%s' gives '%s', not '%s'", rest, got, want);
}

static void put_in(const char *dir, const char *name, const void *data, size_t n)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", dir, name);
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(data, 1, n, f), n);
	fclose(f);
}

static void test_host(void **state)
{
	const char *dir = *state;
	_cleanup_free_ char *folder = xasprintf("%s/folder", dir);
	_cleanup_free_ char *link = xasprintf("%s/link", dir), *fifo = xasprintf("%s/fifo", dir);
	_cleanup_free_ char *message = NULL;

	assert_int_equal(mkdir(folder, 0755), 0);
	assert_int_equal(symlink("folder", link), 0);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	put_in(dir, "file", "x", 1);
	assert_host(dir, MOUNT_DIR, "folder:/x", "");
	assert_host(dir, MOUNT_DIR, "folder/:/x", "");
	assert_host(dir, MOUNT_DIR, "folder/.:/x", "");
	assert_host(dir, MOUNT_DIR, "folder/../folder:/x", "");
	assert_host(dir, MOUNT_FILE, "file:/x", "");
	assert_host(dir, MOUNT_FILE, "link/../file:/x", "");
	message = host_message(dir, MOUNT_PATH, "folder:/x", MOUNT_DIR);
	assert_string_equal(message, "");
	free(message);
	message = host_message(dir, MOUNT_PATH, "file:/x", MOUNT_FILE);
	assert_string_equal(message, "");
	assert_host(dir, MOUNT_PATH, "none:/x", "No such file");
	assert_host(dir, MOUNT_DIR, "file:/x", "it is no directory");
	assert_host(dir, MOUNT_FILE, "folder:/x", "it is no regular file");
	assert_host(dir, MOUNT_PATH, "fifo:/x", "it is no regular file");
	assert_host(dir, MOUNT_DIR, "link:/x", "it is a symbolic link");
	assert_host(dir, MOUNT_DIR, "link/:/x", "it is a symbolic link");
	assert_host(dir, MOUNT_DIR, "link:/x:follow-root-symlinks", "");
}

static void test_disk_images(void **state)
{
	static const char zero[1024];
	const char *dir = *state;
	char data[1024] = "QFI\xfb";

	put_in(dir, "raw", zero, 1024);
	put_in(dir, "odd", zero, 1000);
	put_in(dir, "empty", zero, 0);
	put_in(dir, "qcow2", data, sizeof(data));
	memcpy(data, "KDMV", 4);
	put_in(dir, "vmdk", data, sizeof(data));
	memcpy(data, "# Disk DescriptorFile\n", 22);
	put_in(dir, "text", data, sizeof(data));
	assert_host(dir, MOUNT_DISK, "raw:/x", "");
	assert_host(dir, MOUNT_DISK, "odd:/x", "no multiple of 512");
	assert_host(dir, MOUNT_DISK, "empty:/x", "no multiple of 512");
	assert_host(dir, MOUNT_DISK, "qcow2:/x", "it is in the format qcow2");
	assert_host(dir, MOUNT_DISK, "vmdk:/x", "it is in the format vmdk");
	assert_host(dir, MOUNT_DISK, "text:/x", "it is in the format vmdk");
	assert_host(dir, MOUNT_DISK, ".:/x", "it is no disk image");
	assert_host(dir, MOUNT_DISK, "none:/x", "No such file");
}

/* --- together ------------------------------------------------------------------------------ */

/* Takes "[file:]KIND TEXT" for each; returns the targets in their order, or the message. Owned. */
static char *checked(const char *const *texts)
{
	struct mount_options o = {0};
	struct err e = {0};
	char *result = xstrdup("");
	json_t *config = json_object(), *item;
	size_t i;

	for (; *texts; texts++) {
		bool file = **texts == '@';
		const char *text = *texts + file;
		struct mount m;

		assert_int_equal(
			mount_parse(*text == '/' && !strchr(text, ':') ? MOUNT_TMPFS : MOUNT_PATH,
				    text, &m, &e),
			0);
		mount_options_add(&o, &m);
		if (file)
			mount_options_from_file(&o);
	}
	if (mount_options_check(&o, &e) < 0) {
		free(result);
		result = xstrdup(e.msg);
	} else {
		assert_int_equal(mount_options_store(&o, config, &e), 0);
		json_array_foreach (json_object_get(config, "mounts"), i, item) {
			char *more = xasprintf("%s%s%s", result, i ? " " : "",
					       json_string_value(json_object_get(item, "target")));

			free(result);
			result = more;
		}
	}
	for (i = 0; i < o.n; i++)
		mount_release(&o.v[i]);
	free(o.v);
	json_decref(config);
	return result;
}
#define assert_checked(want, ...)                                              \
	do {                                                                   \
		char *got = checked((const char *const[]){__VA_ARGS__, NULL}); \
		assert_string_equal(got, want);                                \
		free(got);                                                     \
	} while (0)

static void test_together(void **state)
{
	assert_checked("/a /a/b /b", "/b", "/a/b", "/a");
	assert_checked("/a /a-b /a/b", "/a/b", "/a-b", "/a");
	assert_checked("two mounts at '/a'", "/a", "x:/a/");
	assert_checked("two mounts at '/a'", "@/a", "@x:/a");
	/* The command line wins over a file. */
	assert_checked("/a /b", "@/a", "@/b", "x:/a");
	assert_checked("cannot mount at '/c/d': '/c' is a file", "/etc/passwd:/c:ro", "/c/d");
	assert_checked("/c /cd", "/etc/passwd:/c:ro", "/cd");
}

static void test_numbers(void **state)
{
	struct mount_options o = {0};
	struct err e = {0};
	struct mount m;

	for (int i = 0; i <= SPEC_SHARES_MAX; i++) {
		_cleanup_free_ char *text = xasprintf("vol:/m%d", i);

		assert_int_equal(mount_options_check(&o, &e), 0);
		assert_int_equal(mount_parse(MOUNT_NAMED, text, &m, &e), 0);
		mount_options_add(&o, &m);
	}
	assert_int_equal(mount_options_check(&o, &e), -1);
	assert_non_null(strstr(e.msg, "too many folders"));
	for (size_t i = 0; i < o.n; i++)
		mount_release(&o.v[i]);
	o.n = 0;
	for (int i = 0; i <= SPEC_DISKS_MAX; i++) {
		_cleanup_free_ char *text = xasprintf("/d%d:/m%d", i, i);

		assert_int_equal(mount_parse(MOUNT_DISK, text, &m, &e), 0);
		mount_options_add(&o, &m);
	}
	assert_int_equal(mount_options_check(&o, &e), -1);
	assert_non_null(strstr(e.msg, "too many disks"));
	for (size_t i = 0; i < o.n; i++)
		mount_release(&o.v[i]);
	free(o.v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_volume_forms),
		cmocka_unit_test(test_refused_forms),
		cmocka_unit_test(test_refused_options),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_damaged_form),
		cmocka_unit_test_setup_teardown(test_host, temp_setup, temp_teardown),
		cmocka_unit_test_setup_teardown(test_disk_images, temp_setup, temp_teardown),
		cmocka_unit_test(test_together),
		cmocka_unit_test(test_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
