/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/tree_receive.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#define DIR_FLAGS (O_RDONLY | O_DIRECTORY | O_CLOEXEC)
/* Set-id bits mean something only together with the owner. */
#define MODE_PLAIN  01777
#define MODE_OWNERS 07777

void tree_in_init(struct tree_in *in, const struct tree_place *place)
{
	in->place = *place;
	in->begun = in->complete = false;
	in->depth = 0;
	in->base = in->file = -1;
	in->path[0] = '\0';
	in->path_len = 0;
}

static int parent_fd(const struct tree_in *in)
{
	return in->depth ? in->levels[in->depth - 1].fd : in->base;
}

static void drop_file(struct tree_in *in)
{
	if (in->file < 0)
		return;
	unlinkat(parent_fd(in), in->temp, 0);
	close_fd(&in->file);
}

void tree_in_release(struct tree_in *in)
{
	drop_file(in);
	while (in->depth)
		close(in->levels[--in->depth].fd);
	close_fd(&in->base);
}

/* --- messages ------------------------------------------------------------------------------ */

static void path_push(struct tree_in *in, const char *name)
{
	size_t room = sizeof(in->path) - in->path_len;
	bool slash = in->path_len && in->path[in->path_len - 1] != '/';
	int n = snprintf(in->path + in->path_len, room, "%s%s", slash ? "/" : "", name);

	in->path_len += MIN((size_t)n, room - 1);
}

static void path_pop(struct tree_in *in, size_t len)
{
	in->path_len = len;
	in->path[len] = '\0';
}

static int fail(const struct tree_in *in, int errnum, const char *what, struct err *e)
{
	_cleanup_free_ char *shown = str_printable(in->path);

	return err_sys(e, errnum, "cannot %s '%s'", what, shown);
}

static int refuse(const struct tree_in *in, const char *before, const char *after, struct err *e)
{
	_cleanup_free_ char *shown = str_printable(in->path);

	return err_set(e, ERR_INVALID, "%s '%s'%s", before, shown, after);
}

static int bad(struct err *e, const char *what)
{
	return err_set(e, ERR_CORRUPT, "malformed stream of files: %s", what);
}

/* --- the place ----------------------------------------------------------------------------- */

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* Whether a directory is the given one or lies somewhere in it. */
static bool is_within(int dir, const struct stat *top)
{
	_cleanup_close_ int fd = fcntl(dir, F_DUPFD_CLOEXEC, 0);
	struct stat st, above;

	for (int depth = 0; fd >= 0 && depth < TREE_PATH_MAX; depth++) {
		int up;

		if (fstat(fd, &st) < 0 || same_file(&st, top))
			return true;
		up = openat(fd, "..", DIR_FLAGS);
		close(fd);
		fd = up;
		if (fd < 0 || fstat(fd, &above) < 0 || same_file(&st, &above))
			return false;
	}
	return false;
}

/* A directory into which it is copied would be read again, for ever. */
static int check_source(const struct tree_in *in, const char *name, struct err *e)
{
	const char *source = in->place.source;
	struct stat top, at;

	if (!source || in->entry.type != TREE_DIR || stat(source, &top) < 0)
		return 0;
	if (is_within(in->base, &top) ||
	    (name && fstatat(in->base, name, &at, AT_SYMLINK_NOFOLLOW) == 0 &&
	     same_file(&at, &top))) {
		_cleanup_free_ char *shown = str_printable(source);

		return err_set(e, ERR_INVALID, "cannot copy directory '%s' into itself", shown);
	}
	return 0;
}

static int no_directory(const char *path, struct err *e)
{
	_cleanup_free_ char *shown = str_printable(path);

	return err_set(e, ERR_NOT_FOUND, "no such directory '%s'", shown);
}

static int open_base(struct tree_in *in, const char *path, struct err *e)
{
	in->base = open(path, DIR_FLAGS);
	if (in->base >= 0)
		return 0;
	if (errno == ENOENT || errno == ENOTDIR)
		return no_directory(path, e);
	return fail(in, errno, "open the directory of", e);
}

/* Opens the directory in which `path` is, and leaves its last component in `ret_name`. */
static int open_parent(struct tree_in *in, const char *path, char *ret_name, struct err *e)
{
	_cleanup_free_ char *dir = xstrdup(path);
	size_t n = strlen(dir);
	char *name;

	while (n > 1 && dir[n - 1] == '/')
		dir[--n] = '\0';
	name = strrchr(dir, '/');
	name = name ? name + 1 : dir;
	if (!tree_name_ok(name))
		return no_directory(path, e);
	memcpy(ret_name, name, strlen(name) + 1);
	*name = '\0';
	return open_base(in, *dir ? dir : ".", e);
}

/* Nothing is at the path. */
static int place_new(struct tree_in *in, char *ret_name, struct err *e)
{
	const char *path = in->place.path;
	struct stat st;

	if (lstat(path, &st) == 0)
		return refuse(in, "", " is a link to nothing", e);
	if (in->entry.type != TREE_DIR && str_ends_with(path, "/"))
		return no_directory(path, e);
	return open_parent(in, path, ret_name, e);
}

/* Something that is no directory is at the path. Through a link, what it points to is replaced. */
static int place_over(struct tree_in *in, char *ret_name, struct err *e)
{
	_cleanup_free_ char *real = NULL;

	if (in->entry.type == TREE_DIR)
		return refuse(in, "cannot copy a directory over", ", which is none", e);
	real = realpath(in->place.path, NULL);
	if (!real)
		return fail(in, errno, "look at", e);
	return open_parent(in, real, ret_name, e);
}

/*
 * Finds the directory for the top of the tree, in in->base, and its name there. An empty name: the
 * top is in->base itself.
 */
static int find_place(struct tree_in *in, char *ret_name, struct err *e)
{
	const char *name = in->place.name;
	struct stat st;
	int r;

	path_push(in, in->place.path);
	ret_name[0] = '\0';
	if (!name && in->entry.type != TREE_DIR)
		return bad(e, "contents of something that is no directory");
	if (stat(in->place.path, &st) < 0 && errno != ENOENT)
		return fail(in, errno, "look at", e);
	if (lstat(in->place.path, &st) < 0 || stat(in->place.path, &st) < 0)
		r = place_new(in, ret_name, e);
	else if (!S_ISDIR(st.st_mode))
		r = place_over(in, ret_name, e);
	else
		r = open_base(in, in->place.path, e);
	if (r < 0)
		return -1;
	if (!ret_name[0] && name) {
		memcpy(ret_name, name, strlen(name) + 1);
		path_push(in, name);
	}
	return check_source(in, ret_name[0] ? ret_name : NULL, e);
}

/* --- attributes ---------------------------------------------------------------------------- */

static struct timespec to_timespec(int64_t ns)
{
	int64_t s = ns / (int64_t)NSEC_PER_SEC, rest = ns % (int64_t)NSEC_PER_SEC;

	if (rest < 0) {
		rest += (int64_t)NSEC_PER_SEC;
		s--;
	}
	return (struct timespec){.tv_sec = s, .tv_nsec = rest};
}

/* Of what is at `fd`; the owner first, since a change of that clears mode bits. */
static int set_attributes(const struct tree_in *in, int fd, const struct tree_level *a)
{
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, to_timespec(a->mtime_ns)};
	mode_t mode = a->mode & (in->place.owners ? MODE_OWNERS : MODE_PLAIN);

	if ((in->place.owners && fchown(fd, a->uid, a->gid) < 0) || fchmod(fd, mode) < 0 ||
	    futimens(fd, times) < 0)
		return -errno;
	return 0;
}

static struct tree_level attributes_of(const struct tree_entry *entry)
{
	return (struct tree_level){
		.fd = -1,
		.made = true,
		.mode = entry->mode,
		.uid = entry->uid,
		.gid = entry->gid,
		.mtime_ns = entry->mtime_ns,
	};
}

/* --- entries ------------------------------------------------------------------------------- */

/* Checks that an entry may take its place: what is there may be replaced. */
static int check_place(const struct tree_in *in, const char *name, struct err *e)
{
	struct stat st;

	if (fstatat(parent_fd(in), name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : fail(in, errno, "look at", e);
	if (in->entry.type == TREE_DIR)
		return S_ISDIR(st.st_mode)
			       ? 0
			       : refuse(in, "cannot copy a directory over", ", which is none", e);
	if (S_ISDIR(st.st_mode))
		return refuse(in, "cannot replace directory", " with a file", e);
	if (!S_ISREG(st.st_mode) && !S_ISLNK(st.st_mode))
		return refuse(in, "cannot replace", ", which is neither file nor link", e);
	return 0;
}

static int choose_temp(struct tree_in *in)
{
	uint64_t random;

	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		return -errno;
	snprintf(in->temp, sizeof(in->temp), ".msb-%016llx", (unsigned long long)random);
	return 0;
}

static int begin_file(struct tree_in *in, struct err *e)
{
	int r = choose_temp(in);

	if (r == 0) {
		in->file = openat(parent_fd(in), in->temp,
				  O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
		r = in->file < 0 ? -errno : 0;
	}
	in->written = 0;
	return r < 0 ? fail(in, -r, "write", e) : 0;
}

/* Back to the directory that the entry is in. The top completes the tree. */
static int entry_done(struct tree_in *in)
{
	path_pop(in, in->depth ? in->levels[in->depth - 1].path_len : 0);
	in->complete = in->depth == 0;
	return in->complete;
}

static int finish_file(struct tree_in *in, struct err *e)
{
	struct tree_level a = attributes_of(&in->entry);
	int r = 0;

	/* It may end with a hole. */
	if (ftruncate(in->file, (off_t)in->written) < 0)
		r = -errno;
	if (r == 0)
		r = set_attributes(in, in->file, &a);
	if (r == 0 && renameat(parent_fd(in), in->temp, parent_fd(in), in->entry.name) < 0)
		r = -errno;
	if (r < 0)
		return fail(in, -r, "write", e);
	/* Some file systems tell only now that there was no room. */
	if (close(in->file) < 0)
		r = -errno;
	in->file = -1;
	return r < 0 ? fail(in, -r, "write", e) : entry_done(in);
}

static int make_link(struct tree_in *in, struct err *e)
{
	const struct tree_entry *entry = &in->entry;
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, to_timespec(entry->mtime_ns)};
	int dir = parent_fd(in), r = choose_temp(in);

	if (r < 0 || symlinkat(entry->target, dir, in->temp) < 0)
		return fail(in, r < 0 ? -r : errno, "make link", e);
	if (in->place.owners &&
	    fchownat(dir, in->temp, entry->uid, entry->gid, AT_SYMLINK_NOFOLLOW) < 0)
		r = -errno;
	/* Not every file system keeps a link's time, which nobody misses. */
	utimensat(dir, in->temp, times, AT_SYMLINK_NOFOLLOW);
	if (r == 0 && renameat(dir, in->temp, dir, entry->name) < 0)
		r = -errno;
	if (r < 0) {
		unlinkat(dir, in->temp, 0);
		return fail(in, -r, "make link", e);
	}
	return entry_done(in);
}

/* Goes into a directory that exists or is made. An empty name: into in->base itself. */
static int enter_dir(struct tree_in *in, struct err *e)
{
	const char *name = in->entry.name;
	struct tree_level level = attributes_of(&in->entry);
	int dir = parent_fd(in);

	if (in->depth == TREE_DEPTH_MAX)
		return bad(e, "too many directories in one another");
	/* Only ours until it is complete. */
	level.made = *name && mkdirat(dir, name, 0700) == 0;
	if (*name && !level.made && errno != EEXIST)
		return fail(in, errno, "make directory", e);
	level.fd =
		*name ? openat(dir, name, DIR_FLAGS | O_NOFOLLOW) : fcntl(dir, F_DUPFD_CLOEXEC, 0);
	if (level.fd < 0)
		return fail(in, errno, "open directory", e);
	level.path_len = in->path_len;
	in->levels[in->depth++] = level;
	return 0;
}

static int leave_dir(struct tree_in *in, struct err *e)
{
	struct tree_level *level;
	int r;

	if (in->depth == 0)
		return bad(e, "more directories left than entered");
	level = &in->levels[in->depth - 1];
	path_pop(in, level->path_len);
	r = level->made ? set_attributes(in, level->fd, level) : 0;
	if (r < 0)
		return fail(in, -r, "set the attributes of", e);
	close(level->fd);
	in->depth--;
	return entry_done(in);
}

static int begin_entry(struct tree_in *in, json_t *j, struct err *e)
{
	if (tree_entry_from_json(j, &in->entry, e) < 0)
		return -1;
	if (!in->begun == (in->entry.name[0] != '\0'))
		return bad(e, in->begun ? "an entry without a name" : "a top with a name");
	if (in->place.owners && !in->entry.has_owner)
		return bad(e, "an entry without its owner");
	if (in->begun)
		path_push(in, in->entry.name);
	/* Where the top goes is not for its sender to say. */
	else if (find_place(in, in->entry.name, e) < 0)
		return -1;
	in->begun = true;
	if (in->entry.name[0] && check_place(in, in->entry.name, e) < 0)
		return -1;
	switch (in->entry.type) {
	case TREE_DIR:
		return enter_dir(in, e);
	case TREE_LINK:
		return make_link(in, e);
	case TREE_FILE:
	case TREE_TYPE_COUNT:
		break;
	}
	return begin_file(in, e);
}

/* --- frames -------------------------------------------------------------------------------- */

/* Whether so many more bytes belong to the file. */
static int check_length(const struct tree_in *in, uint64_t n, struct err *e)
{
	uint64_t max = in->entry.has_size ? in->entry.size : INT64_MAX;

	if (in->file < 0)
		return bad(e, "content without a file");
	return n > max - in->written ? bad(e, "a file is longer than announced") : 0;
}

static int take_data(struct tree_in *in, const struct frame *f, struct err *e)
{
	int r;

	if (check_length(in, f->len, e) < 0)
		return -1;
	r = write_full(in->file, f->payload, f->len);
	if (r < 0)
		return fail(in, -r, "write", e);
	in->written += f->len;
	return f->flags & FRAME_EOF ? finish_file(in, e) : 0;
}

static int take_hole(struct tree_in *in, json_t *j, struct err *e)
{
	uint64_t n;

	if (tree_hole_from_json(j, &n, e) < 0 || check_length(in, n, e) < 0)
		return -1;
	if (lseek(in->file, (off_t)n, SEEK_CUR) < 0)
		return fail(in, errno, "write", e);
	in->written += n;
	return 0;
}

static int take_skipped(const struct tree_in *in, json_t *j, struct err *e)
{
	struct tree_skipped s;

	if (!in->place.skipped)
		return 0;
	if (tree_skipped_from_json(j, &s, e) < 0)
		return -1;
	in->place.skipped(&s);
	tree_skipped_release(&s);
	return 0;
}

static int take_event(struct tree_in *in, json_t *j, struct err *e)
{
	switch (tree_event_of(j)) {
	case TREE_ENTRY:
		return in->file < 0 ? begin_entry(in, j, e)
				    : bad(e, "an entry within a file's content");
	case TREE_LEAVE:
		return in->file < 0 ? leave_dir(in, e)
				    : bad(e, "a directory left within a file's content");
	case TREE_HOLE:
		return take_hole(in, j, e);
	case TREE_END:
		return bad(e, "its end is missing");
	case TREE_SKIPPED:
		return take_skipped(in, j, e);
	case TREE_UNKNOWN:
		break;
	}
	return 0;
}

int tree_in_frame(struct tree_in *in, const struct frame *f, struct err *e)
{
	json_t *j;
	int r;

	if (in->complete)
		return bad(e, "more than one tree");
	if (f->type == FRAME_DATA)
		return take_data(in, f, e);
	if (f->type != FRAME_EVENT)
		return err_set(e, ERR_CORRUPT, "malformed stream of files: a %s frame",
			       frame_type_name(f->type));
	j = message_parse(f->payload, f->len, e);
	if (!j) {
		if (e)
			e->code = ERR_CORRUPT;
		return -1;
	}
	r = take_event(in, j, e);
	json_decref(j);
	return r;
}
