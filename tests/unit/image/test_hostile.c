/* SPDX-License-Identifier: Apache-2.0 */
/* Layers that nobody made in good faith, beyond those of test_layer and test_merge. */
#include "layers.h"

#include "image/load.h"

#include <sys/mman.h>

/* --- names ---------------------------------------------------------------------------------- */

/* What differs in bytes is a file of its own, whatever other systems would make of it. */
static void test_names_kept_apart(void **state)
{
	static const char *const names[] = {
		"readme",    "README",      "ReadMe",    "caf\xc3\xa9", "cafe\xcc\x81", "bad\xff",
		"new\nline", "esc\033[31m", "tab\there", " ",           "back\\slash",  "q'uote\"",
		"-",         "...",         "wh.",       "a.wh.b",      "\xe2\x80\xae", "~",
	};
	struct fixture *f = *state;
	struct stack s;

	stack_init(&s, f);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		tar_pax_text(&f->tar, "path", names[i]);
		TAR(&f->tar, .name = "x", .data = names[i]);
	}
	assert_ok(stack_add(&s), &f->e);
	stack_finish(&s);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		assert_content(&s.image, names[i], names[i]);
	stack_release(&s);
}

/* "." and ".." have their places among the names like any other. */
static void test_names_around_dots(void **state)
{
	static const char *const names[] = {"!", "-", ".!", ".+x", ".-", "..a", ".a", "/", "0"};
	struct fixture *f = *state;
	struct stack s;

	stack_init(&s, f);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		_cleanup_free_ char *path = xasprintf("d/%s", names[i]);

		if (*names[i] != '/')
			TAR(&f->tar, .name = path, .data = names[i]);
	}
	assert_ok(stack_add(&s), &f->e);
	stack_finish(&s);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		_cleanup_free_ char *path = xasprintf("d/%s", names[i]);

		if (*names[i] != '/')
			assert_content(&s.image, path, names[i]);
	}
	assert_int_equal(lookup(&s.image, "d/.").nid, lookup(&s.image, "d").nid);
	assert_int_equal(lookup(&s.image, "d/..").nid, lookup(&s.image, "").nid);
	stack_release(&s);
}

static void test_longest_names(void **state)
{
	struct fixture *f = *state;
	char path[LAYER_PATH_MAX + 2];
	struct ingest_result res;
	struct stack s;

	for (size_t i = 0; i < sizeof(path); i++)
		path[i] = i % 256 == 255 ? '/' : 'n';
	path[LAYER_PATH_MAX] = '\0';
	stack_init(&s, f);
	tar_pax_text(&f->tar, "linkpath", path);
	TAR(&f->tar, .name = "link", .type = '2', .link = "x");
	path[3900] = '\0'; /* fsck.erofs takes it out below a directory of ours */
	tar_pax_text(&f->tar, "path", path);
	TAR(&f->tar, .name = "x", .data = "deep");
	tar_pax_text(&f->tar, "linkpath", path);
	TAR(&f->tar, .name = "hard", .type = '1', .link = "x");
	assert_ok(stack_add(&s), &f->e);
	stack_finish(&s);
	assert_content(&s.image, path, "deep");
	assert_content(&s.image, "hard", "deep");
	assert_int_equal(lookup(&s.image, "link").size, LAYER_PATH_MAX);
	stack_release(&s);
	path[3900] = 'n';
	tar_pax_text(&f->tar, "path", path);
	TAR(&f->tar, .name = "x");
	assert_ok(ingest_tar(f, &res), &f->e);
	path[LAYER_PATH_MAX] = 'n';
	path[LAYER_PATH_MAX + 1] = '\0';
	tar_pax_text(&f->tar, "path", path);
	TAR(&f->tar, .name = "x");
	assert_err(ingest_tar(f, &res), &f->e, ERR_CORRUPT, "too long");
}

/* --- what replaces what --------------------------------------------------------------------- */

enum kind { FILE_KIND, DIR_KIND, LINK_KIND, HARD_KIND, CHAR_KIND, FIFO_KIND, KINDS };

static void add_kind(struct buf *tar, enum kind kind, const char *name)
{
	switch (kind) {
	case FILE_KIND:
		TAR(tar, .name = name, .data = "file");
		break;
	case DIR_KIND:
		TAR(tar, .name = name, .type = '5', .mode = 0700);
		break;
	case LINK_KIND:
		TAR(tar, .name = name, .type = '2', .link = "elsewhere");
		break;
	case HARD_KIND:
		TAR(tar, .name = name, .type = '1', .link = "target");
		break;
	case CHAR_KIND:
		TAR(tar, .name = name, .type = '3', .major = 1, .minor = 3, .mode = 0600);
		break;
	case FIFO_KIND:
		TAR(tar, .name = name, .type = '6', .mode = 0600);
		break;
	case KINDS:
		fail();
	}
}

static void check_kind(struct stack *s, enum kind kind, const char *name)
{
	static const unsigned int modes[] = {S_IFREG | 0644, S_IFDIR | 0700, S_IFLNK | 0777,
					     S_IFREG | 0640, S_IFCHR | 0600, S_IFIFO | 0600};
	struct inode_info i = lookup(&s->image, name);

	assert_true(i.nid);
	assert_int_equal(i.mode, modes[kind]);
	if (kind == HARD_KIND)
		assert_int_equal(i.nid, lookup(&s->image, "target").nid);
	else
		assert_int_equal(i.nlink, kind == DIR_KIND ? 2 : 1);
}

/* The last of two entries with one name counts, within a layer and across layers. */
static void test_every_replacement(void **state)
{
	struct fixture *f = *state;

	for (int layers = 1; layers <= 2; layers++) {
		struct stack s;
		unsigned int links = 1;

		stack_init(&s, f);
		TAR(&f->tar, .name = "target", .data = "t", .mode = 0640);
		for (int pass = 0; pass < 2; pass++) {
			for (int i = 0; i < KINDS * KINDS; i++) {
				_cleanup_free_ char *name = xasprintf("n%d", i);

				add_kind(&f->tar, (enum kind)(pass ? i % KINDS : i / KINDS), name);
			}
			if (pass == 0 && layers == 2)
				assert_ok(stack_add(&s), &f->e);
		}
		assert_ok(stack_add(&s), &f->e);
		stack_finish(&s);
		for (int i = 0; i < KINDS * KINDS; i++) {
			_cleanup_free_ char *name = xasprintf("n%d", i);

			check_kind(&s, (enum kind)(i % KINDS), name);
			links += i % KINDS == HARD_KIND;
		}
		assert_int_equal(lookup(&s.image, "target").nlink, links);
		stack_release(&s);
	}
}

static void test_there_and_back(void **state)
{
	struct fixture *f = *state;
	struct stack s;

	stack_init(&s, f);
	for (int i = 0; i < 3; i++) {
		TAR(&f->tar, .name = "x", .data = "file");
		TAR(&f->tar, .name = "x", .type = '5', .mode = 0755);
		TAR(&f->tar, .name = "x/below", .data = "below");
	}
	assert_ok(stack_add(&s), &f->e);
	TAR(&f->tar, .name = "x", .data = "again");
	assert_ok(stack_add(&s), &f->e);
	assert_int_equal(s.tree.n_nodes, 2);
	TAR(&f->tar, .name = "x/", .type = '5', .mode = 0755);
	assert_ok(stack_add(&s), &f->e);
	stack_finish(&s);
	assert_missing(&s.image, "x/below");
	assert_int_equal(lookup(&s.image, "x").nlink, 2);
	stack_release(&s);
}

static void test_chains_of_hard_links(void **state)
{
	struct fixture *f = *state;
	struct stack s;

	stack_init(&s, f);
	TAR(&f->tar, .name = "l0", .data = "one");
	for (int i = 1; i <= 1000; i++) {
		_cleanup_free_ char *name = xasprintf("l%d", i);
		_cleanup_free_ char *link = xasprintf("l%d", i - 1);

		TAR(&f->tar, .name = name, .type = '1', .link = link);
	}
	/* The name it started from goes; a link through a link to a directory; one to a device. */
	TAR(&f->tar, .name = "l0", .data = "two");
	TAR(&f->tar, .name = "real/", .type = '5', .mode = 0755);
	TAR(&f->tar, .name = "real/file", .data = "three");
	TAR(&f->tar, .name = "way", .type = '2', .link = "/real");
	TAR(&f->tar, .name = "through", .type = '1', .link = "way/file");
	TAR(&f->tar, .name = "null", .type = '3', .major = 1, .minor = 3);
	TAR(&f->tar, .name = "null2", .type = '1', .link = "null");
	assert_ok(stack_add(&s), &f->e);
	stack_finish(&s);
	assert_content(&s.image, "l0", "two");
	assert_content(&s.image, "l1000", "one");
	assert_int_equal(lookup(&s.image, "l1").nlink, 1000);
	assert_int_equal(lookup(&s.image, "through").nid, lookup(&s.image, "real/file").nid);
	assert_int_equal(lookup(&s.image, "null2").mode, S_IFCHR | 0644);
	assert_int_equal(lookup(&s.image, "null2").nlink, 2);
	stack_release(&s);
}

/* --- marks ---------------------------------------------------------------------------------- */

/* Wherever in its layer a mark stands, it hides lower layers and nothing of its own. */
static void test_marks_anywhere(void **state)
{
	struct fixture *f = *state;

	for (int order = 0; order < 6; order++) {
		struct stack s;

		stack_init(&s, f);
		TAR(&f->tar, .name = "d/low", .data = "1");
		TAR(&f->tar, .name = "d/both", .data = "1");
		TAR(&f->tar, .name = "w/deep/low", .data = "1");
		assert_ok(stack_add(&s), &f->e);
		for (int i = 0; i < 3; i++) {
			switch ((order / 2 + (order % 2 ? 3 - i : i)) % 3) {
			case 0:
				TAR(&f->tar, .name = "d/.wh..wh..opq");
				TAR(&f->tar, .name = ".wh.w");
				break;
			case 1:
				TAR(&f->tar, .name = "d/both", .data = "2");
				TAR(&f->tar, .name = "w/deep/new", .data = "2");
				break;
			default:
				TAR(&f->tar, .name = "d/", .type = '5', .mode = 0711);
				TAR(&f->tar, .name = "w/", .type = '5', .mode = 0711);
			}
		}
		assert_ok(stack_add(&s), &f->e);
		stack_finish(&s);
		assert_missing(&s.image, "d/low");
		assert_content(&s.image, "d/both", "2");
		assert_missing(&s.image, "w/deep/low");
		assert_content(&s.image, "w/deep/new", "2");
		assert_int_equal(lookup(&s.image, "d").mode, S_IFDIR | 0711);
		assert_int_equal(lookup(&s.image, "w").mode, S_IFDIR | 0711);
		stack_release(&s);
	}
}

static void test_odd_marks(void **state)
{
	struct fixture *f = *state;
	struct stack s;

	stack_init(&s, f);
	TAR(&f->tar, .name = "usr/keep", .data = "1");
	TAR(&f->tar, .name = "way", .type = '2', .link = "usr");
	TAR(&f->tar, .name = "file", .data = "1");
	TAR(&f->tar, .name = "wh.x", .data = "1");
	assert_ok(stack_add(&s), &f->e);
	TAR(&f->tar, .name = "nothing/.wh.there");
	TAR(&f->tar, .name = "file/.wh.below-a-file");
	TAR(&f->tar, .name = "file/.wh..wh..opq");
	TAR(&f->tar, .name = ".wh.wh.x");                  /* hides "wh.x" */
	TAR(&f->tar, .name = ".wh..wh.aufs", .type = '5'); /* of a file system long gone */
	TAR(&f->tar, .name = "way/.wh..wh..opq");          /* of the directory it leads to */
	TAR(&f->tar, .name = "usr/.wh.linked", .type = '2', .link = "../../etc");
	TAR(&f->tar, .name = "missing/.wh..wh..opq", .type = '5');
	assert_ok(stack_add(&s), &f->e);
	stack_finish(&s);
	assert_content(&s.image, "file", "1");
	assert_missing(&s.image, "wh.x");
	assert_missing(&s.image, "usr/keep");
	assert_content(&s.image, "way", "usr");
	assert_missing(&s.image, "nothing");
	assert_missing(&s.image, ".wh..wh.aufs");
	stack_release(&s);
	/* What a layer hides it cannot link to. */
	stack_init(&s, f);
	TAR(&f->tar, .name = "a", .data = "1");
	assert_ok(stack_add(&s), &f->e);
	TAR(&f->tar, .name = "b", .type = '1', .link = "a");
	TAR(&f->tar, .name = ".wh.a");
	assert_err(stack_add(&s), &f->e, ERR_CORRUPT, "hard link to a file that is not there");
	stack_release(&s);
}

/* --- numbers -------------------------------------------------------------------------------- */

/* A number field in base 256: the first bit is set, the rest is big-endian. */
static void base256(char out[12], int64_t v)
{
	for (int i = 11; i >= 0; i--) {
		out[i] = (char)(v & 0xff);
		v >>= 8;
	}
	out[0] = (char)(out[0] | 0x80);
}

/* Puts 12 raw bytes into a field of the header that was added last. */
static void patch_header(struct buf *tar, size_t field, const char bytes[12])
{
	uint8_t *h = tar->mem + tar->end - 512;
	unsigned int sum = 0;

	memcpy(h + field, bytes, 12);
	memset(h + 148, ' ', 8);
	for (int i = 0; i < 512; i++)
		sum += h[i];
	put_octal((char *)h + 148, 6, sum);
	h[154] = '\0';
}

static void test_times(void **state)
{
	static const int64_t times[] = {0,
					1,
					-1,
					-62135596800,
					253402300800,
					INT32_MIN,
					(int64_t)1 << 60,
					-((int64_t)1 << 60)};
	struct fixture *f = *state;
	struct stack s;
	char field[12];

	stack_init(&s, f);
	for (size_t i = 0; i < ARRAY_SIZE(times); i++) {
		_cleanup_free_ char *name = xasprintf("t%zu", i);

		TAR(&f->tar, .name = name);
		base256(field, times[i]);
		patch_header(&f->tar, 136, field);
	}
	tar_pax_text(&f->tar, "mtime", "-1.5");
	TAR(&f->tar, .name = "before");
	tar_pax_text(&f->tar, "mtime", "9223372036854775807.999999999");
	TAR(&f->tar, .name = "last");
	tar_pax_text(&f->tar, "mtime", "99999999999999999999999999");
	TAR(&f->tar, .name = "beyond");
	tar_pax_text(&f->tar, "mtime", "nonsense");
	TAR(&f->tar, .name = "nonsense");
	assert_ok(stack_add(&s), &f->e);
	stack_finish(&s);
	for (size_t i = 0; i < ARRAY_SIZE(times); i++) {
		_cleanup_free_ char *name = xasprintf("t%zu", i);

		assert_int_equal(lookup(&s.image, name).mtime, times[i]);
	}
	assert_int_equal(lookup(&s.image, "last").mtime, INT64_MAX);
	assert_true(lookup(&s.image, "beyond").mtime_ns < 1000000000);
	stack_release(&s);
}

static void test_impossible_numbers(void **state)
{
	struct fixture *f = *state;
	char field[12];

	for (int i = 0; i < 6; i++) {
		struct ingest_result res;

		TAR(&f->tar, .name = "fine", .data = "x");
		TAR(&f->tar, .name = "odd");
		base256(field, i == 0 ? -1 : i == 1 ? INT64_MAX : INT64_MIN);
		if (i == 3)
			memset(field, 0x80, sizeof(field)); /* far above 64 bits */
		if (i == 4)
			memset(field, 0xff, sizeof(field));
		if (i == 5) /* a size that is there, but of what the limit forbids */
			base256(field, (int64_t)2 * (int64_t)GIB);
		patch_header(&f->tar, 124, field);
		if (ingest_tar(f, &res) == 0)
			fail_msg("case %d was accepted", i);
		assert_true(f->e.code == ERR_CORRUPT || f->e.code == ERR_INVALID);
		assert_int_equal(count_files(f, "layers", ""), 0);
		f->e = (struct err){0};
	}
}

/* --- extended headers ----------------------------------------------------------------------- */

/* Headers for the next entry that are far too long, claimed or real. */
static void test_huge_headers(void **state)
{
	static const char types[] = {'x', 'g', 'L', 'K'};
	struct fixture *f = *state;
	_cleanup_free_ char *big = xmalloc(8 * MIB);

	memset(big, 'n', 8 * MIB);
	memcpy(big, "8388608 path=", 13);
	big[8 * MIB - 1] = '\n';
	for (size_t i = 0; i < 2 * ARRAY_SIZE(types); i++) {
		struct tar_entry t = {.name = "long", .type = types[i / 2]};
		struct ingest_result res;

		tar_header(&f->tar, &t, i % 2 ? 8 * MIB : GIB);
		buf_append(&f->tar, big, 8 * MIB);
		TAR(&f->tar, .name = "x");
		assert_err(ingest_tar(f, &res), &f->e, ERR_CORRUPT, "layer sha256:test");
		assert_int_equal(count_files(f, "layers", ""), 0);
	}
}

/* Headers about headers about headers. */
static void test_many_headers_in_a_row(void **state)
{
	static const char types[] = {'x', 'g', 'L', 'K'};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		struct ingest_result res;

		for (int k = 0; k < 20000; k++)
			TAR(&f->tar, .name = "again", .type = types[i],
			    .data = types[i] == 'L' || types[i] == 'K' ? "n" : "9 path=x\n");
		TAR(&f->tar, .name = "x");
		if (ingest_tar(f, &res) == 0)
			fail_msg("type %c was accepted", types[i]);
		assert_int_equal(f->e.code, ERR_CORRUPT);
		f->e = (struct err){0};
	}
}

static void test_many_attributes(void **state)
{
	struct fixture *f = *state;
	struct stack s;
	struct buf rec;

	buf_init(&rec, TAR_MAX);
	stack_init(&s, f);
	for (unsigned int i = 0; i < LAYER_XATTR_COUNT_MAX; i++) {
		_cleanup_free_ char *key = xasprintf("SCHILY.xattr.user.%u", i);

		pax_record(&rec, key, "v", 1);
	}
	tar_pax_records(&f->tar, &rec);
	TAR(&f->tar, .name = "x", .data = "y");
	assert_ok(stack_add(&s), &f->e);
	stack_finish(&s);
	for (unsigned int i = 0; i < LAYER_XATTR_COUNT_MAX; i++) {
		_cleanup_free_ char *key = xasprintf("%u", i);
		_cleanup_free_ char *value = read_xattr(&s.image, "x", 1, key);

		assert_string_equal(value, "v");
	}
	stack_release(&s);
	buf_consume(&rec, buf_len(&rec));
	for (unsigned int i = 0; i <= LAYER_XATTR_COUNT_MAX; i++) {
		_cleanup_free_ char *key = xasprintf("SCHILY.xattr.user.%u", i);

		pax_record(&rec, key, "v", 1);
	}
	tar_pax_records(&f->tar, &rec);
	TAR(&f->tar, .name = "x");
	assert_err(ingest_tar(f, &(struct ingest_result){0}), &f->e, ERR_CORRUPT, "too many");
	buf_release(&rec);
}

/* --- sparse files --------------------------------------------------------------------------- */

/* A file in GNU's sparse format 1.0: the map is text at the start of the content. */
static void add_sparse(struct buf *tar, const char *name, const char *real_size, const char *map,
		       const char *data)
{
	char content[1024] = {0};
	struct buf rec;

	buf_init(&rec, MIB);
	pax_record(&rec, "GNU.sparse.major", "1", 1);
	pax_record(&rec, "GNU.sparse.minor", "0", 1);
	pax_record(&rec, "GNU.sparse.name", name, strlen(name));
	pax_record(&rec, "GNU.sparse.realsize", real_size, strlen(real_size));
	tar_pax_records(tar, &rec);
	buf_release(&rec);
	memcpy(content, map, strlen(map));
	memcpy(content + 512, data, strlen(data));
	TAR(tar, .name = "GNUSparseFile.0/x", .data = content, .len = 512 + strlen(data));
}

static void test_sparse(void **state)
{
	struct fixture *f = *state;
	struct stack s;
	struct stat st;
	_cleanup_free_ char *content = NULL;
	int fd;

	stack_init(&s, f);
	add_sparse(&f->tar, "holes", "10000", "2\n100\n3\n9000\n3\n", "onetwo");
	add_sparse(&f->tar, "hole", "500000000", "1\n500000000\n0\n", "");
	assert_ok(stack_add(&s), &f->e);
	fd = store_open_file(&f->store, STORE_LAYER_DATA, &s.ix[0].info.diff_id, &f->e);
	assert_int_equal(fstat(fd, &st), 0);
	close(fd);
	assert_true(st.st_size > 500000000 && st.st_blocks * 512 < (off_t)MIB);
	tree_remove(&s.tree, tree_find(&s.tree, s.tree.root, "hole", 4));
	s.blocks[0] = 3; /* the hole is no part of the disk that is read here */
	stack_release(&s);
}

/* Maps that do not fit what they describe. */
static void test_sparse_lies(void **state)
{
	static const struct {
		const char *size, *map;
	} lies[] = {
		{"10", "1\n1000000\n6\n"},       /* data behind the end */
		{"10", "1\n8\n6\n"},             /* half of them */
		{"1000", "2\n500\n3\n100\n3\n"}, /* backwards */
		{"1000", "2\n100\n5\n102\n1\n"}, /* over each other */
		{"1000", "1\n-5\n6\n"},          /* before the start */
		{"1000", "1\n9223372036854775807\n6\n"},
		{"1000", "99999999999\n0\n6\n"},
		{"-1", "1\n0\n6\n"},
		{"9223372036854775807", "1\n0\n6\n"}, /* beyond the limit */
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(lies); i++) {
		struct ingest_result res;

		add_sparse(&f->tar, "lie", lies[i].size, lies[i].map, "onetwo");
		if (ingest_tar(f, &res) == 0)
			fail_msg("case %zu was accepted", i);
		assert_true(f->e.code == ERR_CORRUPT || f->e.code == ERR_INVALID);
		assert_int_equal(count_files(f, "layers", ""), 0);
		f->e = (struct err){0};
	}
}

/* --- cut off -------------------------------------------------------------------------------- */

/* An archive may end without its mark, but only where an entry could start. */
static void test_cut_at_every_block(void **state)
{
	struct fixture *f = *state;
	size_t len, good = 0;
	uint8_t *tar;

	TAR(&f->tar, .name = "d/", .type = '5', .mode = 0755);
	TAR(&f->tar, .name = "d/a", .data = "content");
	tar_pax_text(&f->tar, "path", "d/long");
	TAR(&f->tar, .name = "x", .data = "content");
	add_sparse(&f->tar, "s", "100", "1\n10\n3\n", "one");
	TAR(&f->tar, .name = "long", .type = 'L', .data = "d/other");
	TAR(&f->tar, .name = "x", .type = '2', .link = "a");
	tar_end(&f->tar);
	len = buf_len(&f->tar);
	tar = xmalloc(len);
	memcpy(tar, buf_data(&f->tar), len);
	for (size_t n = 0; n < len; n += 256) {
		struct ingest_result res;

		if (ingest_bytes(f, tar, n, NULL, &res) == 0) {
			good++;
			continue;
		}
		assert_err(-1, &f->e, ERR_CORRUPT, "layer sha256:test");
	}
	/* Nothing, after each of the five files, and where half of the mark is there. */
	assert_int_equal(good, 8);
	assert_int_equal(count_files(f, "layers", ".tmp-"), 0);
	free(tar);
}

/* What stands behind the end mark belongs to the digest and means nothing. */
static void test_behind_the_end(void **state)
{
	struct fixture *f = *state;
	struct ingest_result plain, res;
	struct layer_index ix;

	TAR(&f->tar, .name = "a", .data = "x");
	tar_end(&f->tar);
	assert_ok(ingest_bytes(f, buf_data(&f->tar), buf_len(&f->tar), NULL, &plain), &f->e);
	TAR(&f->tar, .name = "../../evil", .data = "x");
	buf_append(&f->tar, "garbage", 7);
	assert_ok(ingest_bytes(f, buf_data(&f->tar), buf_len(&f->tar), NULL, &res), &f->e);
	assert_false(digest_eq(&plain.diff_id, &res.diff_id));
	open_index(f, &res.diff_id, &ix);
	assert_int_equal(ix.info.n_entries, 1);
	layer_index_release(&ix);
}

/* --- archives of images --------------------------------------------------------------------- */

/* A document may not be longer than its size, whatever its sparse map says. */
static void test_sparse_document(void **state)
{
	static const char *const maps[] = {"1\n0\n300\n", "1\n100000\n300\n",
					   "2\n0\n1\n300000\n299\n"};
	struct strv none = {0};
	struct load_options o = {.tags = &none, .max_size = GIB};
	struct progress *p = progress_new(-1);
	struct fixture *f = *state;

	platform_host(&o.platform);
	for (size_t i = 0; i < ARRAY_SIZE(maps); i++) {
		_cleanup_close_ int fd = memfd_create("archive", MFD_CLOEXEC);
		char text[301];

		memset(text, ' ', sizeof(text));
		text[0] = '{';
		text[299] = '}';
		text[300] = '\0';
		add_sparse(&f->tar, "index.json", "10", maps[i], text);
		tar_end(&f->tar);
		assert_int_equal(write_full(fd, buf_data(&f->tar), buf_len(&f->tar)), 0);
		buf_consume(&f->tar, buf_len(&f->tar));
		lseek(fd, 0, SEEK_SET);
		assert_null(load_archive(&f->store, fd, &o, p, &f->e));
		assert_err(-1, &f->e, ERR_CORRUPT, "'index.json' has more data than its size says");
	}
	progress_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		store_test(test_names_kept_apart),
		store_test(test_names_around_dots),
		store_test(test_longest_names),
		store_test(test_every_replacement),
		store_test(test_there_and_back),
		store_test(test_chains_of_hard_links),
		store_test(test_marks_anywhere),
		store_test(test_odd_marks),
		store_test(test_times),
		store_test(test_impossible_numbers),
		store_test(test_huge_headers),
		store_test(test_many_headers_in_a_row),
		store_test(test_many_attributes),
		store_test(test_sparse),
		store_test(test_sparse_lies),
		store_test(test_cut_at_every_block),
		store_test(test_behind_the_end),
		store_test(test_sparse_document),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
