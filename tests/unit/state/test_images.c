/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include "state/images.h"
#include "state/sandboxes.h"

/* The record of an image with one layer, all of whose digests end in `c`. */
static json_t *record(char c)
{
	char hex[65];
	_cleanup_free_ char *manifest = NULL, *config = NULL, *diff = NULL, *disk = NULL,
			    *data = NULL;

	memset(hex, '0', 64);
	hex[63] = c;
	hex[64] = '\0';
	manifest = xasprintf("sha256:%s", hex);
	hex[0] = 'c';
	config = xasprintf("sha256:%s", hex);
	hex[0] = 'd';
	diff = xasprintf("sha256:%s", hex);
	disk = xasprintf("images/sha256_%c.erofs2", c);
	data = xasprintf("layers/sha256_%s.data2", hex);
	return json_pack("{s:s, s:s, s:[{s:s}], s:[s, s]}", "manifest_digest", manifest,
			 "config_digest", config, "layers", "diff_id", diff, "disk", disk, data);
}

static void put(struct fixture *f, const char *reference, const char *canonical, char c)
{
	json_t *j = record(c);

	assert_ok(images_put(&f->db, reference, canonical, j, &f->e), &f->e);
	json_decref(j);
}

static void assert_record(const struct image_row *row, const char *reference, char c)
{
	json_t *want = record(c);

	assert_string_equal(row->reference, reference);
	assert_true(json_equal(row->record, want));
	assert_string_equal(row->manifest_digest,
			    json_string_value(json_object_get(want, "manifest_digest")));
	assert_true(row->created_at > 0);
	json_decref(want);
}

static void test_put_and_get(void **state)
{
	struct fixture *f = *state;
	struct image_row row;

	assert_err(images_get(&f->db, "alpine", &row, &f->e), &f->e, ERR_NOT_FOUND);
	put(f, "alpine", "docker.io/library/alpine:latest", '1');
	assert_ok(images_get(&f->db, "alpine", &row, &f->e), &f->e);
	assert_record(&row, "alpine", '1');
	image_row_release(&row);
	/* Pulled again: the same reference, new content. */
	put(f, "alpine", "docker.io/library/alpine:latest", '2');
	assert_ok(images_get(&f->db, "alpine", &row, &f->e), &f->e);
	assert_record(&row, "alpine", '2');
	image_row_release(&row);
}

static void test_put_without_digest(void **state)
{
	struct fixture *f = *state;
	json_t *j = json_object();

	assert_err(images_put(&f->db, "a", "b", j, &f->e), &f->e, ERR_INTERNAL);
	json_decref(j);
}

static void test_canonical(void **state)
{
	static const char canonical[] = "docker.io/library/alpine:latest";
	struct fixture *f = *state;
	struct image_row row;

	put(f, "alpine", canonical, '1');
	assert_ok(images_get_canonical(&f->db, "alpine:latest", canonical, &row, &f->e), &f->e);
	assert_record(&row, "alpine", '1');
	image_row_release(&row);
	assert_int_equal(images_get_canonical(&f->db, "as typed", "other", &row, &f->e), -1);
	assert_non_null(strstr(f->e.msg, "as typed"));
	assert_err(-1, &f->e, ERR_NOT_FOUND);
	/* Of two spellings the one that was pulled last has the say. */
	put(f, "docker.io/alpine", canonical, '2');
	assert_ok(db_run(&f->db, &f->e, "UPDATE images SET created_at = 1 WHERE reference = ?", "s",
			 "alpine"),
		  &f->e);
	assert_ok(images_get_canonical(&f->db, "x", canonical, &row, &f->e), &f->e);
	assert_record(&row, "docker.io/alpine", '2');
	image_row_release(&row);
}

static void test_list(void **state)
{
	struct fixture *f = *state;
	struct image_row *rows;
	size_t n;

	assert_ok(images_list(&f->db, &rows, &n, &f->e), &f->e);
	assert_int_equal(n, 0);
	free(rows);
	put(f, "b", "b", '2');
	put(f, "a", "a", '1');
	assert_ok(images_list(&f->db, &rows, &n, &f->e), &f->e);
	assert_int_equal(n, 2);
	assert_record(&rows[0], "a", '1');
	assert_record(&rows[1], "b", '2');
	for (size_t i = 0; i < n; i++)
		image_row_release(&rows[i]);
	free(rows);
}

static void make_sandbox(struct fixture *f, const char *name, const char *image, char c)
{
	json_t *config = json_pack("{s:o}", "image", c ? record(c) : json_null());
	struct sandbox_row row;
	int lock;

	assert_ok(
		sandboxes_create(&f->db, &f->home, name, image, false, config, &row, &lock, &f->e),
		&f->e);
	sandbox_row_release(&row);
	json_decref(config);
	close(lock);
}

static void test_remove(void **state)
{
	struct fixture *f = *state;
	struct image_row row;

	put(f, "a", "a", '1');
	put(f, "b", "b", '2');
	make_sandbox(f, "box", "b", '2');
	assert_err(images_remove(&f->db, "nope", false, &f->e), &f->e, ERR_NOT_FOUND);
	assert_ok(images_remove(&f->db, "a", false, &f->e), &f->e);
	assert_err(images_get(&f->db, "a", &row, &f->e), &f->e, ERR_NOT_FOUND);
	assert_int_equal(images_remove(&f->db, "b", false, &f->e), -1);
	assert_non_null(strstr(f->e.msg, "box"));
	assert_err(-1, &f->e, ERR_BUSY);
	assert_ok(images_get(&f->db, "b", &row, &f->e), &f->e);
	image_row_release(&row);
	assert_ok(images_remove(&f->db, "b", true, &f->e), &f->e);
	assert_err(images_remove(&f->db, "b", true, &f->e), &f->e, ERR_NOT_FOUND);
}

static void test_damaged_record(void **state)
{
	struct fixture *f = *state;
	struct image_row row, *rows;
	uint64_t bytes;
	size_t n;

	put(f, "a", "a", '1');
	assert_ok(db_run(&f->db, &f->e, "UPDATE images SET record = 'x'", ""), &f->e);
	assert_err(images_get(&f->db, "a", &row, &f->e), &f->e, ERR_CORRUPT);
	assert_err(images_list(&f->db, &rows, &n, &f->e), &f->e, ERR_CORRUPT);
	/* Not knowing what is needed, nothing is deleted. */
	assert_err(images_collect(&f->db, &f->home, &bytes, &f->e), &f->e, ERR_CORRUPT);
}

/* --- garbage collection -------------------------------------------------------------------- */

static char *cache_path(struct fixture *f, const char *what, char c)
{
	char hex[65];

	memset(hex, '0', 64);
	hex[0] = what[0] == 'c' || what[0] == 'd' ? what[0] : '0';
	hex[63] = c;
	hex[64] = '\0';
	if (strcmp(what, "erofs") == 0)
		return home_path(&f->home, "cache/images/sha256_%c.erofs2", c);
	if (what[0] == 'd')
		return home_path(&f->home, "cache/layers/sha256_%s.%s", hex, what + 2);
	return home_path(&f->home, "cache/blobs/sha256_%s", hex);
}

static const char *const parts[] = {"erofs", "d.data2", "d.index2", "manifest", "config"};

static void make_content(struct fixture *f, char c)
{
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		_cleanup_free_ char *path = cache_path(f, parts[i], c);

		put_file(path, "0123456789");
	}
}

static void assert_content(struct fixture *f, char c, bool there)
{
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		_cleanup_free_ char *path = cache_path(f, parts[i], c);

		if (path_exists(path) != there)
			fail_msg("'%s' is %s", path, there ? "gone" : "still there");
	}
}

static void make_folders(struct fixture *f)
{
	static const char *const folders[] = {"images", "layers", "blobs", "tmp"};

	for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
		_cleanup_free_ char *path = home_path(&f->home, "cache/%s", folders[i]);

		assert_int_equal(mkdir(path, 0700), 0);
	}
}

static void collect(struct fixture *f, uint64_t *ret)
{
	assert_ok(images_collect(&f->db, &f->home, ret, &f->e), &f->e);
}

static void test_collect_nothing(void **state)
{
	struct fixture *f = *state;
	uint64_t bytes = 1;

	collect(f, &bytes); /* not even the folders are there */
	assert_int_equal(bytes, 0);
	collect(f, NULL);
}

static void test_collect(void **state)
{
	struct fixture *f = *state;
	uint64_t bytes = 0;

	make_folders(f);
	for (char c = '1'; c <= '4'; c++)
		make_content(f, c);
	put(f, "image", "image", '1');
	make_sandbox(f, "box", "removed", '2');
	make_sandbox(f, "from-a-directory", "/srv/root", 0);
	collect(f, &bytes);
	assert_content(f, '1', true);
	assert_content(f, '2', true); /* its reference is gone, a sandbox still runs on it */
	assert_content(f, '3', false);
	assert_content(f, '4', false);
	assert_true(bytes > 0);
	collect(f, &bytes);
	assert_int_equal(bytes, 0);
	assert_ok(images_remove(&f->db, "image", false, &f->e), &f->e);
	collect(f, &bytes);
	assert_content(f, '1', false);
	assert_content(f, '2', true);
}

static void test_collect_shared_layer(void **state)
{
	struct fixture *f = *state;
	json_t *a = record('1'), *b = record('2');

	make_folders(f);
	make_content(f, '1');
	make_content(f, '2');
	/* Two images that share the layer of the first. */
	json_array_append(json_object_get(b, "layers"),
			  json_array_get(json_object_get(a, "layers"), 0));
	assert_ok(images_put(&f->db, "a", "a", a, &f->e), &f->e);
	assert_ok(images_put(&f->db, "b", "b", b, &f->e), &f->e);
	json_decref(a);
	json_decref(b);
	assert_ok(images_remove(&f->db, "a", false, &f->e), &f->e);
	collect(f, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		_cleanup_free_ char *path = cache_path(f, parts[i], '1');

		assert_int_equal(path_exists(path), parts[i][0] == 'd');
	}
	assert_content(f, '2', true);
}

/* What is not content by its name is not ours to delete; nothing outside is reached. */
static void test_collect_leaves_other_files(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *readme = home_path(&f->home, "cache/blobs/README");
	_cleanup_free_ char *hidden = home_path(&f->home, "cache/blobs/.sha256_x");
	_cleanup_free_ char *temp = home_path(&f->home, "cache/tmp/sha256_0");
	_cleanup_free_ char *link = home_path(&f->home, "cache/blobs/sha256_link");
	_cleanup_free_ char *target = home_path(&f->home, "target");

	make_folders(f);
	put_file(readme, "x");
	put_file(hidden, "x");
	put_file(temp, "x");
	put_file(target, "x");
	assert_int_equal(symlink(target, link), 0);
	collect(f, NULL);
	assert_true(path_exists(readme));
	assert_true(path_exists(hidden));
	assert_true(path_exists(temp));
	assert_false(path_exists(link));
	assert_true(path_exists(target));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		home_test(test_put_and_get),
		home_test(test_put_without_digest),
		home_test(test_canonical),
		home_test(test_list),
		home_test(test_remove),
		home_test(test_damaged_record),
		home_test(test_collect_nothing),
		home_test(test_collect),
		home_test(test_collect_shared_layer),
		home_test(test_collect_leaves_other_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
