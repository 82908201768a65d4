/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The receiver of file trees, fed by a sender that does what it likes. Operations make entries out
 * of names that a file may have and of others, data, holes and ends in any order, or give an event
 * as it stands in the input. Nothing may appear outside the directory that the tree is to go to,
 * and no unfinished file may be left there.
 */
#include "fuzz.h"

#include "base/io.h"
#include "proto/tree_receive.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

enum operation { ENTRY, DATA, HOLE, LEAVE, EVENT, FRAME, OPERATIONS };

static const char *const names[] = {
	"a", "b", "c", "..", ".", "a/b", "../outside", "/", ".msb-0", "to", "", "\xff",
};
static const char *const targets[] = {"a", "..", "../outside", ".", "/", "c/d"};

static char base[64], to[80], outside[80];

static void make_base(void)
{
	snprintf(base, sizeof(base), "/dev/shm/msb-fuzz-XXXXXX");
	CHECK(mkdtemp(base));
	snprintf(to, sizeof(to), "%s/to", base);
	snprintf(outside, sizeof(outside), "%s/outside", base);
	CHECK(mkdir(outside, 0755) == 0);
}

static void remove_base(void)
{
	remove_tree(AT_FDCWD, base);
}

static size_t count_entries(const char *path)
{
	DIR *d = opendir(path);
	size_t n = 0;

	CHECK(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n - 2;
}

/* Modes of directories are the sender's: all are made passable, and names looked at. */
static void check_names(int dir, const char *path)
{
	DIR *d;
	struct dirent *de;
	int fd;

	CHECK(fchmodat(dir, path, 0700, 0) == 0);
	fd = openat(dir, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	CHECK(fd >= 0);
	d = fdopendir(fd);
	while ((de = readdir(d))) {
		/* ".msb-0" is a name that a sender may choose. */
		CHECK(strncmp(de->d_name, ".msb-", 5) != 0 || strcmp(de->d_name, ".msb-0") == 0);
		if (de->d_type == DT_DIR && strcmp(de->d_name, ".") != 0 &&
		    strcmp(de->d_name, "..") != 0)
			check_names(fd, de->d_name);
	}
	closedir(d);
}

static int give_event(struct tree_in *in, const char *text, size_t n, struct err *e)
{
	struct frame f = {
		.type = FRAME_EVENT, .len = (uint32_t)n, .payload = (const uint8_t *)text};

	return tree_in_frame(in, &f, e);
}

static int give_json(struct tree_in *in, json_t *j, struct err *e)
{
	char *text = json_dumps(j, JSON_COMPACT);
	int r = give_event(in, text, strlen(text), e);

	free(text);
	json_decref(j);
	return r;
}

/* The bits of one byte say what it is and has. */
static int entry(struct tree_in *in, struct input *input, struct err *e)
{
	uint8_t what = take8(input);
	struct tree_entry entry = {
		.type = (enum tree_type)(what % TREE_TYPE_COUNT),
		.mode = take16(input) & 07777,
		.mtime_ns = (int64_t)take32(input) << (what >> 2 & 31),
		.has_owner = what & 32,
		.has_size = what & 64,
		.size = take8(input),
	};

	if (what & 128)
		snprintf(entry.name, sizeof(entry.name), "%s",
			 names[take8(input) % ARRAY_SIZE(names)]);
	snprintf(entry.target, sizeof(entry.target), "%s",
		 targets[take8(input) % ARRAY_SIZE(targets)]);
	return give_json(in, tree_entry_to_json(&entry), e);
}

static int operate(struct tree_in *in, struct input *input, struct err *e)
{
	static const uint8_t zeroes[256];
	struct frame f = {.type = FRAME_DATA, .payload = zeroes};
	size_t n;
	int r;

	switch ((enum operation)(take8(input) % OPERATIONS)) {
	case ENTRY:
		return entry(in, input, e);
	case DATA:
		f.len = take8(input);
		f.flags = f.len & 1 ? FRAME_EOF : 0;
		return tree_in_frame(in, &f, e);
	case HOLE:
		return give_json(in, tree_hole_to_json(take32(input)), e);
	case LEAVE:
		return give_json(in, tree_leave_to_json(), e);
	case EVENT:
		n = MIN((size_t)take8(input), input->n);
		r = give_event(in, (const char *)input->p, n, e);
		input->p += n;
		input->n -= n;
		return r;
	case FRAME:
	case OPERATIONS:
		break;
	}
	f.type = 1 + take8(input) % (FRAME_TYPE_COUNT - 1);
	return tree_in_frame(in, &f, e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct tree_in in;
	struct input input = {data, n};
	struct tree_place place = {.path = to};
	struct err e = {0};
	int r = 0, before;

	if (!base[0]) {
		make_base();
		atexit(remove_base);
	}
	CHECK(mkdir(to, 0755) == 0);
	before = next_fd();
	place.name = take8(&input) & 1 ? "name" : NULL;
	place.owners = false;
	tree_in_init(&in, &place);
	while (r == 0 && input.n)
		r = operate(&in, &input, &e);
	CHECK(r <= 1 && (r >= 0 || (e.code != ERR_NONE && e.msg[0])));
	CHECK((r == 1) == in.complete);
	tree_in_release(&in);
	CHECK(next_fd() == before);
	CHECK(count_entries(base) == 2 && count_entries(outside) == 0);
	check_names(AT_FDCWD, to);
	CHECK(remove_tree(AT_FDCWD, to) == 0);
	return 0;
}
