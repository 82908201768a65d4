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

static void build_sample(struct fixture *f, struct stack *s)
{
	stack_init(s, f);
	TAR(&f->tar, .name = "a/b", .data = "1", .mtime = 5);
	TAR(&f->tar, .name = "c", .type = '1', .link = "a/b");
	assert_ok(stack_add(s), &f->e);
	stack_finish(s);
}

static void test_same_bytes(void **state)
{
	struct fixture *f = *state;
	struct stack one, two;

	build_sample(f, &one);
	build_sample(f, &two);
	assert_int_equal(one.image.len, two.image.len);
	assert_memory_equal(one.image.bytes, two.image.bytes, one.image.len);
	stack_release(&one);
	stack_release(&two);
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
		store_test(test_everything), store_test(test_large_directories),
		store_test(test_placement),  store_test(test_same_bytes),
		store_test(test_check),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
