/* SPDX-License-Identifier: Apache-2.0 */
#include "layers.h"

static void test_overlay(void **state)
{
	struct fixture *f = *state;
	struct stack s;

	stack_init(&s, f);
	TAR(&f->tar, .name = "d/", .type = '5', .mode = 0700);
	TAR(&f->tar, .name = "d/keep", .data = "1");
	TAR(&f->tar, .name = "d/gone", .data = "1");
	TAR(&f->tar, .name = "d/sub/x", .data = "1");
	TAR(&f->tar, .name = "o/old", .data = "1");
	TAR(&f->tar, .name = "o/deep/old", .data = "1");
	TAR(&f->tar, .name = "file", .data = "1");
	TAR(&f->tar, .name = "dir/in", .data = "1");
	TAR(&f->tar, .name = "both", .data = "1");
	assert_ok(stack_add(&s), &f->e);
	TAR(&f->tar, .name = "d/", .type = '5', .mode = 0755, .uid = 5);
	TAR(&f->tar, .name = "d/.wh.gone");
	TAR(&f->tar, .name = "d/.wh.sub");
	TAR(&f->tar, .name = "d/.wh.never");
	TAR(&f->tar, .name = "nowhere/.wh.never");
	TAR(&f->tar, .name = "o/new", .data = "2");
	TAR(&f->tar, .name = "o/.wh..wh..opq"); /* after what it must not hide */
	TAR(&f->tar, .name = "file/", .type = '5', .mode = 0755);
	TAR(&f->tar, .name = "file/now-a-dir", .data = "2");
	TAR(&f->tar, .name = "dir", .data = "2");
	TAR(&f->tar, .name = "both", .data = "2");
	TAR(&f->tar, .name = ".wh.both"); /* concerns the lower one only */
	TAR(&f->tar, .name = "twice", .data = "first");
	TAR(&f->tar, .name = "twice", .data = "last");
	assert_ok(stack_add(&s), &f->e);
	stack_finish(&s);
	assert_content(&s.image, "d/keep", "1");
	assert_int_equal(lookup(&s.image, "d").mode, S_IFDIR | 0755);
	assert_int_equal(lookup(&s.image, "d").uid, 5);
	assert_int_equal(lookup(&s.image, "d").nlink, 2);
	assert_missing(&s.image, "d/gone");
	assert_missing(&s.image, "d/sub");
	assert_missing(&s.image, "nowhere");
	assert_content(&s.image, "o/new", "2");
	assert_missing(&s.image, "o/old");
	assert_missing(&s.image, "o/deep");
	assert_content(&s.image, "file/now-a-dir", "2");
	assert_content(&s.image, "dir", "2");
	assert_content(&s.image, "both", "2");
	assert_content(&s.image, "twice", "last");
	stack_release(&s);
}

static void test_opaque_root(void **state)
{
	struct fixture *f = *state;
	struct stack s;

	stack_init(&s, f);
	TAR(&f->tar, .name = "a/b/c", .data = "1");
	assert_ok(stack_add(&s), &f->e);
	TAR(&f->tar, .name = ".wh..wh..opq");
	TAR(&f->tar, .name = "only", .data = "2");
	assert_ok(stack_add(&s), &f->e);
	stack_finish(&s);
	assert_missing(&s.image, "a");
	assert_content(&s.image, "only", "2");
	stack_release(&s);
}

static void test_hard_links(void **state)
{
	struct fixture *f = *state;
	struct stack s;

	stack_init(&s, f);
	TAR(&f->tar, .name = "a", .data = "one");
	TAR(&f->tar, .name = "b", .type = '1', .link = "a");
	TAR(&f->tar, .name = "d/c", .type = '1', .link = "/b");
	TAR(&f->tar, .name = "a", .type = '1', .link = "b"); /* to itself */
	assert_ok(stack_add(&s), &f->e);
	TAR(&f->tar, .name = "e", .type = '1', .link = "d/c"); /* to a lower layer */
	TAR(&f->tar, .name = "b", .data = "two");
	TAR(&f->tar, .name = "sl", .type = '2', .link = "b");
	TAR(&f->tar, .name = "sl2", .type = '1', .link = "sl");
	assert_ok(stack_add(&s), &f->e);
	stack_finish(&s);
	assert_content(&s.image, "a", "one");
	assert_content(&s.image, "b", "two");
	assert_content(&s.image, "e", "one");
	assert_int_equal(lookup(&s.image, "a").nid, lookup(&s.image, "d/c").nid);
	assert_int_equal(lookup(&s.image, "a").nid, lookup(&s.image, "e").nid);
	assert_int_equal(lookup(&s.image, "a").nlink, 3);
	assert_int_equal(lookup(&s.image, "b").nlink, 1);
	assert_int_equal(lookup(&s.image, "sl").nid, lookup(&s.image, "sl2").nid);
	assert_content(&s.image, "sl2", "b");
	stack_release(&s);
}

/* Parents that are links stay inside the image. */
static void test_links_on_the_way(void **state)
{
	struct fixture *f = *state;
	struct stack s;

	stack_init(&s, f);
	TAR(&f->tar, .name = "usr/lib/", .type = '5', .mode = 0755);
	TAR(&f->tar, .name = "usr/lib/base", .data = "1");
	TAR(&f->tar, .name = "lib", .type = '2', .link = "usr/lib");
	TAR(&f->tar, .name = "abs", .type = '2', .link = "/usr/lib");
	TAR(&f->tar, .name = "out", .type = '2', .link = "../../../../usr");
	TAR(&f->tar, .name = "dangling", .type = '2', .link = "made/up");
	TAR(&f->tar, .name = "hidden", .type = '2', .link = "usr/lib");
	assert_ok(stack_add(&s), &f->e);
	TAR(&f->tar, .name = "lib/one", .data = "1");
	TAR(&f->tar, .name = "abs/two", .data = "2");
	TAR(&f->tar, .name = "out/lib/three", .data = "3");
	TAR(&f->tar, .name = "dangling/four", .data = "4");
	/* A directory in place of a link: its marks are not for the link's target. */
	TAR(&f->tar, .name = "hidden/.wh..wh..opq");
	TAR(&f->tar, .name = "hidden/", .type = '5', .mode = 0755);
	TAR(&f->tar, .name = "hidden/five", .data = "5");
	assert_ok(stack_add(&s), &f->e);
	TAR(&f->tar, .name = "lib/.wh.one");
	assert_ok(stack_add(&s), &f->e);
	stack_finish(&s);
	assert_content(&s.image, "usr/lib/base", "1");
	assert_missing(&s.image, "usr/lib/one");
	assert_content(&s.image, "usr/lib/two", "2");
	assert_content(&s.image, "usr/lib/three", "3");
	assert_content(&s.image, "made/up/four", "4");
	assert_content(&s.image, "lib", "usr/lib");
	assert_content(&s.image, "hidden/five", "5");
	assert_missing(&s.image, "usr/lib/five");
	stack_release(&s);
}

/* Where a path leads may change between two entries of one layer. */
static void test_links_that_change(void **state)
{
	struct fixture *f = *state;
	struct stack s;

	stack_init(&s, f);
	TAR(&f->tar, .name = "real/", .type = '5', .mode = 0755);
	TAR(&f->tar, .name = "other/", .type = '5', .mode = 0755);
	TAR(&f->tar, .name = "s", .type = '2', .link = "real");
	TAR(&f->tar, .name = "s/1", .data = "1");
	TAR(&f->tar, .name = "s", .type = '2', .link = "other");
	TAR(&f->tar, .name = "s/2", .data = "2");
	TAR(&f->tar, .name = "s", .type = '5', .mode = 0755);
	TAR(&f->tar, .name = "s/3", .data = "3");
	TAR(&f->tar, .name = "d/x", .data = "x");
	TAR(&f->tar, .name = "d", .data = "file");
	TAR(&f->tar, .name = "d", .type = '2', .link = "real");
	TAR(&f->tar, .name = "d/4", .data = "4");
	assert_ok(stack_add(&s), &f->e);
	stack_finish(&s);
	assert_content(&s.image, "real/1", "1");
	assert_content(&s.image, "real/4", "4");
	assert_content(&s.image, "other/2", "2");
	assert_content(&s.image, "s/3", "3");
	assert_missing(&s.image, "real/2");
	assert_missing(&s.image, "other/3");
	stack_release(&s);
}

/* What a replaced file was must not show in what replaces it. */
static void test_every_type_replaces_every_type(void **state)
{
	static const char types[] = {'0', '1', '2', '3', '5', '6'};
	struct fixture *f = *state;
	_cleanup_free_ char *text = text_of(5000, 1);
	struct stack s;

	stack_init(&s, f);
	TAR(&f->tar, .name = "target", .data = text);
	for (int layer = 0; layer < 2; layer++) {
		for (size_t i = 0; i < ARRAY_SIZE(types) * ARRAY_SIZE(types); i++) {
			char type = types[layer ? i / ARRAY_SIZE(types) : i % ARRAY_SIZE(types)];
			_cleanup_free_ char *name = xasprintf("%02zu", i);

			if (!layer)
				tar_pax(&f->tar, "SCHILY.xattr.user.old", "x", 1);
			TAR(&f->tar, .name = name, .type = type, .mode = 0600,
			    .data = type == '0' ? text + layer : "",
			    .link = type == '1' || type == '2' ? "target" : NULL, .major = 5);
		}
		assert_ok(stack_add(&s), &f->e);
	}
	stack_finish(&s);
	for (size_t i = 0; i < ARRAY_SIZE(types) * ARRAY_SIZE(types); i++) {
		static const mode_t modes[] = {S_IFREG, S_IFREG, S_IFLNK,
					       S_IFCHR, S_IFDIR, S_IFIFO};
		_cleanup_free_ char *name = xasprintf("%02zu", i);
		struct inode_info info = lookup(&s.image, name);
		char type = types[i / ARRAY_SIZE(types)];

		assert_int_equal(info.mode & S_IFMT, modes[i / ARRAY_SIZE(types)]);
		assert_int_equal(info.xattr_len, 0);
		if (type == '0')
			assert_content(&s.image, name, text + 1);
		else if (type == '1')
			assert_content(&s.image, name, text);
		else if (type == '2')
			assert_content(&s.image, name, "target");
		else if (type == '3')
			assert_int_equal(info.where, 5 << 8);
		if (type != '1' && type != '5')
			assert_int_equal(info.nlink, 1);
	}
	assert_int_equal(lookup(&s.image, "target").nlink, 1 + ARRAY_SIZE(types));
	stack_release(&s);
}

static void add_bad(struct buf *tar, int which)
{
	char dots[4002] = "";

	switch (which) {
	case 0:
		TAR(tar, .name = "f", .data = "x");
		TAR(tar, .name = "f/below", .data = "x");
		break;
	case 1:
		TAR(tar, .name = "a", .type = '2', .link = "b");
		TAR(tar, .name = "b", .type = '2', .link = "a");
		TAR(tar, .name = "a/x", .data = "x");
		break;
	case 2:
		TAR(tar, .name = "h", .type = '1', .link = "missing");
		break;
	case 3:
		TAR(tar, .name = "d/", .type = '5', .mode = 0755);
		TAR(tar, .name = "h", .type = '1', .link = "d");
		break;
	case 4: /* forward */
		TAR(tar, .name = "h", .type = '1', .link = "later");
		TAR(tar, .name = "later", .data = "x");
		break;
	case 5:
		TAR(tar, .name = "n", .type = '3', .major = 1, .minor = 3);
		TAR(tar, .name = "n/x", .data = "x");
		break;
	case 6: /* the directory's removal takes the target along */
		TAR(tar, .name = "d/target", .data = "x");
		TAR(tar, .name = "d", .type = '1', .link = "d/target");
		break;
	case 7:
		for (size_t i = 0; i < sizeof(dots) - 1; i++)
			dots[i] = i % 2 ? '/' : '.';
		for (char c = 'a'; c < 'd'; c++) {
			dots[sizeof(dots) - 2] = (char)(c + 1);
			tar_pax_text(tar, "linkpath", dots);
			TAR(tar, .name = (char[]){c, '\0'}, .type = '2', .link = "x");
		}
		TAR(tar, .name = "d/", .type = '5', .mode = 0755);
		TAR(tar, .name = "a/x", .data = "x");
		break;
	default:
		fail();
	}
}

static void test_bad_layers(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 8; i++) {
		struct stack s;

		stack_init(&s, f);
		add_bad(&f->tar, i);
		assert_err(stack_add(&s), &f->e, ERR_CORRUPT, "entry '");
		stack_release(&s);
	}
}

/* Whatever grows without bound must meet a limit, not the stack or the heap. */
static void test_depth(void **state)
{
	struct fixture *f = *state;
	char path[3000], link[3000];
	struct stack s;
	int r;

	for (size_t i = 0; i < sizeof(path); i++)
		path[i] = i % 2 ? '/' : 'd';
	path[2001] = path[2998] = '\0';
	snprintf(link, sizeof(link), "%.2000s", path);
	stack_init(&s, f);
	tar_pax_text(&f->tar, "path", path);
	TAR(&f->tar, .name = "x", .type = '5', .mode = 0755);
	tar_pax_text(&f->tar, "linkpath", link);
	TAR(&f->tar, .name = "l", .type = '2', .link = "x");
	memcpy(path, "l/", 2);
	tar_pax_text(&f->tar, "path", path);
	TAR(&f->tar, .name = "x", .type = '5', .mode = 0755);
	r = stack_add(&s);
	assert_ok(r, &f->e);
	memcpy(link, "l/", 2);
	tar_pax_text(&f->tar, "linkpath", link);
	TAR(&f->tar, .name = "m", .type = '2', .link = "x");
	path[0] = 'm';
	tar_pax_text(&f->tar, "path", path);
	TAR(&f->tar, .name = "x", .type = '5', .mode = 0755);
	assert_err(stack_add(&s), &f->e, ERR_INVALID, "deeper");
	tree_remove_children(&s.tree, s.tree.root);
	assert_int_equal(s.tree.n_nodes, 1);
	stack_release(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		store_test(test_overlay),           store_test(test_opaque_root),
		store_test(test_hard_links),        store_test(test_links_on_the_way),
		store_test(test_links_that_change), store_test(test_every_type_replaces_every_type),
		store_test(test_bad_layers),        store_test(test_depth),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
