/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/setup.h"

#include "agent/environment.h"
#include "agent/mounts.h"
#include "agent/network.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/*
 * Directories of the initramfs (tools/mkinitramfs makes them). The layer is a lower layer of the
 * overlay, above the image: mount points that an image may lack, and the files that belong to
 * this boot and not to the image. Nothing of it ever gets onto the writable disk.
 */
#define IMAGE_DIR "/image"
#define UPPER_DIR "/upper"
#define LAYER_DIR "/layer"
#define ROOT_DIR  "/root"

#define ETC_FILE_MAX ((size_t)64 << 10)

#define CLOCK_ERROR_MAX (20 * (NSEC_PER_SEC / 1000))

#define NOFILE_SOFT 65536
#define NOFILE_HARD 1048576

void setup_init(struct setup *s)
{
	*s = (struct setup){
		.boot_root = -1, .new_root = -1, .devpts = -1, .random = -1, .proc = -1};
}

/* --- early --------------------------------------------------------------------------------- */

/* It gets its addresses from the kernel as soon as it is up. */
static int loopback_up(void)
{
	struct ifreq ifr = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &ifr) < 0)
		return -errno;
	return 0;
}

int setup_early(struct setup *s, struct err *e)
{
	int r;

	if (mount("dev", "/dev", "devtmpfs", MS_NOSUID, NULL) < 0)
		return err_sys(e, errno, "cannot mount /dev");
	s->random = open("/dev/urandom", O_RDWR | O_CLOEXEC);
	if (s->random < 0)
		return err_sys(e, errno, "cannot open the random device");
	r = loopback_up();
	if (r < 0)
		return err_sys(e, -r, "cannot bring the loopback interface up");
	return 0;
}

/* --- disks --------------------------------------------------------------------------------- */

static int mount_disks(const struct boot_config *c, struct err *e)
{
	char image[DISK_PATH_MAX], upper[DISK_PATH_MAX];
	int r;

	if (disk_find(c->image_disk, image, sizeof(image), e) < 0 ||
	    disk_find(c->upper_disk, upper, sizeof(upper), e) < 0)
		return -1;
	if (mount(image, IMAGE_DIR, "erofs", MS_RDONLY, NULL) < 0)
		return err_sys(e, errno, "cannot mount the image");
	/*
	 * The inode tables are holes of a sparse file, which read as zeroes: the kernel thread that
	 * would write zeroes there must not run.
	 */
	if (mount(upper, UPPER_DIR, "ext4", MS_NOATIME, "noinit_itable") < 0)
		return err_sys(e, errno, "cannot mount the writable disk");
	if (c->upper_size) {
		r = disk_grow(upper, UPPER_DIR, c->upper_size);
		if (r == -ENOSPC)
			return err_set(e, ERR_BOOT, "the writable disk has less than %llu bytes",
				       (unsigned long long)c->upper_size);
		if (r < 0)
			return err_sys(e, -r, "cannot grow the writable disk");
	}
	/* The template has them already. */
	if ((mkdir(UPPER_DIR "/upper", 0755) < 0 && errno != EEXIST) ||
	    (mkdir(UPPER_DIR "/work", 0755) < 0 && errno != EEXIST))
		return err_sys(e, errno, "cannot prepare the writable disk");
	return 0;
}

/* It is both what would be the image and the root. */
static int mount_shared_root(const struct boot_config *c, int shares, struct err *e)
{
	int r = share_mount(shares, c->root_share, MOUNT_ATTR_RDONLY, IMAGE_DIR);

	if (r == 0)
		r = share_mount(shares, c->root_share, 0, ROOT_DIR);
	return r < 0 ? err_sys(e, -r, "cannot mount the folder that is the root") : 0;
}

/* --- the layer of this boot ---------------------------------------------------------------- */

/* Whether a line of a hosts file names `name`. */
static bool hosts_has(const char *text, const char *name)
{
	size_t len = strlen(name);

	while (*text) {
		size_t line = strcspn(text, "\n"), i = strspn(text, " \t");

		while (i < line && text[i] != '#') {
			size_t word = strcspn(text + i, " \t\n#");

			if (word == len && memcmp(text + i, name, len) == 0)
				return true;
			i += word;
			i += strspn(text + i, " \t");
		}
		text += line;
		text += *text == '\n';
	}
	return false;
}

static int write_layer_file(const char *path, struct buf *b)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	return fd < 0 ? -errno : write_full(fd, buf_data(b), buf_len(b));
}

static void append_string(struct buf *b, const char *s)
{
	buf_append(b, s, strlen(s));
}

static int make_hosts(const char *hostname)
{
	_cleanup_(buf_release) struct buf b = {0};
	_cleanup_free_ char *text = NULL;
	_cleanup_close_ int fd = open(IMAGE_DIR "/etc/hosts",
				      O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	bool local, self;
	size_t len = 0;
	struct stat st;

	/* An image's own file is kept and completed; one that is no file is replaced. */
	if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
		text = malloc(ETC_FILE_MAX + 1);
		len = text ? (size_t)MAX(read_full(fd, text, ETC_FILE_MAX), 0) : 0;
		if (text)
			text[len] = '\0';
	}
	local = text && hosts_has(text, "localhost");
	self = text && hosts_has(text, hostname);
	if (local && self)
		return 0;
	buf_init(&b, ETC_FILE_MAX + 1024);
	if (len) {
		buf_append(&b, text, len);
		if (text[len - 1] != '\n')
			append_string(&b, "\n");
	}
	if (!local)
		append_string(&b, "127.0.0.1\tlocalhost\n"
				  "::1\tlocalhost ip6-localhost ip6-loopback\n");
	if (!self) {
		append_string(&b, "127.0.1.1\t");
		append_string(&b, hostname);
		append_string(&b, "\n");
	}
	return write_layer_file(LAYER_DIR "/etc/hosts", &b);
}

static int make_hostname(const char *hostname)
{
	_cleanup_(buf_release) struct buf b = {0};

	buf_init(&b, 1024);
	append_string(&b, hostname);
	append_string(&b, "\n");
	return write_layer_file(LAYER_DIR "/etc/hostname", &b);
}

static int fill_layer(const struct boot_config *c, const char *hostname)
{
	struct stat st;
	int r;

	if (lstat(IMAGE_DIR "/etc", &st) == 0) {
		/* An image that has something strange there keeps it, and goes without our files.
		 */
		if (!S_ISDIR(st.st_mode))
			return rmdir(LAYER_DIR "/etc") < 0 ? -errno : 0;
		/* The uppermost layer's directory is the one that is seen. */
		if ((st.st_mode & 07777) != 0755 && chmod(LAYER_DIR "/etc", st.st_mode & 07777) < 0)
			return -errno;
		if ((st.st_uid || st.st_gid) && chown(LAYER_DIR "/etc", st.st_uid, st.st_gid) < 0)
			return -errno;
	}
	r = make_hosts(hostname);
	if (r == 0)
		r = make_hostname(hostname);
	if (r == 0 && c->has_network)
		r = network_write_resolv_conf(LAYER_DIR "/etc/resolv.conf", &c->network);
	return r;
}

/*
 * A root that is a folder of the host has no layer above it: the files of this boot are mounted
 * one by one, those that cannot be excepted. The root is "/" already.
 */
static void show_layer_files(int layer)
{
	static const char *const names[] = {"hosts", "hostname", "resolv.conf"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		_cleanup_free_ char *path = xasprintf("/etc/%s", names[i]);
		_cleanup_close_ int fd = -1;

		if (faccessat(layer, names[i], F_OK, 0) < 0)
			continue;
		fd = open(path, O_WRONLY | O_CREAT | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0644);
		if (fd >= 0)
			share_mount(layer, names[i], 0, path);
	}
}

/* --- mounts -------------------------------------------------------------------------------- */

/*
 * The layer below has the directory, but an older boot of this sandbox may have put something
 * else there (or nothing). Mount points are never reached through a symbolic link. With `keeps`
 * what is there is not ours to remove.
 */
static int reserve_dir(const char *path, bool keeps)
{
	struct stat st;

	if (lstat(path, &st) == 0) {
		if (S_ISDIR(st.st_mode))
			return 0;
		if (keeps)
			return -ENOTDIR;
		if (unlink(path) < 0)
			return -errno;
	}
	return mkdir(path, 0755) < 0 ? -errno : 0;
}

struct mount_point {
	const char *source; /* also the name in /proc/mounts */
	const char *path;
	const char *type; /* NULL: the mount at `source` moves */
	unsigned long flags;
	const char *options;
};

static int mount_all(const struct mount_point *m, size_t n, struct err *e)
{
	for (; n > 0; m++, n--) {
		if (mount(m->source, m->path, m->type, m->type ? m->flags : MS_MOVE, m->options) <
		    0)
			return err_sys(e, errno, "cannot mount '%s'", m->path);
	}
	return 0;
}

static int switch_root(struct setup *s, struct err *e)
{
	static const struct mount_point moves[] = {
		{"/dev", "dev", NULL, 0, NULL},
		{"sysfs", "sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL},
		{"proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL},
		{"msb", ".msb", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=16m"},
	};
	static const char *const reserved[] = {"dev", "sys", "proc", ".msb"};
	int r;

	s->boot_root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	s->new_root = open(ROOT_DIR, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (s->boot_root < 0 || s->new_root < 0 || fchdir(s->new_root) < 0)
		return err_sys(e, errno, "cannot enter the new root");
	for (size_t i = 0; i < ARRAY_SIZE(reserved); i++) {
		r = reserve_dir(reserved[i], s->is_shared);
		if (r < 0)
			return err_sys(e, -r, "cannot make the directory '/%s'", reserved[i]);
	}
	if (mount_all(moves, ARRAY_SIZE(moves), e) < 0)
		return -1;
	/* Moved onto "/" and not merely chrooted to: user namespaces refuse a chrooted process. */
	if (mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0)
		return err_sys(e, errno, "cannot switch to the new root");
	return 0;
}

static int mount_system(struct setup *s, struct err *e)
{
	static const struct mount_point mounts[] = {
		{"devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC,
		 "ptmxmode=666,mode=620,gid=5"},
		{"shm", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777"},
		{"mqueue", "/dev/mqueue", "mqueue", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL},
		{"cgroup2", "/sys/fs/cgroup", "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC,
		 "nsdelegate"},
	};
	static const struct {
		const char *target, *path;
	} links[] = {
		{"/proc/self/fd", "/dev/fd"},
		{"/proc/self/fd/0", "/dev/stdin"},
		{"/proc/self/fd/1", "/dev/stdout"},
		{"/proc/self/fd/2", "/dev/stderr"},
	};

	/* All in file systems of ours: no image has a say in these names. */
	if (mkdir("/dev/pts", 0755) < 0 || mkdir("/dev/shm", 0755) < 0 ||
	    mkdir("/dev/mqueue", 0755) < 0 || mkdir(SCRIPTS_DIR, 0755) < 0)
		return err_sys(e, errno, "cannot prepare the mount points");
	for (size_t i = 0; i < ARRAY_SIZE(links); i++)
		if (symlink(links[i].target, links[i].path) < 0)
			return err_sys(e, errno, "cannot make '%s'", links[i].path);
	if (mount_all(mounts, ARRAY_SIZE(mounts), e) < 0)
		return -1;
	s->devpts = open("/dev/pts", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (s->devpts < 0)
		return err_sys(e, errno, "cannot open '/dev/pts'");
	return 0;
}

static int write_script(const struct boot_script *s)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", SCRIPTS_DIR, s->name);
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);

	return fd < 0 ? -errno : write_full(fd, s->data, s->len);
}

static int write_scripts(const struct boot_config *c, struct err *e)
{
	for (size_t i = 0; i < c->n_scripts; i++) {
		int r = write_script(&c->scripts[i]);

		if (r < 0)
			return err_sys(e, -r, "cannot write the script '%s'", c->scripts[i].name);
	}
	return 0;
}

/* --- the rest ------------------------------------------------------------------------------ */

static void set_clock(uint64_t host_ns)
{
	uint64_t now = clock_real_ns();
	struct timespec ts = {
		.tv_sec = (time_t)(host_ns / NSEC_PER_SEC),
		.tv_nsec = (long)(host_ns % NSEC_PER_SEC),
	};

	/*
	 * The machine's clock counts seconds, so the kernel's is behind by up to one, and files
	 * that the host has just written would be of the future. Less than this is the message's
	 * own delay.
	 */
	if (host_ns && (now > host_ns ? now - host_ns : host_ns - now) > CLOCK_ERROR_MAX)
		clock_settime(CLOCK_REALTIME, &ts);
}

int setup_root(struct setup *s, const struct boot_config *c, struct err *e)
{
	static const char options[] =
		"lowerdir=" LAYER_DIR ":" IMAGE_DIR ",upperdir=" UPPER_DIR
		"/upper,workdir=" UPPER_DIR
		"/work,index=off,metacopy=off,redirect_dir=on,uuid=null,xino=on";
	const struct rlimit nofile = {.rlim_cur = NOFILE_SOFT, .rlim_max = NOFILE_HARD};
	const char *hostname = c->hostname && *c->hostname ? c->hostname : "sandbox";
	_cleanup_close_ int shares = -1, layer = -1;
	int r;

	set_clock(c->time_ns);
	s->is_shared = c->root_share;
	if (mounts_open_shares(c, &shares, e) < 0 ||
	    (s->is_shared ? mount_shared_root(c, shares, e) : mount_disks(c, e)) < 0 ||
	    (c->has_network && network_up(&c->network, e) < 0))
		return -1;
	r = fill_layer(c, hostname);
	if (r < 0)
		return err_sys(e, -r, "cannot prepare /etc");
	layer = open(LAYER_DIR "/etc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (!s->is_shared && mount("root", ROOT_DIR, "overlay", MS_NOATIME, options) < 0)
		return err_sys(e, errno, "cannot join the image and the writable disk");
	if (switch_root(s, e) < 0 || mount_system(s, e) < 0)
		return -1;
	if (s->is_shared)
		show_layer_files(layer);
	if (mounts_make(c, shares, e) < 0 || write_scripts(c, e) < 0)
		return -1;
	if (sethostname(hostname, strlen(hostname)) < 0)
		return err_sys(e, errno, "cannot set the host name '%s'", hostname);
	if (setrlimit(RLIMIT_NOFILE, &nofile) < 0)
		return err_sys(e, errno, "cannot raise the limit of open files");
	if (c->has_network)
		network_allow_ping(NETWORK_PING_PATH);
	return 0;
}

int setup_undo(struct setup *s)
{
	int r = 0;

	close_fd(&s->devpts);
	close_fd(&s->proc);
	if (s->new_root < 0)
		return 0;
	/*
	 * Detached with all that is mounted below it; it goes away with its last user, which is
	 * this process until it stands elsewhere. An init that ended the usual way may have done
	 * that already, or have made it read-only: what counts is the disk below.
	 */
	if (fchdir(s->new_root) == 0)
		umount2(".", MNT_DETACH);
	close_fd(&s->new_root);
	if (fchdir(s->boot_root) < 0 || chroot(".") < 0)
		return -errno;
	/* If something still holds it, at least nothing is left in memory. */
	if (!s->is_shared && umount2(UPPER_DIR, 0) < 0 &&
	    mount(NULL, UPPER_DIR, NULL, MS_REMOUNT | MS_RDONLY, NULL) < 0)
		r = -errno;
	sync();
	return r;
}
