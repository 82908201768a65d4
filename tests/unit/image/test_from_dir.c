/* SPDX-License-Identifier: Apache-2.0 */
#include "erofs_reader.h"

#include "image/from_dir.h"

#include <sys/xattr.h>

static char *below(const struct fixture *f, const char *path)
{
	return xasprintf("%s/tree/%s", f->dir, path);
}

static void put(const struct fixture *f, const char *path, const char *text)
{
	_cleanup_free_ char *full = below(f, path);

	put_file(full, text);
}

static int build(struct fixture *f, bool owner_root, struct image_file *ret)
{
	_cleanup_free_ char *root = below(f, ""), *out = xasprintf("%s/out.erofs", f->dir);
	_cleanup_free_ char *extracted = xasprintf("%s/extracted", f->dir);
	struct from_dir_options o = {.owner_root = owner_root, .max_size = GIB};

	*ret = (struct image_file){0};
	if (from_dir(root, out, &o, &f->e) < 0)
		return -1;
	assert_int_equal(read_file(AT_FDCWD, out, GIB, &ret->bytes, &ret->len), 0);
	remove_tree(AT_FDCWD, extracted);
	if (!fsck_accepts(out, extracted))
		fail_msg("fsck.erofs refuses the image");
	return 0;
}

static void make_tree(const struct fixture *f)
{
	_cleanup_free_ char *root = below(f, "sub/deep"), *hard = below(f, "hard"),
			    *file = below(f, "sub/file"), *symbolic = below(f, "link"),
			    *pipe_path = below(f, "pipe");

	assert_int_equal(mkdir_p(root, 0755), 0);
	put(f, "sub/file", "content");
	put(f, "sub/deep/empty", "");
	assert_int_equal(link(file, hard), 0);
	assert_int_equal(symlink("/etc/passwd", symbolic), 0);
	assert_int_equal(mkfifo(pipe_path, 0600), 0);
	assert_int_equal(chmod(file, 04711), 0);
	setxattr(file, "user.x", "y", 1, 0);
}

static void test_tree(void **state)
{
	struct fixture *f = *state;
	struct image_file im, again;
	struct stat st;
	_cleanup_free_ char *file = below(f, "sub/file"), *attr = NULL;
	char value[8];

	make_tree(f);
	assert_ok(build(f, false, &im), &f->e);
	assert_content(&im, "sub/file", "content");
	assert_content(&im, "hard", "content");
	assert_content(&im, "link", "/etc/passwd");
	assert_content(&im, "sub/deep/empty", "");
	assert_int_equal(lookup(&im, "hard").nid, lookup(&im, "sub/file").nid);
	assert_int_equal(lookup(&im, "hard").nlink, 2);
	assert_int_equal(lookup(&im, "hard").mode, S_IFREG | 04711);
	assert_int_equal(lookup(&im, "pipe").mode, S_IFIFO | 0600);
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(lookup(&im, "hard").uid, st.st_uid);
	assert_int_equal(lookup(&im, "hard").mtime, st.st_mtim.tv_sec);
	assert_int_equal(lookup(&im, "hard").mtime_ns, st.st_mtim.tv_nsec);
	attr = read_xattr(&im, "hard", 1, "x");
	if (getxattr(file, "user.x", value, sizeof(value)) == 1)
		assert_string_equal(attr, "y");
	assert_ok(build(f, true, &again), &f->e);
	assert_int_equal(lookup(&again, "hard").uid, 0);
	assert_int_equal(lookup(&again, "").uid, 0);
	free(im.bytes);
	free(again.bytes);
}

static void test_failures(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *root = below(f, ""), *out = xasprintf("%s/out.erofs", f->dir),
			    *secret = below(f, "sub/secret");
	struct from_dir_options o = {.max_size = GIB};
	struct image_file im;

	assert_err(from_dir(root, out, &o, &f->e), &f->e, ERR_NOT_FOUND, "tree");
	make_tree(f);
	o.max_size = 6;
	assert_err(from_dir(root, out, &o, &f->e), &f->e, ERR_INVALID, "limit");
	assert_false(path_exists(out));
	/* Not readable; a privileged user reads everything. */
	put(f, "sub/secret", "x");
	assert_int_equal(chmod(secret, 0), 0);
	if (geteuid() != 0) {
		assert_err(build(f, false, &im), &f->e, ERR_SYSTEM, "sub/secret");
		assert_false(path_exists(out));
	}
	assert_int_equal(chmod(secret, 0600), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		store_test(test_tree),
		store_test(test_failures),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
