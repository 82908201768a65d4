/* SPDX-License-Identifier: Apache-2.0 */
#include "layers.h"

static void test_everything(void **state)
{
	struct fixture *f = *state;
	struct inode_info i;
	struct stack s;
	char link[3001], *value;
	_cleanup_free_ char *big = xcalloc(1, 1000001), *extracted = NULL, *path = NULL;

	memset(big, 'B', 1000000);
	memset(link, 'l', sizeof(link) - 1);
	link[sizeof(link) - 1] = '\0';
	stack_init(&s, f);
	TAR(&f->tar, .name = "./", .type = '5', .mode = 01755, .mtime = 1000);
	TAR(&f->tar, .name = "big", .data = big, .mtime = 1000);
	TAR(&f->tar, .name = "empty", .mtime = 1000);
	TAR(&f->tar, .name = "suid", .data = "x", .mode = 06711, .mtime = 1000);
	TAR(&f->tar, .name = "old", .data = "y", .mtime = 3);
	TAR(&f->tar, .name = "owned", .data = "z", .uid = 65535, .gid = 1, .mtime = 1000);
	TAR(&f->tar, .name = "owned2", .data = "z", .uid = 65536, .gid = 1, .mtime = 1000);
	TAR(&f->tar, .name = "short", .type = '2', .link = "target", .mtime = 1000);
	tar_pax_text(&f->tar, "linkpath", link);
	TAR(&f->tar, .name = "long", .type = '2', .link = "x", .mtime = 1000);
	TAR(&f->tar, .name = "null", .type = '3', .major = 1, .minor = 3, .mode = 0666);
	TAR(&f->tar, .name = "far", .type = '4', .major = 259, .minor = 70000, .mode = 0660);
	TAR(&f->tar, .name = "pipe", .type = '6', .mode = 0600);
	tar_pax(&f->tar, "SCHILY.xattr.user.name", "value", 5);
	TAR(&f->tar, .name = "attr", .data = "a");
	tar_pax(&f->tar, "SCHILY.xattr.trusted.overlay.opaque", "y", 1);
	TAR(&f->tar, .name = "overlay/", .type = '5', .mode = 0755);
	tar_pax(&f->tar, "SCHILY.xattr.system.posix_acl_access", "12345678", 8);
	TAR(&f->tar, .name = "acl", .data = "a");
	assert_ok(stack_add(&s), &f->e);
	stack_finish(&s);

	i = lookup(&s.image, "");
	assert_int_equal(i.mode, S_IFDIR | 01755);
	assert_int_equal(i.nlink, 3);
	assert_int_equal(i.mtime, 1000);
	assert_content(&s.image, "big", big);
	assert_content(&s.image, "empty", "");
	i = lookup(&s.image, "suid");
	assert_int_equal(i.mode, S_IFREG | 06711);
	assert_false(i.extended);
	assert_int_equal(i.mtime, 1000);
	i = lookup(&s.image, "old");
	assert_true(i.extended);
	assert_int_equal(i.mtime, 3);
	assert_false(lookup(&s.image, "owned").extended);
	assert_int_equal(lookup(&s.image, "owned").uid, 65535);
	assert_true(lookup(&s.image, "owned2").extended);
	assert_int_equal(lookup(&s.image, "owned2").uid, 65536);
	assert_content(&s.image, "short", "target");
	assert_int_equal(lookup(&s.image, "short").layout, 2);
	assert_content(&s.image, "long", link);
	i = lookup(&s.image, "null");
	assert_int_equal(i.mode, S_IFCHR | 0666);
	assert_int_equal(i.where, 1 << 8 | 3);
	i = lookup(&s.image, "far");
	assert_int_equal(i.mode, S_IFBLK | 0660);
	assert_int_equal(i.where, (70000 & 0xff) | 259 << 8 | (70000 & ~0xff) << 12);
	assert_int_equal(lookup(&s.image, "pipe").mode, S_IFIFO | 0600);
	value = read_xattr(&s.image, "attr", 1, "name");
	assert_string_equal(value, "value");
	free(value);
	assert_int_equal(lookup(&s.image, "overlay").xattr_len, 0);
	value = read_xattr(&s.image, "acl", 2, "");
	assert_string_equal(value, "12345678");
	free(value);
	/* What fsck.erofs took out of it, where it is installed. */
	path = xasprintf("%s/extracted/big", f->dir);
	if (path_exists(path)) {
		extracted = get_file(path);
		assert_string_equal(extracted, big);
	}
	stack_release(&s);
}

static void test_large_directories(void **state)
{
	static const int sizes[] = {1, 3, 50, 100, 101, 102, 103, 300, 5000};
	struct fixture *f = *state;
	struct stack s;

	stack_init(&s, f);
	for (size_t d = 0; d < ARRAY_SIZE(sizes); d++) {
		for (int i = 0; i < sizes[d]; i++) {
			_cleanup_free_ char *name =
				xasprintf("d%zu/%c-%0*d", d, i % 2 ? '!' : 'z', 10 + i % 60, i);

			TAR(&f->tar, .name = name, .type = i % 10 ? '0' : '5', .mode = 0755);
		}
	}
	assert_ok(stack_add(&s), &f->e);
	stack_finish(&s);
	for (size_t d = 0; d < ARRAY_SIZE(sizes); d++) {
		_cleanup_free_ char *dir = xasprintf("d%zu", d);
		struct inode_info info = lookup(&s.image, dir);

		assert_int_equal(info.nlink, 2 + (sizes[d] + 9) / 10);
		assert_int_equal(dir_find(&s.image, &info, "."), info.nid);
		assert_int_equal(dir_find(&s.image, &info, ".."), lookup(&s.image, "").nid);
		for (int i = 0; i < sizes[d]; i += 1 + i / 7) {
			_cleanup_free_ char *name =
				xasprintf("%c-%0*d", i % 2 ? '!' : 'z', 10 + i % 60, i);

			assert_true(dir_find(&s.image, &info, name) != 0);
		}
		assert_int_equal(dir_find(&s.image, &info, "missing"), 0);
	}
	stack_release(&s);
}

/* Tails of all sizes meet attributes of all sizes around block boundaries. */
static void test_placement(void **state)
{
	static char value[65000];
	struct fixture *f = *state;
	struct stack s;

	memset(value, 'v', sizeof(value));
	stack_init(&s, f);
	for (int i = 0; i < 400; i++) {
		_cleanup_free_ char *name = xasprintf("link-%d", i);
		_cleanup_free_ char *target = xstrndup(value, (size_t)(i * 37 % 2500) + 1);

		struct buf rec;

		buf_init(&rec, MIB);
		if (i % 3 == 0)
			pax_record(&rec, "SCHILY.xattr.user.v", value, (size_t)(i * 162));
		pax_record(&rec, "linkpath", target, strlen(target));
		tar_pax_records(&f->tar, &rec);
		buf_release(&rec);
		TAR(&f->tar, .name = name, .type = '2', .link = "x", .uid = i % 2 ? 70000 : 0);
	}
	assert_ok(stack_add(&s), &f->e);
	stack_finish(&s);
	for (int i = 0; i < 400; i++) {
		_cleanup_free_ char *name = xasprintf("link-%d", i);
		_cleanup_free_ char *target = xstrndup(value, (size_t)(i * 37 % 2500) + 1);
		_cleanup_free_ char *attr = NULL;

		assert_content(&s.image, name, target);
		attr = read_xattr(&s.image, name, 1, "v");
		if (i % 3 == 0) {
			assert_non_null(attr);
			assert_int_equal(strlen(attr), i * 162);
		} else {
			assert_null(attr);
		}
	}
	stack_release(&s);
}

/* Files of all sizes around blocks and the limit of tails, plain, owned by many and with
 * attributes. */
static void test_tails(void **state)
{
	static const size_t sizes[] = {0,    1,    31,   1023, 1024, 1025, 2048, 4095,  4096,
				       4097, 5119, 5120, 5121, 8191, 8192, 8193, 300000};
	struct fixture *f = *state;
	struct stack s;

	stack_init(&s, f);
	for (size_t k = 0; k < 3 * ARRAY_SIZE(sizes); k++) {
		size_t size = sizes[k / 3];
		_cleanup_free_ char *name = xasprintf("%zu-%zu", size, k % 3);
		_cleanup_free_ char *text = text_of(size, (unsigned int)k);

		if (k % 3 == 2)
			tar_pax(&f->tar, "SCHILY.xattr.user.v", text, size % 500);
		TAR(&f->tar, .name = name, .data = text, .uid = k % 3 ? 70000 : 0);
	}
	assert_ok(stack_add(&s), &f->e);
	/* Blocks of what is no tail. */
	assert_int_equal(s.blocks[0], 3 * (7 * 1 + 4 * 2 + 73));
	stack_finish(&s);
	for (size_t k = 0; k < 3 * ARRAY_SIZE(sizes); k++) {
		size_t size = sizes[k / 3];
		_cleanup_free_ char *name = xasprintf("%zu-%zu", size, k % 3);
		_cleanup_free_ char *text = text_of(size, (unsigned int)k);
		struct inode_info i = lookup(&s.image, name);
		bool tail = size % 4096 > 0 && size % 4096 <= 1024;

		assert_content(&s.image, name, text);
		assert_int_equal(i.layout, tail ? 2 : 0);
		assert_int_equal(i.extended, k % 3 != 0);
	}
	stack_release(&s);
}

/* The parts that hold what is not inline are those of the layer that the file is from. */
static void test_tails_of_layers(void **state)
{
	struct fixture *f = *state;
	struct inode_info i;
	struct stack s;
	_cleanup_free_ char *one = text_of(9000, 1), *two = text_of(4200, 2);

	stack_init(&s, f);
	TAR(&f->tar, .name = "a", .data = one);
	TAR(&f->tar, .name = "b", .data = one);
	TAR(&f->tar, .name = "c", .type = '1', .link = "b");
	TAR(&f->tar, .name = "gone", .data = two);
	assert_ok(stack_add(&s), &f->e);
	TAR(&f->tar, .name = "a", .data = two, .mode = 0600);
	TAR(&f->tar, .name = "d", .type = '1', .link = "b");
	TAR(&f->tar, .name = "e", .type = '1', .link = "a");
	TAR(&f->tar, .name = "c", .data = two);
	TAR(&f->tar, .name = ".wh.gone");
	assert_ok(stack_add(&s), &f->e);
	stack_finish(&s);
	assert_content(&s.image, "a", two);
	assert_content(&s.image, "b", one);
	assert_content(&s.image, "c", two);
	assert_content(&s.image, "d", one);
	assert_content(&s.image, "e", two);
	assert_missing(&s.image, "gone");
	i = lookup(&s.image, "a");
	assert_int_equal(i.mode, S_IFREG | 0600);
	assert_int_equal(i.nlink, 2);
	assert_int_equal(lookup(&s.image, "e").nid, i.nid);
	assert_int_equal(lookup(&s.image, "b").nlink, 2);
	assert_int_equal(lookup(&s.image, "d").nid, lookup(&s.image, "b").nid);
	assert_int_equal(lookup(&s.image, "c").nlink, 1);
	stack_release(&s);
}

/* Some names sort between "." and "..": a lookup bisects the directory and must not miss them. */
static void test_names_between_dots(void **state)
{
	static const char *const names[] = {"!", "-", ".!", ".#lock", ".-", "...", "..a", ".a"};
	struct fixture *f = *state;
	struct inode_info root;
	struct stack s;

	stack_init(&s, f);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		TAR(&f->tar, .name = names[i], .data = names[i]);
	assert_ok(stack_add(&s), &f->e);
	stack_finish(&s);
	/* This checks the order of all names. */
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		assert_content(&s.image, names[i], names[i]);
	root = lookup(&s.image, "");
	assert_int_equal(dir_find(&s.image, &root, ".."), root.nid);
	assert_int_equal(dir_find(&s.image, &root, "."), root.nid);
	stack_release(&s);
}

/* A sparse file of 5 GiB in the old GNU format: 512 bytes at the start, 100 at the very end. */
static void add_huge(struct buf *tar)
{
	static const uint64_t size = 5 * GIB + 100;
	char *h;
	unsigned int sum = 0;
	_cleanup_free_ char *data = text_of(612, 1);

	tar_header(tar, &(struct tar_entry){.name = "huge", .type = 'S'}, 612);
	h = (char *)tar->mem + tar->start + buf_len(tar) - 512;
	memset(h + 257, 0, 255);
	memcpy(h + 257, "ustar  ", 8);
	put_octal(h + 386, 11, 0);
	put_octal(h + 398, 11, 512);
	put_octal(h + 410, 11, 5 * GIB);
	put_octal(h + 422, 11, 100);
	put_octal(h + 483, 11, size);
	memset(h + 148, ' ', 8);
	for (int i = 0; i < 512; i++)
		sum += (uint8_t)h[i];
	put_octal(h + 148, 6, sum);
	h[154] = '\0';
	assert_int_equal(buf_append(tar, data, 612), 0);
	tar_pad(tar, 612);
}

static void test_huge_file(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *data = text_of(612, 1), *path = xasprintf("%s/meta", f->dir);
	struct erofs_options o = {.n_parts = 1};
	struct ingest_result res;
	struct layer_index ix;
	struct image_file im;
	struct inode_info i;
	struct ingest *in;
	struct stat st;
	struct tree t;
	int fd;

	add_huge(&f->tar);
	TAR(&f->tar, .name = "next", .data = data);
	tar_end(&f->tar);
	in = ingest_start(&f->store, 8 * GIB, &f->e);
	ingest_write(in, buf_data(&f->tar), buf_len(&f->tar));
	assert_ok(ingest_finish(in, "x", NULL, &res, &f->e), &f->e);
	assert_ok(ingest_publish(in, &f->e), &f->e);
	ingest_free(in);
	assert_int_equal(res.data_size, 5 * GIB);
	fd = store_open_file(&f->store, STORE_LAYER_DATA, &res.diff_id, &f->e);
	assert_int_equal(fstat(fd, &st), 0);
	assert_true((uint64_t)st.st_blocks * 512 < MIB);
	close(fd);
	open_index(f, &res.diff_id, &ix);
	assert_ok(tree_init(&t, &f->e), &f->e);
	assert_ok(merge_layer(&t, &ix, 0, &f->e), &f->e);
	o.parts = &(uint64_t){res.data_size / 4096};
	fd = open(path, O_RDWR | O_CREAT, 0600);
	assert_ok(erofs_write(&t, &o, fd, &(uint64_t){0}, &f->e), &f->e);
	close(fd);
	assert_int_equal(read_file(AT_FDCWD, path, MIB, &im.bytes, &im.len), 0);
	i = lookup(&im, "huge");
	assert_true(i.extended);
	assert_int_equal(i.size, 5 * GIB + 100);
	assert_int_equal(i.layout, 2);
	assert_int_equal(i.where, im.len / 4096);
	assert_memory_equal(im.bytes + i.tail_at, data + 512, 100);
	assert_content(&im, "next", data);
	free(im.bytes);
	tree_release(&t);
	layer_index_release(&ix);
}

/* Some of everything, in an order that no tool would choose. */
static void build_sample(struct fixture *f, struct stack *s)
{
	static const char *const names[] = {"z/b", "a", "z/a", "m/n/o/p", ".-x", "z/c"};
	_cleanup_free_ char *text = text_of(20000, 7);

	stack_init(s, f);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		TAR(&f->tar, .name = names[i], .data = text + i * 3333, .mtime = i / 2);
	TAR(&f->tar, .name = "c", .type = '1', .link = "m/n/o/p", .mtime = 5);
	TAR(&f->tar, .name = "link", .type = '2', .link = "c", .mtime = 5);
	TAR(&f->tar, .name = "null", .type = '3', .major = 1, .minor = 3, .mtime = 5);
	assert_ok(stack_add(s), &f->e);
	tar_pax(&f->tar, "SCHILY.xattr.user.name", "value", 5);
	TAR(&f->tar, .name = "m/attr", .data = "a", .uid = 100000, .mtime = 6);
	TAR(&f->tar, .name = ".wh.a");
	assert_ok(stack_add(s), &f->e);
	stack_finish(s);
}

/*
 * The bytes of an image depend on nothing but the layers, on any host. Whoever changes the layout
 * on purpose changes the digest below, and the suffixes in store_path.c, so that no image is used
 * with another one's data.
 */
static void test_same_bytes(void **state)
{
	static const char golden[] =
		"sha256:3bbeb6a09f1c3c11266d7729ed9a245f9536fdf250e3bdb823d03a3b8c7608a0";
	struct fixture *f = *state, *other;
	char text[DIGEST_TEXT_LEN];
	struct stack one, two;
	struct digest d;

	build_sample(f, &one);
	/* Again in another directory, with addresses and inode numbers that differ. */
	assert_int_equal(fixture_setup((void **)&other), 0);
	free(text_of(100000, 1));
	build_sample(other, &two);
	assert_int_equal(one.image.len, two.image.len);
	assert_memory_equal(one.image.bytes, two.image.bytes, one.image.len);
	hash_bytes(one.image.bytes, one.image.len, &d);
	digest_format(&d, text);
	assert_string_equal(text, golden);
	stack_release(&one);
	stack_release(&two);
	assert_int_equal(fixture_teardown((void **)&other), 0);
}

static void test_check(void **state)
{
	struct fixture *f = *state;
	struct stack s;
	uint64_t blocks;
	int fd;

	build_sample(f, &s);
	blocks = s.image.len / 4096;
	fd = open(s.path, O_RDWR);
	assert_ok(erofs_check(fd, blocks, &f->e), &f->e);
	assert_err(erofs_check(fd, blocks + 1, &f->e), &f->e, ERR_CORRUPT, "size");
	assert_int_equal(pwrite(fd, "X", 1, 1024 + 16), 1);
	assert_err(erofs_check(fd, blocks, &f->e), &f->e, ERR_CORRUPT, "checksum");
	assert_int_equal(pwrite(fd, "X", 1, 1024), 1);
	assert_err(erofs_check(fd, blocks, &f->e), &f->e, ERR_CORRUPT, "magic");
	assert_int_equal(ftruncate(fd, 100), 0);
	assert_err(erofs_check(fd, blocks, &f->e), &f->e, ERR_CORRUPT, "magic");
	close(fd);
	stack_release(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		store_test(test_everything),      store_test(test_large_directories),
		store_test(test_placement),       store_test(test_tails),
		store_test(test_tails_of_layers), store_test(test_names_between_dots),
		store_test(test_huge_file),       store_test(test_same_bytes),
		store_test(test_check),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
