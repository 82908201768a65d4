/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file server with a guest's kernel that asks what the input says, of a directory with limits.
 * Numbers of nodes and open files are small, so an input hits those that there are.
 */
#include "fuzz.h"

#include "base/cleanup.h"
#include "base/io.h"
#include "fs/beneath.h"
#include "fs/request.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#define LIMIT     (256 * KIB)
#define NODES     64
#define BODY_MAX  600
#define REPLY_MAX 5000

enum {
	OP_RAW,    /* u8 opcode, node, n; n bytes */
	OP_NAME,   /* u8 opcode, node, n, name, name: n bytes before two names of a letter each */
	OP_CREATE, /* u8 node, name; u32 flags, mode */
	OP_WRITE,  /* u8 node, fh; u64 offset; u8 n: data */
	OP_HOST,   /* u8 what, name: the host changes something */
	OPS,
};

struct target {
	struct server *server;
	int dir; /* that is shared */
};

static void name_of(uint8_t v, char name[2])
{
	name[0] = (char)('a' + v % 4);
	name[1] = '\0';
}

static void ask(struct target *t, uint32_t opcode, uint64_t node, const void *body, size_t n)
{
	struct fuse_in_header header = {
		.len = (uint32_t)(sizeof(header) + n), .opcode = opcode, .nodeid = node, .uid = 1};
	static uint8_t room[REPLY_MAX];
	struct iovec in[2] = {{&header, sizeof(header)}, {(void *)body, n}};
	struct iovec out = {room, sizeof(room)};
	struct iov_iter from, to;
	struct fuse_out_header reply;
	size_t len;

	iov_iter_init(&from, in, 2, sizeof(header) + n);
	iov_iter_init(&to, &out, 1, sizeof(room));
	len = server_handle(t->server, &from, &to);
	CHECK(len == 0 || (len >= sizeof(reply) && len <= sizeof(room)));
	if (!len)
		return;
	memcpy(&reply, room, sizeof(reply));
	CHECK(reply.len == len && reply.error <= 0 && reply.error > -4096);
}

static void raw(struct target *t, struct input *in)
{
	uint8_t body[256], opcode = take8(in), node = take8(in), n = take8(in);

	take(in, body, n);
	/* That of waiting for all of the host's disks is not for a fuzzer. */
	if (opcode != FUSE_SYNCFS)
		ask(t, opcode, node, body, n);
}

static void named(struct target *t, struct input *in)
{
	uint8_t body[260], opcode = take8(in), node = take8(in), n = take8(in);

	take(in, body, n);
	name_of(take8(in), (char *)body + n);
	name_of(take8(in), (char *)body + n + 2);
	ask(t, opcode, node, body, n + 4u);
}

static void create(struct target *t, struct input *in)
{
	uint8_t body[sizeof(struct fuse_create_in) + 2], node = take8(in), name = take8(in);
	struct fuse_create_in c = {.flags = take32(in), .mode = take32(in)};

	memcpy(body, &c, sizeof(c));
	name_of(name, (char *)body + sizeof(c));
	ask(t, FUSE_CREATE, node, body, sizeof(body));
}

static void write_some(struct target *t, struct input *in)
{
	uint8_t body[sizeof(struct fuse_write_in) + 256], node = take8(in);
	struct fuse_write_in w = {.fh = take8(in), .offset = take64(in), .size = take8(in)};

	memcpy(body, &w, sizeof(w));
	take(in, body + sizeof(w), w.size);
	ask(t, FUSE_WRITE, node, body, sizeof(w) + w.size);
}

static void host(struct target *t, struct input *in)
{
	uint8_t what = take8(in);
	char name[2], other[2];

	name_of(take8(in), name);
	name_of(what >> 4, other);
	switch (what % 4) {
	case 0:
		unlinkat(t->dir, name, 0);
		break;
	case 1:
		mkdirat(t->dir, name, 0700);
		break;
	case 2:
		renameat(t->dir, name, t->dir, other);
		break;
	default:
		symlinkat("..", t->dir, name);
	}
}

static void run(struct target *t, struct input *in)
{
	static void (*const ops[OPS])(struct target *, struct input *) = {
		[OP_RAW] = raw,          [OP_NAME] = named, [OP_CREATE] = create,
		[OP_WRITE] = write_some, [OP_HOST] = host,
	};

	while (in->n)
		ops[take8(in) % OPS](t, in);
}

/* The lengths of the files in a directory and those below it. */
static uint64_t total(int dir)
{
	DIR *d = fdopendir(dir);
	struct dirent *e;
	uint64_t sum = 0;

	CHECK(d);
	while ((e = readdir(d))) {
		struct stat st;

		if (e->d_name[0] == '.' ||
		    fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (S_ISREG(st.st_mode))
			sum += (uint64_t)st.st_size;
		if (S_ISDIR(st.st_mode)) {
			int fd = openat(dirfd(d), e->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

			sum += fd < 0 ? 0 : total(fd);
		}
	}
	closedir(d);
	return sum;
}

static void start(struct target *t, const char *path)
{
	struct fuse_init_in init = {
		.major = FUSE_KERNEL_VERSION, .minor = FUSE_KERNEL_MINOR_VERSION, .flags = ~0U};
	struct share_config config = {.quota = LIMIT};
	unsigned bad;

	CHECK(mkdir(path, 0700) == 0);
	t->dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	config.fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	t->server = server_new(&config, 1, NODES, &bad);
	CHECK(t->dir >= 0 && t->server);
	ask(t, FUSE_INIT, 0, &init, sizeof(init));
	ask(t, FUSE_LOOKUP, NODE_ROOT, "0", 2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static char base[] = "/tmp/fuzz-share-XXXXXX";
	static int base_fd = -1;
	struct input in = {data, n};
	struct target t = {};
	struct stat st;
	int first;

	if (base_fd < 0) {
		CHECK(mkdtemp(base));
		base_fd = open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		/* One for ever. */
		CHECK(chdir(base) == 0 && beneath_setup() == 0);
	}
	first = next_fd();
	start(&t, "shared");
	run(&t, &in);
	/* Beside it there is nothing, and in it no more than may be. */
	CHECK(fstat(base_fd, &st) == 0 && st.st_nlink == 3);
	CHECK(total(dup(t.dir)) <= LIMIT);
	server_reset(t.server);
	CHECK(t.server->nodes.n == 2);
	server_free(t.server);
	close(t.dir);
	CHECK(next_fd() == first);
	CHECK(remove_tree(base_fd, "shared") == 0);
	return 0;
}
