/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What of the host the guest gets to see, opened for msb-vmm: a folder as a place to start from, a
 * file or a disk as itself. msb-vmm opens nothing by a path of its own.
 */
#include "sandbox/monitor.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

/* --- shares -------------------------------------------------------------------------------- */

static int open_share(const struct share_spec *s, struct err *e)
{
	int nofollow = s->follow_root_symlinks ? 0 : O_NOFOLLOW;
	_cleanup_close_ int fd = -1;
	struct stat st;

	if (s->file)
		/* Of what is no file, opening must neither wait nor do anything. */
		fd = open(s->path, (s->read_only ? O_RDONLY : O_RDWR) | nofollow | O_NONBLOCK |
					   O_NOCTTY | O_CLOEXEC);
	else
		fd = open(s->path, O_PATH | O_DIRECTORY | nofollow | O_CLOEXEC);
	if (fd < 0) {
		int r = errno;

		err_sys(e, r, "cannot mount '%s'", s->path);
		if (nofollow && (r == ELOOP || (r == ENOTDIR && !s->file)))
			err_hint(e, "a symbolic link is followed with the option "
				    "follow-root-symlinks only");
		else if (r == ENOENT)
			err_hint(e, "it was there when the sandbox was made");
		return -1;
	}
	if (s->file && (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)))
		return err_set(e, ERR_INVALID, "cannot mount '%s': it is no regular file", s->path);
	return steal_fd(&fd);
}

static char *share_option(const struct share_spec *s, int fd)
{
	_cleanup_free_ char *quota = xstrdup(""), *size = xstrdup(""), *owner = xstrdup("");

	if (s->quota) {
		free(quota);
		quota = xasprintf(",quota=%llu", (unsigned long long)s->quota);
	}
	if (s->size) {
		free(size);
		size = xasprintf(",size=%llu", (unsigned long long)s->size);
	}
	if (s->has_owner) {
		free(owner);
		owner = xasprintf(",uid=%u,gid=%u", s->uid, s->gid);
	}
	return xasprintf("--share=fd=%d%s%s%s%s%s,virt=%s,perms=%s", fd, s->file ? ",file" : "",
			 s->read_only ? ",ro" : "", quota, size, owner,
			 stat_virt_name(s->stat_virt), host_perms_name(s->host_perms));
}

int mounts_add_shares(struct monitor *m, struct child_args *a, struct err *e)
{
	for (size_t i = 0; i < m->spec.n_shares; i++) {
		const struct share_spec *s = &m->spec.shares[i];
		int fd = open_share(s, e);

		if (fd < 0)
			return -1;
		strv_take(&a->argv, share_option(s, child_hand_over(a, fd)));
	}
	return 0;
}

/* --- disks --------------------------------------------------------------------------------- */

/*
 * A file system that two machines write to is soon none any more. The lock is the description's
 * that msb-vmm gets, so that it lasts as long as that.
 */
static int open_disk(const struct disk_spec *d, struct err *e)
{
	_cleanup_close_ int fd = open(d->path, (d->read_only ? O_RDONLY : O_RDWR) | O_NONBLOCK |
						       O_NOCTTY | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return err_sys(e, errno, "cannot open the disk '%s'", d->path);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return err_set(e, ERR_INVALID, "cannot use the disk '%s': it is no regular file",
			       d->path);
	if (st.st_size == 0 || st.st_size % 512)
		return err_set(e, ERR_INVALID,
			       "cannot use the disk '%s': its size is no multiple of 512 bytes",
			       d->path);
	if (flock(fd, (d->read_only ? LOCK_SH : LOCK_EX) | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK)
			return err_sys(e, errno, "cannot lock the disk '%s'", d->path);
		err_set(e, ERR_BUSY, "the disk '%s' is in use by another sandbox", d->path);
		return err_hint(e, "one that is written to can be in one place only");
	}
	return steal_fd(&fd);
}

int mounts_add_disks(struct monitor *m, struct child_args *a, struct err *e)
{
	for (size_t i = 0; i < m->spec.n_disks; i++) {
		const struct disk_spec *d = &m->spec.disks[i];
		int fd = open_disk(d, e);

		if (fd < 0)
			return -1;
		strv_take(&a->argv,
			  xasprintf("--disk=%s,serial=%s,fd=%d", d->read_only ? "ro" : "rw",
				    d->serial, child_hand_over(a, fd)));
	}
	return 0;
}
