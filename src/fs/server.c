/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation
 *
 * The guest mounts one file system, whose root is ours and whose entries are the shares: this
 * costs one device however many shares there are. Each of them is told to the guest as a mount
 * of its own (FUSE_ATTR_SUBMOUNT), so that it has its own device number and its own df. The agent
 * binds them to where they belong and hides the root.
 *
 * A request is a chain of buffers, handled to its end before the next one is looked at. Its header
 * and arguments are copied before they are checked; the data of reads and writes go directly
 * between the guest's memory and the host's file. In the tables below stands for each operation
 * what may be asked of which node, so that no operation has to ask whether it may change
 * anything:
 *
 *	request -> table: known? share read only? node of a share? -> operation -> reply
 *
 * Who may do what is decided by the guest's kernel (it asks for owner and mode, which attr.c
 * makes), except for what must hold against the guest's kernel itself: a share that is read only,
 * the limits on space, files, open files, and that nothing outside of a share can be named
 * (beneath.c, node.c). Underneath, Landlock holds the thread to the shares.
 *
 * The guest's caches are the fast path. It may keep names and attributes for VALID_SECONDS, also
 * that there is no such name; pages of a file as long as the file has not been changed by others
 * when it is opened anew (op_open); and what it writes is written through, so that the host sees
 * it at once. Locks are between programs of the guest.
 */
#include "fs/server.h"

#include "base/cleanup.h"
#include "base/util.h"
#include "fs/beneath.h"
#include "fs/request.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define FILES_DEFAULT 1024
#define FILES_MOST    (1U << 20)
/* Left for everything else in this process. */
#define FILES_RESERVED 256

/* --- Requests. */

int request_take(struct request *r, void *ret, size_t len)
{
	return iov_iter_read(r->in, ret, len) == len ? 0 : -EINVAL;
}

int request_strings(struct request *r, const char **ret, unsigned n)
{
	size_t len = r->in->left, at = 0;

	if (len > sizeof(r->s->text))
		return -ENAMETOOLONG;
	iov_iter_read(r->in, r->s->text, len);
	for (unsigned i = 0; i < n; i++) {
		size_t l = strnlen(r->s->text + at, len - at);

		if (l == len - at)
			return -EINVAL;
		ret[i] = r->s->text + at;
		at += l + 1;
	}
	return 0;
}

int request_name(struct request *r, const char **ret)
{
	int e = request_strings(r, ret, 1);

	if (e < 0)
		return e;
	if (strlen(*ret) > NAME_MAX)
		return -ENAMETOOLONG;
	return beneath_name_ok(*ret) ? 0 : -EINVAL;
}

int request_reply(struct request *r, const void *data, size_t len)
{
	if (iov_iter_write(r->out, data, len) != len)
		return -EIO;
	r->len += len;
	return 0;
}

/* --- The conversation itself. */

static int op_init(struct request *r)
{
	struct fuse_init_in in = {};
	struct fuse_init_out out = {.major = FUSE_KERNEL_VERSION,
				    .minor = FUSE_KERNEL_MINOR_VERSION};
	const uint64_t wanted = FUSE_ASYNC_READ | FUSE_ATOMIC_O_TRUNC | FUSE_BIG_WRITES |
				FUSE_AUTO_INVAL_DATA | FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO |
				FUSE_ASYNC_DIO | FUSE_PARALLEL_DIROPS | FUSE_MAX_PAGES |
				FUSE_CACHE_SYMLINKS | FUSE_SUBMOUNTS | FUSE_HANDLE_KILLPRIV_V2 |
				FUSE_INIT_EXT;
	uint64_t offered;

	/* The last fields came later. */
	if (r->in->left < offsetof(struct fuse_init_in, flags2))
		return -EINVAL;
	iov_iter_read(r->in, &in, sizeof(in));
	/* A newer kernel asks again with what it hears here. */
	if (in.major > FUSE_KERNEL_VERSION)
		return request_reply(r, &out, sizeof(out));
	/* What the guest's kernel must have: of Linux 5.10. */
	if (in.major < FUSE_KERNEL_VERSION || in.minor < 31)
		return -EPROTO;
	server_reset(r->s);
	r->s->ready = true;
	r->s->minor = in.minor;
	offered = in.flags | (in.flags & FUSE_INIT_EXT ? (uint64_t)in.flags2 << 32 : 0);
	offered &= wanted;
	out.minor = MIN(in.minor, FUSE_KERNEL_MINOR_VERSION);
	out.max_readahead = in.max_readahead;
	out.flags = (uint32_t)offered;
	out.flags2 = (uint32_t)(offered >> 32);
	out.max_background = 64;
	out.congestion_threshold = 48;
	out.max_write = IO_MAX;
	out.max_pages = IO_PAGES_MAX;
	out.time_gran = 1;
	return request_reply(r, &out, sizeof(out));
}

static int op_destroy(struct request *r)
{
	server_reset(r->s);
	return 0;
}

/* These two have no reply. */
static void forget(struct request *r)
{
	struct fuse_forget_in in;

	if (request_arg(r, &in) == 0 && r->node)
		nodes_forget(&r->s->nodes, r->node, in.nlookup);
}

static void batch_forget(struct request *r)
{
	struct fuse_batch_forget_in in;
	struct fuse_forget_one one;

	if (request_arg(r, &in) < 0)
		return;
	for (uint32_t i = 0; i < in.count && request_arg(r, &one) == 0; i++) {
		struct node *n = nodes_get(&r->s->nodes, one.nodeid);

		if (n)
			nodes_forget(&r->s->nodes, n, one.nlookup);
	}
}

/* Not an error for us: the guest's kernel hears that it need not ask again. */
static int op_unknown(struct request *r)
{
	return -ENOSYS;
}

static const struct {
	operation *fn;
	bool writes;  /* not for a share that is read only */
	bool at_root; /* also for the root, which is not in any share */
} operations[] = {
	[FUSE_INIT] = {op_init, false, true},
	[FUSE_DESTROY] = {op_destroy, false, true},
	[FUSE_LOOKUP] = {op_lookup, false, true},
	[FUSE_GETATTR] = {op_getattr, false, true},
	[FUSE_SETATTR] = {op_setattr, true, false},
	[FUSE_READLINK] = {op_readlink, false, false},
	[FUSE_STATFS] = {op_statfs, false, true},
	[FUSE_SYMLINK] = {op_symlink, true, false},
	[FUSE_MKNOD] = {op_mknod, true, false},
	[FUSE_MKDIR] = {op_mkdir, true, false},
	[FUSE_UNLINK] = {op_unlink, true, false},
	[FUSE_RMDIR] = {op_rmdir, true, false},
	[FUSE_RENAME] = {op_rename, true, false},
	[FUSE_RENAME2] = {op_rename2, true, false},
	[FUSE_LINK] = {op_link, true, false},
	[FUSE_CREATE] = {op_create, true, false},
	[FUSE_TMPFILE] = {op_tmpfile, true, false},
	/* Opening looks at its flags itself; what is open for writing may be written. */
	[FUSE_OPEN] = {op_open, false, false},
	[FUSE_READ] = {op_read, false, false},
	[FUSE_WRITE] = {op_write, true, false},
	[FUSE_RELEASE] = {op_release, false, false},
	[FUSE_FSYNC] = {op_fsync, false, false},
	[FUSE_FALLOCATE] = {op_fallocate, true, false},
	[FUSE_LSEEK] = {op_lseek, false, false},
	[FUSE_COPY_FILE_RANGE] = {op_copy_file_range, false, false},
	[FUSE_SYNCFS] = {op_syncfs, false, true},
	[FUSE_OPENDIR] = {op_opendir, false, false},
	[FUSE_READDIR] = {op_readdir, false, false},
	[FUSE_READDIRPLUS] = {op_readdirplus, false, false},
	[FUSE_RELEASEDIR] = {op_releasedir, false, false},
	[FUSE_FSYNCDIR] = {op_fsync, false, false},
	[FUSE_SETXATTR] = {op_setxattr, true, false},
	[FUSE_GETXATTR] = {op_getxattr, false, false},
	[FUSE_LISTXATTR] = {op_listxattr, false, false},
	[FUSE_REMOVEXATTR] = {op_removexattr, true, false},
};

static int dispatch(struct request *r)
{
	uint32_t op = r->header.opcode;

	if (op >= ARRAY_SIZE(operations) || !operations[op].fn)
		return op_unknown(r);
	if (op == FUSE_INIT)
		return op_init(r);
	if (!r->s->ready)
		return -EPROTO;
	/* The kernel of the guest names no node in some requests, which are for all of it. */
	if (!r->node)
		return op == FUSE_DESTROY ? op_destroy(r) : -ESTALE;
	if (!r->node->share && !operations[op].at_root)
		return -EPERM;
	if (operations[op].writes && (!r->node->share || r->node->share->config.read_only))
		return -EROFS;
	return operations[op].fn(r);
}

size_t server_handle(struct server *s, struct iov_iter *in, struct iov_iter *out)
{
	struct iov_iter head = *out;
	struct request r = {.s = s, .in = in, .out = out};
	struct fuse_out_header reply = {};
	int e;

	if (iov_iter_read(in, &r.header, sizeof(r.header)) != sizeof(r.header))
		return 0;
	r.node = nodes_get(&s->nodes, r.header.nodeid);
	nodes_trim(&s->nodes);
	if (r.header.opcode == FUSE_FORGET || r.header.opcode == FUSE_BATCH_FORGET) {
		if (r.header.opcode == FUSE_FORGET)
			forget(&r);
		else
			batch_forget(&r);
		return 0;
	}
	/* No answer is wanted to this, and nothing here waits for so long that it could be. */
	if (r.header.opcode == FUSE_INTERRUPT || iov_iter_skip(out, sizeof(reply)) != sizeof(reply))
		return 0;
	/* It must stay while it is worked on, whatever the guest believes to have forgotten. */
	if (r.node)
		r.node->handles++;
	e = dispatch(&r);
	if (r.node) {
		r.node->handles--;
		nodes_drop_if_unused(&s->nodes, r.node);
	}
	reply.unique = r.header.unique;
	reply.error = e;
	reply.len = (uint32_t)(sizeof(reply) + (e < 0 ? 0 : r.len));
	iov_iter_write(&head, &reply, sizeof(reply));
	return reply.len;
}

/* --- Beginning and end. */

static int add_share(struct server *s, const struct share_config *config)
{
	struct share *share = &s->shares[s->n_shares];
	struct identity id;
	struct statx x;
	int r;

	*share = (struct share){.config = *config, .host_uid = geteuid()};
	r = node_statx(config->fd, "", &x);
	if (r < 0)
		return r;
	if (config->file ? !S_ISREG(x.stx_mode) : !S_ISDIR(x.stx_mode))
		return config->file ? -EINVAL : -ENOTDIR;
	identity_of(&x, &id);
	share->dev = id.dev;
	share->keeps_xattrs = attr_supported(config->fd);
	if (!share->keeps_xattrs && config->virt == SHARE_VIRT_STRICT && !config->read_only)
		return -EOPNOTSUPP;
	share->root = nodes_add(&s->nodes, share, &id);
	if (!share->root)
		return -errno;
	/* Of which there is one for ever. */
	share->root->fd = config->fd;
	share->root->pinned = true;
	s->nodes.n_pinned++;
	s->n_shares++;
	return 0;
}

/* Half of the descriptors for what is open in the guest, half for nodes. */
static int make_tables(struct server *s, size_t max_nodes)
{
	static const struct identity none = {.type = S_IFDIR};
	struct rlimit files = {.rlim_cur = FILES_DEFAULT};
	size_t n;

	getrlimit(RLIMIT_NOFILE, &files);
	n = MIN(files.rlim_cur, (size_t)FILES_MOST);
	n = n > (size_t)2 * FILES_RESERVED ? n - FILES_RESERVED : FILES_RESERVED;
	s->handles.max = n / 2;
	if (nodes_init(&s->nodes, max_nodes + SHARES_MAX + 1, n / 4) < 0)
		return -ENOMEM;
	s->root = nodes_add(&s->nodes, NULL, &none);
	return s->root ? 0 : -ENOMEM;
}

struct server *server_new(const struct share_config *shares, unsigned n, size_t max_nodes,
			  unsigned *ret_bad)
{
	struct server *s = calloc(1, sizeof(*s));
	int r = s ? 0 : -ENOMEM;

	*ret_bad = 0;
	if (r == 0)
		r = beneath_setup();
	if (r == 0)
		r = make_tables(s, max_nodes);
	for (unsigned i = 0; i < n; i++) {
		if (r == 0)
			r = add_share(s, &shares[i]);
		if (r < 0 && (!s || i >= s->n_shares))
			close(shares[i].fd);
		if (r == 0)
			*ret_bad = i + 1;
	}
	if (r < 0) {
		server_free(s);
		errno = -r;
		return NULL;
	}
	return s;
}

struct server *server_free(struct server *s)
{
	if (!s)
		return NULL;
	server_reset(s);
	free(s->handles.v);
	nodes_release(&s->nodes);
	free(s);
	return NULL;
}

void server_reset(struct server *s)
{
	for (size_t i = 0; i < s->handles.n; i++)
		handle_close(s, &s->handles.v[i]);
	for (size_t i = 0; i < s->nodes.n_slots; i++)
		if (s->nodes.slots[i])
			nodes_forget(&s->nodes, s->nodes.slots[i], UINT64_MAX);
	s->ready = false;
}
