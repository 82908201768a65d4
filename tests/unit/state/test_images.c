/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include "state/image_files.h"
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

	assert_ok(images_put(&f->db, &f->home, reference, canonical, j, &f->e), &f->e);
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

	assert_err(images_put(&f->db, &f->home, "a", "b", j, &f->e), &f->e, ERR_INTERNAL);
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
	struct image_list l;

	assert_ok(images_list(&f->db, &f->home, &l, &f->e), &f->e);
	assert_int_equal(l.n, 0);
	image_list_release(&l);
	put(f, "b", "b", '2');
	put(f, "a", "a", '1');
	assert_ok(images_list(&f->db, &f->home, &l, &f->e), &f->e);
	assert_int_equal(l.n, 2);
	assert_string_equal(l.v[0].reference, "a");
	assert_string_equal(l.v[1].reference, "b");
	assert_string_equal(l.v[1].manifest_digest + 7 + 63, "2");
	assert_string_equal(l.v[0].os, "");
	assert_true(l.v[0].created_at > 0);
	assert_int_equal(l.v[0].disk_bytes, 0); /* no file is there */
	image_list_release(&l);
}

static void make_sandbox(struct fixture *f, const char *name, const char *image, char c)
{
	json_t *config = json_pack("{s:o}", "image", c ? record(c) : json_null());
	struct sandbox_row row;
	int lock;

	assert_ok(sandboxes_create(&f->db, &f->home, name, image, false, config, NULL, &row, &lock,
				   &f->e),
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

/* The bytes that were given back. */
static uint64_t collect(struct fixture *f)
{
	struct images_freed freed = {0};

	assert_ok(images_collect(&f->db, &f->home, &freed, &f->e), &f->e);
	assert_int_equal(freed.references.n, 0);
	return freed.bytes;
}

static void test_damaged_record(void **state)
{
	struct fixture *f = *state;
	struct images_freed freed = {0};
	struct image_row row;

	put(f, "a", "a", '1');
	put(f, "b", "b", '2');
	make_sandbox(f, "box", "b", '2');
	make_folders(f);
	make_content(f, '1');
	assert_ok(db_run(&f->db, &f->e, "UPDATE image_records SET record = 'x'", ""), &f->e);
	assert_err(images_get(&f->db, "a", &row, &f->e), &f->e, ERR_CORRUPT);
	/* Not knowing what is needed, nothing is deleted. */
	assert_err(images_collect(&f->db, &f->home, &freed, &f->e), &f->e, ERR_CORRUPT);
	assert_err(images_prune(&f->db, &f->home, false, &freed, &f->e), &f->e, ERR_CORRUPT);
	images_freed_release(&freed);
	assert_content(f, '1', true);
	/* They can be removed. */
	assert_ok(images_remove(&f->db, "a", false, &f->e), &f->e);
	assert_ok(images_remove(&f->db, "b", true, &f->e), &f->e);
	assert_ok(images_collect(&f->db, &f->home, &freed, &f->e), &f->e);
	assert_content(f, '1', false);
}

static void test_collect_nothing(void **state)
{
	assert_int_equal(collect(*state), 0); /* not even the folders are there */
}

static void test_collect(void **state)
{
	struct fixture *f = *state;

	make_folders(f);
	for (char c = '1'; c <= '4'; c++)
		make_content(f, c);
	put(f, "image", "image", '1');
	make_sandbox(f, "box", "removed", '2');
	make_sandbox(f, "from-a-directory", "/srv/root", 0);
	assert_true(collect(f) > 0);
	assert_content(f, '1', true);
	assert_content(f, '2', true); /* its reference is gone, a sandbox still runs on it */
	assert_content(f, '3', false);
	assert_content(f, '4', false);
	assert_int_equal(collect(f), 0);
	assert_ok(images_remove(&f->db, "image", false, &f->e), &f->e);
	collect(f);
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
	assert_ok(images_put(&f->db, &f->home, "a", "a", a, &f->e), &f->e);
	assert_ok(images_put(&f->db, &f->home, "b", "b", b, &f->e), &f->e);
	json_decref(a);
	json_decref(b);
	assert_ok(images_remove(&f->db, "a", false, &f->e), &f->e);
	collect(f);
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
	collect(f);
	assert_true(path_exists(readme));
	assert_true(path_exists(hidden));
	assert_true(path_exists(temp));
	assert_false(path_exists(link));
	assert_true(path_exists(target));
}

/* --- what images occupy -------------------------------------------------------------------- */

/* Gives a file of an image a size of so many blocks of 4 KiB. */
static void grow(struct fixture *f, const char *what, char c, size_t blocks)
{
	_cleanup_free_ char *path = cache_path(f, what, c);
	_cleanup_free_ char *data = xcalloc(blocks, 4096);

	memset(data, 'x', blocks * 4096);
	assert_int_equal(write_file_atomic(AT_FDCWD, path, data, blocks * 4096, 0600), 0);
}

static void test_disk_use(void **state)
{
	struct fixture *f = *state;
	json_t *a = record('1'), *b = record('2');
	struct strv others = {0};
	struct image_list l;
	uint64_t own, other, bytes;

	make_folders(f);
	make_content(f, '1');
	make_content(f, '2');
	grow(f, "d.data2", '1', 100);
	grow(f, "erofs", '1', 10);
	assert_ok(images_put(&f->db, &f->home, "a", "a", a, &f->e), &f->e);
	assert_ok(images_list(&f->db, &f->home, &l, &f->e), &f->e);
	own = l.v[0].disk_bytes;
	assert_true(own >= 110 * 4096 && own < 130 * 4096);
	assert_int_equal(l.v[0].shared_bytes, 0);
	image_list_release(&l);

	/* Another with the same layer, and one of its own. */
	json_array_append(json_object_get(b, "layers"),
			  json_array_get(json_object_get(a, "layers"), 0));
	assert_ok(images_put(&f->db, &f->home, "b", "b", b, &f->e), &f->e);
	assert_ok(images_list(&f->db, &f->home, &l, &f->e), &f->e);
	assert_int_equal(l.v[0].disk_bytes, own);
	assert_true(l.v[0].shared_bytes >= 100 * 4096 && l.v[0].shared_bytes < 105 * 4096);
	assert_int_equal(l.v[1].shared_bytes, l.v[0].shared_bytes);
	other = l.v[1].disk_bytes;
	image_list_release(&l);
	assert_ok(images_summary(&f->db, &f->home, "b", &l, &f->e), &f->e);
	assert_int_equal(l.n, 1);
	assert_int_equal(l.v[0].disk_bytes, other);
	assert_true(l.v[0].shared_bytes >= 100 * 4096);
	image_list_release(&l);
	assert_err(images_summary(&f->db, &f->home, "c", &l, &f->e), &f->e, ERR_NOT_FOUND);

	assert_ok(image_files_layer(&f->db, json_array_get(json_object_get(a, "layers"), 0), "a",
				    &bytes, &others, &f->e),
		  &f->e);
	assert_int_equal(others.n, 1);
	assert_string_equal(others.v[0], "b");
	assert_true(bytes >= 100 * 4096);
	strv_release(&others);

	/* When one goes, the other has it all to itself. */
	assert_ok(images_remove(&f->db, "a", false, &f->e), &f->e);
	collect(f);
	assert_ok(images_list(&f->db, &f->home, &l, &f->e), &f->e);
	assert_int_equal(l.n, 1);
	assert_int_equal(l.v[0].disk_bytes, other);
	assert_int_equal(l.v[0].shared_bytes, 0);
	image_list_release(&l);
	json_decref(a);
	json_decref(b);
}

/* What was there before sizes were recorded gets its sizes when it is first asked for. */
static void test_sizes_of_old_rows(void **state)
{
	struct fixture *f = *state;
	struct image_list l;

	make_folders(f);
	make_content(f, '1');
	put(f, "a", "a", '1');
	put(f, "damaged", "damaged", '2');
	assert_ok(db_run(&f->db, &f->e, "DELETE FROM image_files", ""), &f->e);
	assert_ok(db_run(&f->db, &f->e, "UPDATE images SET counted = 0", ""), &f->e);
	assert_ok(db_run(&f->db, &f->e,
			 "UPDATE image_records SET record = 'x' WHERE image = "
			 "(SELECT id FROM images WHERE reference = 'damaged')",
			 ""),
		  &f->e);
	for (int i = 0; i < 2; i++) {
		assert_ok(images_list(&f->db, &f->home, &l, &f->e), &f->e);
		assert_int_equal(l.n, 2);
		assert_true(l.v[0].disk_bytes > 0);
		assert_int_equal(l.v[1].disk_bytes, 0);
		image_list_release(&l);
	}
}

/* --- users and pruning --------------------------------------------------------------------- */

static void test_users(void **state)
{
	struct fixture *f = *state;
	struct strv users = {0}, same = {0};
	struct image_row row;

	put(f, "a", "a", '1');
	put(f, "a:latest", "a", '1');
	put(f, "b", "b", '2');
	make_sandbox(f, "made-from-a", "a", '1');
	make_sandbox(f, "another-spelling", "library/a", '1');
	make_sandbox(f, "older-content", "a", '3');
	make_sandbox(f, "of-b", "b", '2');
	make_sandbox(f, "of-a-directory", "./dir", 0);
	assert_ok(images_get(&f->db, "a", &row, &f->e), &f->e);
	assert_ok(images_users(&f->db, &row, &users, &f->e), &f->e);
	assert_int_equal(users.n, 3);
	assert_string_equal(users.v[0], "another-spelling");
	assert_string_equal(users.v[1], "made-from-a");
	assert_string_equal(users.v[2], "older-content");
	assert_ok(images_same(&f->db, &row, &same, &f->e), &f->e);
	assert_int_equal(same.n, 1);
	assert_string_equal(same.v[0], "a:latest");
	strv_release(&users);
	strv_release(&same);
	image_row_release(&row);
}

static void test_prune(void **state)
{
	struct fixture *f = *state;
	struct images_freed would = {0}, freed = {0}, again = {0};
	struct image_list l;

	make_folders(f);
	for (char c = '1'; c <= '4'; c++)
		make_content(f, c);
	put(f, "unused", "unused", '1');
	put(f, "used", "used", '2');
	put(f, "used:latest", "used", '2'); /* the same content */
	make_sandbox(f, "box", "used", '2');
	make_sandbox(f, "of-a-directory", "./dir", 0);
	put(f, "newer", "newer", '3'); /* the sandbox has what this was before */
	make_sandbox(f, "old", "newer", '4');
	assert_ok(images_prune(&f->db, &f->home, true, &would, &f->e), &f->e);
	assert_content(f, '1', true);
	assert_ok(images_prune(&f->db, &f->home, false, &freed, &f->e), &f->e);
	assert_content(f, '1', false);
	for (char c = '2'; c <= '4'; c++)
		assert_content(f, c, true);
	assert_int_equal(freed.references.n, 1);
	assert_string_equal(freed.references.v[0], "unused");
	assert_int_equal(freed.manifests, 1);
	assert_int_equal(freed.layers, 1);
	assert_int_equal(freed.blobs, 2);
	assert_true(freed.bytes > 0);
	assert_int_equal(would.references.n, 1);
	assert_int_equal(would.manifests, freed.manifests);
	assert_int_equal(would.layers, freed.layers);
	assert_int_equal(would.blobs, freed.blobs);
	assert_int_equal(would.bytes, freed.bytes);
	assert_ok(images_list(&f->db, &f->home, &l, &f->e), &f->e);
	assert_int_equal(l.n, 3);
	image_list_release(&l);
	assert_ok(images_prune(&f->db, &f->home, false, &again, &f->e), &f->e);
	assert_int_equal(again.references.n, 0);
	assert_int_equal(again.bytes, 0);
	images_freed_release(&would);
	images_freed_release(&freed);
	images_freed_release(&again);
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
		home_test(test_disk_use),
		home_test(test_sizes_of_old_rows),
		home_test(test_users),
		home_test(test_prune),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
